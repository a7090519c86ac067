"""Cohorts by query as stored: their definitions, and their runs, each of which is held by one process at a time."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import Row, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.ports import Caller, Freshness
from fillip.core.quota import Quotas
from fillip.core.schedule import Schedule
from fillip.http.errors import Conflict
from fillip.manage.cohort.build_postgres import Progress, begin_build, change_build, find_build
from fillip.manage.cohort.postgres import cohorts
from fillip.manage.store.postgres import Connection, transaction
from fillip.manage.store.tables.cohort import cohort
from fillip.manage.store.tables.tenant import tenant
from fillip.manage.tenant.postgres import read_quotas

HELD_FOR = timedelta(seconds=60)
FIRST_PAUSE, MAX_DOUBLINGS = timedelta(minutes=1), 6
"""Before the first try after a failure; it doubles with each, and the run after the next regular time comes in any case."""
LOST = "its process ended before it did"
_DUE = text(Path(__file__).with_name("find_due.sql").read_text(encoding="utf-8"))


class Run(Struct, frozen=True):
    """A run of a cohort's query that this process holds; it began `late_s` after it was due."""

    caller: Caller
    cohort_id: str
    build_id: UUID
    sql: str
    query_revision: int
    begun_at: datetime
    late_s: float
    next_at: datetime
    """When the next one is due by the schedule."""

    def check(self, row: Row[Any]) -> None:
        """Raise Conflict where the cohort is not this run's any more."""
        if row.query_revision != self.query_revision:
            raise Conflict("the query has been changed meanwhile: the new one is run next")
        if row.build_id != self.build_id:
            raise Conflict("another process has taken this run over")


def require_query(row: Row[Any]) -> None:
    """Raise Conflict for a cohort without a query."""
    if row.kind != "sql":
        raise Conflict(f"cohort {row.cohort_id} has no query: PUT /v1/cohorts/{row.cohort_id}/query first")


async def save_query(connection: Connection, caller: Caller, row: Row[Any], sql: str, schedule: Schedule) -> Row[Any]:
    """Give a cohort, whose row is locked, another query, or its first; it is due at once. Raises Conflict for an uploaded list."""
    if row.kind in ("combined", "realtime") or (row.kind == "uploaded" and row.version):
        raise Conflict(f"cohort {row.cohort_id} has a list already that is {row.kind}: make another for the query")
    values: dict[str, object] = {
        "kind": "sql",
        "sql": sql,
        "every_minutes": schedule.every_minutes,
        "cron": schedule.cron,
    }
    values |= {"query_revision": row.query_revision + 1, "failures": 0, "next_run_at": func.now()}
    return await cohorts.change(connection, caller, row.cohort_id, values)


async def ask_run(connection: Connection, caller: Caller, cohort_id: str) -> UUID:
    """Let a cohort's query run as soon as there is room; its build, that of the run that goes on where there is one."""
    row = await cohorts.find(connection, caller, cohort_id, lock=True)
    require_query(row)
    now = (await connection.execute(select(func.now()))).scalar_one()
    if row.build_id is not None and (row.held_until is None or row.held_until > now):
        return UUID(str(row.build_id))
    if row.build_id is not None:
        await change_build(connection, caller, row.build_id, Progress(state="failed", error=LOST))
    build_id = await _begin(connection, caller, row)
    await _set(connection, caller, cohort_id, build_id=build_id, held_until=None, next_run_at=now)
    return build_id


async def find_due(engine: AsyncEngine) -> tuple[str, str] | None:
    """The tenant and the cohort whose run is next, if one is due; `engine` is of role fillip_sweep. Raises Retry."""
    async with transaction(engine) as connection:
        row = (await connection.execute(_DUE)).one_or_none()
    return (row.tenant_id, row.cohort_id) if row else None


async def begin_run(engine: AsyncEngine, tenant_id: str, cohort_id: str) -> Run | None:
    """Hold the run of a cohort that is due; None where it isn't, or another process was quicker. Raises Retry."""
    known = Caller(None, tenant_id, frozenset())
    mine = (cohort.c.tenant_id == tenant_id) & (cohort.c.cohort_id == cohort_id)
    free = or_(cohort.c.held_until.is_(None), cohort.c.held_until < func.now())
    due = (cohort.c.kind == "sql") & (cohort.c.next_run_at <= func.now()) & free
    async with transaction(engine, known) as connection:
        found = select(cohort).where(mine, due).with_for_update(skip_locked=True)
        row = (await connection.execute(found)).one_or_none()
        if row is None:
            return None
        now = (await connection.execute(select(func.now()))).scalar_one()
        zone, quotas = await _read_tenant(connection, tenant_id)
        caller = Caller(None, tenant_id, frozenset(), quotas)
        if row.held_until is not None:
            await change_build(connection, caller, row.build_id, Progress(state="failed", error=LOST))
        asked = row.build_id if row.held_until is None else None
        build_id = asked or await _begin(connection, caller, row)
        started = Progress(step="querying", query_revision=row.query_revision)
        await change_build(connection, caller, build_id, started)
        await _set(connection, caller, cohort_id, build_id=build_id, held_until=now + HELD_FOR, begun_at=now)
        return Run(
            caller, cohort_id, build_id, row.sql, row.query_revision, begun_at=now,
            late_s=(now - row.next_run_at).total_seconds(),
            next_at=Schedule(row.every_minutes, row.cron).find_next(now, zone),
        )  # fmt: skip


async def hold_run(engine: AsyncEngine, run: Run) -> bool:
    """Hold it for another minute; False where it is this process's no more. Raises Retry."""
    async with transaction(engine, run.caller) as connection:
        values = {"held_until": func.now() + HELD_FOR}
        statement = update(cohort).where(*_match(run)).values(values).returning(cohort.c.cohort_id)
        return (await connection.execute(statement)).one_or_none() is not None


async def finish_run(engine: AsyncEngine, run: Run, ended: Freshness | Progress) -> None:
    """Let go of it: it has built the cohort of rows as fresh as that, or ended so. What failed is tried again in a while.

    The build tells it where it doesn't tell its end already. Raises Retry.
    """
    async with transaction(engine, run.caller) as connection:
        found = select(cohort, func.now().label("at")).where(*_match(run)).with_for_update()
        row = (await connection.execute(found)).one_or_none()
        if row is None:
            return
        values: dict[str, object] = {"build_id": None, "held_until": None}
        if isinstance(ended, Freshness):
            values |= {"failures": 0, "received_at": ended.received_at, "committed_at": ended.committed_at}
        else:
            values |= {"failures": row.failures + 1}
            if (await find_build(connection, run.caller, run.cohort_id, run.build_id)).state == "running":
                await change_build(connection, run.caller, run.build_id, ended)
        if row.query_revision == run.query_revision:
            has_failed = isinstance(ended, Progress) and ended.state == "failed"
            pause = FIRST_PAUSE * 2 ** min(row.failures, MAX_DOUBLINGS)
            values |= {"next_run_at": min(run.next_at, row.at + pause) if has_failed else run.next_at}
        await _set(connection, run.caller, run.cohort_id, **values)


async def _begin(connection: Connection, caller: Caller, row: Row[Any]) -> UUID:
    build_id = await begin_build(connection, caller, row.cohort_id, "replace", lines=0, rejected=0, rejections="")
    await change_build(connection, caller, build_id, Progress(step="waiting", query_revision=row.query_revision))
    return build_id


async def _read_tenant(connection: Connection, tenant_id: str) -> tuple[str, Quotas]:
    zone = (await connection.execute(select(tenant.c.time_zone).where(tenant.c.tenant_id == tenant_id))).scalar_one()
    return zone, msgspec.convert(await read_quotas(connection, tenant_id), Quotas)


async def _set(connection: Connection, caller: Caller, cohort_id: str, **values: object) -> None:
    """Change what is no part of the definition: the cohort's revision stays."""
    mine = (cohort.c.tenant_id == caller.tenant_id) & (cohort.c.cohort_id == cohort_id)
    await connection.execute(update(cohort).where(mine).values(values))


def _match(run: Run) -> list[Any]:
    mine = [cohort.c.tenant_id == run.caller.tenant_id, cohort.c.cohort_id == run.cohort_id]
    return [*mine, cohort.c.build_id == run.build_id]
