"""Takes back in a backtest what reversals took back in the past, by the code that takes it back in the ledger."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import date, datetime
from heapq import heappop, heappush
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.backtest.past import Mark
from fillip.core.book.book import Book
from fillip.core.campaign.quest import Quest
from fillip.core.campaign.reward import Reward
from fillip.core.campaign.reward_kind import KINDS
from fillip.core.ledger.reevaluation import DecidedBy, is_readable, is_reevaluated, reevaluate, tell_decided_by
from fillip.core.ledger.reversal import (
    CounterCredit,
    Grant,
    IncentiveReversal,
    LimitTerms,
    ReversalRequest,
    ReversedSoFar,
    read_grant,
    read_terms,
    take_event_back,
    weigh_reversal,
)
from fillip.core.ledger.settlement import Settled
from fillip.core.ledger.stock import BadgeKey
from fillip.core.match.candidate import Match
from fillip.core.quest.batch import InstanceBatch, InstanceKey
from fillip.core.quest.instance import Contribution, Instance, replay
from fillip.core.quest.reversal import InstanceHistory, InstanceReversal, close, lower, recount
from fillip.core.quest.streak import list_left_out


class PastReversal(Struct, frozen=True):
    """What was taken back of the event of key `original`, by its own `user_id`."""

    original: UUID
    user_id: str
    request: ReversalRequest
    mark: Mark


class ReversalQueue:
    """The reversals of the past: each has its turn when it came, or right behind its original where it came before that."""

    def __init__(self, reversals: Iterable[PastReversal]) -> None:
        """In the order of receipt."""
        self.users: set[str] = set()
        self._by_original: dict[UUID, list[PastReversal]] = defaultdict(list)
        self._due: list[tuple[Mark, int, PastReversal]] = []
        for each in reversals:
            self.users.add(each.user_id)
            self._by_original[each.original].append(each)

    def list_due(self, mark: Mark | None) -> list[PastReversal]:
        """Those whose turn is before what stands at a mark; None: all that are left of events that have come."""
        due = []
        while self._due and (mark is None or self._due[0][0] < mark):
            due.append(heappop(self._due)[2])
        return due

    def meet(self, original: UUID, mark: Mark) -> tuple[bool, list[PastReversal]]:
        """An event has come: whether it will be taken back at all, and by which of those that waited for it, in their order."""
        mine = self._by_original.pop(original, ())
        for each in mine:
            if each.mark > mark:
                heappush(self._due, (each.mark, len(self._due), each))
        return bool(mine), [each for each in mine if each.mark < mark]


class Turn(Struct, frozen=True):
    """A reversal that has its turn behind the event of number `behind`, and the book then."""

    behind: int
    reversal: PastReversal
    book: Book


class TakenBack(Struct, frozen=True):
    """What a reversal took of a grant of a day: the rewards with what they lost. `is_first`: nothing was taken of it before."""

    day: date
    rewards: Sequence[tuple[Reward, int]]
    is_first: bool


class ReversalOutcome(Struct, frozen=True):
    """All that came of a reversal."""

    taken: Sequence[TakenBack]
    credits: Sequence[CounterCredit]
    instances: Sequence[InstanceReversal]
    badges: Set[BadgeKey]


class _Kept(Struct, frozen=True):
    """A grant of a day as it stands, with the reward of each incentive; `decided_by` where parts ask for any of these again."""

    grant: Grant
    day: date
    rewards: Mapping[UUID, Reward]
    decided_by: DecidedBy | None = None
    is_whole: bool = True


class ReversalLedger:
    """What reversals need to know of the `users` who took something back: their grants, and what their events gave to quests."""

    def __init__(self, users: Set[str]) -> None:
        self._users = users
        self._so_far: dict[UUID, ReversedSoFar] = {}
        self._expected: dict[UUID, tuple[str, datetime]] = {}
        self._simple: dict[UUID, _Kept] = {}
        self._completing: dict[InstanceKey, _Kept] = {}
        self._instances: dict[InstanceKey, Instance] = {}
        self._given: dict[InstanceKey, dict[UUID, tuple[Contribution, ...]]] = defaultdict(dict)
        """By event, in the order in which they gave."""
        self._places: dict[UUID, set[InstanceKey]] = defaultdict(set)
        """Instances that an event gave to, or opened, of events that will be taken back."""
        self._quests: dict[int, Quest] = {}
        self._terms: tuple[Book, Mapping[str, LimitTerms]] | None = None

    def expect(self, original: UUID, action: str, occurred_at: datetime) -> None:
        """An event comes that will be taken back: to be told before it is kept."""
        self._so_far[original] = ReversedSoFar()
        self._expected[original] = action, occurred_at

    def holds(self, original: UUID) -> bool:
        """Whether something may be taken of what the event gave."""
        return original in self._simple or original in self._places

    def keep(self, matches: Sequence[Match], settled: Sequence[Settled], instances: InstanceBatch) -> None:
        """Note what was decided on some events, and what they did to `instances`."""
        if not self._users:
            return
        for match in matches:
            if match.event.user_id in self._users:
                self._note_quests(match)
        for place, given in instances.met:
            if self._is_mine(place):
                by_event = self._given[place]
                by_event[given.event_key] = (*by_event.get(given.event_key, ()), given)
                self._note_place(given.event_key, place)
        for place, instance in instances.changed.items():
            if self._is_mine(place):
                self._instances[place] = instance
                self._note_place(instance.start_event_key, place)
        for each in settled:
            if each.incentives and each.request.user[1] in self._users:
                self._keep_grant(each)

    def reverse(self, reversal: PastReversal, book: Book) -> ReversalOutcome | None:
        """Take back what a reversal takes; None where that is nothing."""
        key, before = reversal.original, self._so_far.get(reversal.original)
        places = [each for each in sorted(self._places.get(key, ())) if self._instances[each].state != "reversed"]
        simple = self._simple.get(key)
        if before is None or not (simple or places):
            return None
        after = weigh_reversal(reversal.request, before)
        if not isinstance(after, ReversedSoFar):
            return None
        if not is_readable(reversal.request, *self._expected[key], book):
            return None
        if simple and simple.decided_by:
            known = {simple.grant.decision_id: simple.decided_by}
            after = reevaluate(reversal.request, [simple.grant], known, before, after)
        undone = [each for place in places if (each := self._reverse_instance(place, key, after, book))]
        places_lost = [each.place for each in undone if each.completed_by]
        lost = [self._completing[place] for place in places_lost if place in self._completing]
        tenant_id, grants = book.tenant.tenant_id, [simple.grant] if simple else []
        taken, credited = take_event_back(
            tenant_id, grants, [each.grant for each in lost], self._read_terms(book), before, after
        )
        by_decision: dict[UUID, list[IncentiveReversal]] = defaultdict(list)
        for grant, part in taken:
            by_decision[grant.decision_id].append(part)
        told = [
            (kept, by_decision[kept.grant.decision_id])
            for kept in ([simple, *lost] if simple else lost)
            if kept.grant.decision_id in by_decision
        ]
        self._write(key, after, undone, told)
        badges = {badge for each in told for badge in _list_badges(tenant_id, *each)}
        return ReversalOutcome([_tell(*each) for each in told], credited, undone, badges)

    def _reverse_instance(
        self, place: InstanceKey, key: UUID, after: ReversedSoFar, book: Book
    ) -> InstanceReversal | None:
        instance, given = self._instances[place], self._given.get(place, {})
        history = InstanceHistory(self._quests[instance.campaign_version], instance)
        lowering = lower(history, given.get(key, ()), key, after.share)
        if lowering is None:
            return None
        counted = recount(lowering)
        steps = counted.steps
        if counted.replayed:
            left = (given | {key: _join(given.get(key, ()), lowering.lowered)}).values()
            asked = [each for some in left for each in some if each.step in counted.replayed]
            steps = replay(history.quest, steps, asked, list_left_out(history.quest, book.tenant.time_zone))
        return close(place, lowering, steps)

    def _write(
        self,
        key: UUID,
        after: ReversedSoFar,
        undone: Sequence[InstanceReversal],
        told: Sequence[tuple[_Kept, Sequence[IncentiveReversal]]],
    ) -> None:
        for kept, some in told:
            if not kept.grant.instance:
                self._simple[key] = _take(kept, some)
        for each in undone:
            self._instances[each.place] = each.instance
            if key in (given := self._given[each.place]):
                given[key] = _join(given[key], each.lowered)
            if each.completed_by:
                self._completing.pop(each.place, None)
        if after.share < 1:
            self._so_far[key] = after
            return
        self._so_far.pop(key)  # nothing is left of it
        self._expected.pop(key)
        self._simple.pop(key, None)
        self._places.pop(key, None)

    def _read_terms(self, book: Book) -> Mapping[str, LimitTerms]:
        if self._terms is None or self._terms[0] is not book:
            self._terms = book, read_terms(book.limits)
        return self._terms[1]

    def _is_mine(self, place: InstanceKey) -> bool:
        return place.user_id in self._users and not place.is_of_shadow

    def _note_quests(self, match: Match) -> None:
        for candidate in match.candidates:
            for version in candidate.versions:
                if quest := version.campaign_version.campaign.quest:
                    self._quests[version.campaign_version.version] = quest

    def _note_place(self, event_key: UUID | None, place: InstanceKey) -> None:
        if event_key and event_key in self._so_far:
            self._places[event_key].add(place)

    def _keep_grant(self, settled: Settled) -> None:
        request, day = settled.request, settled.decision.local_day
        rewards = {each.incentive_id: request.rewards[each.reward_index] for each in settled.incentives}
        grant = read_grant(settled)
        if request.place:
            self._completing[request.place] = _Kept(grant, day, rewards)
        elif request.match.event.key in self._so_far:
            decided_by = tell_decided_by(settled) if is_reevaluated(grant) else None
            self._simple[request.match.event.key] = _Kept(grant, day, rewards, decided_by)


def cut_at_turns(
    matches: Sequence[Match], turns: Sequence[Turn], ledger: ReversalLedger
) -> Iterator[tuple[Sequence[Match], Turn | None]]:
    """The matches in runs, each with the turn behind it; turns of events that met nothing are left out."""
    done = 0
    met = {match.event.key for match in matches} if turns else ()
    for turn in turns:
        if turn.reversal.original not in met and not ledger.holds(turn.reversal.original):
            continue
        start = done
        while done < len(matches) and matches[done].event.place.offset <= turn.behind:
            done += 1
        yield matches[start:done], turn
    yield matches[done:], None


def _join(given: Sequence[Contribution], lowered: Sequence[Contribution]) -> tuple[Contribution, ...]:
    now = {each.step: each for each in lowered}
    return tuple(now.get(each.step, each) for each in given)


def _take(kept: _Kept, taken: Sequence[IncentiveReversal]) -> _Kept:
    by_id = {each.incentive_id: each for each in taken}
    incentives = [
        replace(
            each,
            reversed_value=each.reversed_value + found.value,
            state="reversed" if found.whole else each.state,
        )
        if (found := by_id.get(each.incentive_id))
        else each
        for each in kept.grant.incentives
    ]
    return replace(kept, grant=replace(kept.grant, incentives=incentives), is_whole=False)


def _tell(kept: _Kept, taken: Sequence[IncentiveReversal]) -> TakenBack:
    return TakenBack(kept.day, [(kept.rewards[each.incentive_id], each.value) for each in taken], kept.is_whole)


def _list_badges(tenant_id: str, kept: _Kept, taken: Sequence[IncentiveReversal]) -> Iterator[BadgeKey]:
    for each in taken:
        if each.whole and (badge := kept.rewards[each.incentive_id].badge):
            yield tenant_id, kept.grant.user_id, badge


def may_fall_short(reward: Reward) -> bool:
    """Whether less might have been taken of it in fact: it had expired, or the points were spent."""
    return reward.is_dated or KINDS[reward.kind].find_wallet(reward.currency) is not None
