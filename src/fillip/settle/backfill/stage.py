"""Settles a portion of the past for one campaign: one transaction, in the lock order of all writers.

The row of the backfill stands where live batches have their offsets; then limits, events, and all that a batch locks. Whether an
event is this campaign's to decide is asked of the ledger under the event's own lock: live batches take the same one.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from fillip.core.backfill import BackfillOrder, BackfillResult, PassedOver
from fillip.core.backtest.past import Mark
from fillip.core.book.version import CampaignVersion
from fillip.core.event import Event, fingerprint
from fillip.core.ledger.conflict import EarlierGrant, Winners, stand_among
from fillip.core.ledger.settlement import GrantRequest
from fillip.core.match.candidate import Match
from fillip.settle.stage import LedgerTransaction, settle_matches
from fillip.stream.belt import Batch


class Portion(Struct, frozen=True):
    """Some events behind those that are `done`, up to `mark`: what of them meets the campaign, and what is passed over by now.

    `others` are the campaigns in force, by which conflicts with what was granted before are settled.
    """

    done: int
    events: int
    mark: Mark
    matches: Sequence[Match]
    passed_over: Mapping[PassedOver, int]
    others: Mapping[str, CampaignVersion]


class Told(Struct, frozen=True):
    """Of a portion: which events are the campaign's to decide, and why the others are not."""

    events: Collection[UUID]
    passed_over: Mapping[PassedOver, int]


class PastTransaction(LedgerTransaction, Protocol):
    """One open transaction, whose methods are called in the order in which they stand, `settle_matches` before the last two."""

    async def fence_past(self, order: BackfillOrder, done: int) -> BackfillResult:
        """Lock the backfill and its tenant's limits; what it came to so far. Raises Fenced unless it is this run's, and there."""

    async def take_past(self, order: BackfillOrder, events: Sequence[Event], prints: Sequence[bytes]) -> Told:
        """Store and lock the events, and note which of them this campaign decides now."""

    async def read_grants(self, order: BackfillOrder, events: Collection[UUID]) -> Mapping[UUID, Mapping[str, int]]:
        """What other campaigns were granted for these events: the value by campaign."""

    async def keep_past(self, order: BackfillOrder, portion: Portion, result: BackfillResult) -> None:
        """Move the mark, and store what it came to."""


class PastLedger(Protocol):
    """The ledger of PostgreSQL."""

    def open(self) -> AbstractAsyncContextManager[PastTransaction]:
        """A transaction that commits at the end and rolls back on any error. Raises Retry when the server is away."""
        ...


class SettlePast:
    """Commit of one portion: all that it decides, and how far the backfill is, or nothing of it."""

    def __init__(self, ledger: PastLedger, order: BackfillOrder) -> None:
        self._ledger = ledger
        self._order = order

    async def __call__(self, portion: Portion) -> None:
        """Raises Fenced when it is another's meanwhile, Retry when PostgreSQL is away or busy."""
        async with self._ledger.open() as ledger:
            before = await ledger.fence_past(self._order, portion.done)
            events = [match.event for match in portion.matches]
            told = Told((), {})
            if events:
                told = await ledger.take_past(self._order, events, [fingerprint(event) for event in events])
            matches = [match for match in portion.matches if match.event.key in told.events]
            outcome = None
            if matches:
                granted = await ledger.read_grants(self._order, told.events)
                outcome = await settle_matches(ledger, matches, _Standing(granted, portion.others).open_winners)
                await ledger.write(Batch((), (), datetime.now(UTC)), outcome)
            passed_over = Counter(portion.passed_over) + Counter(told.passed_over)
            result = before.add(len(matches), outcome.settled if outcome else (), passed_over)
            await ledger.keep_past(self._order, portion, result)


class _Standing:
    """Who has won an event before: others who were granted for it and rank before the campaign. They keep what they have."""

    def __init__(self, granted: Mapping[UUID, Mapping[str, int]], others: Mapping[str, CampaignVersion]) -> None:
        self._granted = granted
        self._others = others

    def open_winners(self, request: GrantRequest) -> Winners:
        """Before the first request of an event."""
        granted = self._granted.get(request.match.event.key, {})
        earlier = [
            EarlierGrant(self._others[name], (value,)) for name, value in granted.items() if name in self._others
        ]
        return stand_among(request, earlier)[0]
