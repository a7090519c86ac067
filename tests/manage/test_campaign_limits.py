"""Limits within a campaign's definition: in force with the launch, changed with it, and counted by all that decide."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from httpx import AsyncClient

from fillip.manage.limit import postgres
from tests.manage.backfill_world import BackfillWorld, buy, open_backfill_world
from tests.manage.conftest import Plane
from tests.manage.shop import ANY, CASHBACK, QUEST, cap, draft, launch, open_shop

pytestmark = pytest.mark.xdist_group("backfills")

ONCE: dict[str, Any] = {"name": "once", "scope": "user_in_campaign", "measure": "count", "span": "lifetime", "cap": 1}
BUDGET: dict[str, Any] = {
    "name": "budget",
    "scope": "campaign",
    "measure": "value",
    "reward_kind": "cashback",
    "span": "month",
    "cap": 250,
    "over": "partial",
}
ALL = CASHBACK | {"rule": "true"}


@pytest.fixture
async def limits_world(plane: Plane, acme: AsyncClient, tmp_path: Path) -> AsyncIterator[BackfillWorld]:
    await open_shop(acme)
    async with open_backfill_world(plane, acme, tmp_path) as world:
        yield world


async def change(client: AsyncClient, *limits: dict[str, Any], status: int = 200, **more: Any) -> Any:
    """The campaign c with other limits."""
    answer = await client.put("/v1/campaigns/c", json=ALL | {"limits": limits} | more, headers=ANY)
    assert answer.status_code == status, answer.text
    return answer.json()


async def find_caps(client: AsyncClient) -> dict[str, int]:
    """The caps in force, by id."""
    return {each["limit_id"]: each["cap"] for each in (await client.get("/v1/limits")).json()["items"]}


async def test_they_are_in_force_with_the_launch_and_not_before(limits_world: BackfillWorld) -> None:
    world, client = limits_world, limits_world.client
    made = await draft(client, "c", ALL | {"limits": [ONCE | {"key": "event.coupon"}, BUDGET]})
    assert [(each["name"], each["currency"]) for each in made["definition"]["limits"]] == [
        ("once", None),
        ("budget", "EUR"),
    ]
    await client.post("/v1/campaigns/c/shadow", headers=ANY)
    assert await find_caps(client) == {}
    moved = await client.post("/v1/campaigns/c/launch", headers=ANY)
    assert moved.status_code == 200, moved.text
    assert await find_caps(client) == {"c.once": 1, "c.budget": 250}
    once = (await client.get("/v1/limits/c.once")).json()
    assert (once["in_definition"], once["campaign_id"], once["action"]) == (True, "c", "PURCHASE")
    told = world.rows(
        "SELECT kind, object_id FROM book_change WHERE book_version > 4 ORDER BY book_version DESC LIMIT 4"
    )
    assert [kind for kind, _ in told] == ["campaign", "campaign", "limit", "limit"], "no book has it without its caps"


async def test_workers_count_by_them_and_a_decision_names_them(limits_world: BackfillWorld) -> None:
    world, client = limits_world, limits_world.client
    await launch(client, "c", ALL | {"limits": [ONCE | {"key": "event.coupon"}, BUDGET]})
    await world.refresh()
    coupons = ["A", "A", "B", "C", "D"]
    await world.happen(*(buy(f"e{n}", "ada", coupon=each, hours_ago=0.5) for n, each in enumerate(coupons)), load=False)
    assert [(event, value) for event, _, _, value, _ in world.list_granted("c")] == [
        ("e0", 100),
        ("e2", 100),
        ("e3", 50),
    ]
    [(decision_id,)] = world.rows("SELECT decision_id FROM decision WHERE event_id = 'e1'")
    told = (await client.get(f"/v1/decisions/{decision_id}/explain")).json()["summary"]
    assert "limit c.once for key A has 0 of 1 left" in told
    [use] = (await client.get("/v1/limits/c.budget/usage")).json()["items"]
    assert (use["used"], use["cap"], use["currency"]) == (250, 250, "EUR")


async def test_a_new_version_may_change_caps_add_limits_and_leave_out_what_counted_nothing(
    limits_world: BackfillWorld,
) -> None:
    world, client = limits_world, limits_world.client
    await launch(client, "c", ALL | {"limits": [ONCE, BUDGET]})
    await change(client, ONCE | {"cap": 2}, ONCE | {"name": "daily", "span": "day"})
    assert await find_caps(client) == {"c.once": 2, "c.daily": 1}
    await world.refresh()
    await world.happen(
        buy("e1", "ada", hours_ago=30), buy("e2", "ada", hours_ago=0.1), buy("e3", "ada", hours_ago=0), load=False
    )
    assert [event for event, *_ in world.list_granted("c")] == ["e1", "e2"]
    refused = await change(client, ONCE | {"cap": 2}, status=422)
    assert [each["at"] for each in refused["errors"]] == ["/limits"]
    assert "'daily' has counted grants" in refused["errors"][0]["message"]
    refused = await change(client, ONCE | {"span": "month"}, ONCE | {"name": "daily", "span": "day"}, status=422)
    assert [each["at"] for each in refused["errors"]] == ["/limits/0/span"]
    assert await find_caps(client) == {"c.once": 2, "c.daily": 1}, "what is refused changes nothing"
    versions = (await client.get("/v1/campaigns/c/versions")).json()["items"]
    assert [[each["cap"] for each in one["definition"]["limits"]] for one in versions][-1] == [2, 1]


async def test_they_can_not_be_changed_apart_from_the_campaign(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "c", ALL | {"limits": [ONCE]})
    body = {"limit_id": "c.once", "campaign_id": "c"} | {name: value for name, value in ONCE.items() if name != "name"}
    for answer in (
        await acme.delete("/v1/limits/c.once", headers=ANY),
        await acme.put("/v1/limits/c.once", json=body | {"cap": 5}, headers=ANY),
    ):
        assert answer.status_code == 409, answer.text
        assert "by PUT /v1/campaigns/c" in answer.text
    assert (await acme.post("/v1/limits", json=body)).status_code == 422, "no id of its own has a dot"
    await cap(acme, "once", scope="user", measure="count", span="lifetime", cap=9)
    assert await find_caps(acme) == {"c.once": 1, "once": 9}


async def test_a_change_waits_for_batches_where_it_changes_caps_and_only_there(
    acme: AsyncClient, database: str
) -> None:
    await open_shop(acme)
    await launch(acme, "c", ALL | {"limits": [ONCE]})
    with psycopg.connect(database) as batch:
        batch.execute("SELECT share_limits('{acme}')")
        await change(acme, ONCE, ONCE | {"name": "daily", "span": "day"}, name="Bigger baskets")
        refused = await change(acme, ONCE | {"cap": 2}, status=503)
        assert "nothing has changed" in refused["detail"]
    assert await find_caps(acme) == {"c.once": 1, "c.daily": 1}


async def test_a_trial_and_a_backtest_of_a_draft_count_by_them(limits_world: BackfillWorld) -> None:
    world, client = limits_world, limits_world.client
    await draft(client, "c", ALL | {"limits": [ONCE | {"key": "event.coupon"}]})
    await world.happen(*(buy(f"e{n}", "ada", coupon=each) for n, each in enumerate(["A", "A", "B"])))
    result = await world.backtest("c")
    assert result["granted"] == 2
    assert [each["limit_id"] for each in result["limits"]] == ["c.once"]
    await change(client, ONCE | {"cap": 0})
    asked = {"user_id": "ada", "action": "PURCHASE", "attributes": {"amount_cents": 1}}
    tried = (await client.post("/v1/campaigns/c/explain", json=asked)).json()
    assert (tried["would"]["outcome"], tried["would"]["reason"]) == ("denied", "limit")
    assert (await world.backtest("c"))["granted"] == 0


CONTRADICTIONS: list[tuple[list[dict[str, Any]], list[str]]] = [
    ([ONCE, ONCE], ["/definition/limits/0/name", "/definition/limits/1/name"]),
    ([ONCE | {"span": "rolling"}], ["/definition/limits/0/rolling_s"]),
    ([BUDGET | {"reward_kind": "points"}], ["/definition/limits/0/reward_kind"]),
    ([BUDGET | {"currency": "USD"}], ["/definition/limits/0/currency"]),
    ([ONCE | {"pool": "spring"}], ["/definition/limits/0/pool"]),
    ([ONCE | {"action": "RETURN"}], ["/definition/limits/0/action"]),
    ([ONCE | {"key": "event.coupn"}], ["/definition/limits/0/key"]),
    ([ONCE | {"key": "user.tier"}], ["/definition/limits/0/key"]),
    ([ONCE | {"over": "partial"}], ["/definition/limits/0/over"]),
    ([ONCE | {"scope": "user"}], ["/definition/limits/0/scope"]),
    ([ONCE | {"name": "c.once"}], ["/definition/limits/0/name"]),
    ([ONCE | {"name": f"n{n}"} for n in range(11)], ["/definition/limits"]),
]


async def test_what_contradicts_itself_is_refused_with_its_place(acme: AsyncClient) -> None:
    await open_shop(acme)
    for limits, at in CONTRADICTIONS:
        answer = await acme.post("/v1/campaigns", json={"campaign_id": "c", "definition": ALL | {"limits": limits}})
        assert answer.status_code == 422, answer.text
        assert [each["at"] for each in answer.json()["errors"]] == at


async def test_a_key_of_a_quest_that_may_end_with_several_actions_is_refused(acme: AsyncClient) -> None:
    await open_shop(acme)
    await acme.put("/v1/actions/VIEW", json={"schema": {"type": "object", "properties": {}}})
    steps = [{"name": "buy", "action": "PURCHASE"}, {"name": "view", "action": "VIEW"}]
    quest = QUEST | {"quest": {"steps": steps, "ordered": False}, "limits": [ONCE | {"key": "event.coupon"}]}
    answer = await acme.post("/v1/campaigns", json={"campaign_id": "c", "definition": quest})
    assert [each["at"] for each in answer.json()["errors"]] == ["/definition/limits/0/key"]


async def test_a_launch_beyond_the_most_limits_launches_nothing(
    acme: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_shop(acme)
    await draft(acme, "c", ALL | {"limits": [ONCE, BUDGET]})
    monkeypatch.setattr(postgres, "MAX_LIMITS", 1)
    assert (await acme.post("/v1/campaigns/c/launch", headers=ANY)).status_code == 409
    assert (await acme.get("/v1/campaigns/c")).json()["state"] == "draft"
    assert await find_caps(acme) == {}
