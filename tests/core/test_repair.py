"""Repairs of streaks: what joins, what completes, and why a day is refused."""

from datetime import date, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from fillip.core.campaign.quest import Quest, Step, Streak
from fillip.core.errors import Unreadable
from fillip.core.quest.instance import Instance, QuestEvent, Transition
from fillip.core.quest.repair import repair
from fillip.core.repair import RepairOrder, read_repair
from tests.core.test_quest import Log, name, quest_event
from tests.core.test_streak import DAY_S, STREAK, days, streak

FIRST = quest_event().day


def order(day: int, step: str = "open") -> RepairOrder:
    return RepairOrder("c", step, FIRST + timedelta(day), "asked")


def ask(quest: Quest, on_day: int, **more: Any) -> QuestEvent:
    return replace(quest_event(on_day * DAY_S, steps=()), quest=quest, event_key=name("r"), **more)


def mend(quest: Quest, told: list[QuestEvent], day: int, on_day: int = 20, **more: Any) -> tuple[str, int] | str:
    """(state, done) after the repair of a day, or why it is refused; nothing is changed then."""
    instance = Log(quest).play(*told).instances["", 1]
    done = repair(instance, order(day), ask(quest, on_day, **more))
    return (done.instance.state, done.instance.steps[0].done) if isinstance(done, Transition) else done


def test_a_repair_joins_what_was_before_the_gap_with_what_came_behind_it():
    quest = streak(5)
    assert mend(quest, days(0, 1, 3), 2) == ("open", 4)
    assert mend(quest, days(0, 1, 3, 4), 2) == ("completed", 5)
    assert mend(quest, days(0, 1), 2) == ("open", 3), "the streak that nothing has followed yet goes on"
    assert mend(STREAK, days(0, 4, 6), 3) == ("completed", 3), "with one missed"
    assert mend(STREAK, days(0, 4, 6), 2) == "joins_nothing", "two missed is one too many"
    assert mend(streak(3, "week"), days(0, 14), 8) == ("completed", 3)


def test_a_day_that_can_not_be_repaired_says_why():
    quest = streak(5)
    assert mend(quest, days(0, 1, 4), 2) == "joins_nothing"
    assert mend(quest, days(0, 1, 4), 1) == "already_counted"
    assert mend(quest, days(0, 1, 4), -1) == "outside_window"
    assert mend(quest, days(0, 1), 2, on_day=2) == "day_not_over"
    assert mend(quest, days(0, 1), 5, on_day=4) == "day_not_over"
    assert mend(replace(quest, window_s=3 * DAY_S), days(0, 1), 2) == "instance_over"
    assert mend(replace(quest, window_s=3 * DAY_S, lateness_s=20 * DAY_S), days(0, 1), 2) == ("open", 3)
    assert mend(replace(quest, window_s=3 * DAY_S, lateness_s=20 * DAY_S), days(0, 1), 4) == "outside_window"
    assert mend(quest, days(0, 1_200), 2, on_day=1_300) == "too_far_back"
    assert repair(None, order(2), ask(quest, 20)) == "no_instance"
    instance = Log(quest).play(*days(0, 1)).instances["", 1]
    assert repair(instance, order(2, "other"), ask(quest, 20)) == "no_streak"
    two = Quest((Step("visit", "OPEN"), Step("open", "OPEN", streak=Streak(3))))
    begun = Log(replace(two, start=STREAK.start)).play(quest_event(steps=())).instances
    assert not begun, "nothing has opened it"


def test_a_step_whose_turn_has_not_come_is_not_repaired():
    two = Quest((Step("visit", "OPEN", count=2), Step("open", "OPEN", streak=Streak(3))))
    instance = Log(two).play(quest_event(0)).instances["", 1]
    assert repair(instance, order(1), ask(two, 20)) == "step_not_waiting"


def test_an_instance_is_repaired_once():
    quest = streak(9)
    instance = Log(quest).play(*days(0, 2, 4)).instances["", 1]
    done = repair(instance, order(3), ask(quest, 20))
    assert isinstance(done, Transition)
    assert repair(done.instance, order(1), ask(quest, 20)) == "already_repaired"
    assert given(done) == [("open", FIRST + timedelta(3))]
    assert repair(closed(done.instance), order(1), ask(quest, 20)) == "already_repaired"


def given(done: Transition) -> list[tuple[str, date]]:
    return [(each.step, each.day) for each in done.met]


def closed(instance: Instance) -> Instance:
    return replace(instance, state="closed")


@pytest.mark.parametrize("wrong", [{"day": "2026-02-30"}, {"day": "9999-12-31"}, {"reason": ""}, {"more": 1}])
def test_an_order_says_what_is_wrong_with_it(wrong: dict[str, object]):
    right = {"campaign_id": "c", "step": "s", "day": "2026-02-03", "reason": "asked"}
    assert read_repair(right).day == date(2026, 2, 3)
    with pytest.raises(Unreadable):
        read_repair(right | wrong)
