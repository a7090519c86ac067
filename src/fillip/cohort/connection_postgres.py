"""Transactions of role fillip_cohort, and the statements beside this file."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import asyncpg

from fillip.core.errors import Busy, Retry
from fillip.rows.transient_postgres import TRANSIENT_ERRORS

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
_BUSY = (asyncpg.TransactionRollbackError, asyncpg.QueryCanceledError, asyncpg.IdleInTransactionSessionTimeoutError)


@asynccontextmanager
async def reach(pool: asyncpg.Pool, tenant_ids: Collection[str]) -> AsyncIterator[Connection]:
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
async def hold(pool: asyncpg.Pool) -> AsyncIterator[Connection]:
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
