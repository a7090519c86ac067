"""Holds of points that have timed out: found across tenants by a role that only reads, released by the worker's, tenants in turn."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

import asyncpg

from fillip.core.ledger.points import FEW_LOTS, PAGE_LOTS
from fillip.rows.wallet.hold_postgres import HoldRows
from fillip.settle.sweep import Columns, Key, Turns
from fillip.settle.transient_postgres import retry_sweep, retry_transient
from fillip.settle.wallet.postgres import SQL

PORTION_HOLDS, OF_A_TENANT = 50, 20


class PostgresDueHolds:
    """See fillip.settle.sweep.Due. A transaction moves one hold, by one portion of its lots."""

    def __init__(
        self, finder: asyncpg.Pool, pool: asyncpg.Pool, page_lots: int = PAGE_LOTS, few_lots: int = FEW_LOTS
    ) -> None:
        """`finder` is of role fillip_sweep, which sees all tenants; `pool` of fillip_worker, held to those it names."""
        self._finder = finder
        self._pool = pool
        self._page_lots = page_lots
        self._few_lots = few_lots
        self._turns = Turns()

    async def move_due(self, at: datetime) -> int:
        """Release what holds have to give back, in wallets that nobody holds."""
        with retry_sweep("holds that timed out were not released"):
            rows = await self._turns.find(4, PORTION_HOLDS, partial(self._find, at))
            keys = [tuple(row) for row in rows]
            return await self._turns.move(keys, partial(self._move, at=at)) if keys else 0

    async def _find(self, at: datetime, after: str, aside: Columns) -> Sequence[asyncpg.Record]:
        found: Sequence[asyncpg.Record] = await self._finder.fetch(
            SQL["find_due_holds"], at, after, OF_A_TENANT, PORTION_HOLDS, *aside
        )
        return found

    async def _move(self, keys: Sequence[Key], at: datetime) -> int:
        return sum([await self._release(str(k[0]), str(k[1]), str(k[2]), UUID(str(k[3])), at=at) for k in keys])

    async def _release(self, tenant_id: str, user_id: str, currency: str, transfer_id: UUID, at: datetime) -> int:
        key = (tenant_id, user_id, currency)
        with retry_transient():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(SQL["name_tenants"], tenant_id)
                rows = HoldRows(connection, self._page_lots, self._few_lots)
                wallet = (await rows.lock_free([key])).get(key)
                stored = await rows.find_hold(key, transfer_id) if wallet else None
                if wallet is None or stored is None or not stored.hold.is_due(at):
                    return 0
                await rows.mature({key: wallet}, at)
                await rows.end_hold(wallet, stored, stored.hold.as_of(at), at)
                return 1
