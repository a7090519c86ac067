"""Quests of the reference model, as docs/guide/quests.md tells them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

MOST_OPEN = 100
"""Of those that an event can tell apart by what they ask of `start` there may be 10,000: never so many here."""


@dataclass(frozen=True)
class Meeting:
    """What one event is to one quest: whether it meets the start's rule, the steps whose rule holds, and their terms.

    `amounts` are the terms of the steps that sum; `key` is that of the instance which the event would open; `clock_at`
    is the time that tells whether it comes too late. `data` is what is kept of an event that opens an instance, None
    where no rule reads it; `admits` asks the rule of a step that does.
    """

    name: tuple[str, str]  # (campaign, user)
    event: str
    version: int
    quest: Mapping[str, Any]
    occurred_at: datetime
    clock_at: datetime
    day: date
    offset: int
    starts: bool
    amounts: Mapping[int, int]  # of the steps that it meets: 1, or the term of the sum
    key: str
    campaign_starts_at: datetime | None
    campaign_ends_at: datetime | None
    data: Mapping[str, Any] | None = None
    admits: Callable[[int, Mapping[str, Any] | None], bool] = lambda step, start: True

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

    def is_over(self, ends_at: datetime | None) -> bool:
        """Whether it comes after a window and its lateness."""
        return ends_at is not None and self.clock_at > ends_at + timedelta(seconds=self.quest.get("lateness_s", 0))


@dataclass
class Progress:
    """How far a step is; of a streak, the first day of its newest unit and how many were missed."""

    done: int = 0
    met: bool = False
    last: date | None = None
    missed: int = 0


@dataclass
class Given:
    """What an event gave to a step, 1 or the term of its sum, and what of it was taken back."""

    step: int
    event: str
    amount: int
    day: date
    reversed: int = 0


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
    state: str = "open"
    given: list[Given] = field(default_factory=list)
    completed_by: str = ""
    data: Mapping[str, Any] | None = None  # of the event that opened it

    @property
    def is_unfinished(self) -> bool:
        """Whether it is neither complete nor taken back."""
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

    def list_of(self, user: str) -> list[tuple[str, Instance]]:
        """A user's instances, each with its campaign."""
        return [(name[0], each) for name, some in self.instances.items() if name[1] == user for each in some]

    def advance(self, meetings: Sequence[Meeting]) -> tuple[list[tuple[Instance, int]], Instance | None]:
        """Lapse, then open, then count. The instances completed, in order of start, and one refused for room.

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
    instance = Instance(meeting.key, occurrence, meeting.version, meeting.quest, *place, steps, data=meeting.data)
    if not instance.takes(meeting):
        return None
    waiting = [0] if meeting.ordered else meeting.amounts
    admitted = any(step in meeting.amounts and meeting.admits(step, instance.data) for step in waiting)
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
    met = [index for index in waiting if meeting.admits(index, instance.data)]
    steps = after.quest["steps"]
    gifts = [Given(index, meeting.event, meeting.amounts[index], meeting.day) for index in met]
    given = [each for each in gifts if add(steps[each.step], after.steps[each.step], each.amount, each.day)]
    if not given:
        return False
    instance.version, instance.quest, instance.steps = after.version, after.quest, after.steps
    instance.given += given
    instance.state = "completed" if instance.is_met else "open"
    instance.completed_by = meeting.event if instance.is_met else ""
    return instance.is_met


def needed(step: Mapping[str, Any]) -> int:
    """How far a step must come: a count, a sum that reaches or exceeds, or days or weeks."""
    if streak := step.get("streak"):
        return int(streak["length"])
    if step.get("sum") is None:
        return int(step.get("count", 1))
    return int(step["at_least"]) if step.get("at_least") is not None else int(step["more_than"]) + 1


def add(step: Mapping[str, Any], progress: Progress, amount: int, day: date) -> bool:
    """Count once more; whether the event gave anything."""
    if streak := step.get("streak"):
        return _add_day(streak, progress, day)
    progress.done += amount
    progress.met = progress.done >= needed(step)
    return amount != 0


def _add_day(streak: Mapping[str, Any], progress: Progress, day: date) -> bool:
    days = 7 if streak.get("unit") == "week" else 1
    unit = day - timedelta(days=day.weekday()) if days == 7 else day
    missed = (unit - progress.last).days // days - 1 if progress.last else 0
    if missed < 0:
        return unit == progress.last
    if progress.missed + missed > streak.get("freeze", 0):
        progress.done, progress.missed, missed = 0, 0, 0
    progress.done, progress.last, progress.missed = progress.done + 1, unit, progress.missed + missed
    progress.met = progress.done >= streak["length"]
    return True
