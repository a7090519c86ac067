"""A request computes beside its transaction where that takes long: nobody waits for its locks, and it is answered."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from fillip.manage.api import campaigns
from fillip.manage.campaign.checks import check_campaign
from fillip.manage.request import route
from fillip.manage.request.computed import Computed
from tests.manage.conftest import Plane
from tests.manage.shop import ANY, CASHBACK, PURCHASE, QUEST, cap, draft, launch, open_cohort, open_shop
from tests.manage.test_eligibility import ask, checkout

__all__ = ["checkout"]
VIP = CASHBACK | {"cohorts": ["vip"]}


class HeldCheck:
    """Checks of campaigns that take until they are let go."""

    def __init__(self) -> None:
        self.began, self.go, self.count = asyncio.Event(), threading.Event(), 0
        self._loop = asyncio.get_running_loop()

    def __call__(self, *given: Any) -> object:
        """As check_campaign."""
        self.count += 1
        self._loop.call_soon_threadsafe(self.began.set)
        assert self.go.wait(60)
        return check_campaign(*given)


@pytest.fixture
async def held(monkeypatch: pytest.MonkeyPatch) -> HeldCheck:
    """In place of the checks of campaigns."""
    check = HeldCheck()
    monkeypatch.setattr(campaigns, "check_campaign", check)
    return check


async def meanwhile(acme: httpx.AsyncClient, held: HeldCheck, change: Callable[[], Any]) -> httpx.Response:
    """The answer to a new campaign, of which the check ends when a change of the tenant's book was answered."""
    asked = asyncio.create_task(acme.post("/v1/campaigns", json={"campaign_id": "big", "definition": VIP}))
    await held.began.wait()
    await change()
    held.go.set()
    return await asked


async def test_no_transaction_waits_for_a_check(plane: Plane, acme: httpx.AsyncClient, held: HeldCheck) -> None:
    await open_shop(acme)

    async def change() -> None:
        named = await acme.patch("/v1/tenant", json={"name": "Acme and sons"}, headers=ANY)
        assert named.status_code == 200, named.text  # which the lock of a tenant's changes would keep
        with psycopg.connect(plane.dsn) as owner:
            (waiting,) = owner.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
            ).fetchone() or (None,)
        assert waiting == 0  # which PostgreSQL would end after 2 s

    answer = await meanwhile(acme, held, change)
    assert (answer.status_code, answer.json()["errors"][0]["at"], held.count) == (422, "/definition/cohorts/0", 1)


async def test_what_has_changed_meanwhile_is_checked_again(acme: httpx.AsyncClient, held: HeldCheck) -> None:
    await open_shop(acme)

    async def change() -> None:
        made = await acme.post("/v1/cohorts", json={"cohort_id": "vip", "name": "Regulars"})
        assert made.status_code == 201, made.text

    answer = await meanwhile(acme, held, change)  # which named a cohort that there was not
    assert (answer.status_code, held.count) == (201, 2)


async def test_a_request_that_never_finds_the_same_is_asked_to_come_again(
    acme: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_shop(acme)
    monkeypatch.setattr(route, "HOLD_S", 0)
    monkeypatch.setattr(Computed, "find", lambda *_: None)
    answer = await acme.post("/v1/campaigns", json={"campaign_id": "big", "definition": CASHBACK})
    assert (answer.status_code, "keeps changing" in answer.json()["detail"]) == (503, True)


async def test_whatever_is_computed_may_take_long(checkout: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every route that computes, as if each of its computations took longer than a transaction may wait."""
    acme = checkout
    monkeypatch.setattr(route, "HOLD_S", 0)
    await open_cohort(acme, "vip", "ada")
    await acme.post("/v1/cohorts", json={"cohort_id": "buyers", "name": "Buyers"})
    rule = {"action": "PURCHASE", "rule": "event.amount_cents > 100", "at_least": 2}
    assert (await acme.put("/v1/cohorts/buyers/rule", json=rule, headers=ANY)).status_code == 200
    await launch(acme, "big", CASHBACK | {"cohorts": ["vip"], "exclusive": {"group": "one", "pick": "value"}})
    await launch(acme, "rest", CASHBACK | {"exclusive": {"group": "one", "pick": "value"}})
    await launch(acme, "visits", QUEST)
    await cap(
        acme, "stores", scope="campaign", campaign_id="big", measure="count", span="day", cap=5, key="event.store"
    )
    await draft(acme, "next", CASHBACK)
    for order in ("shadow", "withdraw", "launch", "pause", "resume", "end", "archive"):
        moved = await acme.post(f"/v1/campaigns/next/{order}", headers=ANY | {"Idempotency-Key": order})
        assert moved.status_code == 200, moved.text
        assert moved.json()["lookups"][0]["indexed"]
    changed = await acme.put("/v1/campaigns/big", json=CASHBACK | {"cohorts": ["vip"]}, headers=ANY)
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    wider = PURCHASE | {"properties": PURCHASE["properties"] | {"channel": {"type": "string"}}}
    assert (await acme.put("/v1/actions/PURCHASE", json={"schema": wider}, headers=ANY)).status_code == 200
    users = {
        "properties": {
            "tier": {"type": "string", "maxLength": 10},
            "age": {"type": "integer"},
            "vip": {"type": "boolean"},
        }
    }
    patched = await acme.patch("/v1/tenant", json={"user_schema": {"type": "object"} | users}, headers=ANY)
    assert patched.status_code == 200, patched.text
    stored = await acme.post("/v1/users:bulk", json={"users": [{"user_id": "bob", "attributes": {"tier": "gold"}}]})
    assert stored.json()["stored"] == 1
    assert [each["campaign_id"] for each in (await acme.get("/v1/campaigns")).json()["items"]] == [
        "big",
        "next",
        "rest",
        "visits",
    ]
    basket = {"amount_cents": 5000, "store": "north"}
    event = {"user_id": "ada", "action": "PURCHASE", "attributes": basket}
    reasons = {}
    for campaign_id in ("big", "rest", "visits"):
        told = await acme.post(f"/v1/campaigns/{campaign_id}/explain", json=event)
        assert told.status_code == 200, told.text
        reasons[campaign_id] = told.json()["reason"]
    assert reasons == {"big": "granted", "rest": "granted", "visits": "quest"}
    found = await ask(acme, basket)
    assert found["counts"] == {"earned": 2, "nearly": 0, "open_quest": 1, "open": 0, "not_earned": 0}
    assert (await ask(acme))["counts"]["open"] == 3
