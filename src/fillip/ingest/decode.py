"""Envelope → Event, or the reason why not. Pure: the same for the topic door and the HTTP door.

Reasons after those of the envelope, in the order in which they are looked for: unknown_tenant, unknown_action,
schema_violation, in_future. `undecidable` stands for what is no fault of the event.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import UNSET, DecodeError, Struct, json

from fillip.core.book.book import Book, Unbuilt
from fillip.core.by_hand import GRANT, read_grant
from fillip.core.envelope import Envelope, read_time
from fillip.core.errors import Unreadable
from fillip.core.event import MAX_AHEAD, REVERSAL, Event, Place, check_own
from fillip.core.ledger.reversal import read_reversal
from fillip.core.naming import MAX_ID_BYTES, MAX_SOURCE_BYTES, fits
from fillip.core.repair import REPAIR, read_repair
from fillip.core.schema.reader import ReadEvent

MAX_DETAIL = 500  # characters


class _Claim(Struct, frozen=True):
    tenantid: Any = None
    id: Any = None
    source: Any = None


_claim = json.Decoder(_Claim)


def read_event(
    envelope: Envelope,
    books: Mapping[str, Book | Unbuilt],
    place: Place,
    received_at: datetime,
    taken_at: datetime,
    original: bytes,
) -> Event:
    """The event, validated against its tenant's book. Raises Unreadable."""
    occurred_at = read_time(envelope.time)
    tenant_id = envelope.tenantid
    book = books.get(tenant_id) if tenant_id is not UNSET else None
    if book is None or tenant_id is UNSET:
        raise Unreadable("unknown_tenant", "there is no such tenant", at="/tenantid")
    if isinstance(book, Unbuilt):
        raise Unreadable("undecidable", f"the tenant's definitions can't be read: {book.why}")
    check_own(envelope.type, envelope.source)
    try:
        typed = _find_reader(book, envelope.type)(envelope.data, occurred_at)
    except Unreadable as error:
        at = error.at if error.reason == "unknown_action" else f"/data{error.at or ''}"
        raise Unreadable(error.reason, str(error), at=at) from None
    if occurred_at > received_at + MAX_AHEAD:
        raise Unreadable(
            "in_future", f"time is more than {MAX_AHEAD.seconds // 60} minutes ahead of its arrival", at="/time"
        )
    return Event(
        tenant_id, envelope.source, envelope.id, envelope.subject, envelope.type, occurred_at, received_at,
        envelope.data, typed, place, taken_at, book, original,
    )  # fmt: skip


def _find_reader(book: Book, action: str) -> ReadEvent:
    if action == REVERSAL:
        return _check_reversal
    if action == GRANT:
        return _check_grant
    if action == REPAIR:
        return _check_repair
    known = book.actions.get(action)
    if known is None:
        raise Unreadable("unknown_action", f"the tenant has no action {action[:100]!r}", at="/type")
    return known.read


def _check_reversal(data: Mapping[str, object], _: datetime) -> dict[str, object]:
    read_reversal(data)
    return {}


def _check_grant(data: Mapping[str, object], _: datetime) -> dict[str, object]:
    read_grant(data)
    return {}


def _check_repair(data: Mapping[str, object], _: datetime) -> dict[str, object]:
    read_repair(data)
    return {}


def peek_claim(value: bytes | None) -> tuple[str | None, str | None, str | None]:
    """(tenant, event id, source) that an unreadable message claims for itself, where it can be told."""
    try:
        claim = _claim.decode(value or b"")
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None, None, None
    return _clean_name(claim.tenantid), _clean_name(claim.id), _clean_name(claim.source, MAX_SOURCE_BYTES)


def clean_detail(text: str) -> str:
    """`text` as the ledger can keep it: bounded, without NUL."""
    return text[:MAX_DETAIL].replace("\0", "\N{REPLACEMENT CHARACTER}")


def _clean_name(value: object, most: int = MAX_ID_BYTES) -> str | None:
    return value if isinstance(value, str) and value and fits(value, most) and "\0" not in value else None
