"""What a batch does to the quests of its users: the instances it found, moved on event by event."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.errors import Unreadable
from fillip.core.event import Event
from fillip.core.identity import OF_SHADOW, name_key
from fillip.core.match.candidate import Candidate, Match, is_barred
from fillip.core.quest.instance import Contribution, Instance, QuestEvent, Transition, advance
from fillip.core.quest.repair import choose_instance, repair
from fillip.core.quest.user_instances import Name, UserInstances
from fillip.core.repair import REPAIR, RepairRefusal, read_repair
from fillip.core.rule import RuleError

QuestKey = tuple[str, str, str]
"""(tenant, CampaignVersion.quest_id, user)"""


class Found(Protocol):
    """Instances as they were found, by quest; a Mapping is one."""

    def get(self, quest: QuestKey, default: Iterable[Instance], /) -> Iterable[Instance]:
        """Those of a quest."""
        ...


class InstanceKey(NamedTuple):
    """Names a quest instance in the ledger; `campaign_id` is CampaignVersion.quest_id."""

    tenant_id: str
    campaign_id: str
    user_id: str
    key: str
    occurrence: int

    @property
    def is_of_shadow(self) -> bool:
        """Whether it is one of a campaign in shadow, which has nothing to reverse."""
        return OF_SHADOW in self.campaign_id


class Span(Struct, frozen=True):
    """The first and last clock time of a quest's events in a batch, less the most lateness: what ends before `first` may
    be over for all of them, what ends before `last` is over for one.
    """

    first: datetime
    last: datetime


class InstancesToLock(Struct, frozen=True):
    """The instances to lock: of each quest those lapsed that may not be over, and some of those open that are; of those
    open all of the quests in `whole`, else those of the `routes`; and of each of `keys` those open and the newest.

    `openings` are those of `keys`, and of events that have one of their own, that may open an instance of a quest with
    routes.
    """

    quests: Mapping[QuestKey, Span]
    whole: Sequence[QuestKey] = ()
    routes: Sequence[tuple[QuestKey, int]] = ()
    keys: Sequence[tuple[QuestKey, str]] = ()
    openings: Sequence[tuple[QuestKey, str]] = ()


class Repaired(Struct, frozen=True):
    """What came of a repair: the instance that it is for, as it stands now, the candidate of the version that it goes by, and why the day is
    not repaired, if so.
    """

    instance: Instance | None
    candidate: Candidate
    refused: RepairRefusal | None = None


class InstanceBatch:
    """The instances that a batch works on, and what it changes; `fresh` are those that it made.

    One that `keep_on`s has all instances that later batches ask for: it is the ledger of a backtest.
    """

    def __init__(self, found: Found) -> None:
        """`found` as read under the lock; it is asked for a user's when the first event of theirs comes."""
        self._found = found
        self._by_user: dict[QuestKey, UserInstances] = {}
        self._open: dict[QuestKey, int] = {}
        self._growing: Mapping[QuestKey, datetime] = {}
        self._before: dict[InstanceKey, Instance | None] = {}
        self.changed: dict[InstanceKey, Instance] = {}
        self.fresh: set[InstanceKey] = set()
        self.met: list[tuple[InstanceKey, Contribution]] = []

    def list_growing(self, wanted: InstancesToLock) -> Mapping[QuestKey, datetime]:
        """The quests that may have more instances waiting after the batch, with the first instant that counts as not over.

        Where one of the same key waits, the next can only take its place.
        """
        firsts = {quest: span.first for quest, span in wanted.quests.items()}
        growing = {quest for quest, key in wanted.openings if not self._of_user(quest).has_waiting(key, firsts[quest])}
        self._growing = {quest: firsts[quest] for quest in sorted(growing)}
        return self._growing

    def count(self, open_now: Mapping[QuestKey, int]) -> None:
        """Take note of how many instances of these quests wait for events, known or not, by the mark open or lapsed."""
        self._open.update(open_now)

    def advance(self, event: Event, candidate: Candidate) -> tuple[list[tuple[Instance, Candidate]], Instance | None]:
        """Let an event move a quest on: the instances that it completes in order of start, each with the candidate of the
        version that it does so under, and one refused for room.
        """
        quest = (event.tenant_id, candidate.campaign_version.quest_id, event.user_id)
        quest_event, completed = read_quest_event(event, candidate), list[Transition]()
        done = advance(self._of_user(quest).find(quest_event), quest_event, self._open.get(quest, 0))
        for moved in done.moved:
            self._move(quest, moved)
            if moved.instance.state == "completed":
                completed.append(moved)
        if not completed:  # mostly
            return [], done.refused
        versions = {version.campaign_version.version: version for version in candidate.versions}
        return [(moved.instance, versions[moved.version]) for moved in completed], done.refused

    def repair(self, event: Event, candidate: Candidate) -> "Repaired":
        """Let an event repair a streak: of the instance that it names, under the version that this goes on under."""
        quest = (event.tenant_id, candidate.campaign_version.quest_id, event.user_id)
        order, quest_event = read_repair(event.attributes), read_quest_event(event, candidate)
        instance = choose_instance(order, self._of_user(quest).instances.values())
        under = quest_event.under(instance.campaign_version) if instance else quest_event
        moved = repair(instance, order, under)
        if not isinstance(moved, Transition):
            return Repaired(instance, candidate, moved)
        version = next(each for each in candidate.versions if each.campaign_version.version == moved.version)
        if moved.instance.state == "completed" and version.refused == "no_value":
            return Repaired(instance, candidate, "no_value")
        self._move(quest, moved)
        return Repaired(moved.instance, version)

    def _move(self, quest: QuestKey, moved: Transition) -> None:
        place = InstanceKey(*quest, moved.instance.key, moved.instance.occurrence)
        if self._put(self._of_user(quest), place, moved.instance) is None:
            self.fresh.add(place)
        self.met += [(place, each) for each in moved.met]

    def find(self, place: InstanceKey) -> Instance | None:
        """An instance as it stands now, where this batch has locked it for its events or changed it."""
        return self._of_user(place[:3]).instances.get((place.key, place.occurrence)) or self.changed.get(place)

    def put(self, place: InstanceKey, instance: Instance) -> None:
        """Store what became of an instance otherwise than by an event; one that is open again takes events from now on."""
        mine = self._of_user(place[:3])
        if instance.state == "open" or (place.key, place.occurrence) in mine.instances:
            self._put(mine, place, instance)
        self.changed[place] = instance

    def _of_user(self, quest: QuestKey) -> UserInstances:
        known = self._by_user.get(quest)
        if known is None:
            known = self._by_user[quest] = UserInstances(self._found.get(quest, ()))
        return known

    def _put(self, mine: UserInstances, place: InstanceKey, instance: Instance) -> Instance | None:
        """What stood in the place before."""
        before = mine.put(instance)
        if before is not instance:
            self._before.setdefault(place, before)
            self.changed[place] = instance
        if self._growing and (first := self._growing.get(place[:3])):
            was_waiting = before is not None and before.is_waiting(first)
            self._open[place[:3]] += instance.is_waiting(first) - was_waiting
        return before

    def keep_on(self) -> None:
        """Go on with the next events: what was changed is stored by now."""
        self._growing = {}
        self._open.clear()
        self._before.clear()
        self.changed.clear()
        self.fresh.clear()
        self.met.clear()

    def roll_back(self) -> None:
        """Go on with the next events as if there had been none since the last `keep_on`."""
        for place, before in self._before.items():
            if before:
                self.restore(place, before)
            else:
                self.forget(place[:3], (place.key, place.occurrence))
        self.keep_on()

    def list_idle(self, quest: QuestKey, first: datetime) -> Sequence[Name]:
        """Of a user's instances, what events from `first` don't ask for: neither waiting for them nor the newest of its key."""
        known = self._of_user(quest).instances
        if len(known) == 1:  # mostly
            return ()
        return [
            (key, occurrence)
            for (key, occurrence), each in known.items()
            if each.state != "open" and not each.is_waiting(first) and (key, occurrence + 1) in known
        ]

    def forget(self, quest: QuestKey, name: Name) -> Instance:
        """An instance that events don't ask for, or not for now."""
        return self._of_user(quest).forget(name)

    def restore(self, place: InstanceKey, instance: Instance) -> None:
        """Events may ask for this one again; it is no change."""
        self._of_user(place[:3]).put(instance)

    def count_waiting(self, quest: QuestKey, first: datetime) -> int:
        """How many of all that are known wait for events from `first`."""
        return sum(each.is_waiting(first) for each in self._of_user(quest).instances.values())

    def deny(self, place: InstanceKey) -> None:
        """Close the instance that a grant request completed, when the grant is refused."""
        self._put(self._of_user(place[:3]), place, replace(self.changed[place], state="denied"))


def list_instances_to_lock(matches: Sequence[Match]) -> InstancesToLock:
    """The instances to lock for these matches, sorted and each once."""
    spans: dict[QuestKey, Span] = {}
    whole: set[QuestKey] = set()
    routes: set[tuple[QuestKey, int]] = set()
    keys: set[tuple[QuestKey, str]] = set()
    openings: set[tuple[QuestKey, str]] = set()
    for match in matches:
        for candidate in () if match.late else match.candidates:
            campaign_version = candidate.campaign_version
            if campaign_version.campaign.quest is None or is_barred(match.event, campaign_version):
                continue
            place = (match.event.tenant_id, campaign_version.quest_id, match.event.user_id)
            quest_event = read_quest_event(match.event, candidate)
            at = find_due(quest_event)
            span = spans.get(place, Span(at, at))
            spans[place] = Span(min(span.first, at), max(span.last, at))
            found = quest_event.list_routes()
            whole |= {place} if found is None else set()
            routes |= {(place, route) for route in found or ()}
            if match.event.action == REPAIR:
                keys |= {(place, read_repair(match.event.attributes).instance_key)}
            if quest_event.opens:
                keys |= {(place, quest_event.key)} if quest_event.quest.instance != "event" else set()
                openings |= {(place, quest_event.key)} if found else set()
    return InstancesToLock(dict(sorted(spans.items())), sorted(whole), sorted(routes), sorted(keys), sorted(openings))


def find_due(quest_event: QuestEvent) -> datetime:
    """The end of a window before which it is over for the event, under whatever version."""
    most_s = max(version.quest.lateness_s for version in (quest_event, *quest_event.retained))
    return quest_event.clock_at - timedelta(seconds=most_s)


def read_quest_event(event: Event, candidate: Candidate) -> QuestEvent:
    """What an event means for the quest that it is a candidate of."""
    campaign_version = candidate.campaign_version
    quest = campaign_version.campaign.quest
    assert quest is not None, "only campaigns with a quest are met step by step"
    met = QuestEvent(  # 15 fields and no more: of more keywords the interpreter makes a dict first, and the call takes twice as long
        quest=quest,
        campaign_version=campaign_version.version,
        event_key=event.key,
        source=event.source,
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        clock_at=event.clock_at,
        time_zone=event.tell_time_zone(quest.zone),
        day=event.find_day(quest.zone),
        sequence=event.place.offset,
        steps=candidate.steps,
        starts=candidate.starts,
        amounts=candidate.amounts,
        key=name_key(event.event_id, event.key) if quest.instance == "event" else candidate.key,
        schedule=campaign_version.campaign.schedule,
    )
    if candidate.distinct:
        met = replace(met, distinct=candidate.distinct)
    if campaign_version.late_rules:  # a quest without has no route either
        met = replace(
            met,
            start=dict(event.attributes),
            late_rule_holds=_build_late_rule(event, candidate),
            route=campaign_version.route,
            routes=candidate.routes,
        )
    retained = tuple([read_quest_event(event, each) for each in candidate.retained]) if candidate.retained else ()
    return replace(met, retained=retained) if retained else met


def _build_late_rule(event: Event, candidate: Candidate) -> Callable[[Instance, int], bool]:
    return lambda instance, index: _late_rule_holds(event, candidate, instance, index)


def _late_rule_holds(event: Event, candidate: Candidate, instance: Instance, index: int) -> bool:
    """Whether what a step's rule reads of the instance holds too. An error is no match."""
    rule = candidate.campaign_version.late_rules.get(index)
    if rule is None:
        return True
    try:
        start, progress = _read_start(event, candidate, instance), _read_progress(instance, index)
        return bool(rule(event.typed, candidate.user, candidate.cohorts, start, progress))
    except (RuleError, Unreadable):
        return False


def _read_start(event: Event, candidate: Candidate, instance: Instance) -> Mapping[str, object] | None:
    quest = candidate.campaign_version.campaign.quest
    action = event.book.actions.get((quest and quest.opening_action) or "")
    if instance.start is None or action is None:
        return None
    return event.typed if instance.start_event_key == event.key else action.read(instance.start, instance.started_at)


def _read_progress(instance: Instance, index: int) -> dict[str, object]:
    """What `progress` reads in the rule of a step: see core.quest.PROGRESS."""
    state = instance.steps[index]
    steps_met = sum(each.met for each in instance.steps)
    return {"done": state.done, "needed": state.needed, "steps_met": steps_met, "occurrence": instance.occurrence}
