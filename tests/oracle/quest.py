"""Quests of the reference model, as docs/guide/quests.md tells them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

DAYS_KNOWN = 1_000
"""Days or weeks up to the newest that a streak knows."""
MOST_OPEN = 100
"""Of those that an event can tell apart by what they ask of `start` there may be 10,000: never so many here."""


@dataclass(frozen=True)
class Meeting:
    """What one event is to one quest: whether it meets the start's rule, the steps whose rule holds, and their terms.

    `amounts` are the terms of the steps that sum, `values` those of the steps that count different ones; `key` is that of the instance which the event would open; `clock_at`
    is the time that tells whether it comes too late. `data` is what is kept of an event that opens an instance, None
    where no rule reads it; `admits` asks the rule of a step that does.
    """

    name: tuple[str, str]  # (campaign, user)
    event: str
    version: int
    quest: Mapping[str, Any]
    occurred_at: datetime
    clock_at: datetime
    zone: str
    offset: int
    starts: bool
    amounts: Mapping[int, int]  # of the steps that it meets: 1, or the term of the sum
    key: str
    campaign_starts_at: datetime | None
    campaign_ends_at: datetime | None
    data: Mapping[str, Any] | None = None
    values: Mapping[int, str] = field(default_factory=dict)
    admits: Callable[[int, Mapping[str, Any] | None, datetime], bool] = lambda step, start, started_at: True

    @property
    def start_at(self) -> str:
        """What opens an instance."""
        return str(self.quest.get("start", {}).get("at", "first_step"))

    @property
    def ordered(self) -> bool:
        """Whether one step comes after the other."""
        return bool(self.quest.get("ordered", True))

    @property
    def opens(self) -> bool:
        """Whether it is an event that opens instances."""
        if self.start_at == "event":
            return self.starts
        return 0 in self.amounts if self.ordered and self.start_at == "first_step" else bool(self.amounts)

    @property
    def day(self) -> date:
        """Its day in the quest's zone."""
        return self.occurred_at.astimezone(ZoneInfo(self.zone)).date()

    def comes_too_late(self, step: Mapping[str, Any], progress: "Progress") -> bool:
        """Whether it is of a day before the streak's newest that was over by more than the lateness."""
        streak = step.get("streak")
        if not streak or not progress.units:
            return False
        unit = start_unit(streak, self.day)
        over_on = unit + timedelta(days=7 if streak.get("unit") == "week" else 1)
        over_at = datetime.combine(over_on, time(), ZoneInfo(self.zone)).astimezone(UTC)
        late = self.clock_at >= over_at + timedelta(seconds=self.quest.get("lateness_s", 0))
        return unit < max(progress.units) and late

    def is_over(self, ends_at: datetime | None) -> bool:
        """Whether it comes after a window and its lateness."""
        return ends_at is not None and self.clock_at > ends_at + timedelta(seconds=self.quest.get("lateness_s", 0))


@dataclass
class Progress:
    """How far a step is; of a streak, the first days of all its units, in the order in which they came; of one that counts
    different values, those.
    """

    done: int = 0
    met: bool = False
    units: tuple[date, ...] = ()
    values: frozenset[str] = frozenset()


@dataclass
class Given:
    """What an event gave to a step, 1 or the term of its sum, and what of it was taken back."""

    step: int
    event: str
    amount: int
    day: date
    value: str = ""
    reversed: int = 0
    repairs: bool = False


@dataclass
class Instance:
    """One go at a quest. `completed_by` is the event that did so last; whether a limit denied it is not known here."""

    key: str
    occurrence: int
    version: int
    quest: Mapping[str, Any]  # as that version has it
    started_at: datetime
    ends_at: datetime | None
    opened_by: str | None
    offset: int
    steps: list[Progress]
    zone: str  # whose calendar may leave days out: none by users' own days
    state: str = "open"
    given: list[Given] = field(default_factory=list)
    completed_by: str = ""
    data: Mapping[str, Any] | None = None  # of the event that opened it
    claimed: str = ""
    """The name that it was completed by: a merge of users may give it another."""

    @property
    def is_unfinished(self) -> bool:
        """Whether it is neither complete, nor closed, nor taken back."""
        return self.state in ("open", "lapsed")

    @property
    def name(self) -> str:
        """What decisions call it."""
        return f"{self.key}#{self.occurrence}" if self.key else str(self.occurrence)

    @property
    def is_met(self) -> bool:
        """Whether all its steps are."""
        return all(step.met for step in self.steps)

    def list_waiting(self, *, ordered: bool) -> list[int]:
        """The steps that an event may count for: in order only the first that is not met."""
        waiting = [index for index, step in enumerate(self.steps) if not step.met]
        return waiting[:1] if ordered else waiting

    def takes(self, meeting: Meeting) -> bool:
        """Window with both ends, by event time; lateness by clock time. Having lapsed is no obstacle by itself."""
        if not self.is_unfinished or meeting.occurred_at < self.started_at:
            return False
        return self.ends_at is None or (meeting.occurred_at <= self.ends_at and not meeting.is_over(self.ends_at))

    @property
    def is_repaired(self) -> bool:
        """Whether a day of it was repaired, and that was not taken back."""
        return any(given.repairs and given.reversed < given.amount for given in self.given)

    def add(self, index: int, amount: int, day: date, value: str = "") -> bool:
        """Count once more for a step; whether the event gave anything."""
        step, progress = self.quest["steps"][index], self.steps[index]
        streak = step.get("streak")
        if "distinct" in step:
            if value not in progress.values:
                progress.values |= {value}
                progress.done = min(len(progress.values), needed(step))
        elif streak is None:
            progress.done += amount
        else:
            unit, known = start_unit(streak, day), progress.units
            if known and len(_list_units(streak, unit, max(known), self.zone)) > DAYS_KNOWN:
                return False
            progress.units = (*known, unit)
            if unit not in known:
                progress.done = _count_streak(streak, progress.units, self.zone)
        progress.met = progress.done >= needed(step)
        return amount != 0

    def come_under(self, meeting: Meeting) -> None:
        """Go over to a later version: a step that was met stays so, any other still wants an event at least."""
        if self.version >= meeting.version:
            return
        self.version, self.quest = meeting.version, meeting.quest
        for step, progress in zip(self.quest["steps"], self.steps, strict=True):
            if progress.met:
                progress.done = max(progress.done, needed(step))
            else:
                progress.done = min(progress.done, needed(step) - 1)


@dataclass
class QuestLog:
    """Every instance that there ever was, by (campaign, user), in order of start."""

    instances: dict[tuple[str, str], list[Instance]] = field(default_factory=dict)

    def repair(self, meeting: Meeting, step: str, day: date) -> str:
        """What comes of the repair of a day, of the newest instance of the meeting's key: "repaired", or why not.

        `meeting` is the event that asks for it: its own day is that on which it was asked for.
        """
        instance = _newest(self.instances.get(meeting.name, []), meeting.key)
        if instance is None:
            return "no_instance"
        if instance.is_repaired:
            return "already_repaired"
        if not instance.is_unfinished or meeting.is_over(instance.ends_at):
            return "instance_over"
        steps = instance.quest["steps"]
        index = next((n for n, each in enumerate(steps) if each["name"] == step and "streak" in each), None)
        if index is None:
            return "no_streak"
        if index not in instance.list_waiting(ordered=meeting.ordered):
            return "step_not_waiting"
        streak, progress, zone = steps[index]["streak"], instance.steps[index], ZoneInfo(meeting.zone)
        week = streak.get("unit") == "week"
        of_unit = [start_unit(streak, day) + timedelta(n) for n in range(7 if week else 1)]
        window = [instance.started_at.astimezone(zone).date()]
        window += [instance.ends_at.astimezone(zone).date()] if instance.ends_at else [date.max]
        if day not in _list_units({}, day, day, instance.zone) or not any(
            window[0] <= each <= window[1] for each in of_unit
        ):
            return "outside_window"
        if meeting.day <= of_unit[-1]:
            return "day_not_over"
        if of_unit[0] in progress.units:
            return "already_counted"
        if progress.units and len(_list_units(streak, of_unit[0], max(progress.units), instance.zone)) > DAYS_KNOWN:
            return "too_far_back"
        if _count_streak(streak, (*progress.units, of_unit[0]), instance.zone) <= progress.done:
            return "joins_nothing"
        instance.add(index, 1, day)
        instance.given.append(Given(index, meeting.event, 1, day, repairs=True))
        instance.state = "completed" if instance.is_met else "open"
        instance.completed_by = meeting.event if instance.is_met else ""
        return "repaired"

    def list_of(self, user: str) -> list[tuple[str, Instance]]:
        """A user's instances, each with its campaign."""
        return [(name[0], each) for name, some in self.instances.items() if name[1] == user for each in some]

    def advance(self, meetings: Sequence[Meeting]) -> tuple[list[tuple[Instance, int]], Instance | None]:
        """Lapse, then open, which may close another, then count. The instances completed, in order of start, and one refused for room.

        `meetings` are what the event is to each version in force, the newest last. Each instance goes by the first of
        them that is not before its own; a new one by the newest. A completed one comes with the version it did so under.
        """
        newest = meetings[-1]
        known = self.instances.setdefault(newest.name, [])
        for instance in known:
            if instance.state == "open" and _choose(meetings, instance).is_over(instance.ends_at):
                instance.state = "lapsed"
        opened, refused = _open(meetings, known), None
        if opened and sum(each.is_unfinished and not newest.is_over(each.ends_at) for each in known) >= MOST_OPEN:
            opened, refused = None, opened
        if opened and not newest.quest.get("repeatable"):
            before = _newest(known, opened.key)
            if before and before.is_unfinished:
                before.state = "closed"  # for good, whatever comes of the one that follows it
        known += [opened] if opened else []
        known.sort(key=lambda each: (each.offset, each.key, each.occurrence))
        under = [(each, _choose(meetings, each)) for each in known]
        return [(each, own.version) for each, own in under if _count(own, each)], refused


def _choose(meetings: Sequence[Meeting], instance: Instance) -> Meeting:
    return next((each for each in meetings if each.version >= instance.version), meetings[-1])


def _newest(known: list[Instance], key: str) -> Instance | None:
    return max((each for each in known if each.key == key), key=lambda each: each.occurrence, default=None)


def _open(meetings: Sequence[Meeting], known: list[Instance]) -> Instance | None:
    meeting = meetings[-1]
    newest = _newest(known, meeting.key)
    if not meeting.opens or any(_blocks(meetings, each, newest) for each in known if each.key == meeting.key):
        return None
    started_at, ends_at = meeting.occurred_at, meeting.campaign_ends_at
    if meeting.start_at == "campaign":
        started_at = meeting.campaign_starts_at or started_at
    if window_s := meeting.quest.get("window_s"):
        ends_at = started_at + timedelta(seconds=window_s)
    steps = [Progress() for _ in meeting.quest["steps"]]
    occurrence = newest.occurrence + 1 if newest else 1
    opened_by = None if meeting.start_at == "campaign" else meeting.event
    place = (started_at, ends_at, opened_by, meeting.offset)
    zone = "UTC" if meeting.quest.get("zone") == "user" else meeting.zone
    instance = Instance(meeting.key, occurrence, meeting.version, meeting.quest, *place, steps, zone, data=meeting.data)
    if not instance.takes(meeting):
        return None
    waiting = [0] if meeting.ordered else meeting.amounts
    admitted = any(
        step in meeting.amounts and meeting.admits(step, instance.data, instance.started_at) for step in waiting
    )
    return instance if admitted or meeting.start_at != "first_step" else None


def _blocks(meetings: Sequence[Meeting], instance: Instance, newest: Instance | None) -> bool:
    """Whether an instance of the same key, of whatever version, stands in the way of a new one."""
    meeting = meetings[-1]
    repeatable = bool(meeting.quest.get("repeatable"))
    if not instance.is_unfinished:
        return instance is newest and instance.state != "reversed" and not repeatable
    if _choose(meetings, instance).is_over(instance.ends_at):
        return instance is newest and meeting.start_at == "campaign"
    within = instance.ends_at is None or meeting.occurred_at <= instance.ends_at
    return within or (instance is newest and not repeatable)


def _count(meeting: Meeting, instance: Instance) -> bool:
    """Let the event count for the steps that wait for it; whether that completes the instance."""
    if not instance.takes(meeting):
        return False
    after = replace(instance, steps=[replace(step) for step in instance.steps])
    after.come_under(meeting)
    waiting = [index for index in after.list_waiting(ordered=meeting.ordered) if index in meeting.amounts]
    steps = after.quest["steps"]
    waiting = [index for index in waiting if not meeting.comes_too_late(steps[index], after.steps[index])]
    met = [index for index in waiting if meeting.admits(index, instance.data, instance.started_at)]
    gifts = [
        Given(index, meeting.event, meeting.amounts[index], meeting.day, meeting.values.get(index, "")) for index in met
    ]
    given = [each for each in gifts if after.add(each.step, each.amount, each.day, each.value)]
    if not given:
        return False
    instance.version, instance.quest, instance.steps = after.version, after.quest, after.steps
    instance.given += given
    instance.state = "completed" if instance.is_met else "open"
    instance.completed_by = meeting.event if instance.is_met else ""
    instance.claimed = instance.name if instance.is_met else ""
    return instance.is_met


def needed(step: Mapping[str, Any]) -> int:
    """How far a step must come: a count, a sum that reaches or exceeds, or days or weeks."""
    if streak := step.get("streak"):
        return int(streak["length"])
    if step.get("sum") is None:
        return int(step.get("count", 1))
    return int(step["at_least"]) if step.get("at_least") is not None else int(step["more_than"]) + 1


def start_unit(streak: Mapping[str, Any], day: date) -> date:
    """The day itself, or the Monday of its week."""
    return day - timedelta(days=day.weekday()) if streak.get("unit") == "week" else day


def _list_units(streak: Mapping[str, Any], first: date, last: date, zone: str) -> list[date]:
    """All that there were, both ends included: a zone that crossed the date line left a day out."""
    if streak.get("unit") == "week":
        return [first + timedelta(weeks=n) for n in range((last - first).days // 7 + 1)]
    noons = [datetime.combine(first + timedelta(n), time(12), ZoneInfo(zone)) for n in range((last - first).days + 1)]
    return [noon.date() for noon in noons if noon.astimezone(UTC).astimezone(ZoneInfo(zone)).date() == noon.date()]


def _count_streak(streak: Mapping[str, Any], units: Sequence[date], zone: str) -> int:
    """The most that stand in a row up to the newest, with no more missed between them than the freeze; the length where
    so many do anywhere.
    """
    known = sorted(set(units))
    longest = 0
    for last in range(len(known)):
        longest = 0
        for first in range(last, -1, -1):
            days, met = _list_units(streak, known[first], known[last], zone), last - first + 1
            longest = met if len(days) - met <= streak.get("freeze", 0) else longest
        if longest >= streak["length"]:
            return int(streak["length"])
    return longest
