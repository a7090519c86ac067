"""PostgreSQL for the control plane: engines, one tenant's transactions, and the ring of API keys."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import TypeAlias, TypeVar

import asyncpg
import msgspec
from asyncpg import PostgresError
from sqlalchemy import event, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from fillip.core.errors import Retry
from fillip.core.ports import Caller
from fillip.manage.store.instants_postgres import clamp_instants

CONNECT_WITHIN_S = 3
FREE_WITHIN_S = 10
"""For a connection that others hold: as long as for a lock. Writes of one tenant's users go one after another, so that a crowd of them waits."""
ANSWER_WITHIN_S = 60
MAX_CACHED_KEYS = 10_000

Answer = TypeVar("Answer")
Engine: TypeAlias = AsyncEngine
Connection: TypeAlias = AsyncConnection
"""What routers hand on to the functions of postgres.py, and never ask anything themselves."""
_PING = text("SELECT 1")
_SET_TENANT = text("SELECT now(), set_config('app.tenant', :tenant_id, true)")
_AWAY_TOLD = "the database does not answer: try again in a few seconds"
_BUSY_TOLD = "the database is busy, others hold what this needs: try again in a few seconds"
_AWAY = ("08", "53", "57", "40", "55P03", "25P03")
"""SQLSTATE classes and codes after which the same request may be made again."""
_BUSY = ("40", "53300", "55P03")
"""Those of them that say that others were in the way."""


def open_engine(dsn: str, *, connections: int = 10) -> AsyncEngine:
    """An engine for `dsn` (postgresql://…), READ COMMITTED, at most `connections`; connects when first used."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=partial(asyncpg.connect, dsn, timeout=CONNECT_WITHIN_S, command_timeout=ANSWER_WITHIN_S),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=FREE_WITHIN_S,
        hide_parameters=True,
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )
    clamp_instants(engine)
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: AsyncAdapt_asyncpg_connection, _: object, __: object) -> None:
    """Let the pool open another connection in place of one that PostgreSQL has closed: the loop has read so by then, nobody asks the server."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def find_state(error: DBAPIError) -> str:
    """The SQLSTATE of a database error, '' when the server never answered."""
    origin = error.orig.__cause__ if error.orig is not None else None
    return str(getattr(origin, "sqlstate", "") or "") if isinstance(origin, PostgresError) else ""


def is_away(error: Exception) -> bool:
    """Whether the server was not reached or too busy: nothing happened, and the same may be tried again."""
    if isinstance(error, DBAPIError):
        state = find_state(error)
        return error.connection_invalidated or not state or state.startswith(_AWAY)
    return isinstance(error, OSError | PoolTimeoutError | TimeoutError)


def describe_away(error: Exception) -> str:
    """What a caller is told of an error for which the server `is_away`."""
    state = find_state(error) if isinstance(error, DBAPIError) else ""
    return _BUSY_TOLD if isinstance(error, PoolTimeoutError) or state.startswith(_BUSY) else _AWAY_TOLD


async def reach(work: Awaitable[Answer]) -> Answer:
    """The result of `work` on the database; raises Retry where the server is away or too busy."""
    try:
        return await work
    except Exception as error:
        if is_away(error):
            raise Retry(describe_away(error)) from error
        raise


@asynccontextmanager
async def transaction(engine: AsyncEngine, caller: Caller | None = None) -> AsyncIterator[AsyncConnection]:
    """One transaction that sees the caller's tenant alone; commits at the end, rolls back on an error. Raises Retry.

    Without a caller it sees what the engine's role sees: all tenants for the owner.
    """
    connection = engine.connect()
    await reach(connection.start())
    try:
        if caller is not None:
            await enter_tenant(connection, caller.tenant_id)
        yield connection
        await reach(connection.commit())
    finally:
        await connection.close()


async def reach_engine(engine: AsyncEngine) -> None:
    """Go to PostgreSQL and back. Raises Retry."""
    async with engine.connect() as connection:
        await ping(connection)


async def ping(connection: AsyncConnection) -> None:
    """Let the connection go to PostgreSQL and back. Raises Retry."""
    await reach(connection.execute(_PING))


async def enter_tenant(connection: AsyncConnection, tenant_id: str) -> datetime:
    """Show the connection's running transaction the rows of this tenant alone; when it began. Raises Retry."""
    began_at: datetime = (await reach(connection.execute(_SET_TENANT, {"tenant_id": tenant_id}))).scalar_one()
    return began_at
