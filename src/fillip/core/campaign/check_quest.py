"""Whether a quest goes together: nothing that contradicts itself or can't be met."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.quest import MAX_DISTINCT, Keyed, Quest, Step
from fillip.core.instant import add_span
from fillip.core.problem import Fault

DAY_S = 86_400


def check_quest(quest: Quest, campaign: Campaign, now: datetime | None) -> list[Fault]:
    """Everything in a campaign's quest that contradicts itself or can't be reached; `now` is None where history is told."""
    faults = [*_check_steps(quest), *_check_start(quest), *_check_window(quest, campaign)]
    return [*faults, *_check_past(quest, campaign, now)]


def check_quest_change(before: Quest, after: Quest) -> list[Fault]:
    """What of a launched quest can't change: the names of instances and steps, what measures a step."""
    faults = []
    if before.instance != after.instance or before.start.at != after.start.at:
        message = "a launched quest keeps its start and instances: end it and make another"
        faults.append(Fault("/quest/instance", message))
    if before.zone != after.zone:
        faults.append(Fault("/quest/zone", "a launched quest keeps whose days it goes by: end it and make another"))
    if [step.name for step in before.steps] != [step.name for step in after.steps]:
        message = "a launched quest keeps its steps by name: end it and make another"
        return [*faults, Fault("/quest/steps", message)]
    message = "a launched step keeps what it measures: end the quest and make another"
    pairs = enumerate(zip(before.steps, after.steps, strict=True))
    changed = [index for index, (old, new) in pairs if _name_measure(old) != _name_measure(new)]
    return [*faults, *(Fault(f"/quest/steps/{index}", message) for index in changed)]


def _name_measure(step: Step) -> tuple[str | None, str | None, str | None]:
    return step.sum, step.distinct, step.streak.unit if step.streak else None


def _check_steps(quest: Quest) -> Iterator[Fault]:
    names = Counter(step.name for step in quest.steps)
    for index, step in enumerate(quest.steps):
        at = f"/quest/steps/{index}"
        if names[step.name] > 1:
            yield Fault(f"{at}/name", f"two steps are called '{step.name}'")
        thresholds = [name for name in ("at_least", "more_than") if getattr(step, name) is not None]
        if step.sum is None and thresholds:
            yield Fault(f"{at}/{thresholds[0]}", "goes with a sum only")
        elif step.sum is not None and len(thresholds) != 1:
            yield Fault(f"{at}/sum", "a sum needs either at_least or more_than")
        given = {"count": step.count != 1, "sum": step.sum is not None, "streak": step.streak is not None}
        measures = [name for name, is_given in given.items() if is_given]
        if len(measures) > 1:
            yield Fault(f"{at}/{measures[1]}", f"a step has one measure: it can't have a {measures[0]} too")
        yield from _check_distinct(step, at)
        if step.streak and step.streak.freeze >= step.streak.length:
            yield Fault(f"{at}/streak/freeze", "must be less than the length: there would be no streak")


def _check_distinct(step: Step, at: str) -> Iterator[Fault]:
    if step.distinct is None:
        return
    if step.sum is not None or step.streak:
        other = "sum" if step.sum is not None else "streak"
        yield Fault(f"{at}/distinct", f"counts different values: it goes with a count, not with a {other}")
    elif step.count == 1:
        yield Fault(f"{at}/count", "say how many different values, 2 or more: any event would meet the step")
    elif step.count > MAX_DISTINCT:
        yield Fault(f"{at}/count", f"at most {MAX_DISTINCT} different values: each is remembered")


def _check_start(quest: Quest) -> Iterator[Fault]:
    at_event = quest.start.at == "event"
    if at_event != (quest.start.action is not None):
        yield Fault("/quest/start/action", "goes with a start at 'event', and only with it")
    elif not at_event and quest.start.rule != "true":
        yield Fault("/quest/start/rule", "goes with a start at 'event' only")
    if quest.instance != "user" and quest.start.at == "campaign":
        yield Fault("/quest/instance", "no event opens a quest that starts with the campaign: only 'user' goes with it")
    elif isinstance(quest.instance, Keyed) and not at_event and quest.opening_action is None:
        message = "events of several actions may open the quest: no key can be read; start it at one event"
        yield Fault("/quest/instance/key", message)
    if quest.zone == "user" and not any(step.streak for step in quest.steps):
        yield Fault("/quest/zone", "no step of the quest has a streak, so nothing goes by days: leave zone out")
    if quest.instance == "event" and quest.repeatable:
        yield Fault("/quest/repeatable", "every opening event has an instance of its own already")


def _check_window(quest: Quest, campaign: Campaign) -> Iterator[Fault]:
    starts_at, ends_at = campaign.schedule.starts_at, campaign.schedule.ends_at
    span_s = (ends_at - starts_at).total_seconds() if starts_at and ends_at else None
    if quest.window_s and span_s is not None and quest.window_s > span_s:
        yield Fault("/quest/window_s", "longer than the campaign's schedule: its end can't be reached")
    room_s = min((s for s in (quest.window_s, span_s) if s is not None), default=None)
    if room_s is None:
        return
    streaks = [(index, _measure_streak(step)) for index, step in enumerate(quest.steps) if step.streak]
    for index, least_s in streaks:
        if least_s > room_s:
            takes, leaves = f"{least_s / DAY_S:.1f}", f"{room_s / DAY_S:.1f}"
            message = f"takes {takes} days at least, the quest leaves {leaves}: it can't be reached"
            yield Fault(f"/quest/steps/{index}/streak/length", message)
            return
    if quest.ordered and sum(least_s for _, least_s in streaks) > room_s:
        yield Fault("/quest/window_s", "shorter than the streaks one after the other: the quest can't be completed")


def _check_past(quest: Quest, campaign: Campaign, now: datetime | None) -> Iterator[Fault]:
    """A window that opens with the campaign is the same for all: it needs a start, and may be over before anyone can come."""
    if quest.start.at != "campaign" or not quest.window_s:
        return
    starts_at = campaign.schedule.starts_at or now  # it will be launched at `now` or later
    if starts_at is None:
        message = "counts from the campaign's start, which is open: give schedule.starts_at, or start at first_step"
        yield Fault("/quest/window_s", message)
    elif now and add_span(starts_at, quest.window_s + quest.lateness_s) < now:
        ended_at = add_span(starts_at, quest.window_s).isoformat()
        message = f"it began with the campaign and ended on {ended_at}: no event can fall into it any more"
        yield Fault("/quest/window_s", message)


def _measure_streak(step: Step) -> int:
    """The least time from a streak's first event to its last: the whole units between those two, less an hour for DST."""
    assert step.streak is not None, "only streaks have a length"
    unit_s = DAY_S if step.streak.unit == "day" else 7 * DAY_S
    return max((step.streak.length - 2) * unit_s - 3600, 0)
