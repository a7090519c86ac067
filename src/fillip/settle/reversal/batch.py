"""Reversals among the grants of a batch: each in its turn, in memory, on rows that the batch has locked before.

A reversal sees all that stands before it in the log, also what was granted a moment ago and is not written yet; what it
gives back is there for all that stands behind it.
"""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from datetime import datetime
from fractions import Fraction
from itertools import islice
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.book.book import Book
from fillip.core.campaign.quest import Quest
from fillip.core.campaign.reward_kind import KINDS
from fillip.core.event import REVERSAL, Event
from fillip.core.ledger.points import PointsToReverse
from fillip.core.ledger.reevaluation import is_readable, is_reevaluated, reevaluate, tell_decided_by
from fillip.core.ledger.reversal import (
    CounterCredit,
    Grant,
    InboxUpdate,
    IncentiveReversal,
    LimitTerms,
    ReversalReason,
    ReversalState,
    ReversedSoFar,
    read_grant,
    take_event_back,
    weigh_reversal,
)
from fillip.core.ledger.settlement import Settled, UserKey
from fillip.core.ledger.stock import Stock
from fillip.core.limit import Counter, CounterKey, put_back
from fillip.core.match.candidate import Match
from fillip.core.quest.batch import InstanceBatch, InstanceKey
from fillip.core.quest.instance import Contribution, Instance, replay
from fillip.core.quest.reversal import InstanceHistory, InstanceReversal, Recount, close, lower, recount
from fillip.core.quest.step import StepState
from fillip.core.quest.streak import list_left_out
from fillip.core.tenant import Tenant
from fillip.settle.reversal.stage import (
    ContributionsByInstance,
    CounterCreditUse,
    EventKey,
    PendingReversal,
    RecordedEvent,
    ReversalContext,
    Reversals,
    SettledReversal,
    Version,
    read_pending_reversal,
    terms_of,
)
from fillip.settle.wallet import Posting


class BatchState(Struct, frozen=True):
    """What grants and reversals of a batch move together; counters by themselves, `limit_terms` shared."""

    counters: MutableMapping[CounterKey, Counter]
    limit_terms: Mapping[tuple[str, str], LimitTerms]
    inbox_heads: MutableMapping[UserKey, int]
    stock: Stock
    instances: InstanceBatch


class ReversalBatch:
    """Takes the events and reversals of a batch in the order of the log; `postings` are grants and what is taken of points."""

    def __init__(
        self, ledger: Reversals, found: ReversalContext, known: Mapping[EventKey, RecordedEvent], state: BatchState
    ) -> None:
        """`known` are the originals that were recorded before this batch."""
        self._ledger = ledger
        self._state = state
        self._known = dict(known)
        self._so_far = dict(found.so_far)
        self._histories = found.instances.histories
        self._contributions: dict[EventKey, ContributionsByInstance] = {
            key: dict(contributions) for key, contributions in found.instances.contributions.items()
        }
        self._grants = {key: list(grants) for key, grants in found.grants.items()}
        every = (incentive for some in self._grants.values() for grant in some for incentive in grant.incentives)
        self._incentives = {incentive.incentive_id: incentive for incentive in every}
        self._badges = dict(found.badges_by_incentive)
        self._decided_by = dict(found.decided_by)
        self._lowered: dict[tuple[InstanceKey, str, UUID], int] = {}
        self._versions: dict[Version, Quest] = {}
        for place, history in self._histories.items():
            self._versions[*place[:2], history.instance.campaign_version] = history.quest
        self._tenants: dict[str, Tenant] = {}
        self._waiting: dict[EventKey, list[PendingReversal]] = {}
        for each in found.waiting:
            self._waiting.setdefault(each.original, []).append(each)
        self._met = self._changed = 0  # how many of the quests' were seen
        self._done: dict[UUID, SettledReversal] = {}
        self.postings: list[Posting] = []

    @property
    def reversed(self) -> list[SettledReversal]:
        """What came of each reversal, in the order in which they were settled."""
        return list(self._done.values())

    @property
    def takings(self) -> list[tuple[list[PointsToReverse], datetime]]:
        """What is to be taken of points, with the last time of it: of all live tenants, and of each that tells history."""
        groups: dict[str, list[tuple[PointsToReverse, datetime]]] = {}
        for each in self.postings:
            if not isinstance(each, Settled):
                tenant_id = each[0].wallet[0]
                history = self._tenants[tenant_id].clock == "history"
                groups.setdefault(tenant_id if history else "", []).append(each)
        return [([taking for taking, _ in some], max(at for _, at in some)) for some in groups.values()]

    async def record(self, match: Match, settled: Sequence[Settled]) -> None:
        """Note what an event earned. From now on it is known; reversals that have been waiting for it have their turn."""
        event, key = match.event, (match.event.tenant_id, match.event.key)
        for version in (each.campaign_version for candidate in match.candidates for each in candidate.versions):
            if quest := version.campaign.quest:
                self._versions[event.tenant_id, version.campaign_id, version.version] = quest
        self._known[key] = RecordedEvent(event.user_id, event.action, event.occurred_at)
        self._note_contributions(key)
        for each in settled:
            self._note_grant(key, each)
        for pending in self._waiting.pop(key, ()):
            await self._reverse_at(pending, event)

    async def reverse(self, event: Event) -> None:
        """Do a reversal in its turn, or let it wait for an original that is to come."""
        await self._reverse_at(read_pending_reversal(event), event)

    async def _reverse_at(self, pending: PendingReversal, event: Event) -> None:
        """At the time of the event that brings it about: its own, or the original that it waited for."""
        tenant = self._tenants[event.tenant_id] = event.book.tenant
        at = event.occurred_at if tenant.clock == "history" else event.received_at
        done = await self._reverse(pending, event.book, at)
        self._done.pop(pending.key, None)
        self._done[pending.key] = done

    async def _reverse(self, pending: PendingReversal, book: Book, at: datetime) -> SettledReversal:
        before = self._so_far.get(pending.original, ReversedSoFar())
        grants = [grant for grant in self._read_grants(pending.original) if not grant.instance]
        after = self._weigh(pending, before)
        if not isinstance(after, ReversedSoFar):
            return SettledReversal(pending, *after)
        original = self._known.get(pending.original)
        if original and not is_readable(pending.request, original.action, original.occurred_at, book):
            return SettledReversal(pending, "refused", "unreadable_after")
        after = reevaluate(pending.request, grants, self._decided_by, before, after)
        places = sorted(self._contributions.get(pending.original, ()))
        standing = [place for place in places if self._find(place).state != "reversed"]
        histories = {place: await self._find_history(place) for place in standing}
        reversed_instances = [
            each
            for place, history in histories.items()
            if (each := await self._reverse_instance(pending, place, history, after.share))
        ]
        if not grants and not histories:
            return SettledReversal(pending, "nothing", "earned_nothing")
        self._so_far[pending.original] = after
        lost, mine = self._list_lost(pending, reversed_instances), terms_of(pending.tenant_id, self._state.limit_terms)
        taken, credited = take_event_back(pending.tenant_id, grants, lost, mine, before, after)
        given = [self._credit(each) for each in credited]
        told = [each for grant, some in taken for each in self._take(pending, grant, some, at)]
        return SettledReversal(pending, "applied", "applied", taken, given, reversed_instances, told, after)

    def _weigh(
        self, pending: PendingReversal, before: ReversedSoFar
    ) -> ReversedSoFar | tuple[ReversalState, ReversalReason]:
        original = self._known.get(pending.original)
        owner = original.user_id if original else next((g.user_id for g in self._read_grants(pending.original)), None)
        if owner is None:
            self._waiting.setdefault(pending.original, []).append(pending)
            return "waiting", "unknown_event"
        if owner != pending.user_id:
            return "refused", "other_user"
        if original and original.action == REVERSAL:
            return "refused", "is_a_reversal"
        return weigh_reversal(pending.request, before)

    # ------------------------------------------------------------ grants
    def _note_grant(self, key: EventKey, settled: Settled) -> None:
        self.postings.append(settled)
        if not settled.incentives:
            return
        grant, rewards = read_grant(settled), settled.request.rewards
        for made in settled.incentives:
            if badge := rewards[made.reward_index].badge:
                self._badges[made.incentive_id] = (*settled.request.user, badge)
        if is_reevaluated(grant):
            self._decided_by[grant.decision_id] = tell_decided_by(settled)
        self._incentives |= {each.incentive_id: each for each in grant.incentives}
        self._grants.setdefault(key, []).append(grant)

    def _read_grants(self, key: EventKey) -> list[Grant]:
        """What was granted for an event, with its incentives as they stand by now."""
        return [
            replace(grant, incentives=[self._incentives[incentive.incentive_id] for incentive in grant.incentives])
            for grant in self._grants.get(key, ())
        ]

    def _list_lost(self, pending: PendingReversal, reversed_instances: Sequence[InstanceReversal]) -> list[Grant]:
        """The grants of quests that are no longer complete."""
        return [
            grant
            for each in reversed_instances
            if each.completed_by
            for grant in self._read_grants((pending.tenant_id, each.completed_by))
            if (grant.campaign_id, grant.instance) == (each.place.campaign_id, each.instance.name)
        ]

    def _credit(self, credit: CounterCredit) -> CounterCreditUse:
        key = credit.counter
        before = put_back(key, credit.amount, credit.part, self._state.counters)
        return CounterCreditUse(
            limit_id=key.limit_id,
            user_id=key.user_id,
            key=key.key,
            window_start=key.window_start,
            version=before.version,
            used_before=before.used,
            amount=credit.amount,
        )

    def _take(
        self, pending: PendingReversal, grant: Grant, taken: IncentiveReversal, at: datetime
    ) -> Iterator[InboxUpdate]:
        incentive, user = self._incentives[taken.incentive_id], (pending.tenant_id, grant.user_id)
        reversed_value = incentive.reversed_value + taken.value
        state = "reversed" if taken.whole else incentive.state
        self._incentives[taken.incentive_id] = replace(incentive, reversed_value=reversed_value, state=state)
        if taken.whole and (badge := self._badges.pop(taken.incentive_id, None)) and badge not in self._badges.values():
            self._state.stock.put_back(badge)
        if taken.value and (currency := KINDS[incentive.kind].find_wallet(incentive.currency)):
            taking = PointsToReverse(
                wallet=(*user, currency),
                reversal=pending.key,
                reversal_id=pending.reversal_id,
                incentive_id=taken.incentive_id,
                amount=taken.value,
            )
            self.postings.append((taking, at))
        if taken.was != "expired":  # of its end the user was told before
            inbox_heads = self._state.inbox_heads
            inbox_heads[user] = inbox_heads.get(user, 0) + 1
            yield InboxUpdate(taken.incentive_id, grant.user_id, inbox_heads[user], taken.value, reversed_value)

    # ------------------------------------------------------------ quests
    def _note_contributions(self, key: EventKey) -> None:
        instances = self._state.instances
        contributions = self._contributions.setdefault(key, {})
        for place, each in instances.met[self._met :]:
            if place.is_of_shadow:
                continue
            contributions.setdefault(place, []).append(each)
        for place, instance in islice(reversed(instances.changed.items()), len(instances.changed) - self._changed):
            if (place.tenant_id, instance.start_event_key) == key and not place.is_of_shadow:
                contributions.setdefault(place, [])
        self._met, self._changed = len(instances.met), len(instances.changed)

    def _find(self, place: InstanceKey) -> Instance:
        return self._state.instances.find(place) or self._histories[place].instance

    async def _find_history(self, place: InstanceKey) -> InstanceHistory:
        instance = self._find(place)
        version = (*place[:2], instance.campaign_version)
        if version not in self._versions:  # of a newer book than this batch has seen
            self._versions[version] = await self._ledger.read_quest(version)
        return InstanceHistory(self._versions[version], instance)

    async def _reverse_instance(
        self, pending: PendingReversal, place: InstanceKey, history: InstanceHistory, share: Fraction
    ) -> InstanceReversal | None:
        contributions = self._contributions[pending.original]
        lowering = lower(history, contributions[place], pending.original[1], share)
        if lowering is None:
            return None
        now = {each.step: each for each in lowering.lowered}
        contributions[place] = [now.get(each.step, each) for each in contributions[place]]
        self._lowered |= {(place, each.step, each.event_key): each.reversed for each in lowering.lowered}
        counted = recount(lowering)
        steps = await self._replay(place, history.quest, counted) if counted.replayed else counted.steps
        reversed_instances = close(place, lowering, steps)
        self._state.instances.put(place, reversed_instances.instance)
        return reversed_instances

    async def _replay(self, place: InstanceKey, quest: Quest, counted: Recount) -> tuple[StepState, ...]:
        steps, skipped = counted.steps, list_left_out(quest, self._tenants[place.tenant_id].time_zone)

        def take(page: Iterable[Contribution]) -> None:
            nonlocal steps
            left = [replace(c, reversed=self._lowered.get((place, c.step, c.event_key), c.reversed)) for c in page]
            steps = replay(quest, steps, left, skipped)

        await self._ledger.replay_contributions(place, sorted(counted.replayed), take)
        take([each for at, each in self._state.instances.met if at == place and each.step in counted.replayed])
        return steps
