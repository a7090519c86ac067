"""Settles a portion of the past for one campaign: one transaction, in the lock order of all writers.

The row of the backfill stands where live batches have their offsets; then limits, events, and all that a batch locks. Whether an
event is this campaign's to decide is asked of the ledger under the event's own lock: live batches take the same one.

Of a quest, events that came after the launch wait until the past is over, and are settled in their order then; see
fillip.settle.waiting.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from fillip.core.backfill import BackfillOrder, BackfillResult, PassedOver
from fillip.core.backtest.past import Mark
from fillip.core.book.version import CampaignVersion
from fillip.core.errors import Busy
from fillip.core.event import Event, fingerprint
from fillip.core.ledger.conflict import EarlierGrant, Winners, stand_among
from fillip.core.ledger.settlement import GrantRequest
from fillip.core.match.candidate import Match
from fillip.http.history_query import HistoryEvent
from fillip.settle.stage import LedgerTransaction, Outcome, settle_matches
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


class WaitingEvent(Struct, frozen=True):
    """An event that waited until now, and why it is not to be decided, if so."""

    key: UUID
    event: HistoryEvent
    passed_over: PassedOver | None


class MetWaiting(Struct, frozen=True):
    """Events that waited as the campaign meets them now: None where the schema of now refuses it. `others` as in Portion."""

    events: Sequence[Event | None]
    matches: Sequence[Match]
    others: Mapping[str, CampaignVersion]


class Served(Struct, frozen=True):
    """How many events that waited had their turn, and whether workers decide from now on."""

    events: int
    is_handed_over: bool


class PastTransaction(LedgerTransaction, Protocol):
    """One open transaction, whose methods are called in the order in which they stand, `settle_matches` before the last ones."""

    async def fence_past(self, order: BackfillOrder, done: int, *, alone: bool = False) -> BackfillResult:
        """Lock the backfill and its tenant's limits, as batches do or `alone`; what it came to so far.

        Raises Fenced unless it is this run's, and there.
        """

    async def take_past(self, order: BackfillOrder, events: Sequence[Event], prints: Sequence[bytes]) -> Told:
        """Store and lock the events, and note which of them this campaign decides now."""

    async def hold_waiting(self, order: BackfillOrder, most: int) -> Sequence[WaitingEvent]:
        """The first events that wait, locked, in the order in which they came; without those that this run could not decide."""

    async def take_waiting(self, order: BackfillOrder, met: Sequence[UUID], gone: Sequence[UUID]) -> Collection[UUID]:
        """Note which of those that are `met` this campaign decides now; what is `gone` waits no more."""

    async def leave_waiting(self, order: BackfillOrder, events: Sequence[UUID]) -> None:
        """Let them wait for a later run."""

    async def read_grants(self, order: BackfillOrder, events: Collection[UUID]) -> Mapping[UUID, Mapping[str, int]]:
        """What other campaigns were granted for these events: the value by campaign."""

    async def keep_past(self, order: BackfillOrder, portion: Portion, result: BackfillResult) -> None:
        """Move the mark, and store what it came to."""

    async def keep_waiting(self, order: BackfillOrder, result: BackfillResult, *, is_handed_over: bool) -> None:
        """Store what it came to, and that workers decide from now on."""


class PastLedger(Protocol):
    """The ledger of PostgreSQL."""

    def open(self) -> AbstractAsyncContextManager[PastTransaction]:
        """A transaction that commits at the end and rolls back on any error. Raises Retry when the server is away."""
        ...


class SettlePast:
    """Commit of one portion, of the past or of what waits: all that it decides, and how far the backfill is, or nothing of it."""

    def __init__(self, ledger: PastLedger, order: BackfillOrder) -> None:
        self._ledger = ledger
        self._order = order

    async def __call__(self, portion: Portion) -> None:
        """Raises Fenced when it is another's meanwhile, Retry when PostgreSQL is away or busy."""
        async with self._ledger.open() as ledger:
            before = await ledger.fence_past(self._order, portion.done)
            events = [match.event for match in portion.matches]
            await _require_unmerged(ledger, events)
            told = Told((), {})
            if events:
                told = await ledger.take_past(self._order, events, [fingerprint(event) for event in events])
            matches = [match for match in portion.matches if match.event.key in told.events]
            outcome = await self._settle(ledger, matches, portion.others)
            passed_over = Counter(portion.passed_over) + Counter(told.passed_over)
            result = before.add(len(matches), outcome.settled, passed_over)
            await ledger.keep_past(self._order, portion, result)

    async def take_waiting(
        self, done: int, most: int, meet: Callable[[Sequence[HistoryEvent]], Awaitable[MetWaiting]], *, alone: bool
    ) -> Served:
        """Settle the first events that wait, when all `done` of the past are. `alone`: no batch of the tenant is settled meanwhile; so
        where fewer than `most` wait then, no more come, and workers decide from now on.

        They are met under their locks, which they have for no longer than a portion of the past. Raises as a portion does, and what
        `meet` raises.
        """
        async with self._ledger.open() as ledger:
            before = await ledger.fence_past(self._order, done, alone=alone)
            waiting = await ledger.hold_waiting(self._order, most)
            passed_over = Counter(each.passed_over for each in waiting if each.passed_over)
            mine = [each for each in waiting if each.passed_over is None]
            met = await meet([each.event for each in mine])
            await _require_unmerged(ledger, [match.event for match in met.matches])
            unreadable = {each.key for each, event in zip(mine, met.events, strict=True) if event is None}
            gone = [each.key for each in waiting if each.key not in unreadable]
            fresh = await ledger.take_waiting(self._order, [match.event.key for match in met.matches], gone)
            matches = [match for match in met.matches if match.event.key in fresh]
            passed_over["decided_before"] += len(met.matches) - len(matches)
            if unreadable:
                await ledger.leave_waiting(self._order, sorted(unreadable))
                passed_over["unreadable"] += len(unreadable)
            outcome = await self._settle(ledger, matches, met.others)
            taken = Served(len(waiting), alone and len(waiting) < most)
            result = before.add(len(matches), outcome.settled, passed_over)
            await ledger.keep_waiting(self._order, result, is_handed_over=taken.is_handed_over)
            return taken

    async def leave_first(self, done: int) -> None:
        """Let the first event that waits, which can't be decided, wait for a later run, so that those behind it have their turn."""
        async with self._ledger.open() as ledger:
            before = await ledger.fence_past(self._order, done)
            waiting = await ledger.hold_waiting(self._order, 1)
            await ledger.leave_waiting(self._order, [each.key for each in waiting])
            result = before.add(0, (), {"undecidable": len(waiting)})
            await ledger.keep_waiting(self._order, result, is_handed_over=False)

    async def _settle(
        self, ledger: PastTransaction, matches: Sequence[Match], others: Mapping[str, CampaignVersion]
    ) -> Outcome:
        if not matches:
            return Outcome((), (), (), {})
        granted = await ledger.read_grants(self._order, [match.event.key for match in matches])
        outcome = await settle_matches(ledger, matches, _Standing(granted, others).open_winners)
        await ledger.write(Batch((), (), datetime.now(UTC)), outcome)
        return outcome


async def _require_unmerged(ledger: PastTransaction, events: Sequence[Event]) -> None:
    """Raises Busy where a user was merged since the events were met: they are met anew then."""
    if await ledger.has_merged(events):
        raise Busy("a user of the past was merged into another just now")


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
