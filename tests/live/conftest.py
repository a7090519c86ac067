"""One running set for a module of tests, and a tenant for each test."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.client.book import define_actions, launch_campaigns
from tests.live.running import make_tenant, running_stack

SCHEMA = {
    "type": "object",
    "properties": {"amount": {"type": "integer"}, "note": {"type": "string"}, "more": {"type": "object"}},
    "required": ["amount"],
}
CASHBACK = {
    "kind": "SIMPLE",
    "name": "50 cents back from a dollar on",
    "action": "BUY",
    "rule": "event.amount >= 100",
    "rewards": [{"kind": "cashback", "value": 50}],
}


@dataclass
class Shop:
    """A tenant with the action BUY and the campaign `cashback` (amount >= 100 earns 50 cents)."""

    tenant: str
    key: str
    client: ApiClient

    def buy(self, event_id: str, user: str = "ann", amount: object = 100, **more: Any) -> dict[str, Any]:
        """A purchase made now, as a CloudEvent."""
        return {
            "specversion": "1.0",
            "id": event_id,
            "source": "till",
            "type": "BUY",
            "subject": user,
            "time": datetime.now(UTC).isoformat(),
            "tenantid": self.tenant,
            "data": {"amount": amount, **more},
        }


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """All servers and processes, in a folder of their own."""
    with running_stack() as running:
        yield running


@pytest.fixture
def shop(stack: Stack) -> Iterator[Shop]:
    """A tenant of this test's own, its campaign running."""
    tenant = f"shop-{uuid4().hex[:8]}"
    key = make_tenant(stack, tenant)
    with ApiClient(stack.doors.api, key) as client:
        define_actions(client, {"BUY": SCHEMA})
        launch_campaigns(client, {"cashback": CASHBACK}, [])
        yield Shop(tenant, key, client)
