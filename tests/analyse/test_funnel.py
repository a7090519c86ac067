"""Quests step by step, in both stores: from instances as they stand, whatever came of them before."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fillip.analyse.facts import sift
from fillip.analyse.funnel import FunnelQuestion, QuestFunnel, StepReached
from fillip.analyse.report import Bay
from fillip.core.instant import MAX_TIME, MIN_TIME
from fillip.stream.topics import Topics
from tests.analyse.bay_world import emptied, instance, record

TOPICS = Topics()
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIVES = (
    instance(1, 1, (0, None), (0, None)),
    instance(2, 1, (1, None), (0, None)),
    instance(3, 1, (0, None), (0, None), state="closed"),
    instance(4, 1, (0, None), (0, None), ends_at="2026-03-01T11:00:00.000000Z"),
    instance(5, 1, (0, None), (0, None), campaign_version=2, user_id="u1"),
    instance(6, 1, (0, None), (0, None), campaign_version=2, user_id="u1", started_at="2026-03-02T00:00:00.000000Z"),
    instance(1, 1, (2, 59), (2, 59), tenant_id="rival"),
    instance(1, 1, (2, 59), (2, 59), campaign_id="other"),
    instance(1, 2, (2, 10), (0, None)),
    instance(2, 2, (2, 20), (0, None)),
    instance(1, 3, (2, 10), (2, 40), state="completed"),
)


def ask(**changes: Any) -> FunnelQuestion:
    """A question of acme."""
    asked: dict[str, Any] = {"begin": MIN_TIME, "end": MAX_TIME, "now": NOON, "count": 10, "after": 0}
    return FunnelQuestion("acme", "tour", **(asked | changes))


async def load(bay: Bay, *messages: dict[str, Any], first: int, together: bool = False) -> int:
    """Load announcements of one partition, each after the one before; how many could not be."""
    for number, message in enumerate(messages):
        message["source"] = message["source"] | {"commit_lsn": first + number}
    records = [record(first + n, message, TOPICS.progressed) for n, message in enumerate(messages)]
    asides = 0
    for each in [records] if together else [[one] for one in records]:
        sifted = sift(each, await bay.read_positions())
        await bay.load(sifted)
        asides += len(sifted.asides)
    return asides


@pytest.fixture(params=[False, True], ids=["one by one", "at once"])
async def tours(store: Bay, request: pytest.FixtureRequest) -> Bay:
    """The facts of LIVES."""
    await load(store, *LIVES, first=1, together=request.param)
    return store


async def test_each_instance_counts_once_as_it_stands(tours: Bay) -> None:
    first, second = await tours.report_quest_funnel(ask())
    steps = [StepReached("s1", 2, 2, 900.0, 1140.0), StepReached("s2", 1, 1, 1800.0, 1800.0)]
    assert first == QuestFunnel(1, 4, 4, 1, 1, 0, 1, 1, 0, steps)
    assert (second.campaign_version, second.started, second.users, second.open) == (2, 2, 1, 2)
    assert second.steps == [StepReached("s1", 0, 0, None, None), StepReached("s2", 0, 0, None, None)]


async def test_a_window_that_is_past_has_lapsed_found_so_or_not(tours: Bay) -> None:
    (before,) = await tours.report_quest_funnel(ask(now=NOON.replace(hour=11), count=1))
    (after,) = await tours.report_quest_funnel(ask(count=1))
    assert (before.open, before.lapsed, after.open, after.lapsed) == (2, 0, 1, 1)


async def test_only_those_that_began_in_the_period_and_page_by_page(tours: Bay) -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    assert [line.started for line in await tours.report_quest_funnel(ask(end=midnight))] == [4, 1]
    assert [line.started for line in await tours.report_quest_funnel(ask(begin=midnight))] == [1]
    assert [line.campaign_version for line in await tours.report_quest_funnel(ask(count=1))] == [1]
    assert [line.campaign_version for line in await tours.report_quest_funnel(ask(after=1))] == [2]


async def test_steps_that_a_change_did_not_carry_stay(tours: Bay) -> None:
    assert not await load(tours, lapse(2, 3), first=20)
    assert (await tours.report_quest_funnel(ask()))[0].steps[0].reached == 2


def lapse(number: int, lsn: int) -> dict[str, Any]:
    """The announcement of a change that leaves long steps as they were, and does not carry them."""
    lapsed = instance(number, lsn, state="lapsed")
    del lapsed["after"]["steps"]
    return lapsed


async def test_steps_that_the_same_load_carries_are_known_beside_one_that_can_not_be_read(store: Bay) -> None:
    spoilt = instance(3, 1, (0, None), started_at="once")
    carried = [instance(number, 1, (2, 10), (0, None)) for number in (1, 2)]
    assert await load(store, *carried, spoilt, lapse(1, 2), lapse(2, 2), first=1, together=True) == 1
    (line,) = await store.report_quest_funnel(ask())
    assert (line.lapsed, line.steps[0].reached, line.steps[1].reached) == (2, 2, 0)


async def test_a_change_is_set_aside_alone_whose_steps_nobody_knows(store: Bay) -> None:
    assert await load(store, lapse(1, 2), instance(2, 1, (2, 10)), lapse(2, 3), first=1, together=True) == 1
    (line,) = await store.report_quest_funnel(ask())
    assert (line.started, line.lapsed) == (1, 1)


async def test_what_a_snapshot_replaced_lends_no_steps(tours: Bay) -> None:
    spoilt = instance(1, 4, (2, 10), occurrence="first", revision=None) | {"op": "r"}
    anew = [emptied("quest_instance", 1, "e2"), spoilt, lapse(1, 5), instance(2, 4, (2, 20))]
    for message in anew:
        message["source"] = message["source"] | {"epoch": "e2"}
    assert await load(tours, *anew, first=40, together=True) == 2
    (line,) = await tours.report_quest_funnel(ask())
    assert (line.started, line.lapsed, line.open) == (1, 0, 1)


async def test_the_time_of_a_step_counts_from_the_one_met_before_it_in_any_order(tours: Bay) -> None:
    unordered = {"campaign_id": "bingo", "user_id": "u9"}
    await load(tours, instance(1, 1, (2, 50), (2, 20), (1, None), **unordered), first=20)
    (line,) = await tours.report_quest_funnel(FunnelQuestion("acme", "bingo", MIN_TIME, MAX_TIME, NOON, 10, 0))
    assert [(step.reached, step.median_s) for step in line.steps] == [(1, 1800.0), (1, 1200.0), (0, None)]


async def test_a_snapshot_replaces_them_and_what_can_not_be_read_is_set_aside(tours: Bay) -> None:
    spoilt = [instance(n, 1, (0, None)) for n in (7, 8, 9)]
    for message, wrong in zip(
        spoilt, ({"started_at": "once"}, {"steps": [{"done": 1}]}, {"revision": None}), strict=True
    ):
        message["after"] |= wrong
    assert await load(tours, *spoilt, instance(10, 1, (0, None)), first=20, together=True) == 3
    assert (await tours.report_quest_funnel(ask()))[0].started == 5
    anew = instance(1, 4, (2, 10), (2, 40), state="completed") | {"op": "r"}
    anew["source"] = anew["source"] | {"epoch": "e2"}
    await load(tours, emptied("quest_instance", 1, "e2"), anew, first=40)
    (line,) = await tours.report_quest_funnel(ask())
    assert (line.started, line.completed, line.steps[1].median_s) == (1, 1, 1800.0)
