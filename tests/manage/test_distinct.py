"""Steps that count different values, from the definition to the ledger: worker, explanation, backtest and backfill."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient

from tests.manage.backfill_world import BackfillWorld, buy, open_backfill_world, take_back
from tests.manage.conftest import Plane
from tests.manage.shop import ANY, QUEST, draft, launch, open_shop

pytestmark = pytest.mark.xdist_group("backfills")

STEP: dict[str, Any] = {"name": "coupon", "action": "PURCHASE", "distinct": "event.coupon", "count": 3}
COUPONS = QUEST | {"name": "Three different coupons", "quest": {"steps": [STEP]}}


@pytest.fixture
async def distinct_world(plane: Plane, acme: AsyncClient, tmp_path: Path) -> AsyncIterator[BackfillWorld]:
    await open_shop(acme)
    async with open_backfill_world(plane, acme, tmp_path) as world:
        yield world


def spend(event_id: str, coupon: str | None, hours_ago: float) -> bytes:
    data: dict[str, Any] = {} if coupon is None else {"coupon": coupon}
    return buy(event_id, "ada", hours_ago=hours_ago, **data)


async def find_steps(client: AsyncClient) -> list[tuple[int, int]]:
    """(done, needed) of the step of each instance of ada's."""
    found = (await client.get("/v1/users/ada/quests")).json()
    return [(each["steps"][0]["done"], each["steps"][0]["needed"]) for each in found["items"]]


async def test_what_is_counted_is_decided_told_and_taken_back(distinct_world: BackfillWorld) -> None:
    world, client = distinct_world, distinct_world.client
    await launch(client, "coupons", COUPONS)
    await world.refresh()
    await world.happen(spend("e1", "SPRING", 9), spend("e2", "SPRING", 8), spend("e3", None, 7), load=False)
    await world.happen(spend("e4", "SUMMER", 6), spend("e5", "x" * 257, 5), spend("e6", "a\0b", 5), load=False)
    assert await find_steps(client) == [(2, 3)]
    asked = {"user_id": "ada", "action": "PURCHASE", "attributes": {"amount_cents": 1, "coupon": "SPRING"}}
    tried = (await client.post("/v1/campaigns/coupons/explain", json=asked)).json()
    assert tried["outcome"] == "progress"
    assert "coupon 2 of 3, which counts 'SPRING' already" in tried["summary"]

    await world.happen(spend("e7", "AUTUMN", 4), load=False)
    assert [event for event, *_ in world.list_granted("coupons")] == ["e7"]
    [decision] = (await client.get("/v1/decisions", params={"campaign_id": "coupons"})).json()["items"]
    told = (await client.get(f"/v1/decisions/{decision['decision_id']}/explain")).json()
    [quest] = [each for each in told["checks"] if each["check"] == "quest"]
    given = [(each["event_id"], each["value"]) for each in quest["instances"][0]["steps"][0]["given"]]
    assert given == [("e1", "SPRING"), ("e2", "SPRING"), ("e4", "SUMMER"), ("e7", "AUTUMN")]

    await world.happen(take_back("r1", "e1", "ada"), load=False)
    assert await find_steps(client) == [(3, 3)], "e2 has the coupon too"
    await world.happen(take_back("r2", "e2", "ada"), load=False)
    assert await find_steps(client) == [(2, 3)]
    assert world.rows("SELECT state FROM incentive") == [("reversed",)]
    await world.happen(spend("e8", "SPRING", 3), load=False)
    assert await find_steps(client) == [(3, 3)]
    assert world.rows("SELECT state FROM incentive ORDER BY inbox_seq") == [("reversed",), ("granted",)]


async def test_a_backtest_and_a_backfill_count_the_same(distinct_world: BackfillWorld) -> None:
    world, client = distinct_world, distinct_world.client
    coupons = ["SPRING", "SPRING", "SUMMER", None, "AUTUMN", "SPRING", "SUMMER", "SUMMER"]
    await draft(client, "coupons", COUPONS | {"quest": COUPONS["quest"] | {"repeatable": True}})
    await world.happen(*(spend(f"e{n}", coupon, 20 - n) for n, coupon in enumerate(coupons)))
    await world.happen(take_back("r1", "e0", "ada"), spend("e8", "WINTER", 2))
    assert (await world.backtest("coupons"))["granted"] == 2
    await world.launch("coupons")
    assert (await world.backfill("coupons"))["state"] == "done"
    assert [event for event, *_ in world.list_granted("coupons")] == ["e4", "e8"]


async def test_a_definition_that_can_t_be_is_refused_with_its_place(acme: AsyncClient) -> None:
    await open_shop(acme)
    for changes, at in (
        ({"count": 1}, "count"),
        ({"count": 501}, "count"),
        ({"distinct": "event.store_id"}, "distinct"),
        ({"distinct": "1.5"}, "distinct"),
        ({"distinct": "user.tier"}, "distinct"),
        ({"count": 1, "streak": {"length": 3}}, "distinct"),
    ):
        definition = COUPONS | {"quest": {"steps": [STEP | changes]}}
        answer = await acme.post("/v1/campaigns", json={"campaign_id": "c", "definition": definition})
        found = [each["at"] for each in answer.json()["errors"]]
        assert (answer.status_code, found) == (422, [f"/definition/quest/steps/0/{at}"])
    await launch(acme, "c", COUPONS)
    other = COUPONS | {"quest": {"steps": [STEP | {"distinct": "event.store"}]}}
    answer = await acme.put("/v1/campaigns/c", json=other, headers=ANY)
    assert answer.status_code == 422
    assert "keeps what it measures" in answer.text
