"""The one stage of settle: one fenced transaction a batch, in the one lock order of all writers.

Order: offsets, limits, events, quests, user counters, wallet, inbox, coupons, shared counters; sorted within each. What
is decided in between is pure (fillip.core.ledger.settlement). A batch with reversals first locks all that any of its events may
need; then each event and each reversal is decided in its turn, as they stand in the log, and all is written at once.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Protocol

from msgspec import Struct
from msgspec.structs import asdict, replace

from fillip.core.errors import Fenced
from fillip.core.event import REVERSAL, Event, Rejection, fingerprint
from fillip.core.ledger.conflict import Winners
from fillip.core.ledger.points import WalletKey
from fillip.core.ledger.reversal import CounterCredit
from fillip.core.ledger.settlement import (
    GrantRequest,
    Settled,
    UserKey,
    decide,
    list_all_requests,
    list_requests,
    refuse_early,
)
from fillip.core.ledger.stock import BadgeKey, PoolKey, Stock, count_codes, list_badges
from fillip.core.ledger.wallet import Wallet
from fillip.core.limit import Counter, CounterKey, Frame
from fillip.core.match.candidate import Match
from fillip.core.quest.batch import InstanceBatch, InstanceKey, InstancesToLock, QuestKey, list_instances_to_lock
from fillip.core.quest.instance import Contribution, Instance
from fillip.settle.locks import LockedRows, RowsToLock
from fillip.settle.pace import cut_evenly, take_all
from fillip.settle.pins import Pin, Pins
from fillip.settle.reversal import (
    BatchState,
    EventKey,
    RecordedEvent,
    ReversalBatch,
    ReversalContext,
    Reversals,
    SettledReversal,
    look_up,
    note_short,
    read_pending_reversal,
)
from fillip.settle.rows import CounterRow, InboxHeadRow, PartRow
from fillip.settle.waiting import CampaignKey, Handovers, WaitingRow, put_off
from fillip.settle.wallet.posting import Terms, list_wallets, post_in_turn, post_points
from fillip.stream.belt import Batch

POSTED_AT_ONCE = 500  # decisions; some milliseconds

NOTHING = ReversalContext()


class Recorded(Struct, frozen=True):
    """Fingerprints of events that were recorded `before`, those for which a reversal has been waiting, and the originals
    of this batch's reversals that were recorded before.
    """

    before: Mapping[EventKey, bytes]
    awaited: Collection[EventKey] = ()
    originals: Mapping[EventKey, RecordedEvent] = {}


class Outcome(Struct, frozen=True):
    """All that one batch leaves behind."""

    settled: Sequence[Settled]
    counters: Sequence[CounterRow]  # those that moved, as the heads
    inbox_heads: Sequence[InboxHeadRow]
    instances: Mapping[InstanceKey, Instance]
    met: Sequence[tuple[InstanceKey, Contribution]] = ()
    fresh: Collection[InstanceKey] = ()  # instances that were missing under the lock
    wallets: Collection[Wallet] = ()
    rejections: Sequence[Rejection] = ()
    pins: Sequence[Pin] = ()
    waiting: Sequence[WaitingRow] = ()
    reversed: Sequence[SettledReversal] = ()
    parts: Sequence[PartRow] = ()  # of rolling counters, those that moved


class LedgerTransaction(Protocol):
    """One open transaction of the ledger, whose methods are called in the order in which they stand."""

    async def stay(self) -> None:
        """Let others run, and the server know that we are still there: it ends a session that is silent under locks.

        May be called at any time.
        """

    async def fence(self, batch: Batch, tenant_ids: Collection[str]) -> None:
        """Move the stored offsets from the batch's starts to its ends, and lock the tenants' limits until commit or rollback.

        Raises Fenced unless all offsets stood at the starts.
        """

    async def has_merged(self, events: Iterable[Event]) -> bool:
        """Whether the user of one of these events was merged into another; that stays so until commit or rollback."""

    async def find_backfilling(self, campaigns: Collection[CampaignKey]) -> Collection[CampaignKey]:
        """Of these campaigns, those whose events wait for their backfill; that stays so until commit or rollback."""

    async def record_events(
        self, events: Sequence[Event], prints: Sequence[bytes], originals: Mapping[EventKey, Event]
    ) -> Recorded:
        """Store events, and lock the originals of reversals, each with the first that names it; what was there before.

        Where an original is not known yet, it leaves a row that it will find.
        """

    async def share_limits(self, limits: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], int]:
        """Caps of (tenant, limit), which do not change until commit or rollback."""

    async def read_counters(self, counters: Collection[CounterKey]) -> dict[CounterKey, Counter]:
        """Counters as they stand, without a lock; a missing one is at 0."""

    async def lock_instances(self, wanted: InstancesToLock) -> Mapping[QuestKey, Sequence[Instance]]:
        """The instances that may matter, locked until commit or rollback."""

    async def count_open(self, quests: Mapping[QuestKey, datetime]) -> Mapping[QuestKey, int]:
        """How many instances of each are open that end no earlier than the instant given, at most MAX_OPEN; no lock."""

    async def lock_rows(self, wanted: RowsToLock) -> LockedRows:
        """Counters of users, wallets, inboxes and shared counters, locked in this order until commit or rollback; with them the caps of limits,
        see `share_limits`.
        """

    async def lock_counters(self, counters: Sequence[CounterKey]) -> dict[CounterKey, Counter]:
        """Counters, locked until commit or rollback; a missing one is at 0."""

    async def read_badges(self, badges: Sequence[BadgeKey]) -> Collection[BadgeKey]:
        """Badges already held; stable while the users' inboxes are locked."""

    async def lock_codes(self, wanted: Mapping[PoolKey, int]) -> Mapping[PoolKey, Sequence[str]]:
        """That many free codes of each pool, locked until commit or rollback; fewer only where there are no more."""

    async def know_parts(self, counters: MutableMapping[CounterKey, Counter], frames: Collection[Frame]) -> None:
        """Add to counters, which are locked, what they have used when: of all parts of these frames."""

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


Report = Callable[[Sequence[Settled], Sequence[Rejection], int, Sequence[SettledReversal]], None]
"""Told after each commit: decisions, rejections, the number of duplicates, and reversals."""


class Settle:
    """Commit of the walk: everything a batch decides, and its offsets, or nothing of it."""

    def __init__(self, ledger: Ledger, report: Report) -> None:
        """`report` counts what was committed."""
        self._ledger = ledger
        self._report = report
        self._pins = Pins()
        self._handovers = Handovers()

    async def __call__(self, batch: Batch, items: Sequence[Match | Rejection]) -> None:
        """Raises Fenced when the batch was settled before or by another, Retry when PostgreSQL is away."""
        seen = [item for item in items if isinstance(item, Match)]
        matches = [match for match in seen if match.candidates or match.event.action == REVERSAL]
        rejections = [item for item in items if isinstance(item, Rejection)]
        pins = self._pins.list_new(batch, [match for match in seen if match.event.action != REVERSAL])
        tenants = {m.event.tenant_id for m in matches} | {r.tenant_id for r in rejections if r.tenant_id}
        tenants |= {pin.tenant_id for pin in pins}
        asked = self._handovers.list_asked(matches)
        async with self._ledger.open() as ledger:
            await ledger.fence(batch, tenants)
            if await ledger.has_merged(match.event for match in matches):
                raise Fenced("a user of the batch was merged into another after it was taken")
            backfilling = await ledger.find_backfilling(asked) if asked else ()
            self._handovers.keep(asked, backfilling)
            new, conflicts, recorded = await _drop_duplicates(ledger, matches)
            fresh, waiting = put_off(new, backfilling)
            in_turn = recorded.awaited or any(match.event.action == REVERSAL for match in fresh)
            outcome = await (_settle_in_turn(ledger, fresh, recorded) if in_turn else settle_matches(ledger, fresh))
            rejections += conflicts
            await ledger.write(batch, replace(outcome, rejections=rejections, pins=pins, waiting=waiting))
        self._pins.keep(batch, pins)
        duplicates = len(matches) - len(fresh) - len(conflicts)
        self._report(outcome.settled, rejections, duplicates, outcome.reversed)


async def _drop_duplicates(
    ledger: LedgerTransaction, matches: Sequence[Match]
) -> tuple[list[Match], list[Rejection], Recorded]:
    """Matches of events never seen before, rejections for ids that come again with another body, and what was recorded."""
    first: dict[EventKey, tuple[Match, bytes]] = {}
    again: list[tuple[Match, bytes]] = []
    for match in matches:
        said = fingerprint(match.event)
        key = (match.event.tenant_id, match.event.key)
        if key in first:
            again.append((match, said))
        else:
            first[key] = (match, said)
    ordered = sorted(first)
    events, prints = [first[key][0].event for key in ordered], [first[key][1] for key in ordered]
    reversals = [match.event for match, _ in first.values() if match.event.action == REVERSAL]
    originals = {read_pending_reversal(event).original: event for event in reversed(reversals)}
    recorded = await ledger.record_events(events, prints, originals) if first else Recorded({})
    known = recorded.before
    conflicts = [_reject(m) for k, (m, said) in first.items() if k in known and known[k] != said]
    stored = {key: known.get(key, said) for key, (_, said) in first.items()}
    conflicts += [_reject(m) for m, said in again if stored[m.event.tenant_id, m.event.key] != said]
    return [match for key, (match, _) in first.items() if key not in known], conflicts, recorded


def _reject(match: Match) -> Rejection:
    event = match.event
    return Rejection(
        place=event.place,
        reason="conflicting_duplicate",
        detail=f"event id {event.event_id!r} of source {event.source[:100]!r} was used before with another body; "
        "give each event of a source an id of its own",
        original=event.original,
        received_at=event.received_at,
        tenant_id=event.tenant_id,
        event_id=event.event_id,
        event_source=event.source,
    )


async def settle_matches(
    ledger: LedgerTransaction,
    matches: Sequence[Match],
    open_winners: Callable[[GrantRequest], Winners] = lambda _: Winners(),
) -> Outcome:
    """Lock what these events need, of whom none was decided before, and decide them in order; `open_winners` as in decide()."""
    charged = {charge.counter for match in matches for charge in match.charges}
    limits = sorted({(counter.tenant_id, counter.limit_id) for counter in charged})
    instances = await _lock_instances(ledger, matches)
    requests = await take_all(list_requests(matches, instances), ledger.stay)
    hinted = {t.counter for request in requests for t in request.charges if t.counter in request.match.full}
    caps = await ledger.share_limits(limits) if hinted else {}
    seen = await ledger.read_counters(hinted) if hinted else {}
    weighing = (((request, refuse_early(request, caps, seen) if seen else None),) for request in requests)
    weighed = await take_all(weighing, ledger.stay)
    taken = [request for request, refused in weighed if not refused]
    locked = await _lock(ledger, taken, limits=[] if caps else limits)
    caps = caps or locked.caps
    counters, inbox_heads = dict(locked.counters), dict(locked.inbox_heads)
    decided = decide(weighed, counters, caps, inbox_heads, locked.stock, instances, datetime.now(UTC), open_winners)
    settled = await take_all(((each,) for each in decided), ledger.stay)
    for some in cut_evenly(settled, POSTED_AT_ONCE):
        post_points(some, locked.wallets)
        await ledger.stay()
    return _sum_up(settled, locked, counters, inbox_heads, caps, instances)


async def _settle_in_turn(ledger: LedgerTransaction, fresh: Sequence[Match], recorded: Recorded) -> Outcome:
    """Grants and reversals, each on what those before it in the log have left."""
    found = await look_up(ledger.reversals, [match.event for match in fresh], recorded.awaited)
    requests = list_all_requests(fresh)
    charged = {charge.counter for request in requests for charge in request.charges}
    limits = sorted({(counter.tenant_id, counter.limit_id) for counter in charged} | found.limits)
    limit_terms = await ledger.reversals.share_limit_terms(limits) if limits else {}
    caps = {limit: terms.cap for limit, terms in limit_terms.items()}
    instances = await _lock_instances(ledger, fresh)
    locked = await _lock(ledger, requests, found=found, credits_=found.list_credits(limit_terms))
    counters, inbox_heads = dict(locked.counters), dict(locked.inbox_heads)
    reversal_batch = ReversalBatch(
        ledger.reversals,
        found,
        recorded.originals,
        BatchState(counters, limit_terms, inbox_heads, locked.stock, instances),
    )
    settled: list[Settled] = []
    for match in fresh:
        if match.event.action == REVERSAL:
            await reversal_batch.reverse(match.event)
        weighed = [(request, None) for request in await take_all(list_requests([match], instances), ledger.stay)]
        decided = decide(weighed, counters, caps, inbox_heads, locked.stock, instances, datetime.now(UTC))
        some = await take_all(((each,) for each in decided), ledger.stay)
        await reversal_batch.record(match, some)
        settled += some
    wallet_terms = Terms()
    for takings, latest in reversal_batch.takings:
        wallet_terms |= await ledger.reversals.prepare_wallets(locked.wallets, takings, latest)
    short = post_in_turn(reversal_batch.postings, locked.wallets, wallet_terms)
    outcome = _sum_up(settled, locked, counters, inbox_heads, caps, instances)
    return replace(outcome, reversed=note_short(reversal_batch.reversed, short))


async def _lock_instances(ledger: LedgerTransaction, matches: Sequence[Match]) -> InstanceBatch:
    wanted = list_instances_to_lock(matches)
    instances = InstanceBatch(await ledger.lock_instances(wanted) if wanted.quests else {})
    if growing := instances.list_growing(wanted):
        instances.count(await ledger.count_open(growing))
    return instances


class _Locked(Struct, frozen=True):
    """Rows as they were found, locked until commit or rollback; `wallets` and `stock` are changed in place."""

    counters: Mapping[CounterKey, Counter]
    wallets: Mapping[WalletKey, Wallet]
    inbox_heads: Mapping[UserKey, int]
    stock: Stock
    caps: Mapping[tuple[str, str], int]


def _sum_up(
    settled: Sequence[Settled],
    before: _Locked,
    counters: Mapping[CounterKey, Counter],
    inbox_heads: Mapping[UserKey, int],
    caps: Mapping[tuple[str, str], int],
    instances: InstanceBatch,
) -> Outcome:
    found, heads = before.counters, before.inbox_heads
    return Outcome(
        settled=settled,
        counters=[
            CounterRow(
                **asdict(key),
                used=counter.used,
                cap=caps[key.tenant_id, key.limit_id],
                version=counter.version,
                fresh=not found[key].version,
            )
            for key, counter in counters.items()
            if counter != found[key]
        ],
        parts=[
            PartRow(**asdict(key), part=part, used=used)
            for key, counter in counters.items()
            if counter.parts
            for part, used in counter.parts.changed.items()
        ],
        inbox_heads=[
            InboxHeadRow(tenant_id=user[0], user_id=user[1], last_seq=last, fresh=user not in heads)
            for user, last in inbox_heads.items()
            if last != heads.get(user)
        ],
        instances=instances.changed,
        met=instances.met,
        fresh=instances.fresh,
        wallets=before.wallets.values(),
    )


async def _lock(
    ledger: LedgerTransaction,
    requests: Sequence[GrantRequest],
    *,
    limits: Sequence[tuple[str, str]] = (),
    found: ReversalContext = NOTHING,
    credits_: Sequence[CounterCredit] = (),
) -> _Locked:
    """User counters, wallets, inbox heads, codes, then the shared counters last: they are hot, so held shortest.

    What is barred or in shadow takes nothing of them. `limits` are those whose caps are still to be read.
    """
    requests = [request for request in requests if not request.takes_nothing]
    charges = [charge for request in requests for charge in request.charges]
    frames = {frame for charge in charges for frame in charge.frames}
    frames |= {Frame(each.counter, each.part, each.part) for each in credits_ if each.part is not None}
    charged = sorted({each.counter for each in charges} | {each.counter for each in credits_})
    own = [counter for counter in charged if counter.user_id]
    shared = [counter for counter in charged if not counter.user_id]
    users = sorted({request.user for request in requests} | found.users)
    wanted = await take_all(((request.wanted,) for request in requests), ledger.stay)
    badges, codes = sorted(list_badges(wanted)), count_codes(wanted)
    last = shared if badges or codes else []  # stock is locked before what is shared
    keys = sorted({*list_wallets(requests), *found.wallets})
    pending = RowsToLock(own=own, wallets=keys, users=users, shared=[] if last else shared, limits=limits)
    rows = await ledger.lock_rows(pending) if users or keys or charged or limits else LockedRows()
    held = await ledger.read_badges(badges) if badges else ()
    stock = Stock(await ledger.lock_codes(codes) if codes else {}, held)
    counters = {**rows.counters, **(await ledger.lock_counters(last) if last else {})}
    if frames:
        await ledger.know_parts(counters, frames)
    return _Locked(counters, rows.wallets, rows.inbox_heads, stock, rows.caps)
