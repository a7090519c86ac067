"""Quests: steps in order, windows with both ends included, one completion an instance."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fillip.core.quest import Instance, Meeting, Quest, Start, Step, advance

T0 = datetime(2017, 3, 1, 12, tzinfo=UTC)
WEEK_S = 7 * 86_400


def three_visits(**changes):
    given = {"steps": (Step("visit", "PURCHASE", count=3),), "window_s": WEEK_S, "repeatable": True} | changes
    return Quest(**given)


def meeting(after_s=0, *, steps=(0,), starts=False, event_id="e", ends_at=None):
    return Meeting(event_id, T0 + timedelta(seconds=after_s), starts, steps, 1, T0, ends_at)


def play(quest, *meetings):
    """All instances as they stand after the meetings."""
    newest: Instance | None = None
    all_instances: dict[int, Instance] = {}
    for each in meetings:
        for instance in advance(quest, newest, each):
            newest = all_instances[instance.occurrence] = instance
    return list(all_instances.values())


def test_the_third_visit_within_the_week_completes():
    (instance,) = play(three_visits(), meeting(0), meeting(60), meeting(WEEK_S))
    assert (instance.state, instance.counts, instance.step) == ("completed", (3,), 1)


def test_one_second_after_the_window_the_instance_lapses_and_the_next_begins():
    lapsed, fresh = play(three_visits(), meeting(0), meeting(60), meeting(WEEK_S + 1))
    assert (lapsed.state, lapsed.counts) == ("lapsed", (2,))
    assert (fresh.state, fresh.counts, fresh.occurrence) == ("open", (1,), 2)


def test_a_repeatable_quest_begins_again_after_its_completion():
    first, second = play(three_visits(), *[meeting(i) for i in range(4)])
    assert (first.state, second.state, second.counts) == ("completed", "open", (1,))


def test_a_quest_that_is_not_repeatable_completes_once():
    (instance,) = play(three_visits(repeatable=False), *[meeting(i) for i in range(9)])
    assert instance.state == "completed"


def test_ordered_steps_are_met_in_order_only():
    quest = Quest(steps=(Step("view", "VIEW"), Step("buy", "BUY", count=2)))
    (instance,) = play(quest, meeting(0, steps=(0,)), meeting(1, steps=(0,)), meeting(2, steps=(1,)))
    assert (instance.counts, instance.step, instance.state) == ((1, 1), 1, "open")
    assert play(quest, meeting(0, steps=(1,))) == []


def test_unordered_steps_are_met_in_any_order():
    quest = Quest(steps=(Step("view", "VIEW"), Step("buy", "BUY")), ordered=False)
    (instance,) = play(quest, meeting(0, steps=(1,)), meeting(1, steps=(0,)))
    assert instance.state == "completed"


def test_an_enrolling_event_opens_the_instance_and_steps_before_it_do_not_count():
    quest = Quest(steps=(Step("buy", "BUY"),), start=Start(at="event", action="JOIN"))
    assert play(quest, meeting(0)) == []
    (instance,) = play(quest, meeting(0), meeting(5, steps=(), starts=True), meeting(3))
    assert (instance.state, instance.counts) == ("open", (0,))
    (instance,) = play(quest, meeting(5, steps=(), starts=True), meeting(5))
    assert instance.state == "completed"


def test_a_quest_from_the_campaign_start_lapses_once_for_all():
    quest = Quest(steps=(Step("buy", "BUY", count=2),), start=Start(at="campaign"), window_s=100)
    (instance,) = play(quest, meeting(10), meeting(101), meeting(102))
    assert (instance.state, instance.started_at, instance.counts) == ("lapsed", T0, (1,))


@given(st.lists(st.integers(0, 3 * WEEK_S), max_size=40))
def test_every_completion_has_three_visits_within_a_week(seconds):
    moments = sorted(seconds)
    instances = play(three_visits(), *[meeting(at) for at in moments])
    assert sum(sum(i.counts) for i in instances) == len(moments)
    assert [i.occurrence for i in instances] == list(range(1, len(instances) + 1))
    assert all(sum(i.counts) == 3 for i in instances if i.state == "completed")
    assert [i.state for i in instances[:-1]].count("open") == 0
