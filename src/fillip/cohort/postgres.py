"""Rules, tallies and positions in PostgreSQL, as role fillip_cohort."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import asyncpg
import structlog
from msgspec import Struct, json

from fillip.cohort.stage import Counted, LiveRule, RuleBook
from fillip.core.errors import Busy, Fenced, Retry
from fillip.core.rule import compile_rule
from fillip.core.tally import CohortRule, Tally, unpack_tally
from fillip.rows.columns import list_columns, to_columns
from fillip.rows.transient_postgres import TRANSIENT_ERRORS
from fillip.stream.belt import Batch, Position

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Key: TypeAlias = tuple[str, UUID, str]
"""Tenant, rule and user."""
MERGED_AT_ONCE = 20
"""Tallies of some hundred terms that are added to before others get their turn: some milliseconds."""
OF_A_TENANT, IN_ALL = 1_000, 5_000
"""Users who leave, or are forgotten, in one transaction."""

LEADS = 6_402_018_301_077_423
"""The advisory lock of the process that leads: any number that nobody else takes."""
LOOK_EVERY_S, ANSWER_WITHIN_S = 1.0, 5.0

SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
_BUSY = (asyncpg.TransactionRollbackError, asyncpg.QueryCanceledError, asyncpg.IdleInTransactionSessionTimeoutError)
log = structlog.get_logger()


class TallyRow(Struct, frozen=True):
    """A tally as it is to be stored; the fields are in the order of the statements."""

    tenant_id: str
    rule_id: UUID
    user_id: str
    terms: bytes
    is_member: bool
    leaves_at: datetime | None
    forget_at: datetime | None
    received_at: datetime


class PostgresRules:
    """CohortRules: which there are is asked for each batch, each is read and compiled once."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._known: dict[str, dict[tuple[UUID, datetime], LiveRule | None]] = {}

    async def read(self, tenant_ids: Collection[str]) -> RuleBook:
        """See CohortRules."""
        asked = list(tenant_ids)
        async with _reach(self._pool, ()) as connection:
            found: dict[str, set[tuple[UUID, datetime]]] = {tenant_id: set() for tenant_id in asked}
            for row in await connection.fetch(SQL["list_rules"], asked):
                found[row["tenant_id"]].add((row["rule_id"], row["saved_at"]))
            new = [rule_id for t, rules in found.items() for rule_id, at in rules - self._known.get(t, {}).keys()]
            rows = await connection.fetch(SQL["read_rules"], asked, new) if new else []
        for tenant_id, rules in found.items():
            kept = self._known.get(tenant_id, {})
            self._known[tenant_id] = {key: kept[key] for key in rules if key in kept}
        for row in rows:
            self._known[row["tenant_id"]][row["rule_id"], row["saved_at"]] = _read_rule(row)
            await asyncio.sleep(0)  # compiling takes 0.3 ms
        book: dict[tuple[str, str], list[LiveRule]] = {}
        for tenant_id in asked:
            for rule in filter(None, self._known[tenant_id].values()):
                book.setdefault((tenant_id, rule.definition.action), []).append(rule)
        return book


class PostgresTallies:
    """The tallies, and the stored positions of the belt."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def claim(self, topic: str, partition: int, first_offset: int, topic_id: str) -> Position:
        """See Positions. Of a log that is gone, or whose records are, it goes on with what there is: counting again adds nothing."""
        async with _reach(self._pool, ()) as connection:
            row = await connection.fetchrow(SQL["claim_position"], topic, partition, first_offset, topic_id)
        if row is None:
            raise Retry(f"the position of {topic}/{partition} was made or moved just now")
        if row["before"] is not None:
            place = {"topic": topic, "partition": partition, "stood_at": row["before"], "goes_on_at": first_offset}
            log.error("events for cohorts are gone from the log, or it was made anew", **place)
        return Position(row["next_offset"], 0, row["topic_id"])

    async def settle(self, batch: Batch, counted: Sequence[Counted]) -> None:
        """Add what a batch counts, and move its positions, both or none. Raises Fenced, Busy and Retry."""
        newest: dict[tuple[str, int], int] = {}
        for record in batch.records:
            place = record.topic, record.partition
            newest[place] = max(record.appended_at_ms, newest.get(place, 0))
        spans = [
            (s.topic, s.partition, s.start, s.end, _tell_instant(newest.get((s.topic, s.partition), 0)))
            for s in batch.spans
        ]
        async with _reach(self._pool, {each.rule.tenant_id for each in counted}) as connection:
            if await connection.fetchval(SQL["fence"], *to_columns(spans, 5)) != len(spans):
                raise Fenced("partitions of the batch were counted by another")
            await _add(connection, counted)

    async def add(self, counted: Sequence[Counted]) -> None:
        """Add what events count; what has been added before changes nothing. Raises Busy and Retry."""
        if counted:
            async with _reach(self._pool, {each.rule.tenant_id for each in counted}) as connection:
                await _add(connection, counted)

    async def list_tenants(self) -> list[str]:
        """The tenants that have rules. Raises Retry."""
        async with _reach(self._pool, ()) as connection:
            return [row["tenant_id"] for row in await connection.fetch(SQL["list_tenants"])]

    async def move_due(self, tenant_ids: Sequence[str]) -> int:
        """Let users leave whose window has ended, and forget those of whom nothing counts any more; how many. Raises Retry."""
        async with _reach(self._pool, tenant_ids) as connection:
            left: int = await connection.fetchval(SQL["leave"], tenant_ids, OF_A_TENANT, IN_ALL)
        async with _reach(self._pool, tenant_ids) as connection:
            forgotten: int = await connection.fetchval(SQL["forget"], tenant_ids, OF_A_TENANT, IN_ALL)
        return left + forgotten

    async def forget_left(self) -> int:
        """Remove some tallies of a rule that was left; how many. Raises Retry."""
        async with _reach(self._pool, ()) as connection:
            row = await connection.fetchrow(SQL["find_left"])
        if row is None:
            return 0
        tenant_id, rule_id = row
        async with _reach(self._pool, {tenant_id}) as connection:
            gone: int = await connection.fetchval(SQL["forget_left"], tenant_id, rule_id, OF_A_TENANT)
            if not gone:
                await connection.execute(SQL["finish_left"], tenant_id, rule_id)
        return gone

    async def find_unlisted(self, tenant_ids: Sequence[str]) -> list[tuple[str, str]]:
        """(tenant, cohort) of those whose list doesn't say yet who has joined or left. Raises Retry."""
        async with _reach(self._pool, tenant_ids) as connection:
            return [tuple(row) for row in await connection.fetch(SQL["find_unlisted"], tenant_ids)]

    async def find_building(self) -> list[tuple[str, str, UUID]]:
        """(tenant, cohort, rule) of those that are being built. Raises Retry."""
        async with _reach(self._pool, ()) as connection:
            return [tuple(row) for row in await connection.fetch(SQL["find_building"])]

    @asynccontextmanager
    async def lead(self) -> AsyncIterator["Lead"]:
        """Wait until no other process leads, and lead while the context is open. Raises Retry."""
        async with _hold(self._pool) as connection:
            while True:
                if await connection.fetchval("SELECT pg_try_advisory_lock($1)", LEADS):
                    break
                await asyncio.sleep(LOOK_EVERY_S)
            yield Lead(connection)

    async def note_ends(self, ends: Mapping[tuple[str, int], int], at: datetime) -> None:
        """Note which partitions are counted to the ends that the log had at an instant. Raises Retry."""
        columns = to_columns([(topic, partition, end) for (topic, partition), end in ends.items()], 3)
        async with _reach(self._pool, ()) as connection:
            await connection.execute(SQL["note_ends"], *columns, at)


class Lead:
    """The session that holds the lead."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def keep(self) -> None:
        """Ends by Retry when the session is lost, and the lead with it."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self._connection.execute("SELECT", timeout=ANSWER_WITHIN_S)
            except TRANSIENT_ERRORS as error:
                raise Retry(f"the lead is lost, PostgreSQL is away: {error}") from error


async def _add(connection: Connection, counted: Sequence[Counted]) -> None:
    """Add to the tallies, locked in the order of their keys. Raises Busy where another has made one of them just now."""
    of_user = attrgetter("rule.tenant_id", "rule.rule_id", "user_id")
    groups = {key: list(each) for key, each in groupby(sorted(counted, key=of_user), of_user)}
    if not groups:
        return
    rows = await connection.fetch(SQL["lock_tallies"], *to_columns(groups, 3))
    known: dict[Key, bytes] = {(row[0], row[1], row[2]): row[3] for row in rows}
    changed, made, at = list[TallyRow](), list[TallyRow](), datetime.now(UTC)
    for turn, (key, each) in enumerate(groups.items(), 1):
        if turn % MERGED_AT_ONCE == 0:
            await asyncio.sleep(0)
        before = unpack_tally(known[key]) if key in known else Tally()
        rule = each[0].rule.definition
        after = before.add((one.term for one in each), rule, at)
        if after == before:
            continue
        standing = after.stand(rule, at)
        row = TallyRow(
            *key, after.pack(), standing.is_member, standing.leaves_at, standing.forget_at, min(one.received_at for one in each)
        )  # fmt: skip
        (changed if key in known else made).append(row)
    if changed:
        await connection.execute(SQL["change_tallies"], *list_columns(TallyRow, changed))
    if made and await connection.fetchval(SQL["add_tallies"], *list_columns(TallyRow, made)) != len(made):
        raise Busy("a tally was made by another just now")


def _read_rule(row: asyncpg.Record) -> LiveRule | None:
    """None for one that can't be read: it counts nothing, and the others go on."""
    try:
        measured = row["sum_checked"]
        return LiveRule(
            row["tenant_id"],
            row["rule_id"],
            json.decode(row["definition"], type=CohortRule),
            compile_rule(row["rule_checked"]),
            compile_rule(measured) if measured is not None else None,
        )
    except Exception:
        log.exception("the rule of a cohort can't be read", tenant=row["tenant_id"], rule=str(row["rule_id"]))
        return None


def _tell_instant(unix_ms: int) -> datetime:
    """By the broker's clock; of a topic that producers put their own on, bounded to what PostgreSQL keeps."""
    return datetime.fromtimestamp(min(max(unix_ms, 0), 253_000_000_000_000) / 1000, UTC)


@asynccontextmanager
async def _reach(pool: asyncpg.Pool, tenant_ids: Collection[str]) -> AsyncIterator[Connection]:
    """A transaction that sees the tallies of these tenants. Raises Busy and Retry."""
    try:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('app.tenants', $1, true)", ",".join(sorted(tenant_ids)))
            yield connection
    except _BUSY as error:
        raise Busy(f"events were not counted: {type(error).__name__}: {error}") from error
    except (*TRANSIENT_ERRORS, asyncpg.ReadOnlySQLTransactionError) as error:
        raise Retry(f"cohorts can't be counted, PostgreSQL is away: {type(error).__name__}: {error}") from error


@asynccontextmanager
async def _hold(pool: asyncpg.Pool) -> AsyncIterator[Connection]:
    """A session for oneself. Raises Retry where there is none."""
    try:
        connection = await pool.acquire()
    except TRANSIENT_ERRORS as error:
        raise Retry(f"nobody can lead, PostgreSQL is away: {error}") from error
    try:
        yield connection
    except TRANSIENT_ERRORS as error:
        raise Retry(f"the lead is lost, PostgreSQL is away: {error}") from error
    finally:
        with suppress(*TRANSIENT_ERRORS):
            await pool.release(connection)
