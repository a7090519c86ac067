"""PostgreSQL for the control plane: engines, one tenant's transactions, and the ring of API keys."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import asyncpg
import msgspec
from asyncpg import PostgresError
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from fillip.core.errors import Retry
from fillip.core.ports import Caller
from fillip.core.quota import Quotas
from fillip.manage.credential import hash_key
from fillip.manage.postgres_instants import clamp_instants

CONNECT_WITHIN_S = 3
ANSWER_WITHIN_S = 60
MAX_CACHED_KEYS = 10_000

Answer = TypeVar("Answer")
_PING = text("SELECT 1")
_SET_TENANT = text("SELECT set_config('app.tenant', :tenant_id, true)")
_AUTHENTICATE = text(Path(__file__).with_name("authenticate_key.sql").read_text(encoding="utf-8")).columns(quotas=JSONB)
_AWAY = ("08", "53", "57", "40", "55P03", "25P03")
"""SQLSTATE classes and codes after which the same request may be made again."""


def open_engine(dsn: str, *, connections: int = 10) -> AsyncEngine:
    """An engine for `dsn` (postgresql://…), READ COMMITTED, at most `connections`; connects when first used."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=partial(asyncpg.connect, dsn, timeout=CONNECT_WITHIN_S, command_timeout=ANSWER_WITHIN_S),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=CONNECT_WITHIN_S,
        pool_pre_ping=True,
        hide_parameters=True,
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )
    clamp_instants(engine)
    return engine


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


async def reach(work: Awaitable[Answer]) -> Answer:
    """The result of `work` on the database; raises Retry where the server is away or too busy."""
    try:
        return await work
    except Exception as error:
        if is_away(error):
            raise Retry("the database does not answer: try again in a few seconds") from error
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
        await reach(connection.execute(_PING))


async def enter_tenant(connection: AsyncConnection, tenant_id: str) -> None:
    """Show the connection's running transaction the rows of this tenant alone. Raises Retry."""
    await reach(connection.execute(_SET_TENANT, {"tenant_id": tenant_id}))


class PostgresKeyRing:
    """core.ports.KeyRing on the table api_key, by an engine of role fillip_api or fillip_analyse.

    A key found live is believed for `cache_for_s`, then looked up again, so a revoked one dies within that time. While
    the database is away, known keys go on and unknown ones raise Retry.
    """

    def __init__(self, engine: AsyncEngine, cache_for_s: float = 3.0) -> None:
        self._engine = engine
        self._cache_for_s = cache_for_s
        self._known: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}

    async def authenticate(self, key: str) -> Caller | None:
        """The caller of a live key, None for any other. Raises Retry."""
        hashed = hash_key(key)
        if hashed is None:
            return None
        known = self._known.get(hashed)
        if known and time.monotonic() < known[1]:
            return known[0]
        if hashed not in self._asking:
            task = asyncio.create_task(self._refresh(hashed))
            self._asking[hashed] = task
            task.add_done_callback(lambda _: self._asking.pop(hashed, None))
        return await asyncio.shield(self._asking[hashed])

    async def _refresh(self, hashed: bytes) -> Caller | None:
        try:
            caller = await reach(self._look_up(hashed))
        except Retry:
            if hashed not in self._known:
                raise
            caller = self._known[hashed][0]
        if caller is None:
            self._known.pop(hashed, None)
        else:
            self._remember(hashed, caller)
        return caller

    def _remember(self, hashed: bytes, caller: Caller) -> None:
        self._known[hashed] = (caller, time.monotonic() + self._cache_for_s)
        self._known.move_to_end(hashed)
        if len(self._known) > MAX_CACHED_KEYS:
            self._known.popitem(last=False)

    async def _look_up(self, hashed: bytes) -> Caller | None:
        async with self._engine.connect() as connection:
            row = (await connection.execute(_AUTHENTICATE, {"hash": hashed})).one_or_none()
        if row is None:
            return None
        return Caller(row.key_id, row.tenant_id, frozenset(row.scopes), msgspec.convert(row.quotas or {}, Quotas))
