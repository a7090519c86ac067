"""Returns in part by what each reward says of them: kept, by its share, or asked for again for what is left of the event."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.manage.past_world import PastWorld, open_past_world
from tests.oracle.catalogue import NOON, RECEIVED_AT
from tests.oracle.reversal import REVERSAL

TIERS = {"of": "event.amount", "tiers": [{"at_least": 100, "value": 10}, {"at_least": 200, "value": 40}]}
FORMULA = {"kind": "points", "formula": TIERS, "on_partial": "reevaluate"}
BIG: dict[str, Any] = {"kind": "SIMPLE", "name": "Big baskets", "action": "BUY", "rule": "event.amount >= 100"}
TAKEN = (
    "SELECT campaign_id, kind, value, reversed_value, state FROM incentive ORDER BY campaign_id, event_id, reward_index"
)


@pytest.fixture
async def past_shop(database: str) -> AsyncIterator[PastWorld]:
    """A shop whose events the worker's own stages decide, and which a backtest can decide once more."""
    async with open_past_world(database, "history", PastWorld) as past_shop:
        await past_shop.shop.hold_out(0)
        yield past_shop


def buy(past_shop: PastWorld, event_id: str, amount: int, shop: str | None = "x") -> None:
    """ann buys for so much."""
    said = {"type": "BUY", "time": NOON.isoformat(), "data": {"amount": amount, "shop": shop}}
    past_shop.events.append(_name(past_shop, event_id) | said)


def give_back(past_shop: PastWorld, event_id: str, name: str, **data: Any) -> None:
    """A return of the event, of a tenth where nothing else is said."""
    part = {} if data.pop("whole", False) else {"amount": 1, "of": 10}
    said = {"type": REVERSAL, "time": RECEIVED_AT.isoformat(), "data": {"event_id": event_id, **part, **data}}
    past_shop.events.append(_name(past_shop, name) | said)


def left(amount: int, shop: str | None = "x") -> dict[str, Any]:
    return {"amount": amount, "shop": shop}


def _name(past_shop: PastWorld, event_id: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "tenantid": past_shop.shop.tenant_id,
        "id": event_id,
        "source": "till",
        "subject": "ann",
    }


def taken(past_shop: PastWorld) -> list[tuple[Any, ...]]:
    return past_shop.owner.execute(TAKEN).fetchall()


async def test_a_return_below_the_threshold_takes_what_the_lower_tier_or_no_tier_gives_any_more(
    past_shop: PastWorld,
) -> None:
    await past_shop.shop.launch("c", BIG | {"rewards": [FORMULA]})
    buy(past_shop, "e1", 250)
    give_back(past_shop, "e1", "r1", after=left(201))
    await past_shop.live()
    assert taken(past_shop) == [("c", "points", 40, 0, "granted")], "the same tier: nothing is taken"
    give_back(past_shop, "e1", "r2", after=left(150))
    await past_shop.live()
    assert taken(past_shop) == [("c", "points", 40, 30, "granted")]
    give_back(past_shop, "e1", "r3", after=left(230))
    await past_shop.live()
    assert taken(past_shop) == [("c", "points", 40, 30, "granted")], "what was taken is never granted again"
    give_back(past_shop, "e1", "r4", after=left(99))
    await past_shop.live()
    assert taken(past_shop) == [("c", "points", 40, 40, "reversed")], "the rule no longer holds"
    [last] = (await past_shop.shop.call("GET", "/v1/reversals/r4?reversal_source=till"))["incentives"]
    assert (last["value"], last["short"]) == (10, 0), "no more is asked of the wallet than is there"
    give_back(past_shop, "e1", "r5", whole=True)
    await past_shop.live()
    assert taken(past_shop) == [("c", "points", 40, 40, "reversed")]
    told = await past_shop.shop.call("GET", "/v1/reversals/r2?reversal_source=till")
    assert (told["after"], told["reevaluations"]) == (
        left(150),
        [told["reevaluations"][0] | {"met": True, "worth": 10, "taken": 30, "whole": False}],
    )
    [(active,)] = past_shop.owner.execute("SELECT active FROM wallet").fetchall()
    assert active == 0


async def test_each_reward_goes_by_what_it_says_and_by_what_is_usual_for_its_kind_where_it_says_nothing(
    past_shop: PastWorld,
) -> None:
    cash = {"kind": "cashback", "value": 100, "currency": "EUR"}
    policies = {"a": {}, "b": {"on_partial": "prorate"}, "c": {"on_partial": "keep"}, "d": {"on_partial": "reevaluate"}}
    badge = {"kind": "badge", "badge": "early", "on_partial": "reevaluate"}
    for campaign_id, policy in policies.items():
        rewards = [cash | policy, badge] if campaign_id == "d" else [cash | policy]
        await past_shop.shop.launch(campaign_id, BIG | {"rewards": rewards})
    buy(past_shop, "e1", 250)
    give_back(past_shop, "e1", "r1", after=left(225))
    await past_shop.live()
    assert [row[3:] for row in taken(past_shop)] == [(10, "granted"), (10, "granted"), *[(0, "granted")] * 3]
    give_back(past_shop, "e1", "r2")
    await past_shop.live()
    assert [row[3:] for row in taken(past_shop)] == [
        (20, "granted"),
        (20, "granted"),
        (0, "granted"),
        (20, "granted"),  # it was not told what is left
        (0, "granted"),
    ]
    give_back(past_shop, "e1", "r3", after=left(50))
    await past_shop.live()
    gone = [(100, "reversed"), (0, "reversed")]
    assert [row[3:] for row in taken(past_shop)] == [(30, "granted"), (30, "granted"), (0, "granted"), *gone]
    assert past_shop.owner.execute("SELECT count(*) FROM badge_held").fetchall() == [(0,)]
    give_back(past_shop, "e1", "r4", whole=True)
    await past_shop.live()
    assert [row[3:] for row in taken(past_shop)] == [*[(100, "reversed")] * 4, (0, "reversed")]


async def test_it_is_asked_under_the_version_the_list_and_the_attributes_that_the_decision_recorded(
    past_shop: PastWorld,
) -> None:
    await past_shop.shop.fill("shops", ("x",))
    await past_shop.shop.describe("ann", {"tier": "gold"})
    rule = {"rule": 'user.tier == "gold" && event.shop in lists.shops && event.amount >= 100'}
    await past_shop.shop.launch("c", BIG | rule | {"rewards": [FORMULA]})
    buy(past_shop, "e1", 250)
    buy(past_shop, "e2", 250)
    await past_shop.live()
    await past_shop.shop.fill("shops", ("y",))
    await past_shop.shop.describe("ann", {"tier": "tin"})
    await past_shop.shop.change("c", None, BIG | {"rule": "event.amount >= 249"} | {"rewards": [FORMULA]})
    give_back(past_shop, "e1", "r1", after=left(120))
    give_back(past_shop, "e2", "r2", after=left(240, "y"))
    await past_shop.live()
    assert [row[3:] for row in taken(past_shop)] == [(30, "granted"), (40, "reversed")]


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
async def test_limits_get_back_what_was_taken_and_their_one_with_the_last_of_the_grant(
    past_shop: PastWorld, together: bool
) -> None:
    await past_shop.shop.launch("c", BIG | {"rewards": [FORMULA]})
    await past_shop.shop.cap({"limit_id": "once", "scope": "user", "span": "lifetime", "measure": "count", "cap": 1})
    worth = {"measure": "value", "reward_kind": "points", "currency": "POINTS", "cap": 45}
    await past_shop.shop.cap({"limit_id": "points", "scope": "user", "span": "lifetime", **worth})
    steps = [("e1", 250, None), ("e1", 150, "r1"), ("e2", 150, None), ("e1", 50, "r2"), ("e3", 250, None)]
    for event_id, amount, reversal in steps:
        if reversal:
            give_back(past_shop, event_id, reversal, after=left(amount))
        else:
            buy(past_shop, event_id, amount)
        if not together:
            await past_shop.live()
    await past_shop.live()
    decided = past_shop.owner.execute("SELECT event_id, outcome FROM decision ORDER BY 1").fetchall()
    assert decided == [("e1", "granted"), ("e2", "denied"), ("e3", "granted")]
    used = past_shop.owner.execute("SELECT limit_id, used FROM limit_counter ORDER BY 1").fetchall()
    assert used == [("once", 1), ("points", 40)]
    own = {place[0].limit_id: amount for place, amount in (await past_shop.read_own_use("c")).items()}
    assert own == {"once": 1, "points": 40}, "a backtest takes its own for no other's"


async def test_what_is_left_that_is_no_event_of_the_action_is_refused_and_takes_nothing(past_shop: PastWorld) -> None:
    await past_shop.shop.launch("c", BIG | {"rewards": [{"kind": "points", "value": 10}]})
    give_back(past_shop, "e1", "r1", after={"amount": "a lot"})
    buy(past_shop, "e1", 250)
    give_back(past_shop, "e1", "r2", after=left(200))
    await past_shop.live()
    found = past_shop.owner.execute("SELECT reversal_id, state, reason FROM reversal ORDER BY 1").fetchall()
    assert found == [("r1", "refused", "unreadable_after"), ("r2", "applied", "applied")]
    assert taken(past_shop) == [("c", "points", 10, 1, "granted")]


async def test_the_explanation_of_a_decision_tells_what_was_asked_again_and_its_answer(past_shop: PastWorld) -> None:
    await past_shop.shop.launch("c", BIG | {"rewards": [FORMULA]})
    buy(past_shop, "e1", 250)
    give_back(past_shop, "e1", "r1", after=left(150))
    give_back(past_shop, "e1", "r2", after=left(99))
    await past_shop.live()
    told = await past_shop.shop.call("GET", "/v1/campaigns/c/explain?event_id=e1")
    first, second = told["returns"]
    assert (first["reversal_id"], first["attributes"]) == ("r1", left(150))
    assert (first["rules"][0]["met"], first["rewards"][0]["value"]) == (True, 10)
    assert (second["rules"][0]["met"], second["rules"][0]["leaves"][0]["reads"]) == (False, {"event.amount": 99})


async def test_a_backtest_takes_back_what_live_took(past_shop: PastWorld) -> None:
    await past_shop.shop.launch(
        "c", BIG | {"rewards": [FORMULA, {"kind": "cashback", "value": 50, "on_partial": "keep"}]}
    )
    for number, amount in enumerate((250, 99, 201, 150)):
        buy(past_shop, f"e{number}", amount)
        give_back(past_shop, f"e{number}", f"a{number}", after=left(amount - 20))
        give_back(past_shop, f"e{number}", f"b{number}")
        give_back(past_shop, f"e{number}", f"c{number}", after=left(amount - 60))
    give_back(past_shop, "e3", "d3", after={"shop": "x"})
    await past_shop.live()
    replay, decided = await past_shop.replay("c")
    assert decided == past_shop.list_live("c")
    told = {(each.kind, each.currency): each.reversed for each in replay.tally.sum_up().spend}
    live = past_shop.sum_reversed("c")
    assert told == {("points", "POINTS"): live["2036-02-29", "points", "POINTS"], ("cashback", "EUR"): 0}
    assert told["points", "POINTS"] == 30 + 30 + 10
