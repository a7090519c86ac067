"""PastLedger and what a backfill knows of itself, on PostgreSQL as role fillip_worker, held to its tenant."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias, cast
from uuid import UUID

import asyncpg
from msgspec import Struct, json

from fillip.core.backfill import BackfillOrder, BackfillResult, Bounds, PassedOver
from fillip.core.backtest.past import Mark
from fillip.core.erasure import is_erased
from fillip.core.errors import Fenced, Retry
from fillip.core.event import Event
from fillip.http.history_query import HistoryEvent
from fillip.rows.columns import list_columns, to_columns
from fillip.settle.backfill.stage import PastTransaction, Portion, Told, WaitingEvent
from fillip.settle.postgres import SQL as LEDGER_SQL
from fillip.settle.postgres import PostgresLedger, PostgresTransaction
from fillip.settle.rows import EventRow, write_event
from fillip.settle.transient_postgres import TRANSIENT_ERRORS

SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
_ENDS = json.Decoder(dict[int, int])
_RESULT = json.Decoder(BackfillResult)
_DATA = json.Decoder(dict[str, Any])
_Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


class Progress(Struct, frozen=True):
    """How far a backfill is: events done, and the mark of the last of them; `bounds` once they are found."""

    done: int
    mark: Mark | None
    bounds: Bounds | None


class PostgresBackfill(PostgresLedger):
    """PastLedger, of one backfill; `topic` is where events are received."""

    def __init__(self, pool: asyncpg.Pool, order: BackfillOrder, topic: str) -> None:
        super().__init__(pool, "backfill")
        self._order = order
        self._topic = topic

    def open(self) -> AbstractAsyncContextManager["PostgresPast"]:  # type: ignore[override]
        """See PastLedger."""
        return cast(AbstractAsyncContextManager[PostgresPast], super().open())

    def _begin(self, connection: _Connection) -> "PostgresPast":
        return PostgresPast(connection, self._owner, self._topic)

    async def read(self) -> Progress:
        """How far it is; finds its bounds where they can be told by now. Raises Fenced where it is another's, Retry."""
        order = self._order
        held = order.tenant_id, order.campaign_id, order.run_id
        async with self._within() as connection:
            row = await connection.fetchrow(SQL["read_backfill"], *held)
            if row and row["ends"] is None:
                launch = order.tenant_id, order.book_version, self._topic
                if (ends := await connection.fetchval(SQL["find_bounds"], *launch)) is not None:
                    await connection.execute(SQL["keep_bounds"], *held, ends)
                    row = await connection.fetchrow(SQL["read_backfill"], *held)
        if row is None:
            raise Fenced("the backfill is another's by now")
        place = row["mark_received_at"], row["mark_partition"], row["mark_offset"]
        bounds = None if row["ends"] is None else Bounds(_ENDS.decode(row["ends"]), row["until_at"])
        return Progress(row["events_done"], None if place[0] is None else Mark(*place), bounds)

    async def tell_events(self, events: int) -> None:
        """How many there are in all. Raises Retry."""
        order = self._order
        async with self._within() as connection:
            await connection.execute(SQL["tell_events"], order.tenant_id, order.campaign_id, order.run_id, events)

    @asynccontextmanager
    async def _within(self) -> AsyncIterator[_Connection]:
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT set_config('app.tenants', $1, true)", self._order.tenant_id)
                yield connection
        except TRANSIENT_ERRORS as error:
            raise Retry(f"PostgreSQL is away: {error}") from error


class PostgresPast(PostgresTransaction, PastTransaction):
    """PastTransaction."""

    def __init__(self, connection: _Connection, owner: str, topic: str) -> None:
        """`connection` is inside a transaction."""
        super().__init__(connection, owner)
        self._topic = topic

    async def fence_past(self, order: BackfillOrder, done: int, *, alone: bool = False) -> BackfillResult:
        """See PastTransaction."""
        await self._connection.execute("SELECT set_config('app.tenants', $1, true)", order.tenant_id)
        held = order.tenant_id, order.campaign_id, order.run_id
        result = await self._connection.fetchval(SQL["fence"], *held, done)
        if result is None:
            raise Fenced("the backfill is another's by now")
        if alone:
            await self._connection.execute(SQL["hold_alone"], order.tenant_id)
        await self.share_tenants([order.tenant_id])
        return _RESULT.decode(result)

    async def take_past(self, order: BackfillOrder, events: Sequence[Event], prints: Sequence[bytes]) -> Told:
        """See PastTransaction."""
        passed_over = Counter[PassedOver]()
        places = [(event.place.partition, event.place.offset, event.user_id) for event in events]
        columns = [list(column) for column in zip(*places, strict=True)]
        kept_out = await self._connection.fetch(SQL["find_kept_out"], order.tenant_id, *columns, self._topic)
        out = {row["place"] - 1: row["rejected"] for row in kept_out}
        passed_over.update("rejected" if rejected else "erased" for rejected in out.values())
        said = {e.key: (e, p) for n, (e, p) in enumerate(zip(events, prints, strict=True)) if n not in out}
        keys = sorted(said)
        rows = list_columns(EventRow, [write_event(*said[key]) for key in keys])
        recorded = {key for _, key in await self._connection.fetch(LEDGER_SQL["record_events"], *rows)}
        await self._lock(order, keys)
        mine = []
        waited = [events[n].key for n, rejected in out.items() if not rejected]  # whose user is being erased
        launch = order.book_version, self._topic, order.campaign_id
        for row in await self._connection.fetch(SQL["read_events"], order.tenant_id, keys, *launch):
            key = row["event_key"]
            if row["reversed"] or row["fingerprint"] is None:
                passed_over["reversed"] += 1
                waited += [key] if row["waits"] else []
            elif row["fingerprint"] != said[key][1]:
                passed_over["conflicting"] += 1
            elif row["waits"]:  # it came again: it has its turn where it came first
                waited.append(key)
                mine.append(key)
            elif row["decided_since"] and key not in recorded:
                passed_over["decided_before"] += 1  # by a worker: it came, or came again, after the launch
            else:
                mine.append(key)
        if waited:
            await self._connection.execute(SQL["drop_waiting"], order.tenant_id, order.campaign_id, waited)
        taken = await self._connection.fetch(
            SQL["take_events"], order.tenant_id, order.campaign_id, order.run, sorted(mine)
        )
        fresh = {row["event_key"] for row in taken}
        if len(fresh) < len(mine):
            passed_over["decided_before"] += len(mine) - len(fresh)
        return Told(fresh, passed_over)

    async def _lock(self, order: BackfillOrder, keys: Sequence[UUID]) -> None:
        """Lock events: what is read of them behind that has all that others did under their locks."""
        await self._connection.execute(LEDGER_SQL["lock_events"], [order.tenant_id] * len(keys), keys)

    async def hold_waiting(self, order: BackfillOrder, most: int) -> Sequence[WaitingEvent]:
        """See PastTransaction."""
        campaign = order.tenant_id, order.campaign_id
        found = await self._connection.fetch(SQL["find_waiting"], *campaign, order.run, most)
        if not found:
            return []
        numbers, keys = to_columns((tuple(row) for row in found), 2)
        await self._lock(order, sorted(row["event_key"] for row in found))
        rows = await self._connection.fetch(SQL["read_waiting"], order.tenant_id, numbers, keys)
        return [_read_waiting(row) for row in rows]

    async def take_waiting(self, order: BackfillOrder, met: Sequence[UUID], gone: Sequence[UUID]) -> Collection[UUID]:
        """See PastTransaction."""
        campaign = order.tenant_id, order.campaign_id
        taken = await self._connection.fetch(SQL["take_events"], *campaign, order.run, sorted(met))
        await self._connection.execute(SQL["drop_waiting"], *campaign, gone)
        return {row["event_key"] for row in taken}

    async def leave_waiting(self, order: BackfillOrder, events: Sequence[UUID]) -> None:
        """See PastTransaction."""
        campaign = order.tenant_id, order.campaign_id
        await self._connection.execute(SQL["leave_waiting"], *campaign, order.run, events)

    async def read_grants(self, order: BackfillOrder, events: Collection[UUID]) -> Mapping[UUID, Mapping[str, int]]:
        """See PastTransaction."""
        rows = await self._connection.fetch(SQL["read_grants"], order.tenant_id, order.campaign_id, sorted(events))
        granted: dict[UUID, dict[str, int]] = {}
        for row in rows:
            granted.setdefault(row["event_key"], {})[row["campaign_id"]] = row["value"]
        return granted

    async def keep_past(self, order: BackfillOrder, portion: Portion, result: BackfillResult) -> None:
        """See PastTransaction."""
        mark, done = portion.mark, portion.done + portion.events
        held = order.tenant_id, order.campaign_id, order.run_id
        place = mark.received_at, mark.partition, mark.log_offset
        await self._connection.execute(SQL["keep"], *held, done, *place, json.encode(result).decode())

    async def keep_waiting(self, order: BackfillOrder, result: BackfillResult, *, is_handed_over: bool) -> None:
        """See PastTransaction."""
        held = order.tenant_id, order.campaign_id, order.run_id
        await self._connection.execute(SQL["keep_waiting"], *held, json.encode(result).decode(), is_handed_over)


def _read_waiting(row: asyncpg.Record) -> WaitingEvent:
    event = HistoryEvent(
        source=row["event_source"],
        id=row["event_id"],
        user_id=row["user_id"],
        action=row["action"],
        occurred_at=row["occurred_at"],
        received_at=row["received_at"],
        partition=row["partition"],
        log_offset=row["log_offset"],
        data=_DATA.decode(row["attributes"]),
    )
    passed_over: PassedOver | None = "reversed" if row["reversed"] else None
    if row["erasing"] or is_erased(row["user_id"]):
        passed_over = "erased"
    return WaitingEvent(row["event_key"], event, passed_over)
