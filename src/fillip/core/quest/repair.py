"""A missed day of a streak that counts as if it had been met, once for each instance. Pure.

A streak keeps its days, so one that has begun anew behind a gap is joined with what it had before: as far back as it knows days, see
core.quest.streak.
"""

from collections.abc import Iterable
from datetime import date, timedelta

from msgspec.structs import replace

from fillip.core.campaign.quest import Streak
from fillip.core.local_day import find_day, start_day
from fillip.core.quest.instance import Contribution, Instance, QuestEvent, Transition, is_over, migrate
from fillip.core.quest.step import StepState, list_waiting
from fillip.core.quest.streak import join_day, list_left_out, measure
from fillip.core.repair import RepairOrder, RepairRefusal
from fillip.core.tenant import start_window


def choose_instance(order: RepairOrder, known: Iterable[Instance]) -> Instance | None:
    """Which of a user's instances the order is for, of those that events still ask for, and the newest of its key; None: of none."""
    named = (each for each in known if each.key == order.instance_key)
    mine = [each for each in named if order.occurrence in (None, each.occurrence)]
    return max(mine, key=lambda each: each.occurrence, default=None)


def repair(instance: Instance | None, order: RepairOrder, quest_event: QuestEvent) -> Transition | RepairRefusal:
    """The instance with the day joined, which may complete it, and what that gave to the step; or why it is not.

    `quest_event` is the repair before the quest: `day` is that on which it is asked for, and its clock tells what is over.
    """
    if instance is None:
        return "no_instance"
    if any(state.repaired_by for state in instance.steps):
        return "already_repaired"
    if not instance.is_unfinished or is_over(instance.ends_at, quest_event):
        return "instance_over"
    taken = migrate(instance, quest_event)
    quest, states = quest_event.quest, list(taken.steps)
    index = next((n for n, step in enumerate(quest.steps) if step.name == order.step and step.streak), None)
    if index is None:
        return "no_streak"
    if index not in list_waiting(quest, states):
        return "step_not_waiting"
    streak = quest.steps[index].streak
    assert streak, "it was found by that"
    if refused := _refuse_day(taken, streak, order.day, quest_event):
        return refused
    joined = _join(states[index], streak, order.day, quest_event)
    if isinstance(joined, str):
        return joined
    met_at = max(start_day(order.day, quest_event.time_zone), taken.started_at) if joined.met else None
    total, peak = joined.total + 1, max(joined.peak, joined.total)
    states[index] = replace(
        joined, total=total, peak=peak, left=joined.left + 1, met_at=met_at, repaired_by=quest_event.event_key
    )
    after = replace(taken, steps=tuple(states), state="open")
    if not list_waiting(quest, states):
        after = replace(after, state="completed", completed_by=quest_event.event_key)
    given = Contribution(order.step, quest_event.event_key, 1, order.day)
    return Transition(after, quest_event.campaign_version, (given,))


def _refuse_day(instance: Instance, streak: Streak, day: date, quest_event: QuestEvent) -> RepairRefusal | None:
    """Why the day (of weeks, the week that holds it) can't have been missed: it has no part in the window, or is not over."""
    first, zone = start_window(streak.unit, day), quest_event.time_zone
    last = first + timedelta(days=6 if streak.unit == "week" else 0)
    ended = instance.ends_at is not None and first > find_day(instance.ends_at, zone)
    if ended or last < find_day(instance.started_at, zone) or day in list_left_out(quest_event.quest, zone):
        return "outside_window"
    return "day_not_over" if last >= quest_event.day else None


def _join(state: StepState, streak: Streak, day: date, quest_event: QuestEvent) -> StepState | RepairRefusal:
    skipped = list_left_out(quest_event.quest, quest_event.time_zone)
    joined = join_day(streak, state.last, state.days, day, skipped)
    if joined is None:
        return "too_far_back"
    last, days = joined
    if joined == (state.last, state.days):
        return "already_counted"
    done = measure(streak, days)
    return replace(state, done=done, last=last, days=days) if done > state.done else "joins_nothing"
