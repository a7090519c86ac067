"""A backtest says what the worker would have decided: on the same events the decisions are the same, to the last proof."""

from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import psycopg
import pytest

from fillip.migrations import role_dsn
from tests.manage.past_world import PastWorld
from tests.oracle.catalogue import CAMPAIGNS, CHANGED, SHOP_LISTS
from tests.oracle.shop import Plane

APART = sorted(CAMPAIGNS.keys() - {"vips", "most", "least", "alone"})
"""Those that no other campaign, and no schedule of their own, has a say in."""


@pytest.fixture(params=["history", "live"])
async def past_world(request: pytest.FixtureRequest, database: str) -> AsyncIterator[PastWorld]:
    """A shop in New York with a cohort, a list, a badge and a holdout."""
    plane = Plane(database)
    pool = await asyncpg.create_pool(role_dsn(database, "fillip_worker"), min_size=1, max_size=5)
    shop = await plane.open_shop(request.param, "America/New_York")
    await shop.enlist("vip", frozenset({"ann"}))
    await shop.describe("ann", {"tier": "gold"})
    await shop.call("POST", "/v1/badges", {"badge_id": "early", "name": "Early"})
    await shop.call("PUT", "/v1/points/MILES", {"name": "Miles"})
    await shop.fill("shops", SHOP_LISTS[0])
    await shop.hold_out(50)
    with psycopg.connect(database, autocommit=True) as owner:
        world = PastWorld(plane, shop, pool, owner)
        yield world
    await world.close()
    await pool.close()
    await plane.close()


async def test_it_decides_as_the_worker_has_decided(past_world: PastWorld) -> None:
    for campaign_id in APART:
        await past_world.shop.launch(campaign_id, CAMPAIGNS[campaign_id])
        own = {"campaign_id": campaign_id}
        daily = {"scope": "campaign", "measure": "count", "span": "day", "cap": 5}
        await past_world.shop.cap({"limit_id": f"daily-{campaign_id}", **own, **daily})
        weekly = {"scope": "user_in_campaign", "measure": "count", "span": "week", "cap": 4}
        await past_world.shop.cap({"limit_id": f"weekly-{campaign_id}", **own, **weekly})
    past_world.say(300, seed=7)
    await past_world.live()
    said: Counter[str] = Counter()
    for campaign_id in APART:
        replay, decided = await past_world.replay(campaign_id)
        live = past_world.list_live(campaign_id)
        assert decided == live, campaign_id
        said.update(reason for _, reason, _ in live.values())
        result = replay.tally.sum_up()
        assert result.granted == sum(outcome == "granted" for outcome, _, _ in live.values())
        assert sum(result.denied.values()) == len(live) - result.granted
        assert sum(bite.denied for bite in result.limits) >= result.denied.get("limit", 0)
        assert len(replay.tally.samples) == min(10, result.granted) + min(10, sum(result.denied.values()))
    wanted = {"granted", "limit", "holdout", "no_value", "already_held"}
    assert said.keys() >= wanted, said


async def test_under_the_recorded_definitions_it_decides_as_the_worker_did_while_they_changed(
    past_world: PastWorld,
) -> None:
    """Versions, kept instances, a pause, lists, caps and the holdout change between events; some campaigns come later."""
    late, changed = {"by-shop", "share"}, ["any", "big", "twice", "ladder", "pair", "raced", "joined"]
    for campaign_id in APART:
        if campaign_id not in late:
            await past_world.shop.launch(campaign_id, CAMPAIGNS[campaign_id])
            daily = {"limit_id": f"daily-{campaign_id}", "campaign_id": campaign_id, "scope": "campaign", "span": "day"}
            await past_world.shop.cap(daily | {"measure": "count", "cap": 6})
    past_world.say(110, seed=3)
    await past_world.live()
    for campaign_id in changed:
        policy = "keep" if campaign_id in ("twice", "pair", "raced") else None
        await past_world.shop.change(campaign_id, policy, CHANGED[campaign_id][0])
    await past_world.shop.fill("shops", SHOP_LISTS[1])
    past_world.say(90, seed=4)
    await past_world.live()
    for campaign_id in late:
        await past_world.shop.launch(campaign_id, CAMPAIGNS[campaign_id])
    for campaign_id in ("listed", "twice"):
        await past_world.shop.toggle(campaign_id)
    for campaign_id in ("big", "streak"):
        daily = {"limit_id": f"daily-{campaign_id}", "campaign_id": campaign_id, "scope": "campaign", "span": "day"}
        await past_world.shop.cap(daily | {"measure": "count", "cap": 9})
    await past_world.shop.hold_out(10)
    past_world.say(70, seed=5)
    await past_world.live()
    await past_world.shop.toggle("listed")
    await past_world.shop.hold_out(45)
    past_world.say(60, seed=6)
    await past_world.live()
    said: Counter[str] = Counter()
    for campaign_id in APART:
        replay, decided = await past_world.replay(campaign_id, definitions="recorded")
        live = past_world.list_live(campaign_id)
        assert decided == live, campaign_id
        said.update(reason for _, reason, _ in live.values())
        result = replay.tally.sum_up()
        assert replay.list_not_considered(result, was_launched=True)[:2] == ["reversals", "former_users"]
    assert said.keys() >= {"granted", "limit", "holdout", "paused"}, said


async def test_what_met_nothing_is_known_to_have_come_after_a_change(past_world: PastWorld) -> None:
    """The last events met no campaign, so settle decided nothing of them; under the version before they would have met."""
    await past_world.shop.launch("any", CAMPAIGNS["any"])
    past_world.say(5, seed=1)
    await past_world.live()
    await past_world.shop.change("any", None, CAMPAIGNS["any"] | {"rule": "event.amount > 100000000"})
    past_world.say(30, seed=2)
    await past_world.live()
    _, decided = await past_world.replay("any", definitions="recorded")
    assert decided == past_world.list_live("any")
    assert len(decided) < 6
