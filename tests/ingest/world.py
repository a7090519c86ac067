"""One tenant with one action, as the doors see it."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from fillip.core.book.book import Action, Book, Unbuilt
from fillip.core.schema.reader import build_event_reader
from tests.builders import build_book, build_tenant

SCHEMA = {
    "type": "object",
    "properties": {
        "amount": {"type": "integer", "minimum": 0},
        "category": {"type": "string", "maxLength": 20},
        "rate": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["amount"],
}
NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


def make_book(tenant_id: str) -> Book:
    actions = {"PURCHASE": Action("PURCHASE", SCHEMA, build_event_reader(SCHEMA))}
    return build_book(tenant=build_tenant(tenant_id=tenant_id, currency="EUR", clock="live"), actions=actions)


class Books:
    """The books of the tenants `acme` and `other`."""

    def __init__(self) -> None:
        self.books: dict[str, Book | Unbuilt] = {tenant_id: make_book(tenant_id) for tenant_id in ("acme", "other")}

    async def pin(self, tenant_ids: Collection[str]) -> Mapping[str, Book | Unbuilt]:
        return {tenant_id: self.books[tenant_id] for tenant_id in tenant_ids if tenant_id in self.books}


def make_event(**changes: Any) -> dict[str, Any]:
    """A good event; a change to None takes the field out."""
    event = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/till",
        "type": "PURCHASE",
        "subject": "u1",
        "time": "2026-01-31T10:30:00+01:00",
        "tenantid": "acme",
        "data": {"amount": 500, "rate": 2},
    } | changes
    return {name: value for name, value in event.items() if value is not None}
