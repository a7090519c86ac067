"""The ledger in PostgreSQL, as role fillip_worker."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import TypeVar

import asyncpg
from msgspec import Struct

from fillip.core.errors import Busy, Fenced, Retry
from fillip.core.event import Event
from fillip.core.ledger.settlement import Settled
from fillip.core.ledger.stock import BadgeKey, PoolKey
from fillip.core.limit import Counter, CounterKey, Frame
from fillip.core.quest.batch import InstancesToLock, QuestKey
from fillip.core.quest.instance import Instance
from fillip.rows.columns import list_columns, to_columns
from fillip.rows.limit.postgres import know_parts, lock_counters, read_counters
from fillip.settle.locks import LockedRows, RowsToLock
from fillip.settle.locks_postgres import lock_rows
from fillip.settle.pace import cut_evenly
from fillip.settle.pins import Pin
from fillip.settle.quest import PostgresQuests
from fillip.settle.reversal import EventKey, RecordedEvent
from fillip.settle.reversal.postgres import PostgresReversals
from fillip.settle.rows import (
    BadgeRow,
    CounterRow,
    EventRow,
    InboxHeadRow,
    PartRow,
    RejectionRow,
    list_decisions,
    list_incentives,
    write_awaited,
    write_badges,
    write_event,
    write_rejection,
)
from fillip.settle.stage import Outcome, Recorded
from fillip.settle.transient_postgres import BUSY, TRANSIENT_ERRORS
from fillip.settle.waiting import CampaignKey, WaitingRow
from fillip.settle.wallet import PostgresWallets
from fillip.stream.belt import Batch, Position

ANSWER_S = 2.0

HEARD_EVERY_S = 0.5
WRITTEN_AT_ONCE = 1_000  # decisions; with two rewards each some 30 ms of encoding

_Row = TypeVar("_Row", bound=Struct)

SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}


class PostgresLedger:
    """Ledger, and the stored positions of the belt."""

    def __init__(self, pool: asyncpg.Pool, owner: str) -> None:
        """`owner` names this process in consumer_position, for people who look at it."""
        self._pool = pool
        self._owner = owner

    @asynccontextmanager
    async def open(self) -> AsyncIterator["PostgresTransaction"]:
        """A transaction that commits at the end and rolls back on any error. Raises Retry when the server is away."""
        first: BaseException | None = None  # leaving a transaction whose connection is gone would hide it
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                try:
                    yield self._begin(connection)
                except BaseException as error:
                    first = error
                    raise
        except Exception as last:  # noqa: BLE001 - told apart there
            cause = first or last
            told = await self._explain(cause)
            raise told from (cause if told is not cause else cause.__cause__)

    def _begin(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> "PostgresTransaction":
        return PostgresTransaction(connection, self._owner)

    async def _explain(self, error: BaseException) -> BaseException:
        """What went wrong, as Retry where the batch may be tried again."""
        if isinstance(error, Retry):  # what is found out inside a transaction, the server has told
            return error if isinstance(error, Fenced | Busy) else Busy(str(error))
        if not isinstance(error, TRANSIENT_ERRORS):
            return error
        text = f"the batch was not settled: {type(error).__name__}: {error}"
        if isinstance(error, asyncpg.LockNotAvailableError):  # no record brings that about: none is set aside for it
            return Retry(text)
        if isinstance(error, BUSY):
            return Busy(text)
        if await self._answers(error):
            return Busy(
                f"{text} (the server is up: it cut the connection, as after 2 s without a statement, or by hand)"
            )
        return Retry(text)

    async def _answers(self, error: BaseException) -> bool:
        """Whether the server is there all the same: a connection that was cut may have been cut for this batch."""
        if isinstance(error, asyncpg.InsufficientResourcesError | asyncpg.ReadOnlySQLTransactionError):
            return False
        try:
            async with asyncio.timeout(ANSWER_S), self._pool.acquire() as connection:
                return bool(await connection.fetchval("SELECT true"))
        except TRANSIENT_ERRORS:
            return False

    async def claim(self, topic: str, partition: int, first_offset: int, topic_id: str) -> Position:
        """The stored position of a partition, made at `first_offset` where there is none. Raises Retry."""
        try:
            async with self._pool.acquire() as connection:
                stored = await connection.fetchrow(
                    SQL["claim_position"], topic, partition, first_offset, topic_id, self._owner
                )
        except TRANSIENT_ERRORS as error:
            raise Retry(f"the position of {topic}/{partition} can't be read: {error}") from error
        if stored is None:
            raise Retry(f"the position of {topic}/{partition} was made or moved just now")
        return Position(*stored)


class PostgresTransaction:
    """LedgerTransaction."""

    def __init__(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", owner: str) -> None:
        """`connection` is inside a transaction."""
        self._connection = connection
        self._owner = owner
        self._quests = PostgresQuests(connection)
        self._wallets = PostgresWallets(connection)
        self._heard_at = monotonic()
        self._merging: Collection[str] = ()

    async def stay(self) -> None:
        """Let others run, and show the server every half second that the session lives."""
        await asyncio.sleep(0)
        if monotonic() - self._heard_at > HEARD_EVERY_S:
            await self._connection.execute("SELECT")
            self._heard_at = monotonic()

    async def fence(self, batch: Batch, tenant_ids: Collection[str]) -> None:
        """Move the stored offsets, and lock the tenants' limits. Raises Fenced unless all offsets stood at the starts."""
        spans = [(span.topic, span.partition, span.start, span.end, span.generation) for span in batch.spans]
        moved = await self._connection.fetchval(
            SQL["fence"], *to_columns(spans, 5), self._owner, ",".join(sorted(tenant_ids))
        )
        if moved != len(spans):
            raise Fenced(f"{len(spans) - moved} of {len(spans)} partitions of the batch were settled by another")
        if tenant_ids:
            await self.share_tenants(tenant_ids)

    async def share_tenants(self, tenant_ids: Collection[str]) -> None:
        """Lock the limits of tenants, and keep their users unmerged, until commit or rollback."""
        merging = await self._connection.fetch(SQL["share_merged"], list(tenant_ids))
        self._merging = {tenant_id for (tenant_id,) in merging}

    async def has_merged(self, events: Iterable[Event]) -> bool:
        """See LedgerTransaction. Tenants that have merged nobody cost nothing."""
        users = sorted({(each.tenant_id, each.user_id) for each in events if each.tenant_id in self._merging})
        return bool(users and await self._connection.fetchval(SQL["find_merged"], *to_columns(users, 2)))

    async def find_backfilling(self, campaigns: Collection[CampaignKey]) -> Collection[CampaignKey]:
        """Of these campaigns, those whose events wait for their backfill, under the lock that `fence` has taken."""
        rows = await self._connection.fetch(SQL["find_backfilling"], *to_columns(campaigns, 2))
        return {(tenant, campaign) for tenant, campaign in rows}

    async def record_events(
        self, events: Sequence[Event], prints: Sequence[bytes], originals: Mapping[EventKey, Event]
    ) -> Recorded:
        """Store events, and lock the originals of reversals; what was there before."""
        rows = {(e.tenant_id, e.key): write_event(e, said) for e, said in zip(events, prints, strict=True)}
        awaited = {key: write_awaited(event) for key, event in originals.items() if key not in rows}
        columns = list_columns(EventRow, [row for _, row in sorted((rows | awaited).items())])
        stored = {(tenant, event) for tenant, event in await self._connection.fetch(SQL["record_events"], *columns)}
        known = [key for key in rows if key not in stored]
        met = sorted(originals.keys() - stored)
        if not known and not met:
            return Recorded({})
        before = await self._read_fingerprints(known)
        empty = [key for key in known if before[key] is None]
        locked = await self._lock_events({*met, *empty}) if met or empty else {}
        filled = set()
        if empty:
            columns = list_columns(EventRow, [rows[key] for key in empty])
            filled = {(tenant, event) for tenant, event in await self._connection.fetch(SQL["fill_events"], *columns)}
            before |= await self._read_fingerprints(empty)  # those that another has filled meanwhile
        here = {key: original for key, original in locked.items() if key in originals}
        return Recorded({key: said for key, said in before.items() if key not in filled}, filled, here)

    async def _lock_events(self, events: Collection[EventKey]) -> dict[EventKey, RecordedEvent]:
        """Those of these events that have come, all of them locked."""
        rows = await self._connection.fetch(SQL["lock_events"], *to_columns(sorted(events), 2))
        return {(tenant, event): RecordedEvent(*told) for tenant, event, *told, come in rows if come}

    async def _read_fingerprints(self, events: Collection[EventKey]) -> dict[EventKey, bytes]:
        found = await self._connection.fetch(SQL["read_fingerprints"], *to_columns(events, 2))
        return {(tenant, event): said for tenant, event, said in found}

    @property
    def reversals(self) -> PostgresReversals:
        """What reversals read and write in this transaction."""
        return PostgresReversals(self._connection)

    async def share_limits(self, limits: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], int]:
        """Caps of (tenant, limit), under the lock that `fence` has taken."""
        rows = await self._connection.fetch(SQL["share_limits"], *to_columns(limits, 2))
        return {(tenant, limit): cap for tenant, limit, cap in rows}

    async def read_counters(self, counters: Collection[CounterKey]) -> dict[CounterKey, Counter]:
        """Counters as they stand, without a lock; a missing one is at 0."""
        return await read_counters(self._connection, counters)

    async def lock_instances(self, wanted: InstancesToLock) -> Mapping[QuestKey, Sequence[Instance]]:
        """The instances that may matter, locked in the order of their keys."""
        return await self._quests.lock(wanted)

    async def count_open(self, quests: Mapping[QuestKey, datetime]) -> Mapping[QuestKey, int]:
        """How many instances of each are open that end no earlier than the instant given, at most MAX_OPEN; no lock."""
        return await self._quests.count_open(quests)

    async def lock_counters(self, counters: Sequence[CounterKey]) -> dict[CounterKey, Counter]:
        """Counters, locked in the order of their keys; a missing one is at 0."""
        return await lock_counters(self._connection, counters)

    async def know_parts(self, counters: MutableMapping[CounterKey, Counter], frames: Collection[Frame]) -> None:
        """See LedgerTransaction."""
        await know_parts(self._connection, counters, frames)

    async def lock_rows(self, wanted: RowsToLock) -> LockedRows:
        """See LedgerTransaction."""
        return await lock_rows(self._connection, wanted)

    async def read_badges(self, badges: Sequence[BadgeKey]) -> Collection[BadgeKey]:
        """Badges already held."""
        return [tuple(row) for row in await self._connection.fetch(SQL["read_badges"], *to_columns(badges, 3))]

    async def lock_codes(self, wanted: Mapping[PoolKey, int]) -> Mapping[PoolKey, Sequence[str]]:
        """That many free codes of each pool, locked; waits for other batches only where they may hold the last ones."""
        pending = [(*pool, count) for pool, count in sorted(wanted.items())]
        attempt = self._connection.transaction()
        await attempt.start()
        found = await self._fetch_codes("take_codes", pending)
        if all(len(found[pool]) == count for pool, count in wanted.items()):
            await attempt.commit()
            return found
        await attempt.rollback()  # what it has locked is given back: two batches that wait do so in one order
        return await self._fetch_codes("await_codes", pending)

    async def write(self, batch: Batch, outcome: Outcome) -> None:
        """Store the outcome, wide tables in one round trip. Raises Retry when another writer made one of its rows first."""
        await self._quests.write(outcome.instances, outcome.met, outcome.fresh)
        await self._wallets.write(outcome.wallets)
        if outcome.settled or outcome.reversed:
            await self._write_settled(batch, outcome)
        await self._write("write_parts", PartRow, outcome.parts)
        if outcome.reversed:
            await self.reversals.write(outcome.reversed)
        await self._write_given(outcome)
        logs = {(span.topic, span.partition): span.generation for span in batch.spans}
        rejections = [write_rejection(r, logs[r.place.topic, r.place.partition]) for r in outcome.rejections]
        await self._write("write_rejections", RejectionRow, rejections)
        await self._write("write_pins", Pin, outcome.pins)
        await self._write("write_waiting", WaitingRow, outcome.waiting)

    async def _write_settled(self, batch: Batch, outcome: Outcome) -> None:
        """Some decisions at a time: a statement's rows are encoded at once. Heads and counters are few, and go with the last."""
        *some, last = list(cut_evenly(outcome.settled, WRITTEN_AT_ONCE)) or [()]
        for settled in some:
            await self._write_decided(batch, settled, [], [])
            await self.stay()
        await self._write_decided(batch, last, outcome.inbox_heads, outcome.counters)

    async def _write_decided(
        self,
        batch: Batch,
        settled: Sequence[Settled],
        inbox_heads: Sequence[InboxHeadRow],
        counters: Sequence[CounterRow],
    ) -> None:
        columns = (
            *list_decisions(settled).values(),
            *list_incentives(settled, batch.taken_at).values(),
            *list_columns(InboxHeadRow, inbox_heads),
            *list_columns(CounterRow, counters),
        )
        written = await self._connection.fetchrow(SQL["write_settled"], *columns)
        if written is None or tuple(written) != (len(inbox_heads), len(counters)):
            raise Retry("another writer made an inbox or a counter of this batch first")

    async def _write_given(self, outcome: Outcome) -> None:
        """Codes and badges; a badge that was taken back in the same batch never comes on its shelf."""
        codes = [
            (settled.request.user[0], settled.codes[made.reward_index], made.incentive_id)
            for settled in outcome.settled
            for made in settled.incentives
            if made.reward_index in settled.codes
        ]
        if codes:
            await self._connection.executemany(SQL["write_coupons"], codes)
        gone = {taken.incentive_id for done in outcome.reversed for _, taken in done.taken if taken.whole}
        badges = [row for each in outcome.settled for row in write_badges(each) if row.incentive_id not in gone]
        await self._write("write_badges", BadgeRow, badges)

    async def _fetch_codes(self, name: str, pending: Sequence[tuple[str, str, int]]) -> dict[PoolKey, list[str]]:
        found: dict[PoolKey, list[str]] = {(tenant, pool): [] for tenant, pool, _ in pending}
        for tenant, pool, code in await self._connection.fetch(SQL[name], *to_columns(pending, 3)):
            found[tenant, pool].append(code)
        return found

    async def _write(self, name: str, row: type[_Row], rows: Sequence[_Row]) -> None:
        if rows:
            await self._connection.execute(SQL[name], *list_columns(row, rows))
