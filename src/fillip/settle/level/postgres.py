"""Levels that are due: found across tenants by a role that only reads, moved by the worker's."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import groupby
from pathlib import Path

import asyncpg

from fillip.settle.sweep import Columns, Key, Turns
from fillip.settle.transient_postgres import retry_sweep, retry_transient

PORTION_LADDERS, USERS_AT_ONCE = 10, 1_000
PORTION_USERS, OF_A_TENANT = 500, 100
SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
_NAME = "SELECT set_config('app.tenants', $1, true)"


class PostgresDueLadders:
    """See fillip.settle.sweep.Due. A transaction sees to a portion of the users of one ladder that is new, was changed, or is leaving."""

    def __init__(self, finder: asyncpg.Pool, pool: asyncpg.Pool, users_at_once: int = USERS_AT_ONCE) -> None:
        """`finder` is of role fillip_sweep, which sees all tenants; `pool` of fillip_worker, held to those it names."""
        self._finder = finder
        self._pool = pool
        self._users_at_once = users_at_once
        self._turns = Turns()

    async def move_due(self, at: datetime) -> int:
        """Let the next users of each ladder follow; while the tenant's batches do not give way it is tried again."""
        with retry_sweep("users did not follow their ladders"):
            rows = await self._turns.find(2, PORTION_LADDERS, self._find)
            return sum([await self._turns.move([tuple(row)], self._move) for row in rows])

    async def _find(self, after: str, aside: Columns) -> Sequence[asyncpg.Record]:
        found: Sequence[asyncpg.Record] = await self._finder.fetch(SQL["find_ladders"], after, PORTION_LADDERS, *aside)
        return found

    async def _move(self, keys: Sequence[Key]) -> int:
        [(tenant_id, currency)] = keys
        with retry_transient():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(_NAME, tenant_id)
                moved: int = await connection.fetchval(SQL["move_ladder"], tenant_id, currency, self._users_at_once)
        return moved


class PostgresDueLevels:
    """See fillip.settle.sweep.Due. What was earned has left the windows of these users: they fall."""

    def __init__(self, finder: asyncpg.Pool, pool: asyncpg.Pool) -> None:
        """`finder` is of role fillip_sweep, which sees all tenants; `pool` of fillip_worker, held to those it names."""
        self._finder = finder
        self._pool = pool
        self._turns = Turns()

    async def move_due(self, at: datetime) -> int:
        """Move those that have been due longest; while the tenant's batches do not give way it is tried again."""
        with retry_sweep("users did not fall on their ladders"):
            rows = await self._turns.find(3, PORTION_USERS, partial(self._find, at))
            due = sorted(tuple(row) for row in rows)
            move = partial(self._move, at=at)
            return sum([await self._turns.move([*own], move) for _, own in groupby(due, key=lambda key: key[:2])])

    async def _find(self, at: datetime, after: str, aside: Columns) -> Sequence[asyncpg.Record]:
        found: Sequence[asyncpg.Record] = await self._finder.fetch(
            SQL["find_fallen"], at, after, OF_A_TENANT, PORTION_USERS, *aside
        )
        return found

    async def _move(self, keys: Sequence[Key], at: datetime) -> int:
        tenant_id, currency, _ = keys[0]
        with retry_transient():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(_NAME, tenant_id)
                users = [user_id for _, _, user_id in keys]
                moved: int = await connection.fetchval(SQL["move_fallen"], tenant_id, currency, users, at)
        return moved
