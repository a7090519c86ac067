"""Quests: steps that a user's events must meet within a window.

Life of an instance (one open at a time for a user and campaign, numbered by `occurrence`):

    (none) --start--> open --last step--> completed   (or denied, when a cap then refuses the grant)
                      open --event after ends_at--> lapsed, and the event may start the next one

A completed or denied instance is followed by another only if the quest is repeatable. Steps are met in log order;
windows go by event time, both ends included.
"""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

QuestState = Literal["open", "completed", "denied", "lapsed"]


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """Met by `count` events of `action` for which `rule` holds."""

    name: str
    action: str
    rule: str = "true"
    count: int = 1


class Start(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What opens an instance: the campaign's own start, the first step event, or an enrolling event with its rule."""

    at: Literal["campaign", "first_step", "event"] = "first_step"
    action: str | None = None
    rule: str = "true"


class Quest(Struct, frozen=True, forbid_unknown_fields=True):
    """`window_s` counts from the instance's start (None: until the campaign ends)."""

    steps: tuple[Step, ...]
    start: Start = Start()
    window_s: int | None = None
    ordered: bool = True
    repeatable: bool = False


class Instance(Struct, frozen=True):
    """Progress of one user. `step` is the index of the next step; `counts[i]` is how often step i was met."""

    occurrence: int
    campaign_version: int
    state: QuestState
    started_at: datetime
    ends_at: datetime | None
    start_event_id: str | None
    step: int
    counts: tuple[int, ...]


class Meeting(Struct, frozen=True):
    """What one event means for one quest: whether it can start it, and the indexes of the steps it meets."""

    event_id: str
    occurred_at: datetime
    starts: bool
    steps: tuple[int, ...]
    campaign_version: int
    campaign_starts_at: datetime | None
    campaign_ends_at: datetime | None


def advance(quest: Quest, last: Instance | None, meeting: Meeting) -> list[Instance]:
    """The instances that `meeting` changes, in order: possibly one that lapses, then the one it opens or moves on.

    `last` is the newest instance of this user (None: none yet). The event completed the quest exactly when the last
    instance returned is `completed`. An empty list means that the event has no effect.
    """
    changed = []
    if last and last.state == "open" and last.ends_at and meeting.occurred_at > last.ends_at:
        last = replace(last, state="lapsed")
        changed.append(last)
    current = last if last and last.state == "open" else _open(quest, last, meeting)
    if current is None:
        return changed
    moved = _meet(quest, current, meeting)
    return changed if moved is last else [*changed, moved]


def _open(quest: Quest, last: Instance | None, meeting: Meeting) -> Instance | None:
    if not _may_open(quest, last, meeting):
        return None
    from_campaign = quest.start.at == "campaign"
    started_at = (meeting.campaign_starts_at if from_campaign else None) or meeting.occurred_at
    ends_at = meeting.campaign_ends_at
    if quest.window_s is not None:
        ends_at = started_at + timedelta(seconds=quest.window_s)
    if ends_at and meeting.occurred_at > ends_at:
        return None
    return Instance(
        occurrence=last.occurrence + 1 if last else 1,
        campaign_version=meeting.campaign_version,
        state="open",
        started_at=started_at,
        ends_at=ends_at,
        start_event_id=None if from_campaign else meeting.event_id,
        step=0,
        counts=(0,) * len(quest.steps),
    )


def _may_open(quest: Quest, last: Instance | None, meeting: Meeting) -> bool:
    if last and last.state != "lapsed" and not quest.repeatable:
        return False
    if quest.start.at == "event":
        return meeting.starts
    if quest.start.at == "campaign":
        return bool(meeting.steps) and not (last and last.state == "lapsed")
    return 0 in meeting.steps if quest.ordered else bool(meeting.steps)


def _meet(quest: Quest, instance: Instance, meeting: Meeting) -> Instance:
    if meeting.occurred_at < instance.started_at:
        return instance
    counts = list(instance.counts)
    for index in [instance.step] if quest.ordered else range(len(counts)):
        if index in meeting.steps and counts[index] < quest.steps[index].count:
            counts[index] += 1
    if tuple(counts) == instance.counts:
        return instance
    done = [count >= step.count for count, step in zip(counts, quest.steps, strict=True)]
    step = next((i for i, met in enumerate(done) if not met), len(done))
    return replace(instance, counts=tuple(counts), step=step, state="completed" if all(done) else "open")
