"""Quests: instances, windows with both ends included, steps in order, sums, one completion an instance."""

from datetime import timedelta
from typing import Any, Self
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fillip.core.campaign.campaign import Schedule
from fillip.core.campaign.quest import Keyed, Quest, Start, Step, Streak
from fillip.core.identity import identify_event
from fillip.core.quest import instance as life
from fillip.core.quest.instance import (
    MAX_TOGETHER,
    Contribution,
    Instance,
    QuestEvent,
    advance,
    replay,
)
from fillip.core.quest.step import StepState, restart
from tests.builders import T0, build_tenant

WEEK_S = 7 * 86_400
GREENWICH = build_tenant()


def three_visits(**changes: Any) -> Quest:
    quest = Quest((Step("visit", "PURCHASE", count=3),), window_s=WEEK_S, repeatable=True)
    return replace(quest, **changes)


def quest_event(
    after_s: float = 0, *, steps: tuple[int, ...] = (0,), received_after_s: float | None = None, **changes: Any
) -> QuestEvent:
    """An event of no quest yet: the log that plays it says of which."""
    at = T0 + timedelta(seconds=after_s)
    plain = QuestEvent(
        quest=Quest(()),
        campaign_version=1,
        event_key=UUID(int=0),
        source="/till",
        event_id="e",
        occurred_at=at,
        clock_at=at if received_after_s is None else T0 + timedelta(seconds=received_after_s),
        time_zone=GREENWICH.time_zone,
        day=GREENWICH.local_day(at),
        sequence=0,
        steps=steps,
        schedule=Schedule(T0),
    )
    return replace(plain, **changes)


def name(event_id: str) -> UUID:
    return identify_event("acme", "/till", event_id)


class Log:
    """Plays meetings against one user's instances, as settle does."""

    def __init__(self, quest: Quest) -> None:
        self.quest = quest
        self.retained: dict[int, Quest] = {}
        self.instances: dict[tuple[str, int], Instance] = {}
        self.completed: list[tuple[str, str]] = []
        self.met: dict[tuple[str, int], list[Contribution]] = {}
        self.refused: list[Instance] = []
        self.sequence = 0

    def play(self, *meetings: QuestEvent) -> Self:
        for each in meetings:
            self.sequence += 1
            event_id = f"e{self.sequence}" if each.event_id == "e" else each.event_id
            key = event_id if self.quest.instance == "event" else each.key
            told = replace(
                each, quest=self.quest, event_key=name(event_id), event_id=event_id, key=key, sequence=self.sequence
            )
            retained = [
                replace(told, quest=quest, campaign_version=version) for version, quest in self.retained.items()
            ]
            done = advance(self.instances.values(), replace(told, retained=tuple(retained)))
            self.refused += [done.refused] if done.refused else []
            for moved in done.moved:
                place = (moved.instance.key, moved.instance.occurrence)
                self.instances[place] = moved.instance
                self.met.setdefault(place, []).extend(moved.met)
                if moved.instance.state == "completed":
                    self.completed.append((event_id, moved.instance.name))
        return self

    def show(self) -> list[tuple[str, tuple[int, ...]]]:
        return [(i.state, tuple(s.done for s in i.steps)) for i in self.instances.values()]


def play(quest: Quest, *meetings: QuestEvent) -> list[tuple[str, tuple[int, ...]]]:
    """All instances as they stand after the meetings."""
    return Log(quest).play(*meetings).show()


def forget_times(steps: tuple[StepState, ...]) -> tuple[StepState, ...]:
    """The steps without when they were met, which no replay knows."""
    return tuple(replace(step, met_at=None) for step in steps)


def test_the_third_visit_within_the_week_completes():
    assert play(three_visits(), quest_event(0), quest_event(60), quest_event(WEEK_S)) == [("completed", (3,))]


def test_one_second_after_the_window_the_instance_lapses_and_the_next_begins():
    log = Log(three_visits()).play(quest_event(0), quest_event(60), quest_event(WEEK_S + 1))
    assert log.show() == [("lapsed", (2,)), ("open", (1,))]
    assert [instance.name for instance in log.instances.values()] == ["1", "2"]


def test_a_repeatable_quest_begins_again_after_its_completion():
    assert play(three_visits(), *[quest_event(i) for i in range(4)]) == [("completed", (3,)), ("open", (1,))]


def test_a_quest_that_is_not_repeatable_completes_once():
    assert play(three_visits(repeatable=False), *[quest_event(i) for i in range(9)]) == [("completed", (3,))]


def test_ordered_steps_are_met_in_order_only():
    quest = Quest(steps=(Step("view", "VIEW"), Step("buy", "BUY", count=2)))
    met = [quest_event(0, steps=(0,)), quest_event(1, steps=(0,)), quest_event(2, steps=(1,))]
    assert play(quest, *met) == [("open", (1, 1))]
    assert play(quest, quest_event(0, steps=(1,))) == []


def test_a_step_knows_when_the_event_happened_that_met_it_whenever_that_came():
    quest = Quest(steps=(Step("view", "VIEW"), Step("buy", "BUY", count=2)))
    seen = [quest_event(7, steps=(0,)), quest_event(9, steps=(1,)), quest_event(8, steps=(1,), received_after_s=60)]
    first, second = Log(quest).play(*seen[:2]).instances["", 1].steps
    assert (first.met_at, second.met_at) == (T0 + timedelta(seconds=7), None)
    assert [step.met_at for step in Log(quest).play(*seen).instances["", 1].steps] == [
        T0 + timedelta(seconds=7),
        T0 + timedelta(seconds=8),
    ]


def test_unordered_steps_are_met_in_any_order():
    quest = Quest(steps=(Step("view", "VIEW"), Step("buy", "BUY")), ordered=False)
    assert play(quest, quest_event(0, steps=(1,)), quest_event(1, steps=(0,))) == [("completed", (1, 1))]


def test_an_enrolling_event_opens_the_instance_and_steps_before_it_do_not_count():
    quest = Quest(steps=(Step("buy", "BUY"),), start=Start(at="event", action="JOIN"))
    join = quest_event(5, steps=(), starts=True)
    assert play(quest, quest_event(0)) == []
    assert play(quest, quest_event(0), join, quest_event(3)) == [("open", (0,))]
    assert play(quest, join, quest_event(5)) == [("completed", (1,))]


def test_an_enrolling_event_counts_for_a_step_whose_rule_it_meets_too():
    quest = Quest(steps=(Step("buy", "BUY", count=2),), start=Start(at="event", action="BUY"))
    assert play(quest, quest_event(0, starts=True), quest_event(1)) == [("completed", (2,))]


def test_a_quest_from_the_campaign_start_lapses_once_for_all():
    quest = Quest(steps=(Step("buy", "BUY", count=2),), start=Start(at="campaign"), window_s=100)
    log = Log(quest).play(quest_event(10), quest_event(101), quest_event(102))
    assert log.show() == [("lapsed", (1,))]
    assert log.instances["", 1].started_at == T0


OFFER = Quest(
    steps=(Step("spend", "PURCHASE", sum="event.cents", at_least=1000),),
    start=Start(at="event", action="OFFER"),
    instance="event",
    window_s=100,
)


def receipt(at, event_id="e"):
    return quest_event(at, steps=(), starts=True, event_id=event_id)


def spend(at, cents):
    return quest_event(at, amounts={0: cents})


def test_every_enrolling_event_opens_an_instance_of_its_own_and_an_event_counts_in_full_for_each():
    log = Log(OFFER).play(receipt(0, "r1"), receipt(0, "r2"), spend(1, 999), receipt(2, "r3"), spend(3, 1))
    assert log.completed == [("e5", "r1#1"), ("e5", "r2#1")]
    assert log.show() == [("completed", (1000,)), ("completed", (1000,)), ("open", (1,))]


def test_a_sum_is_met_the_first_time_it_is_reached_and_terms_may_be_negative():
    assert play(OFFER, receipt(0), spend(1, 900), spend(2, -100), spend(3, 199)) == [("open", (999,))]
    assert play(OFFER, receipt(0), spend(1, 900), spend(2, 100), spend(3, -100)) == [("completed", (1000,))]


def test_a_strict_sum_wants_more_than_its_threshold():
    quest = replace(OFFER, steps=(Step("spend", "PURCHASE", sum="event.cents", more_than=1000),))
    assert play(quest, receipt(0), spend(1, 1000)) == [("open", (1000,))]
    assert play(quest, receipt(0), spend(1, 1001)) == [("completed", (1001,))]


def test_one_instance_for_each_value_of_a_key():
    quest = Quest(steps=(Step("like", "LIKE", count=2),), instance=Keyed("event.post"))
    same = [quest_event(after_s, key="p1", late_rule_holds=lambda instance, index: True) for after_s in (0, 1)]
    log = Log(quest).play(*same, quest_event(2, key="p1"))
    assert log.completed == [("e2", "p1#1")]
    assert log.play(quest_event(3, key="p2")).show() == [("completed", (2,)), ("open", (1,))]


def test_a_rule_that_reads_the_instance_tells_instances_apart():
    quest = Quest(steps=(Step("like", "LIKE", count=2),), instance=Keyed("event.post"))

    def like(at, post):
        late_rule_holds = lambda instance, index: (instance.start or {}).get("post") == post  # noqa: E731
        return quest_event(at, key=post, start={"post": post}, late_rule_holds=late_rule_holds)

    log = Log(quest).play(like(0, "a"), like(1, "b"), like(2, "b"), like(3, "a"))
    assert log.completed == [("e3", "b#1"), ("e4", "a#1")]


def test_a_late_event_counts_within_the_lateness_and_not_after_it():
    quest = three_visits(lateness_s=10)
    late = [quest_event(0), quest_event(1), quest_event(WEEK_S, received_after_s=WEEK_S + 10)]
    assert play(quest, *late) == [("completed", (3,))]
    assert play(quest, *late[:2], quest_event(WEEK_S, received_after_s=WEEK_S + 11))[0] == ("lapsed", (2,))


def test_an_instance_waits_for_late_events_while_the_next_is_open():
    quest = three_visits(lateness_s=10)
    log = Log(quest).play(
        quest_event(0), quest_event(1), quest_event(WEEK_S + 5), quest_event(2, received_after_s=WEEK_S + 10)
    )
    assert log.show() == [("completed", (3,)), ("open", (1,))]


def test_lapsed_decides_nothing():
    quest = replace(OFFER, window_s=100)
    log = Log(quest).play(receipt(0, "r1"), spend(101, 5))
    assert log.show() == [("lapsed", (0,))]
    assert log.play(spend(100, 1000)).completed == [("e3", "r1#1")]


def test_an_event_inside_the_window_of_a_lapsed_instance_counts_though_another_has_begun():
    log = Log(three_visits()).play(quest_event(0), quest_event(60), quest_event(WEEK_S + 1), quest_event(120))
    assert log.show() == [("completed", (3,)), ("open", (1,))]


def test_a_quest_that_is_not_repeatable_completes_once_in_whatever_order_a_history_is_told():
    day_s = 86_400
    before, after = [quest_event(n * day_s) for n in (0, 1, 2)], [quest_event(n * day_s) for n in (20, 21, 22)]
    told = [*before[:2], after[0], before[2], *after[1:]]
    once = Log(three_visits(repeatable=False)).play(*told)
    assert (once.show(), once.completed) == ([("closed", (2,)), ("completed", (3,))], [("e6", "2")])
    again = Log(three_visits()).play(*told)
    assert again.completed == [("e4", "1"), ("e6", "2")]
    in_order = Log(three_visits(repeatable=False)).play(*before, *after)
    assert (in_order.show(), in_order.completed) == ([("completed", (3,))], [("e3", "1")])


MARKED = st.lists(
    st.builds(
        lambda at, late, steps, starts, key: quest_event(
            at, received_after_s=at + late, steps=tuple(sorted(steps)), starts=starts, key=key
        ),
        st.integers(0, 24),
        st.sampled_from([0, 0, 3, 20]),
        st.sets(st.integers(0, 1), min_size=1),
        st.booleans(),
        st.sampled_from("ab"),
    ),
    max_size=20,
)


@settings(max_examples=400, deadline=None)
@given(
    MARKED, st.booleans(), st.booleans(), st.sampled_from(["first_step", "event", "campaign"]), st.sampled_from([0, 3])
)
def test_lapsed_decides_nothing_whatever_comes(events, ordered, repeatable, start, lateness_s):
    steps = (Step("a", "A", count=2), Step("b", "B"))[: 2 - ordered]
    quest = Quest(steps, Start(start), Keyed("event.key"), 10, lateness_s, ordered, repeatable)
    marked = Log(quest).play(*events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(life, "_lapse", lambda instance, quest_event: instance)
        unmarked = Log(quest).play(*events)
    assert marked.completed == unmarked.completed
    assert [i.steps for i in marked.instances.values()] == [i.steps for i in unmarked.instances.values()]
    assert repeatable or len({name.partition("#")[0] for _, name in marked.completed}) == len(marked.completed)


def test_a_user_has_at_most_so_many_open_instances():
    log = Log(OFFER).play(*[receipt(0, f"r{i}") for i in range(MAX_TOGETHER + 1)])
    assert (len(log.instances), [i.name for i in log.refused]) == (MAX_TOGETHER, [f"r{MAX_TOGETHER}#1"])
    log.play(receipt(101, "later"))
    assert log.instances["later", 1].state == "open"


def test_an_open_instance_goes_on_under_a_new_version_and_does_not_complete_by_the_change_alone():
    log = Log(three_visits()).play(quest_event(0), quest_event(1))
    log.quest = three_visits(steps=(Step("visit", "PURCHASE", count=2),))
    log.play(quest_event(2, steps=(), campaign_version=2))
    assert log.show() == [("open", (2,))], "an event that does not count for it leaves it where it is"
    assert log.play(quest_event(3, campaign_version=2)).completed == [("e4", "1")]
    assert log.instances["", 1].steps[0].done == 2, "it had been put back to 1"


def test_a_met_step_stays_met_under_a_new_version():
    quest = Quest((Step("a", "A"), Step("b", "B")))
    log = Log(quest).play(quest_event(0))
    log.quest = Quest((Step("a", "A", count=5), Step("b", "B")))
    assert log.play(quest_event(1, steps=(1,), campaign_version=2)).show() == [("completed", (5, 1))]


def test_a_kept_instance_goes_on_under_its_version_and_the_next_opens_under_the_newest():
    log = Log(three_visits()).play(quest_event(0), quest_event(1))
    log.retained, log.quest = {1: log.quest}, three_visits(steps=(Step("visit", "PURCHASE", count=2),))
    assert log.play(quest_event(2, campaign_version=2)).completed == [("e3", "1")]
    log.play(quest_event(3, campaign_version=2), quest_event(4, campaign_version=2))
    assert log.completed == [("e3", "1"), ("e5", "2")]
    assert [instance.campaign_version for instance in log.instances.values()] == [1, 2]


def test_a_kept_instance_lapses_by_the_lateness_of_its_version():
    log = Log(three_visits(lateness_s=10)).play(quest_event(0), quest_event(1))
    log.retained, log.quest = {1: log.quest}, three_visits()
    late = quest_event(2, received_after_s=WEEK_S + 10, campaign_version=2)
    assert log.play(late).completed == [("e3", "1")]


def test_an_instance_goes_on_under_the_earliest_version_kept_that_is_not_before_its_own():
    log = Log(three_visits()).play(quest_event(0))
    log.retained, log.quest = {2: three_visits(steps=(Step("visit", "PURCHASE", count=5),))}, three_visits()
    log.play(quest_event(1, campaign_version=3))
    assert log.instances["", 1].campaign_version == 2
    log.retained = {}
    log.play(quest_event(2, campaign_version=3))
    assert (log.instances["", 1].campaign_version, log.completed) == (3, [("e3", "1")])


def test_a_book_older_than_an_instance_counts_for_it_and_leaves_it_where_it_is():
    log = Log(three_visits()).play(quest_event(0, campaign_version=2), quest_event(1, campaign_version=1))
    assert (log.show(), log.instances["", 1].campaign_version) == ([("open", (2,))], 2)


@given(st.lists(st.integers(0, 3 * WEEK_S), max_size=40))
def test_every_completion_has_three_visits_within_a_week(seconds):
    log = Log(three_visits()).play(*[quest_event(at) for at in sorted(seconds)])
    instances = list(log.instances.values())
    assert sum(i.steps[0].done for i in instances) == len(seconds)
    assert [i.occurrence for i in instances] == list(range(1, len(instances) + 1))
    assert all(i.steps[0].done == 3 for i in instances if i.state == "completed")
    assert [i.state for i in instances[:-1]].count("open") == 0


STEPS = (
    Step("spend", "BUY", sum="event.cents", at_least=20),
    Step("visit", "BUY", count=3),
    Step("come", "BUY", streak=Streak(2, "day", 1)),
)
EVENTS = st.lists(
    st.builds(
        lambda at, steps, starts, cents: quest_event(at, steps=tuple(sorted(steps)), starts=starts, amounts={0: cents}),
        st.integers(0, 300).map(lambda n: n * 3600),
        st.sets(st.integers(0, 2)),
        st.booleans(),
        st.integers(-9, 15),
    ),
    max_size=60,
)


@given(EVENTS, st.booleans(), st.booleans(), st.sampled_from(["user", "event"]))
def test_each_completion_comes_once_and_progress_is_what_a_replay_gives(events, ordered, repeatable, instance):
    quest = Quest(STEPS, Start("event", "JOIN"), instance, 5 * 86_400, 0, ordered, repeatable and instance == "user")
    log = Log(quest).play(*events)
    assert len(set(log.completed)) == len(log.completed)
    assert len({name for _, name in log.completed}) == len(log.completed)
    for place, now in log.instances.items():
        begun = map(restart, quest.steps, now.steps)
        again = replay(quest, tuple(begun), log.met[place])
        assert again == forget_times(now.steps)
        assert all(step.met for step in again) == (now.state == "completed")
