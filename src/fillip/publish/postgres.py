"""The WAL of one database, by its replication slot; the snapshot that stands in when the slot is missing."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import date
from pathlib import Path
from struct import Struct as Layout
from typing import Any, LiteralString, Self, cast

import psycopg
from msgspec import Struct
from psycopg import generators, pq, sql
from psycopg.abc import Query
from psycopg.errors import DuplicateObject, ObjectInUse, UndefinedObject

from fillip.core.errors import Crash, Retry
from fillip.core.limit import CounterKey
from fillip.publish.announce import Wal
from fillip.publish.pgoutput import EPOCH_OFFSET_US, Column, Relation, Row

ANNOUNCED = (
    "book_change", "decision", "incentive", "incentive_change", "inbox", "rejection", "quest_instance",
    "wallet_transfer", "wallet_part", "limit_counter", "level_change",
)  # fmt: skip
"""Tables of a snapshot, in this order; each has a file snapshot_TABLE.sql."""

PIECE_ROWS, PIECE_BYTES = 2_000, 2 * 1024 * 1024
"""About what is held at once, of the WAL and of a snapshot; in bytes at most one row more."""

FIRST_FETCH = 50
SILENT_FOR_S = 15.0
"""The server answers every report: one that says nothing for so long is gone."""

SESSION: dict[str, Any] = {
    "prepare_threshold": None,
    "options": "-c DateStyle=ISO -c TimeZone=UTC -c bytea_output=hex -c wal_sender_timeout=10s",
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "fillip-publish",
}
_WAL_START = _WAL_END = Layout(">Q").unpack_from  # of a keepalive
_REPORT = Layout(">cQQQqB").pack
_HEADER_BYTES = 25
_KEEPALIVE = b"k"[0]


class Identity(Struct, frozen=True):
    """Which history of which server: LSNs compare only within one."""

    system_id: str
    timeline: int


class Slot(Struct, frozen=True):
    """A replication slot; `lost`: the server has thrown away WAL that it still needed; `taken`: somebody reads it.

    `lag_bytes` of WAL are behind it; after `room_bytes` more it would be lost (None: never).
    """

    name: str
    confirmed_lsn: int
    lost: bool = False
    taken: bool = False
    lag_bytes: int = 0
    room_bytes: int | None = None


class SlotTaken(Retry):
    """Another publisher reads the slot, or is about to make it."""


class Snapshot:
    """The database as it was at `lsn`; what is committed later comes by the slot that `keep` leaves."""

    def __init__(
        self, lsn: int, slot: str, temporary: str, reader: psycopg.AsyncConnection[Any],
        maker: psycopg.AsyncConnection[Any],
    ) -> None:  # fmt: skip
        self.lsn = lsn
        self._slot, self._temporary, self._reader, self._maker = slot, temporary, reader, maker

    async def read(self, table: str) -> AsyncIterator[list[Row]]:
        """All rows of one of ANNOUNCED, in pieces. Raises Retry."""
        statement = sql.SQL("DECLARE rows NO SCROLL CURSOR FOR {}").format(sql.SQL(_load_sql(f"snapshot_{table}")))
        with _retryable():
            await self._reader.execute(statement)
            count = FIRST_FETCH
            while rows := await self._fetch(table, count):
                self._maker.pgconn.consume_input()  # the server ends it when the slot is lost: the rest would be for nothing
                yield rows
                count = choose_fetch(rows, count)
            await self._reader.execute("CLOSE rows")

    async def _fetch(self, table: str, count: int) -> list[Row]:
        cursor = await self._reader.execute(sql.SQL("FETCH {} FROM rows").format(count))
        columns = tuple(Column(column.name, column.type_code) for column in cursor.description or ())
        relation, found = Relation(table, columns), cast("pq.abc.PGresult", cursor.pgresult)
        width = range(found.nfields)
        rows = range(found.ntuples)
        return [Row(relation, "r", [found.get_value(row, at) for at in width], complete=True) for row in rows]

    async def keep(self) -> Slot:
        """Leave the lasting slot, at this snapshot: call when all of it is announced. Raises Retry."""
        with _retryable():
            await self._reader.commit()
            await self._reader.execute(_load_sql("keep_slot"), {"temporary": self._temporary, "slot": self._slot})
        return Slot(self._slot, self.lsn)


class Link:
    """A replication connection. All methods raise Retry when the server is away or busy."""

    def __init__(self, dsn: str, connection: psycopg.AsyncConnection[Any], database: str, identity: Identity) -> None:
        self._dsn, self._connection, self._slot = dsn, connection, f"fillip_{database}"
        self.identity, self.database = identity, database
        self.report_wanted = False
        self._silent_since: float | None = None
        self._awake = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls, dsn: str) -> AsyncIterator[Self]:
        """Connect as a role with REPLICATION."""
        async with AsyncExitStack() as stack:
            with _retryable():
                connection = await stack.enter_async_context(connect(dsn, {**SESSION, "replication": "database"}))
                system_id, timeline, _, database = await _ask(connection, "IDENTIFY_SYSTEM")
            yield cls(dsn, connection, database, Identity(system_id, int(timeline)))

    async def find_slot(self) -> Slot | None:
        """The slot `fillip_<database>`, None when there is none."""
        async with _connect(self._dsn) as reader:
            return await _find_slot(reader)

    async def drop_slot(self, slot: Slot) -> None:
        """Remove a slot that is of no use any more."""
        async with _connect(self._dsn) as reader:
            await reader.execute(_load_sql("drop_slot"), {"slot": slot.name})

    @asynccontextmanager
    async def take_snapshot(self) -> AsyncIterator[Snapshot]:
        """Open a snapshot together with the place in the WAL where it was taken: one publisher at a time.

        The slot is temporary until `keep`: a crash in between leaves none, and the next start begins anew. Raises SlotTaken
        where another publisher is at it.
        """
        temporary = f"{self._slot}_snapshot"
        create = sql.SQL("CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')")
        with _retryable():
            _, lsn, name, _ = await _ask(self._connection, create.format(sql.Identifier(temporary)))
        try:
            async with _connect(self._dsn) as reader:
                await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                await reader.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(name))
                high, low = (int(half, 16) for half in lsn.split("/"))
                yield Snapshot(high << 32 | low, self._slot, temporary, reader, self._connection)
        finally:
            with suppress(Retry), _retryable():  # it ends with the connection at the latest
                drop = sql.SQL("DROP_REPLICATION_SLOT {}").format(sql.Identifier(temporary))
                await self._connection.execute(drop)

    async def start(self, slot: Slot, *, streaming: bool = False) -> None:
        """Begin to read, from the slot's confirmed position on; with `streaming` large transactions before their commit."""
        command = sql.SQL(
            "START_REPLICATION SLOT {} LOGICAL 0/0 "
            "(proto_version '2', publication_names 'fillip', messages 'true', streaming {})"
        ).format(sql.Identifier(slot.name), sql.Literal("on" if streaming else "off"))
        with _retryable():
            self._connection.pgconn.send_query(command.as_bytes())
            (result,) = await self._connection.wait(generators.execute(self._connection.pgconn))
            if result.status != pq.ExecStatus.COPY_BOTH:
                raise psycopg.errors.error_from_result(result)

    async def read(self) -> list[Wal]:
        """What has arrived, as soon as something has, at most about 2,000 messages; empty after `wake`."""
        loop = asyncio.get_running_loop()
        if not (wal := self._drain()):
            with _retryable():
                socket = self._connection.pgconn.socket
            self._silent_since = self._silent_since or time.monotonic()
            loop.add_reader(socket, self.wake)
            try:
                await self._awake.wait()
            finally:
                loop.remove_reader(socket)
            wal = self._drain()
        self._awake.clear()
        return wal

    def wake(self) -> None:
        """Let a waiting `read` return."""
        self._awake.set()

    def report(self, confirmed_lsn: int) -> None:
        """Confirm all WAL up to here, and ask for a sign of life. Raises Retry when there was none for long."""
        if self._silent_since is not None and time.monotonic() - self._silent_since > SILENT_FOR_S:
            raise Retry(f"PostgreSQL has not answered the WAL reader for {SILENT_FOR_S:.0f} s")
        now_us = time.time_ns() // 1000 - EPOCH_OFFSET_US
        with _retryable():
            self._connection.pgconn.put_copy_data(_REPORT(b"r", confirmed_lsn, confirmed_lsn, confirmed_lsn, now_us, 1))
            self._connection.pgconn.flush()
        self.report_wanted = False

    def _drain(self) -> list[Wal]:
        wal: list[Wal] = []
        room = PIECE_BYTES
        with _retryable():
            while len(wal) < PIECE_ROWS and room > 0:
                self._connection.pgconn.consume_input()
                before = len(wal)
                room = self._take_messages(wal, room)
                if len(wal) == before:
                    break
        if wal:
            self._silent_since = None  # nor while nobody waits for it
        return wal

    def _take_messages(self, wal: list[Wal], room: int) -> int:
        """Take what has arrived, up to `room` bytes; how much room is left."""
        fetch = self._connection.pgconn.get_copy_data
        while room > 0:
            size, data = fetch(1)
            if size == 0:
                break
            if size < 0:
                raise Retry("PostgreSQL has ended the WAL stream: it is stopping, or the slot was taken away")
            room -= size
            if data[0] == _KEEPALIVE:
                self.report_wanted = self.report_wanted or data[17] == 1
                wal.append((_WAL_END(data, 1)[0], b""))
            else:
                wal.append((_WAL_START(data, 1)[0], bytes(data[_HEADER_BYTES:])))
        return room


async def watch_slot(dsn: str, every_s: float) -> AsyncGenerator[Slot | None, None]:
    """How the slot stands, every so often; None where there is none. Raises Retry."""
    async with _connect(dsn) as reader:
        while True:
            yield await _find_slot(reader)
            await asyncio.sleep(every_s)


async def _find_slot(reader: psycopg.AsyncConnection[Any]) -> Slot | None:
    found = await (await reader.execute(_load_sql("find_slot"))).fetchone()
    if found is None:
        return None
    name, confirmed_lsn, lost, taken, lag_bytes, room_bytes = found
    return Slot(name, int(confirmed_lsn or 0), bool(lost), bool(taken), int(lag_bytes), room_bytes)


class PostgresCounters:
    """The limit counters as they are stored now."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def list_tenants(self) -> set[str]:
        """Every tenant. Raises Retry."""
        async with _connect(self._dsn) as reader:
            return {row[0] for row in await (await reader.execute("SELECT tenant_id FROM tenant")).fetchall()}

    async def read(self, tenants: Collection[str]) -> AsyncGenerator[dict[CounterKey, tuple[int, int]], None]:
        """(used, version) of the counters of these tenants that an event may still meet, in pieces. Raises Retry."""
        declare = sql.SQL('DECLARE "counters" CURSOR FOR {}').format(sql.SQL(_load_sql("read_counters")))
        fetch = sql.SQL('FETCH FORWARD {} FROM "counters"').format(PIECE_ROWS)
        async with _connect(self._dsn) as reader, reader.transaction():
            # Not psycopg's cursor, which stays open where its closing is cancelled; the transaction ends this one.
            await reader.execute(declare, {"tenants": list(tenants)})
            while rows := await (await reader.execute(fetch)).fetchall():
                yield {
                    CounterKey(tenant, limit, user, key, date.fromisoformat(day)): (used, version)
                    for tenant, limit, user, key, day, used, version in rows
                }


async def emit_heartbeats(dsn: str, every_s: float) -> None:
    """Write a heartbeat into the WAL every so often, until cancelled. Raises Retry."""
    async with _connect(dsn) as connection:
        while True:
            await connection.execute(_load_sql("emit_heartbeat"))
            await asyncio.sleep(every_s)


def choose_fetch(rows: Sequence[Row], count: int) -> int:
    """How many rows to fetch next, so that a piece has about half of PIECE_BYTES."""
    size = sum(len(value) for row in rows for value in row.values if isinstance(value, bytes))
    return max(1, min(PIECE_ROWS, 2 * count, count * (PIECE_BYTES // 2) // max(1, size)))


@asynccontextmanager
async def _connect(dsn: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    with _retryable():
        async with connect(dsn) as reader:
            yield reader


@asynccontextmanager
async def connect(dsn: str, session: dict[str, Any] = SESSION) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection without a transaction, closed at the end however often that is cancelled. Raises psycopg.Error.

    psycopg's own `async with` rolls back first, and leaves the connection open where that is cancelled.
    """
    connection = await _log_in(dsn, session)
    try:
        yield connection
    finally:
        await connection.close()


async def _log_in(dsn: str, session: dict[str, Any]) -> psycopg.AsyncConnection[Any]:
    connecting = asyncio.ensure_future(psycopg.AsyncConnection.connect(dsn, autocommit=True, **session))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        connecting.add_done_callback(_finish)  # a half-made one would hold up the server for a minute
        raise


def _finish(connecting: asyncio.Future[psycopg.AsyncConnection[Any]]) -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().pgconn.finish()


@contextmanager
def _retryable() -> Iterator[None]:
    try:
        yield
    except (DuplicateObject, ObjectInUse) as error:
        raise SlotTaken(f"another publisher has the slot: {error}") from error
    except UndefinedObject as error:
        raise Retry(f"the slot was dropped at the same time: {error}") from error
    except (psycopg.ProgrammingError, psycopg.NotSupportedError) as error:
        raise Crash(f"PostgreSQL refuses the WAL reader, is the database migrated? {error}") from error
    except psycopg.Error as error:
        raise Retry(f"PostgreSQL is away or busy: {error}") from error


async def _ask(connection: psycopg.AsyncConnection[Any], query: Query) -> tuple[Any, ...]:
    """The one row of an answer that always has one."""
    return cast("tuple[Any, ...]", await (await connection.execute(query)).fetchone())


def _load_sql(name: str) -> LiteralString:
    text: Any = Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
    return text  # type: ignore[no-any-return]  # written by us, as good as a literal
