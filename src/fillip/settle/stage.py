"""The one stage of settle: one fenced transaction a batch, in the one lock order of all writers.

A batch with reversals is cut into pieces, each a transaction of its own.

Order: offsets, events, limits, quests, user counters, wallet, inbox, coupons, shared counters; sorted within each. What
is decided in between is pure (fillip.core.settlement).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.event import Event, Rejection, fingerprint
from fillip.core.instance import Contribution, Instance
from fillip.core.limit import Counter, CounterKey
from fillip.core.match import Match
from fillip.core.questing import InstanceKey, QuestKey, Quests, Wanted, list_wanted
from fillip.core.room import BadgeKey, PoolKey, Room, count_codes, list_badges
from fillip.core.settlement import (
    Claim,
    Settled,
    UserKey,
    decide,
    list_claims,
    refuse_early,
)
from fillip.core.wallet import Wallet, WalletKey
from fillip.settle.pieces import Piece, cut, isolate
from fillip.settle.reversal import Original, Reversals, Reversed, ask, reverse
from fillip.settle.wallet.posting import list_wallets, post_points
from fillip.stream.belt import Batch

EventKey = tuple[str, str]
"""(tenant, event id)"""


class Pin(Struct, frozen=True, order=True):
    """From `from_offset` of a partition on, a tenant's events were decided under this version of its book."""

    tenant_id: str
    topic: str
    partition: int
    from_offset: int
    book_version: int


class Recorded(Struct, frozen=True):
    """Fingerprints of events that were recorded `before`, and those for which a reversal has been waiting."""

    before: Mapping[EventKey, bytes]
    awaited: Collection[EventKey] = ()


class Outcome(Struct, frozen=True):
    """All that one batch leaves behind."""

    settled: Sequence[Settled]
    counters: Mapping[CounterKey, tuple[Counter, int, bool]]  # moved ones, the limit's cap, whether the row is new
    heads: Mapping[UserKey, tuple[int, bool]]  # moved ones: last number, and whether the row is new
    instances: Mapping[InstanceKey, Instance]
    met: Sequence[tuple[InstanceKey, Contribution]] = ()
    wallets: Collection[Wallet] = ()
    rejections: Sequence[Rejection] = ()
    pins: Sequence[Pin] = ()


class LedgerTransaction(Protocol):
    """One open transaction of the ledger, whose methods are called in the order in which they stand."""

    async def fence(self, batch: Batch, tenant_ids: Collection[str]) -> None:
        """Move the stored offsets from the batch's starts to its ends. Raises Fenced unless all stood at the starts."""

    async def record_events(self, events: Sequence[Event], prints: Sequence[bytes]) -> Recorded:
        """Store events; what of them was there before."""

    async def share_limits(self, limits: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], int]:
        """Caps of (tenant, limit), kept from changing until the end."""

    async def read_counters(self, counters: Collection[CounterKey]) -> dict[CounterKey, Counter]:
        """Counters as they stand, without a lock; a missing one is at 0."""

    async def lock_instances(self, wanted: Wanted) -> Mapping[QuestKey, Sequence[Instance]]:
        """The instances that may matter, by themselves until the end."""

    async def lock_counters(self, counters: Sequence[CounterKey]) -> dict[CounterKey, Counter]:
        """Counters by themselves until the end; a missing one is at 0."""

    async def lock_wallets(self, keys: Sequence[WalletKey]) -> dict[WalletKey, Wallet]:
        """Wallets by themselves until the end, without their lots; a missing one is fresh."""

    async def lock_heads(self, users: Sequence[UserKey]) -> dict[UserKey, int]:
        """Last inbox number of each user that has one."""

    async def read_badges(self, badges: Sequence[BadgeKey]) -> Collection[BadgeKey]:
        """Those that are held already; stays so while the inboxes of their users are locked."""

    async def lock_codes(self, wanted: Mapping[PoolKey, int]) -> Mapping[PoolKey, Sequence[str]]:
        """That many free codes of each pool, by themselves until the end; fewer only where there are no more."""

    async def write(self, batch: Batch, outcome: Outcome) -> None:
        """Store the outcome. Raises Retry when another writer made one of its rows first."""

    @property
    def reversals(self) -> Reversals:
        """What reversals read and write in this transaction."""
        ...


class Ledger(Protocol):
    """The ledger of PostgreSQL."""

    def open(self) -> AbstractAsyncContextManager[LedgerTransaction]:
        """A transaction that commits at the end and rolls back on any error. Raises Retry when the server is away."""
        ...


Report = Callable[[Sequence[Settled], Sequence[Rejection], int, Sequence[Reversed]], None]
"""Told after each commit: decisions, rejections, the number of duplicates, and reversals."""


class _Awaited(Exception):
    """Reversals wait for `events` of a piece: it is rolled back, and settled in parts."""

    def __init__(self, events: Collection[EventKey]) -> None:
        super().__init__(events)
        self.events = events


class Settle:
    """Commit of the walk: everything a batch decides, and its offsets, or nothing of it."""

    def __init__(self, ledger: Ledger, report: Report) -> None:
        """`report` counts what was committed."""
        self._ledger = ledger
        self._report = report
        self._pinned: dict[tuple[str, int, str], int] = {}

    async def __call__(self, batch: Batch, items: Sequence[Match | Rejection]) -> None:
        """Raises Fenced when the batch was settled before or by another, Retry when PostgreSQL is away.

        Without reversals it is one transaction; with them one a piece, and what was settled before an error stays.
        """
        for piece in cut(batch, items):
            await (self._reverse if piece.reversing else self._settle)(piece)

    async def _settle(self, piece: Piece) -> None:
        try:
            await self._settle_at_once(piece)
        except _Awaited as found:
            for part in isolate(piece, found.events):
                await self._settle(part)

    async def _settle_at_once(self, piece: Piece) -> None:
        batch, matches, rejections = piece.batch, piece.matches, piece.rejections
        pins = self._list_pins(batch, matches)
        async with self._ledger.open() as ledger:
            await ledger.fence(batch, piece.tenants)
            fresh, conflicts, awaited = await _drop_duplicates(ledger, matches)
            if awaited and not piece.isolated and len(matches) > 1:
                raise _Awaited(awaited)
            settled, outcome = await _settle(ledger, fresh)
            rejections += conflicts
            await ledger.write(batch, replace(outcome, rejections=rejections, pins=pins))
            reversed_ = await _reverse_awaited(ledger, fresh, awaited) if awaited else []
        self._pinned.update({(p.topic, p.partition, p.tenant_id): p.book_version for p in pins})
        self._report(settled, rejections, len(matches) - len(fresh) - len(conflicts), reversed_)

    async def _reverse(self, piece: Piece) -> None:
        batch, matches, rejections = piece.batch, piece.matches, piece.rejections
        async with self._ledger.open() as ledger:
            await ledger.fence(batch, piece.tenants)
            fresh, conflicts, awaited = await _drop_duplicates(ledger, matches)
            rejections += conflicts
            asked = [ask(match.event) for match in fresh]
            originals = await ledger.reversals.meet_originals(asked) if asked else {}
            reversed_ = await reverse(ledger.reversals, ledger, asked, originals)
            reversed_ += await _reverse_awaited(ledger, fresh, awaited) if awaited else []
            await ledger.write(batch, Outcome((), {}, {}, {}, rejections=rejections))
        self._report((), rejections, len(matches) - len(fresh) - len(conflicts), reversed_)

    def _list_pins(self, batch: Batch, matches: Sequence[Match]) -> list[Pin]:
        """Where this batch switches a partition to another version of a tenant's book."""
        starts = {(span.topic, span.partition): span.start for span in batch.spans}
        pins = {}
        for match in matches:
            place, book = match.event.place, match.event.book
            key = (place.topic, place.partition, match.event.tenant_id)
            if self._pinned.get(key) != book.version:
                start = starts[place.topic, place.partition]
                pins[key] = Pin(match.event.tenant_id, place.topic, place.partition, start, book.version)
        return sorted(pins.values())


async def _reverse_awaited(
    ledger: LedgerTransaction, fresh: Sequence[Match], awaited: Collection[EventKey]
) -> list[Reversed]:
    """Apply the reversals that came before their originals; what the originals earned is locked already."""
    events = [match.event for match in fresh]
    known = {(e.tenant_id, e.event_id): Original(e.user_id, e.action) for e in events}
    return await reverse(ledger.reversals, ledger, await ledger.reversals.find_waiting(sorted(awaited)), known)


async def _drop_duplicates(
    ledger: LedgerTransaction, matches: Sequence[Match]
) -> tuple[list[Match], list[Rejection], Collection[EventKey]]:
    """Matches of events never seen before, rejections for ids that come again with another body, and which of the
    events a reversal has been waiting for.
    """
    first: dict[EventKey, tuple[Match, bytes]] = {}
    again: list[tuple[Match, bytes]] = []
    for match in matches:
        said = fingerprint(match.event)
        key = (match.event.tenant_id, match.event.event_id)
        if key in first:
            again.append((match, said))
        else:
            first[key] = (match, said)
    ordered = sorted(first)
    recorded = (
        await ledger.record_events([first[k][0].event for k in ordered], [first[k][1] for k in ordered])
        if first
        else Recorded({})
    )
    known = recorded.before
    conflicts = [_reject(m) for k, (m, said) in first.items() if k in known and known[k] != said]
    stored = {key: known.get(key, said) for key, (_, said) in first.items()}
    conflicts += [_reject(m) for m, said in again if stored[m.event.tenant_id, m.event.event_id] != said]
    return [match for key, (match, _) in first.items() if key not in known], conflicts, recorded.awaited


def _reject(match: Match) -> Rejection:
    event = match.event
    return Rejection(
        event.place,
        "conflicting_duplicate",
        f"event id {event.event_id!r} was used before with another body; give each event an id of its own",
        event.original,
        event.received_at,
        event.tenant_id,
        event.event_id,
    )


async def _settle(ledger: LedgerTransaction, matches: Sequence[Match]) -> tuple[list[Settled], Outcome]:
    touched = {touch.counter for match in matches for touch in match.touches}
    limits = sorted({(counter.tenant_id, counter.limit_id) for counter in touched})
    caps = await ledger.share_limits(limits) if limits else {}
    wanted = list_wanted(matches)
    quests = Quests(await ledger.lock_instances(wanted) if wanted.quests else {})
    claims = list_claims(matches, quests)
    hinted = {t.counter for claim in claims for t in claim.touches if t.counter in claim.match.full}
    seen = await ledger.read_counters(hinted) if hinted else {}
    weighed = [(claim, refuse_early(claim, caps, seen) if seen else None) for claim in claims]
    counters, wallets, heads, room = await _lock(ledger, [claim for claim, refused in weighed if not refused])
    before, heads_before = dict(counters), dict(heads)
    settled = list(decide(weighed, counters, caps, heads, room, quests, datetime.now(UTC)))
    post_points(settled, wallets)
    return settled, Outcome(
        settled,
        {k: (c, caps[k.tenant_id, k.limit_id], not before[k].version) for k, c in counters.items() if c != before[k]},
        {u: (n, u not in heads_before) for u, n in heads.items() if n != heads_before.get(u)},
        quests.changed,
        quests.met,
        wallets.values(),
    )


async def _lock(
    ledger: LedgerTransaction, claims: Sequence[Claim]
) -> tuple[dict[CounterKey, Counter], dict[WalletKey, Wallet], dict[UserKey, int], Room]:
    """User counters, wallets, inbox heads, codes, then the shared counters last: they are hot, so held shortest."""
    touched = sorted({touch.counter for claim in claims for touch in claim.touches})
    own = [counter for counter in touched if counter.user_id]
    shared = [counter for counter in touched if not counter.user_id]
    counters = await ledger.lock_counters(own) if own else {}
    keys = list_wallets(claims)
    wallets = await ledger.lock_wallets(keys) if keys else {}
    users = sorted({claim.user for claim in claims})
    heads = await ledger.lock_heads(users) if users else {}
    wanted = [claim.wanted for claim in claims]
    badges, codes = sorted(list_badges(wanted)), count_codes(wanted)
    held = await ledger.read_badges(badges) if badges else ()
    room = Room(await ledger.lock_codes(codes) if codes else {}, held)
    if shared:
        counters |= await ledger.lock_counters(shared)
    return counters, wallets, heads, room
