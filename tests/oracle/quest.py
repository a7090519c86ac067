"""Quests of the reference model, as docs/guide/quests.md tells them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True)
class Meeting:
    """What one event is to one quest: whether it can start an instance, and the steps whose rule holds."""

    name: tuple[str, str]  # (campaign, user)
    quest: Mapping[str, Any]
    occurred_at: datetime
    clock_at: datetime  # broker time, or in a history the event's own
    place: int  # in the log
    starts: bool
    steps: list[int]
    campaign_starts_at: datetime | None
    campaign_ends_at: datetime | None

    @property
    def start_at(self) -> str:
        """What opens an instance."""
        return str(self.quest.get("start", {}).get("at", "first_step"))


@dataclass
class Instance:
    """One go at a quest."""

    occurrence: int
    started_at: datetime
    ends_at: datetime | None
    counts: list[int]
    since: int
    state: str = "open"


@dataclass
class QuestLog:
    """Every instance that there ever was, by (campaign, user), in order of start."""

    instances: dict[tuple[str, str], list[Instance]] = field(default_factory=dict)

    def advance(self, meeting: Meeting) -> list[tuple[str, int]]:
        """Let an event do what it does to a quest; the instances that it completes, by name and by where they began."""
        known = self.instances.setdefault(meeting.name, [])
        last = known[-1] if known else None
        if last and last.state == "open" and _is_over(meeting, last):
            last.state = "lapsed"
        if fresh := _open(meeting, last):
            known.append(fresh)
        completed = [each for each in known if _takes(meeting, each, known[-1]) and _meet(meeting, each)]
        return [(str(each.occurrence), each.since) for each in completed]


def _is_over(meeting: Meeting, instance: Instance) -> bool:
    lateness = timedelta(seconds=meeting.quest.get("lateness_s", 0))
    return instance.ends_at is not None and meeting.clock_at > instance.ends_at + lateness


def _takes(meeting: Meeting, instance: Instance, newest: Instance) -> bool:
    """An open instance, or a lapsed one with none after it, takes what lies in its window and comes in time."""
    if instance.state not in ("open", "lapsed") or (instance.state == "lapsed" and instance is not newest):
        return False
    if meeting.occurred_at < instance.started_at or _is_over(meeting, instance):
        return False
    return instance.ends_at is None or meeting.occurred_at <= instance.ends_at


def _open(meeting: Meeting, last: Instance | None) -> Instance | None:
    if not _may_open(meeting, last):
        return None
    started_at, ends_at = meeting.occurred_at, meeting.campaign_ends_at
    if meeting.start_at == "campaign":
        started_at = meeting.campaign_starts_at or started_at
    if window_s := meeting.quest.get("window_s"):
        ends_at = started_at + timedelta(seconds=window_s)
    counts = [0] * len(meeting.quest["steps"])
    fresh = Instance(last.occurrence + 1 if last else 1, started_at, ends_at, counts, meeting.place)
    return fresh if _takes(meeting, fresh, fresh) else None


def _may_open(meeting: Meeting, last: Instance | None) -> bool:
    """What stands in the way: an instance that is still to come to its end, or any done one of a quest not repeatable."""
    if last and last.state == "open":
        within = last.ends_at is None or meeting.occurred_at <= last.ends_at
        if within or not meeting.quest.get("repeatable"):
            return False
    lapsed = last is not None and last.state == "lapsed"
    if last and lapsed and _takes(meeting, last, last):
        return False
    if last and last.state == "completed" and not meeting.quest.get("repeatable"):
        return False
    if meeting.start_at == "event":
        return meeting.starts
    if meeting.start_at == "campaign":
        return bool(meeting.steps) and not (last and last.state == "lapsed")
    return 0 in meeting.steps if meeting.quest.get("ordered", True) else bool(meeting.steps)


def _meet(meeting: Meeting, instance: Instance) -> bool:
    """Count the event for the steps that wait for it; whether that completes the instance."""
    wanted = [step.get("count", 1) for step in meeting.quest["steps"]]
    waiting = [index for index, count in enumerate(wanted) if instance.counts[index] < count]
    for index in waiting[:1] if meeting.quest.get("ordered", True) else waiting:
        if index in meeting.steps:
            instance.counts[index] += 1
            instance.state = "open"
    if instance.counts != wanted:
        return False
    instance.state = "completed"
    return True
