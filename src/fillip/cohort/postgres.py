"""Tallies and positions in PostgreSQL, as role fillip_cohort."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from fractions import Fraction
from itertools import groupby
from operator import attrgetter
from typing import TypeAlias
from uuid import UUID

import asyncpg
import structlog
from msgspec import Struct, json
from msgspec.structs import replace

from fillip.cohort.connection_postgres import SQL, Connection, hold, reach
from fillip.cohort.reversals_postgres import Due, find_due, forget_due, read_shares
from fillip.cohort.stage import SKIPPED, Counted, ReversalSeen
from fillip.core.errors import Busy, Fenced, Retry
from fillip.core.tally import CohortRule, Tally, Term, unpack_tally
from fillip.rows.columns import list_columns, to_columns
from fillip.rows.transient_postgres import TRANSIENT_ERRORS
from fillip.stream.belt import Batch, Position

Key: TypeAlias = tuple[str, UUID, str]
"""Tenant, rule and user."""
MERGED_AT_ONCE = 20
"""Tallies of some hundred terms that are added to before others get their turn: some milliseconds."""
OF_A_TENANT, IN_ALL = 1_000, 5_000
"""Users who leave, or are forgotten, in one transaction."""

LEADS = 6_402_018_301_077_423
"""The advisory lock of the process that leads: any number that nobody else takes."""
LOOK_EVERY_S, ANSWER_WITHIN_S = 1.0, 5.0

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


class Change(Struct, frozen=True):
    """What is added to a tally, and what share of its events is reversed by now, by the keys of terms."""

    key: Key
    rule: CohortRule
    terms: Sequence[Term]
    shares: Mapping[int, Fraction]
    received_at: datetime


class PostgresTallies:
    """The tallies, and the stored positions of the belt."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def claim(self, topic: str, partition: int, first_offset: int, topic_id: str) -> Position:
        """See Positions. Of a log that is gone, or whose records are, it goes on with what there is: counting again adds nothing."""
        async with reach(self._pool, ()) as connection:
            row = await connection.fetchrow(SQL["claim_position"], topic, partition, first_offset, topic_id)
        if row is None:
            raise Retry(f"the position of {topic}/{partition} was made or moved just now")
        if row["before"] is not None:
            place = {"topic": topic, "partition": partition, "stood_at": row["before"], "goes_on_at": first_offset}
            log.error("events for cohorts are gone from the log, or it was made anew", **place)
        return Position(row["next_offset"], 0, row["topic_id"])

    async def settle(self, batch: Batch, items: Sequence[Counted | ReversalSeen]) -> None:
        """Add what a batch counts, note its reversals, and move its positions, all or none. Raises Fenced, Busy and Retry."""
        counted = [item for item in items if isinstance(item, Counted)]
        reversals = [item for item in items if isinstance(item, ReversalSeen)]
        newest: dict[tuple[str, int], int] = {}
        for record in batch.records:
            place = record.topic, record.partition
            newest[place] = max(record.appended_at_ms, newest.get(place, 0))
        spans = [
            (s.topic, s.partition, s.start, s.end, _tell_instant(newest.get((s.topic, s.partition), 0)))
            for s in batch.spans
        ]
        async with reach(self._pool, {each.rule.tenant_id for each in counted}) as connection:
            if await connection.fetchval(SQL["fence"], *to_columns(spans, 5)) != len(spans):
                raise Fenced("partitions of the batch were counted by another")
            if reversals:
                await connection.execute(SQL["note_reversals"], *list_columns(ReversalSeen, reversals))
            await _add(connection, counted)

    async def add(self, counted: Sequence[Counted]) -> None:
        """Add what events count; what has been added before changes nothing. Raises Busy and Retry."""
        if counted:
            async with reach(self._pool, {each.rule.tenant_id for each in counted}) as connection:
                await _add(connection, counted)

    async def reverse(self) -> int:
        """Take what is reversed out of the tallies, as far as the ledger knows of it; how many reversals. Raises Busy and Retry."""
        async with reach(self._pool, ()) as connection:
            due = await find_due(connection)
        for _, each in groupby(due, attrgetter("tenant_id")):
            await self._reverse(list(each))
        return len(due)

    async def _reverse(self, due: Sequence[Due]) -> None:
        """Those of one tenant in one transaction; one by which none of its tallies can be changed is passed over."""
        tenant_id = due[0].tenant_id
        try:
            async with reach(self._pool, {tenant_id}) as connection:
                await connection.execute(SQL["hold_tallies"], tenant_id)
                await _take_out(connection, tenant_id, due)
                await forget_due(connection, due)
        except Retry:
            raise
        except Exception as error:
            if len(due) > 1:
                for each in due:
                    await self._reverse([each])
                return
            log.error("a reversal does not reach the cohorts", tenant=tenant_id, exc_info=error)
            SKIPPED.inc()
            async with reach(self._pool, {tenant_id}) as connection:
                await forget_due(connection, due)

    async def list_tenants(self) -> list[str]:
        """The tenants that have rules. Raises Retry."""
        async with reach(self._pool, ()) as connection:
            return [row["tenant_id"] for row in await connection.fetch(SQL["list_tenants"])]

    async def move_due(self, tenant_ids: Sequence[str]) -> int:
        """Let users leave whose window has ended, and forget those of whom nothing counts any more; how many. Raises Retry."""
        async with reach(self._pool, tenant_ids) as connection:
            left: int = await connection.fetchval(SQL["leave"], tenant_ids, OF_A_TENANT, IN_ALL)
        async with reach(self._pool, tenant_ids) as connection:
            forgotten: int = await connection.fetchval(SQL["forget"], tenant_ids, OF_A_TENANT, IN_ALL)
        return left + forgotten

    async def forget_left(self) -> int:
        """Remove some tallies of a rule that was left; how many. Raises Retry."""
        async with reach(self._pool, ()) as connection:
            row = await connection.fetchrow(SQL["find_left"])
        if row is None:
            return 0
        tenant_id, rule_id = row
        async with reach(self._pool, {tenant_id}) as connection:
            gone: int = await connection.fetchval(SQL["forget_left"], tenant_id, rule_id, OF_A_TENANT)
            if not gone:
                await connection.execute(SQL["finish_left"], tenant_id, rule_id)
        return gone

    async def find_unlisted(self, tenant_ids: Sequence[str]) -> list[tuple[str, str]]:
        """(tenant, cohort) of those whose list doesn't say yet who has joined or left. Raises Retry."""
        async with reach(self._pool, tenant_ids) as connection:
            return [tuple(row) for row in await connection.fetch(SQL["find_unlisted"], tenant_ids)]

    async def find_building(self) -> list[tuple[str, str, UUID]]:
        """(tenant, cohort, rule) of those that are being built. Raises Retry."""
        async with reach(self._pool, ()) as connection:
            return [tuple(row) for row in await connection.fetch(SQL["find_building"])]

    @asynccontextmanager
    async def lead(self) -> AsyncIterator["Lead"]:
        """Wait until no other process leads, and lead while the context is open. Raises Retry."""
        async with hold(self._pool) as connection:
            while True:
                if await connection.fetchval("SELECT pg_try_advisory_lock($1)", LEADS):
                    break
                await asyncio.sleep(LOOK_EVERY_S)
            yield Lead(connection)

    async def note_ends(self, ends: Mapping[tuple[str, int], int], at: datetime) -> None:
        """Note which partitions are counted to the ends that the log had at an instant. Raises Retry."""
        columns = to_columns([(topic, partition, end) for (topic, partition), end in ends.items()], 3)
        async with reach(self._pool, ()) as connection:
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
    if not counted:
        return
    await connection.execute(SQL["share_tallies"], sorted({each.rule.tenant_id for each in counted}))
    counted = await _resolve(connection, counted)
    shares = await read_shares(connection, {(each.rule.tenant_id, each.event_key) for each in counted})
    of_user = attrgetter("rule.tenant_id", "rule.rule_id", "user_id")
    changes = list[Change]()
    for key, some in groupby(sorted(counted, key=of_user), of_user):
        each = list(some)
        received_at = min(one.received_at for one in each)
        changes.append(
            Change(
                key, each[0].rule.definition, [one.term for one in each], shares.of_user(key[0], key[2]), received_at
            )
        )
    await _change(connection, changes)


async def _resolve(connection: Connection, counted: Sequence[Counted]) -> Sequence[Counted]:
    """The same, of who the users are by now: while the tallies are shared nobody is merged."""
    users = sorted({(each.rule.tenant_id, each.user_id) for each in counted})
    rows = await connection.fetch(SQL["find_merged"], *to_columns(users, 2))
    now = {(row["tenant_id"], row["user_id"]): row["merged_into"] for row in rows}
    if not now:
        return counted
    return [replace(each, user_id=now.get((each.rule.tenant_id, each.user_id), each.user_id)) for each in counted]


async def _take_out(connection: Connection, tenant_id: str, due: Sequence[Due]) -> None:
    """Take what is reversed of these events out of the tallies that hold them."""
    shares = await read_shares(connection, {(tenant_id, each.event_key) for each in due})
    received_at = min(each.received_at for each in due)
    rows = await connection.fetch(SQL["list_definitions"], tenant_id)
    changes = [
        Change((tenant_id, row["rule_id"], user_id), definition, [], shares.of_user(tenant_id, user_id), received_at)
        for row in rows
        for definition in [json.decode(row["definition"], type=CohortRule)]
        for user_id in shares.users
    ]
    changes.sort(key=attrgetter("key"))
    await _change(connection, changes)


async def _change(connection: Connection, changes: Sequence[Change]) -> None:
    """Store tallies as they are after these changes, which are in the order of their keys. Raises Busy."""
    rows = await connection.fetch(SQL["lock_tallies"], *to_columns([each.key for each in changes], 3))
    known: dict[Key, bytes] = {(row[0], row[1], row[2]): row[3] for row in rows}
    changed, made, at = list[TallyRow](), list[TallyRow](), datetime.now(UTC)
    for turn, each in enumerate(changes, 1):
        if turn % MERGED_AT_ONCE == 0:
            await asyncio.sleep(0)
        before = unpack_tally(known[each.key]) if each.key in known else Tally()
        after = before.add(each.terms, each.rule, at, each.shares)
        if after == before:
            continue
        standing = after.stand(each.rule, at)
        row = TallyRow(
            *each.key, after.pack(), standing.is_member, standing.leaves_at, standing.forget_at, each.received_at
        )
        (changed if each.key in known else made).append(row)
    if changed:
        await connection.execute(SQL["change_tallies"], *list_columns(TallyRow, changed))
    if made and await connection.fetchval(SQL["add_tallies"], *list_columns(TallyRow, made)) != len(made):
        raise Busy("a tally was made by another just now")


def _tell_instant(unix_ms: int) -> datetime:
    """By the broker's clock; of a topic that producers put their own on, bounded to what PostgreSQL keeps."""
    return datetime.fromtimestamp(min(max(unix_ms, 0), 253_000_000_000_000) / 1000, UTC)
