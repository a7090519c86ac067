"""Backtests as stored: asked, each run held by one process at a time, done or failed, and forgotten after 90 days."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct
from sqlalchemy import Row, Select, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.backtest.question import BacktestQuestion, Definitions
from fillip.core.ports import Caller
from fillip.http.errors import Conflict, NotFound
from fillip.http.paging import Paging
from fillip.manage.backtest.told import Failed, Progress, Worked
from fillip.manage.store.keyset import RowPage, read_page
from fillip.manage.store.postgres import Connection, transaction
from fillip.manage.store.tables.book import campaign_version
from fillip.manage.store.tables.past import backtest

HELD_FOR = timedelta(seconds=60)
MOST_OPEN, MOST_TRIES, KEPT_DAYS, MOST_KEPT = 10, 3, 90, 1_000
"""Of a tenant: not done yet; begun before one is given up; how long it is kept, and how many at most."""
LONGEST_ERROR = 1_000
_SQL = {
    name: text(Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")) for name in ("find_due", "find_old")
}
_LISTED = [column for column in backtest.c if column.name not in ("result", "run_id", "held_until")]
_IS_OPEN = backtest.c.state.in_(("waiting", "running"))


class BacktestRun(Struct, frozen=True):
    """A backtest that this process holds."""

    backtest_id: UUID
    run_id: UUID
    question: BacktestQuestion
    tries: int

    @property
    def caller(self) -> Caller:
        """Its tenant."""
        return Caller(None, self.question.tenant_id, frozenset())


async def ask_backtest(
    connection: Connection,
    caller: Caller,
    campaign_id: str,
    version: int,
    first_at: datetime,
    until_at: datetime,
    definitions: Definitions = "current",
) -> Row[Any]:
    """Store one that waits; the oldest beyond 1,000 are forgotten. Raises NotFound for an unknown version, Conflict at 10 open."""
    known = campaign_version.c
    mine = (known.tenant_id == caller.tenant_id) & (known.campaign_id == campaign_id) & (known.version == version)
    if (await connection.execute(select(known.version).where(mine))).one_or_none() is None:
        raise NotFound(f"campaign '{campaign_id}' has no version {version}")
    open_now = select(func.count()).select_from(backtest).where(backtest.c.tenant_id == caller.tenant_id, _IS_OPEN)
    if (await connection.execute(open_now)).scalar_one() >= MOST_OPEN:
        raise Conflict(f"{MOST_OPEN} backtests are not done yet: wait for them, or delete one")
    values = {
        "tenant_id": caller.tenant_id,
        "campaign_id": campaign_id,
        "version": version,
        "first_at": first_at,
        "until_at": until_at,
        "definitions": definitions,
    }
    made = await connection.execute(insert(backtest).values(values).returning(backtest.c.backtest_id))
    backtest_id: UUID = made.scalar_one()
    of_tenant = backtest.c.tenant_id == caller.tenant_id
    kept = select(backtest.c.backtest_id).where(of_tenant).order_by(backtest.c.backtest_id.desc()).limit(MOST_KEPT)
    await connection.execute(delete(backtest).where(of_tenant, backtest.c.backtest_id.not_in(kept.scalar_subquery())))
    return await find_backtest(connection, caller, backtest_id)


async def find_backtest(connection: Connection, caller: Caller, backtest_id: UUID) -> Row[Any]:
    """One with its result; raises NotFound."""
    statement: Select[Any] = select(*_LISTED, backtest.c.result).where(*_match(caller, backtest_id))
    row: Row[Any] | None = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise NotFound("there is no such backtest: they are kept for 90 days")
    return row


async def list_backtests(connection: Connection, caller: Caller, pages: Paging, sift: Mapping[str, object]) -> RowPage:
    """A page of the caller's, the newest first, without results; `sift` are values by column, None: any."""
    statement = select(*_LISTED).where(backtest.c.tenant_id == caller.tenant_id)
    return await read_page(connection, statement, [backtest.c.backtest_id], pages, descending=True, sift=sift)


async def delete_backtest(connection: Connection, caller: Caller, backtest_id: UUID) -> None:
    """Forget one; who runs it finds it gone. Raises NotFound."""
    statement = delete(backtest).where(*_match(caller, backtest_id)).returning(backtest.c.backtest_id)
    if (await connection.execute(statement)).one_or_none() is None:
        raise NotFound("there is no such backtest")


async def find_due(engine: AsyncEngine) -> tuple[str, UUID] | None:
    """The tenant and the backtest that is next, if there is one; `engine` is of role fillip_sweep. Raises Retry."""
    async with transaction(engine) as connection:
        row = (await connection.execute(_SQL["find_due"])).one_or_none()
    return (row.tenant_id, row.backtest_id) if row else None


async def begin_run(engine: AsyncEngine, tenant_id: str, backtest_id: UUID) -> BacktestRun | None:
    """Hold it; None where another of its tenant goes on, or it was tried often enough. Raises Retry."""
    caller = Caller(None, tenant_id, frozenset())
    async with transaction(engine, caller) as connection:
        mine = select(backtest, func.clock_timestamp().label("now")).where(backtest.c.tenant_id == tenant_id, _IS_OPEN)
        rows = (await connection.execute(mine.order_by(backtest.c.backtest_id).with_for_update())).all()
        if any(row.held_until and row.held_until >= row.now for row in rows):
            return None
        row = next((row for row in rows if row.backtest_id == backtest_id), None)
        if row is None:
            return None
        if row.tries >= MOST_TRIES:
            told = row.error or "its process ended before it did"
            await _set(connection, caller, backtest_id, _end("failed", f"given up after {row.tries} tries: {told}"))
            return None
        run_id = uuid4()
        begun = {"state": "running", "run_id": run_id, "begun_at": row.now, "tries": row.tries + 1, "events_done": 0}
        await _set(connection, caller, backtest_id, begun | {"held_until": row.now + HELD_FOR})
        asked = row.campaign_id, row.version
        question = BacktestQuestion(tenant_id, *asked, row.first_at, row.until_at, row.definitions)
        return BacktestRun(backtest_id, run_id, question, row.tries + 1)


async def hold_run(engine: AsyncEngine, run: BacktestRun, progress: Progress) -> bool:
    """Hold it for another minute, and tell how far it is; False where it is not this process's any more. Raises Retry."""
    values: dict[str, object] = {"held_until": func.now() + HELD_FOR}
    values |= {"events_done": progress.events_done, "events": progress.events}
    async with transaction(engine, run.caller) as connection:
        statement = update(backtest).where(*_hold(run)).values(values).returning(backtest.c.backtest_id)
        return (await connection.execute(statement)).one_or_none() is not None


async def finish_run(engine: AsyncEngine, run: BacktestRun, ended: Worked | Failed) -> None:
    """Let go of it: it is done, or failed for good, or is tried again. Raises Retry."""
    if isinstance(ended, Worked):
        result = msgspec.json.decode(msgspec.json.encode(ended.result)) | {"samples": ended.samples}
        values = _end("done", None) | {"result": result, "events_done": ended.result.events}
    elif ended.is_final or run.tries >= MOST_TRIES:
        values = _end("failed", ended.error)
    else:
        values = {"state": "waiting", "run_id": None, "held_until": None, "error": ended.error[:LONGEST_ERROR]}
    async with transaction(engine, run.caller) as connection:
        await connection.execute(update(backtest).where(*_hold(run)).values(values))


async def forget_old(finder: AsyncEngine, engine: AsyncEngine) -> None:
    """Remove those of a tenant that were asked more than 90 days ago. Raises Retry."""
    async with transaction(finder) as connection:
        tenant_id = (await connection.execute(_SQL["find_old"], {"days": KEPT_DAYS})).scalar_one_or_none()
    if tenant_id is None:
        return
    async with transaction(engine, Caller(None, tenant_id, frozenset())) as connection:
        is_old = backtest.c.asked_at < func.now() - timedelta(days=KEPT_DAYS)
        await connection.execute(delete(backtest).where(backtest.c.tenant_id == tenant_id, is_old))


def _end(state: str, error: str | None) -> dict[str, object]:
    told = error and error[:LONGEST_ERROR]
    return {"state": state, "run_id": None, "held_until": None, "ended_at": func.now(), "error": told}


async def _set(connection: Connection, caller: Caller, backtest_id: UUID, values: dict[str, Any]) -> None:
    await connection.execute(update(backtest).where(*_match(caller, backtest_id)).values(values))


def _match(caller: Caller, backtest_id: UUID) -> list[Any]:
    return [backtest.c.tenant_id == caller.tenant_id, backtest.c.backtest_id == backtest_id]


def _hold(run: BacktestRun) -> list[Any]:
    return [*_match(run.caller, run.backtest_id), backtest.c.run_id == run.run_id]
