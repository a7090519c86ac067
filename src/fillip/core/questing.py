"""What a batch does to the quests of its users: the instances it found, moved on event by event."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.errors import Unreadable
from fillip.core.event import Event
from fillip.core.instance import Contribution, Instance, Meeting, advance, read_progress
from fillip.core.match import Candidate, Match
from fillip.core.rule import RuleError

QuestKey = tuple[str, str, str]
"""(tenant, campaign, user)"""


class InstanceKey(NamedTuple):
    """Names a quest instance in the ledger."""

    tenant_id: str
    campaign_id: str
    user_id: str
    key: str
    occurrence: int


class Wanted(Struct, frozen=True):
    """The instances to lock: of each quest those open, and those lapsed that end no earlier than the instant given;
    and the newest of each (quest, key).
    """

    quests: Mapping[QuestKey, datetime]
    keys: Sequence[tuple[QuestKey, str]]


class Quests:
    """The instances that a batch works on, in order of their start, and what it changes."""

    def __init__(self, found: Mapping[QuestKey, Iterable[Instance]]) -> None:
        """`found` as read under the lock."""
        self._known = {key: _sort(instances) for key, instances in found.items()}
        self.changed: dict[InstanceKey, Instance] = {}
        self.met: list[tuple[InstanceKey, Contribution]] = []

    def advance(self, event: Event, candidate: Candidate) -> tuple[list[tuple[Instance, Candidate]], Instance | None]:
        """Let an event move a quest on: the instances that it completes in order of start, each with the candidate of the
        version that it does so under, and one refused for room.
        """
        quest = (event.tenant_id, candidate.entry.campaign_id, event.user_id)
        known = self._known.setdefault(quest, {})
        done = advance(known.values(), read_meeting(event, candidate))
        for moved in done.moved:
            instance = moved.instance
            place = InstanceKey(*quest, instance.key, instance.occurrence)
            if known.get((instance.key, instance.occurrence)) != instance:
                known[instance.key, instance.occurrence] = self.changed[place] = instance
            self.met += [(place, each) for each in moved.met]
        versions = {version.entry.version: version for version in candidate.versions}
        completed = [moved for moved in done.moved if moved.instance.state == "completed"]
        return [(moved.instance, versions[moved.version]) for moved in completed], done.refused

    def find(self, place: InstanceKey) -> Instance | None:
        """An instance as it stands now, where this batch has locked it for its events or changed it."""
        return self._known.get(place[:3], {}).get((place.key, place.occurrence)) or self.changed.get(place)

    def put(self, place: InstanceKey, instance: Instance) -> None:
        """Store what became of an instance otherwise than by an event; one that is open again takes events from now on."""
        self.changed[place] = instance
        known, name = self._known.setdefault(place[:3], {}), (place.key, place.occurrence)
        if name in known:
            known[name] = instance
        elif instance.state == "open":
            self._known[place[:3]] = _sort([*known.values(), instance])

    def deny(self, place: InstanceKey) -> None:
        """Close the instance that a claim completed, when the grant is refused."""
        denied = replace(self.changed[place], state="denied")
        self._known[place[:3]][place.key, place.occurrence] = self.changed[place] = denied


def list_wanted(matches: Sequence[Match]) -> Wanted:
    """The instances to lock for these matches, sorted and each once."""
    earliest: dict[QuestKey, datetime] = {}
    keys: set[tuple[QuestKey, str]] = set()
    for match in matches:
        for candidate in () if match.late else match.candidates:
            quest = candidate.entry.campaign.quest
            if quest is None:
                continue
            place = (match.event.tenant_id, candidate.entry.campaign_id, match.event.user_id)
            at = match.event.occurred_at
            earliest[place] = min(at, earliest.get(place, at))
            if quest.instance != "event" and quest.opens(starts=candidate.starts, steps=candidate.steps):
                keys.add((place, candidate.key))
    return Wanted(dict(sorted(earliest.items())), sorted(keys))


def read_meeting(event: Event, candidate: Candidate) -> Meeting:
    """What an event means for the quest that it is a candidate of."""
    entry, tenant = candidate.entry, event.book.tenant
    quest, schedule = entry.campaign.quest, entry.campaign.schedule
    assert quest is not None, "only campaigns with a quest are met step by step"
    return Meeting(
        quest=quest,
        campaign_version=entry.version,
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        clock_at=event.received_at if tenant.clock == "live" else event.occurred_at,
        day=tenant.local_day(event.occurred_at),
        sequence=event.place.offset,
        steps=candidate.steps,
        starts=candidate.starts,
        amounts=candidate.amounts,
        key=event.event_id if quest.instance == "event" else candidate.key,
        start=dict(event.attributes) if entry.late_rules else None,
        campaign_starts_at=schedule.starts_at,
        campaign_ends_at=schedule.ends_at,
        admits=lambda instance, index: _admit(event, candidate, instance, index),
        kept=tuple(read_meeting(event, version) for version in candidate.kept),
    )


def _sort(instances: Iterable[Instance]) -> dict[tuple[str, int], Instance]:
    ordered = sorted(instances, key=lambda instance: (instance.start_offset, instance.key, instance.occurrence))
    return {(instance.key, instance.occurrence): instance for instance in ordered}


def _admit(event: Event, candidate: Candidate, instance: Instance, index: int) -> bool:
    """Whether what a step's rule reads of the instance holds too. An error is no match."""
    rule = candidate.entry.late_rules.get(f"quest.steps.{index}.rule")
    if rule is None:
        return True
    try:
        start, progress = _read_start(event, candidate, instance), read_progress(instance, index)
        return bool(rule(event.typed, candidate.user, candidate.cohorts, start, progress))
    except (RuleError, Unreadable):
        return False


def _read_start(event: Event, candidate: Candidate, instance: Instance) -> Mapping[str, object] | None:
    quest = candidate.entry.campaign.quest
    action = event.book.actions.get((quest and quest.opening_action) or "")
    if instance.start is None or action is None:
        return None
    return event.typed if instance.start_event_id == event.event_id else action.read(instance.start)
