"""A backtest says what the worker would have decided: on the same events the decisions are the same, to the last proof."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import pytest

from fillip.core.backtest.past import PastGrant
from fillip.core.backtest.question import Definitions
from fillip.core.backtest.result import Differences, Spend, Worth
from tests.manage.past_world import Name, PastWorld, Said, open_past_world
from tests.oracle.catalogue import CAMPAIGNS, CHANGED, SHOP_LISTS

APART = sorted(CAMPAIGNS.keys() - {"vips", "most", "least", "alone", "spoilt"})
"""Those that no other campaign, and no schedule of their own, has a say in: `spoilt` gives the badge that `early` gives."""
NONE = Differences(0, 0, 0, [])


@pytest.fixture(params=["history", "live"])
async def past_world(request: pytest.FixtureRequest, database: str) -> AsyncIterator[PastWorld]:
    """A shop in New York with a cohort, a list, a badge and a holdout."""
    async with open_past_world(database, request.param, PastWorld) as world:
        yield world


def add_up(spend: Iterable[Spend]) -> Counter[tuple[str, str | None, str]]:
    """How many rewards of each unit, and what they come to."""
    sums: Counter[tuple[str, str | None, str]] = Counter()
    for each in spend:
        sums[each.kind, each.currency, "rewards"] += each.rewards
        sums[each.kind, each.currency, "value"] += each.value
    return sums


async def test_it_decides_as_the_worker_has_decided(past_world: PastWorld) -> None:
    for campaign_id in APART:
        await past_world.shop.launch(campaign_id, CAMPAIGNS[campaign_id])
        own = {"campaign_id": campaign_id}
        daily = {"scope": "campaign", "measure": "count", "span": "day", "cap": 5}
        await past_world.shop.cap({"limit_id": f"daily-{campaign_id}", **own, **daily})
        weekly = {"scope": "user_in_campaign", "measure": "count", "span": "week", "cap": 4, "zone": "user"}
        await past_world.shop.cap({"limit_id": f"weekly-{campaign_id}", **own, **weekly})
        rolling = weekly | {"span": "rolling", "rolling_s": 2 * 86_400, "cap": 3, "zone": "tenant"}
        await past_world.shop.cap({"limit_id": f"rolling-{campaign_id}", **own, **rolling})
    past_world.say(300, seed=7)
    await past_world.live()
    said: Counter[str] = Counter()
    for campaign_id in APART:
        replay, decided = await past_world.replay(campaign_id)
        live = past_world.list_live(campaign_id)
        assert decided == live, campaign_id
        assert past_world.differences == NONE, campaign_id
        said.update(reason for _, reason, _ in live.values())
        result = replay.tally.sum_up()
        assert result.granted == sum(outcome == "granted" for outcome, _, _ in live.values())
        assert sum(result.denied.values()) == len(live) - result.granted
        assert sum(bite.denied for bite in result.limits) >= result.denied.get("limit", 0)
        assert add_up(each for day in result.days for each in day.spend) == add_up(result.spend), campaign_id
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
        assert past_world.differences == NONE, campaign_id
        said.update(reason for _, reason, _ in live.values())
        result = replay.tally.sum_up()
        assert replay.list_not_considered(result)[0] == "former_users"
    assert said.keys() >= {"granted", "limit", "holdout", "paused"}, said


async def test_what_was_taken_back_is_taken_back_in_its_turn(past_world: PastWorld) -> None:
    """In part and in full, of what came before or comes later, of others' events in vain, and twice: what comes behind is decided
    by what that leaves, and all that live took back is told.
    """
    for campaign_id in APART:
        await past_world.shop.launch(campaign_id, CAMPAIGNS[campaign_id])
        daily = {"limit_id": f"daily-{campaign_id}", "campaign_id": campaign_id, "scope": "campaign", "span": "day"}
        cap = 5 if CAMPAIGNS[campaign_id]["kind"] == "SIMPLE" else 40
        await past_world.shop.cap(daily | {"measure": "count", "cap": cap})
    spent = {"scope": "user_in_campaign", "measure": "value", "span": "week", "reward_kind": "cashback", "cap": 170}
    await past_world.shop.cap({"limit_id": "weekly-any", "campaign_id": "any", **spent})
    rolling = spent | {"span": "rolling", "rolling_s": 2 * 86_400, "cap": 140}
    await past_world.shop.cap({"limit_id": "rolling-any", "campaign_id": "any", **rolling})
    past_world.say(280, seed=35, taken_back=0.4)
    await past_world.live()
    changed = {"any", "twice", "ladder", "pair", "raced", "joined"}
    for campaign_id in sorted(changed):
        policy = "keep" if campaign_id in ("twice", "pair", "raced") else None
        await past_world.shop.change(campaign_id, policy, CHANGED[campaign_id][0])
    past_world.say(210, seed=55, taken_back=0.4)
    await past_world.live()
    taken_back = set()
    for campaign_id in APART:
        definitions: Definitions = "recorded" if campaign_id in changed else "current"
        replay, decided = await past_world.replay(campaign_id, definitions=definitions)
        live, told = past_world.list_live(campaign_id), past_world.sum_reversed(campaign_id)
        assert decided == live, campaign_id
        assert past_world.differences == NONE, campaign_id
        result = replay.tally.sum_up()
        by_day = {
            (str(day.day), each.kind, each.currency): each.reversed
            for day in result.days
            for each in day.spend
            if each.reversed
        }
        assert by_day == told, campaign_id
        in_all: Counter[tuple[str, str | None]] = Counter()
        for (_, kind, currency), value in told.items():
            in_all[kind, currency] += value
        assert {(each.kind, each.currency): each.reversed for each in result.spend if each.reversed} == in_all
        assert result.reversed == past_world.count_reversed(campaign_id), campaign_id
        assert sum(day.reversed for day in result.days) == result.reversed
        taken_back |= {campaign_id} if result.reversed else set()
    # of the latter two, who is in which variant is said by a hash of the tenant's new id
    without = {"pair", "raced", "split"}
    if past_world.shop.book.tenant["clock"] == "live":  # most windows are over when events come
        without |= {"echo", "joined", "raced", "soon", "summed", "twice"}
    assert taken_back >= set(APART) - without, taken_back


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


async def test_of_a_limit_that_others_share_it_may_take_what_it_took_itself(past_world: PastWorld) -> None:
    """Two campaigns take turns until their budget is empty, and then both are denied."""
    for campaign_id in ("any", "listed"):
        await past_world.shop.launch(campaign_id, CAMPAIGNS[campaign_id])
    for scope, cap in (("tenant", 40), ("user", 9)):
        shared = {"limit_id": f"shared-{scope}", "scope": scope, "span": "lifetime", "measure": "count", "cap": cap}
        await past_world.shop.cap(shared)
    past_world.say(120, seed=8)
    await past_world.live()
    for campaign_id in ("any", "listed"):
        _, decided = await past_world.replay(campaign_id, definitions="recorded")
        live = past_world.list_live(campaign_id)
        told = {name: said[:2] for name, said in decided.items()}
        assert told == {name: said[:2] for name, said in live.items()}
        assert {said[0] for said in live.values()} == {"granted", "denied"}
        assert past_world.differences == NONE


async def test_what_campaigns_took_of_shared_limits_adds_up_to_what_is_used_after_reversals_too(
    past_world: PastWorld,
) -> None:
    """Of simple ones and quests, with variants, and of one that gives nothing back."""
    mine = ("any", "two", "kept", "split", "twice", "raced", "saved")
    for campaign_id in mine:
        await past_world.shop.launch(campaign_id, CAMPAIGNS[campaign_id])
    value = {"measure": "value", "reward_kind": "cashback", "cap": 10**6}
    for limit_id, limit in (
        ("all", {"scope": "tenant", "span": "lifetime", "measure": "count", "cap": 10**6}),
        ("each", {"scope": "user", "span": "week", **value}),
        ("shops", {"scope": "tenant", "span": "month", "action": "BUY", "key": "event.shop", **value}),
        ("rolling", {"scope": "user", "span": "rolling", "rolling_s": 3600, **value}),
    ):
        await past_world.shop.cap({"limit_id": limit_id, **limit})
    past_world.say(280, seed=74, taken_back=0.4)
    await past_world.live()
    own = [await past_world.read_own_use(campaign_id) for campaign_id in mine]
    used = past_world.list_counters()
    used_by = {campaign_id for campaign_id, each in zip(mine, own, strict=True) if any(each.values())}
    assert used_by >= {"any", "two", "kept", "twice", "saved"}, used_by
    assert {key: sum(each[key] for each in own) for key in used} == used
    taken_back = {campaign_id for campaign_id in mine if past_world.count_reversed(campaign_id)}
    assert taken_back >= {"any", "two", "kept", "twice"}, taken_back


async def test_what_is_granted_otherwise_is_counted_and_shown(past_world: PastWorld) -> None:
    """Three versions were live, one of which grants less, and one what the first does not; the first is tried on all of it."""
    bought = CAMPAIGNS["any"] | {"action": "BUY"}
    await past_world.shop.launch("any", bought | {"rule": "event.amount >= 100"})
    past_world.say(60, seed=9)
    await past_world.live()
    [reward] = bought["rewards"]
    dearer = {"rule": "event.amount > 100", "rewards": [reward | {"value": reward["value"] + 1}]}
    await past_world.shop.change("any", None, bought | dearer)
    past_world.say(60, seed=10)
    await past_world.live()
    await past_world.shop.change("any", None, bought | {"rule": "event.amount < 100"})
    past_world.say(60, seed=11)
    await past_world.live()
    live = _find_granted(past_world.list_live("any"))
    _, decided = await past_world.replay("any")
    backtest = _find_granted(decided)
    dear = {(each["source"], each["id"]) for each in past_world.events[60:120]}
    found = past_world.differences
    assert found
    counts = len(live - backtest), len(backtest - live), len(live & backtest & dear)
    assert (found.only_live, found.only_backtest, found.other_value) == counts
    assert min(counts) > 0
    assert len(found.samples) == min(100, sum(counts))
    for each in found.samples:
        name = each.event_source, each.event_id
        if name in live & backtest:
            assert each.live and each.live.rewards == [Worth(reward["kind"], reward["currency"], reward["value"] + 1)]
        assert (name in live, name in backtest) == (each.live is not None, each.backtest is not None)


def _find_granted(said: Mapping[Name, Said]) -> set[tuple[str, str]]:
    return {(source, event_id) for (_, source, event_id), (outcome, _, _) in said.items() if outcome == "granted"}


async def test_an_event_that_breaks_down_leaves_no_trace_on_the_quests_of_the_others(past_world: PastWorld) -> None:
    """Its portion is decided again without it, from where the quests stood before."""
    await past_world.shop.launch("twice", CAMPAIGNS["twice"])
    past_world.say(120, seed=8)
    await past_world.live()
    broken = min(past_world.list_live("twice"))
    unhashable: Any = []
    replay, decided = await past_world.replay("twice", {f"{broken[1]} {broken[2]}": [PastGrant(unhashable, 1)]})
    assert broken not in decided
    assert decided
    past_world.events = [each for each in past_world.events if (each["source"], each["id"]) != broken[1:]]
    alone, without = await past_world.replay("twice")
    assert decided == without
    assert replay.events == alone.events + 1
