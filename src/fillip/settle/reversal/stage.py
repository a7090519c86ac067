"""What the reversals of a batch read and write in the ledger's transaction.

`look_up` locks what they need beyond the grants of their batch, in the one lock order: quests, then incentives (the
limits' lock came with the fence, see decision 0022; originals are locked with the batch's events). What is done with it
is decided in fillip.settle.reversal.batch.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import cached_property
from typing import Protocol
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.campaign.quest import Quest
from fillip.core.campaign.reward_kind import KINDS
from fillip.core.event import REVERSAL, Event
from fillip.core.identity import identify_event
from fillip.core.ledger.points import PointsToReverse, WalletKey
from fillip.core.ledger.reevaluation import DecidedBy, is_reevaluated
from fillip.core.ledger.reversal import (
    NOTHING_YET,
    WHOLE,
    CounterCredit,
    Grant,
    InboxUpdate,
    IncentiveReversal,
    LimitTerms,
    ReversalReason,
    ReversalRequest,
    ReversalState,
    ReversedSoFar,
    give_back,
    read_reversal,
)
from fillip.core.ledger.settlement import UserKey
from fillip.core.ledger.stock import BadgeKey
from fillip.core.ledger.wallet import Wallet
from fillip.core.quest.batch import InstanceKey
from fillip.core.quest.instance import Contribution
from fillip.core.quest.reversal import InstanceHistory, InstanceReversal
from fillip.settle.wallet import Terms

EventKey = tuple[str, UUID]
"""(tenant, key of the event)"""
Version = tuple[str, str, int]
"""(tenant, campaign, version)"""
Incentive = tuple[str, str, UUID]
"""(tenant, user, incentive)"""
ContributionsByInstance = dict[InstanceKey, list[Contribution]]
"""What one event gave to instances; one that it only opened has an empty list."""


class PendingReversal(Struct, frozen=True, dict=True):
    """A reversal that was asked for. `user_id` is whom it says that the original belongs to."""

    tenant_id: str
    source: str
    reversal_id: str
    user_id: str
    request: ReversalRequest
    occurred_at: datetime
    received_at: datetime

    @cached_property
    def key(self) -> UUID:
        """The reversal's own: it is an event too."""
        return identify_event(self.tenant_id, self.source, self.reversal_id)

    @cached_property
    def original(self) -> EventKey:
        """The event that it takes back."""
        return self.tenant_id, identify_event(self.tenant_id, self.original_source, self.request.event_id)

    @property
    def original_source(self) -> str:
        """Whose event it takes back: its own source's, where it names none."""
        return self.request.event_source or self.source


def read_pending_reversal(event: Event) -> PendingReversal:
    """What a reversal event asks for; ingest has read it before."""
    return PendingReversal(
        tenant_id=event.tenant_id,
        source=event.source,
        reversal_id=event.event_id,
        user_id=event.user_id,
        request=read_reversal(event.attributes),
        occurred_at=event.occurred_at,
        received_at=event.received_at,
    )


class RecordedEvent(Struct, frozen=True):
    """A recorded event."""

    user_id: str
    action: str
    occurred_at: datetime


class CounterCreditUse(Struct, frozen=True):
    """What a counter got back: the proof, in the form of a decision's use."""

    limit_id: str
    user_id: str
    key: str
    window_start: date
    version: int
    used_before: int
    amount: int


class SettledReversal(Struct, frozen=True):
    """A reversal with what came of it; `so_far` is what was taken back of its original by then."""

    pending: PendingReversal
    state: ReversalState
    reason: ReversalReason
    taken: Sequence[tuple[Grant, IncentiveReversal]] = ()
    given: Sequence[CounterCreditUse] = ()
    instances: Sequence[InstanceReversal] = ()
    told: Sequence[InboxUpdate] = ()
    so_far: ReversedSoFar | None = None


class InstanceHistories(Struct, frozen=True):
    """Quest instances by place, and what the events that are asked for gave to them."""

    histories: Mapping[InstanceKey, InstanceHistory] = {}
    contributions: Mapping[EventKey, ContributionsByInstance] = {}


class Reversals(Protocol):
    """The reversals' part of one open transaction of the ledger; its methods are called in the order they stand."""

    async def find_waiting(self, originals: Collection[EventKey]) -> Sequence[PendingReversal]:
        """The reversals that wait for these, in their order."""

    async def read_reversed_so_far(self, pending: Sequence[PendingReversal]) -> Mapping[EventKey, ReversedSoFar]:
        """What applied reversals have taken of the originals; of the lines those that are asked for."""

    async def lock_histories(self, originals: Sequence[EventKey]) -> InstanceHistories:
        """The quest instances that these events took part in, locked until commit or rollback."""

    async def find_grants(self, originals: Collection[EventKey]) -> Mapping[EventKey, Sequence[Grant]]:
        """What was granted for these, the incentives locked."""

    async def read_decided_by(self, grants: Sequence[tuple[str, Grant]]) -> Mapping[UUID, DecidedBy]:
        """By decision, what these (tenant, grant) were decided by."""

    async def share_limit_terms(self, limits: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], LimitTerms]:
        """(tenant, limit) → what it counts, which does not change until commit or rollback."""

    async def find_badges(self, incentives: Sequence[Incentive]) -> Mapping[UUID, BadgeKey]:
        """The badges that these incentives gave and that are held, and by what else their users hold the same: earned before they were merged."""

    async def read_quest(self, version: Version) -> Quest:
        """The quest of a campaign at a version."""

    async def replay_contributions(
        self, place: InstanceKey, steps: Sequence[str], take: Callable[[Sequence[Contribution]], None]
    ) -> None:
        """All that events gave to these steps of an instance, in order, a page at a time."""

    async def prepare_wallets(
        self, wallets: Mapping[WalletKey, Wallet], takings: Sequence[PointsToReverse], at: datetime
    ) -> Terms:
        """Add the lots that these takings, `at` this time at the latest, need to their locked wallets; what else they go by."""

    async def write(self, reversed_: Sequence[SettledReversal]) -> None:
        """Store what was done, when the batch's grants, counters and instances are stored, and tell the users."""


class ReversalContext(Struct, frozen=True):
    """What was read for the reversals of a batch, all of it locked."""

    pending: Sequence[PendingReversal] = ()
    waiting: Sequence[PendingReversal] = ()
    so_far: Mapping[EventKey, ReversedSoFar] = {}
    instances: InstanceHistories = InstanceHistories()
    grants: Mapping[EventKey, Sequence[Grant]] = {}
    badges_by_incentive: Mapping[UUID, BadgeKey] = {}
    decided_by: Mapping[UUID, DecidedBy] = {}

    @property
    def limits(self) -> set[tuple[str, str]]:
        """(tenant, limit) of all that may be given back to."""
        return {(key[0], use.limit_id) for key, grant in self._grants() for use in grant.uses}

    @property
    def users(self) -> set[UserKey]:
        """Whose inboxes may be told."""
        return {(key[0], grant.user_id) for key, grant in self._grants()}

    @property
    def wallets(self) -> set[WalletKey]:
        """From which points may be taken."""
        return {
            (key[0], grant.user_id, currency)
            for key, grant in self._grants()
            for incentive in grant.incentives
            if (currency := KINDS[incentive.kind].find_wallet(incentive.currency))
        }

    def list_credits(self, limit_terms: Mapping[tuple[str, str], LimitTerms]) -> list[CounterCredit]:
        """All that may be given back at most."""
        return [
            returned
            for key, grant in self._grants()
            for returned in give_back(key[0], grant, terms_of(key[0], limit_terms), NOTHING_YET, WHOLE)
        ]

    def _grants(self) -> Iterator[tuple[EventKey, Grant]]:
        return ((key, grant) for key, some in self.grants.items() for grant in some)


async def look_up(ledger: Reversals, events: Iterable[Event], awaited: Collection[EventKey]) -> ReversalContext:
    """Find and lock what the reversals among these events need, and those that were waiting for `awaited` of them."""
    pending = [read_pending_reversal(event) for event in events if event.action == REVERSAL]
    waiting = await ledger.find_waiting(sorted(awaited)) if awaited else ()
    everyone = [*pending, *waiting]
    originals = sorted({each.original for each in everyone})
    so_far = await ledger.read_reversed_so_far(everyone)
    instances = await ledger.lock_histories(originals)
    completing = {
        (place.tenant_id, history.instance.completed_by)
        for place, history in instances.histories.items()
        if history.instance.completed_by
    }
    grants = await ledger.find_grants(sorted({*originals, *completing}))
    asked = [(key[0], grant) for key, some in grants.items() for grant in some if is_reevaluated(grant)]
    decided_by = await ledger.read_decided_by(asked) if asked else {}
    badges = sorted(
        (key[0], grant.user_id, incentive.incentive_id)
        for key, some in grants.items()
        for grant in some
        for incentive in grant.incentives
        if "badge" in KINDS[incentive.kind].members
    )
    badges_by_incentive = await ledger.find_badges(badges) if badges else {}
    return ReversalContext(pending, waiting, so_far, instances, grants, badges_by_incentive, decided_by)


def note_short(reversed_: Sequence[SettledReversal], short: Mapping[tuple[UUID, UUID], int]) -> list[SettledReversal]:
    """The same once wallets have said what they could not pay back, by (reversal, incentive): what was taken of
    incentives, and what users are told of them, is what left the wallets.
    """
    missing: dict[UUID, int] = {}
    noted = []
    for done in reversed_:
        lacking = {each.incentive_id: short.get((done.pending.key, each.incentive_id), 0) for _, each in done.taken}
        missing |= {incentive_id: missing.get(incentive_id, 0) + amount for incentive_id, amount in lacking.items()}
        taken, told = [], []
        for grant, each in done.taken:
            lacks = lacking[each.incentive_id]
            taken.append((grant, replace(each, value=each.value - lacks, short=lacks)))
        for update in done.told:
            value = update.value - lacking[update.incentive_id]
            reversed_value = update.reversed_value - missing[update.incentive_id]
            told.append(replace(update, value=value, reversed_value=reversed_value))
        noted.append(replace(done, taken=taken, told=told))
    return noted


def terms_of(tenant_id: str, limit_terms: Mapping[tuple[str, str], LimitTerms]) -> dict[str, LimitTerms]:
    """Those of one tenant, by limit."""
    return {limit_id: terms for (owner, limit_id), terms in limit_terms.items() if owner == tenant_id}
