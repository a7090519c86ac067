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
    state: str = "open"


@dataclass
class QuestLog:
    """Every instance that there ever was, by (campaign, user), in order of start."""

    instances: dict[tuple[str, str], list[Instance]] = field(default_factory=dict)

    def advance(self, meeting: Meeting) -> list[str]:
        """Let an event do what it does to a quest; the names of the instances that it completes."""
        known = self.instances.setdefault(meeting.name, [])
        last = known[-1] if known else None
        if last and last.state == "open" and last.ends_at and meeting.occurred_at > last.ends_at:
            last.state = "lapsed"
        if not last or last.state != "open":
            last = _open(meeting, last)
            if last is None:
                return []
            known.append(last)
        return [str(last.occurrence)] if _meet(meeting, last) else []


def _open(meeting: Meeting, last: Instance | None) -> Instance | None:
    if not _may_open(meeting, last):
        return None
    started_at, ends_at = meeting.occurred_at, meeting.campaign_ends_at
    if meeting.start_at == "campaign":
        started_at = meeting.campaign_starts_at or started_at
    if window_s := meeting.quest.get("window_s"):
        ends_at = started_at + timedelta(seconds=window_s)
    if ends_at and meeting.occurred_at > ends_at:
        return None
    return Instance(last.occurrence + 1 if last else 1, started_at, ends_at, [0] * len(meeting.quest["steps"]))


def _may_open(meeting: Meeting, last: Instance | None) -> bool:
    """A lapsed instance never stands in the way, any other only if the quest is not repeatable."""
    if last and last.state != "lapsed" and not meeting.quest.get("repeatable"):
        return False
    if meeting.start_at == "event":
        return meeting.starts
    if meeting.start_at == "campaign":
        return bool(meeting.steps) and not (last and last.state == "lapsed")
    return 0 in meeting.steps if meeting.quest.get("ordered", True) else bool(meeting.steps)


def _meet(meeting: Meeting, instance: Instance) -> bool:
    """Count the event for the steps that wait for it; whether that completes the instance."""
    if meeting.occurred_at < instance.started_at:
        return False
    wanted = [step.get("count", 1) for step in meeting.quest["steps"]]
    waiting = [index for index, count in enumerate(wanted) if instance.counts[index] < count]
    for index in waiting[:1] if meeting.quest.get("ordered", True) else waiting:
        instance.counts[index] += index in meeting.steps
    if instance.counts != wanted:
        return False
    instance.state = "completed"
    return True
