"""Generations of coupon codes that are not done: found across tenants by a role that only reads, worked off one by one."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import asyncpg

from fillip.settle.coupons.codes import make_codes
from fillip.settle.sweep import Columns, Key, Turns
from fillip.settle.transient_postgres import retry_sweep, retry_transient

PORTION_CODES = 2_000
"""Made in some 3 ms, so that what shares the event loop does not notice."""
SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}


class PostgresDueCodes:
    """See fillip.settle.sweep.Due: it is due as soon as it is ordered."""

    def __init__(self, finder: asyncpg.Pool, pool: asyncpg.Pool) -> None:
        """`finder` is of role fillip_sweep, which sees all tenants; `pool` of fillip_worker, held to those it names."""
        self._finder = finder
        self._pool = pool
        self._turns = Turns()

    async def move_due(self, at: datetime) -> int:
        """Add one portion to a generation, tenants in turn. What was added is counted in the same transaction."""
        with retry_sweep("coupon codes were not made"):
            found = [tuple(row) for row in await self._turns.find(2, 1, self._find)]
            return await self._turns.move(found, self._add) if found else 0

    async def _find(self, after: str, aside: Columns) -> Sequence[asyncpg.Record]:
        found: Sequence[asyncpg.Record] = await self._finder.fetch(SQL["find_open"], after, 1, *aside)
        return found

    async def _add(self, keys: Sequence[Key]) -> int:
        ((tenant_id, generation_id),) = keys
        with retry_transient():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT set_config('app.tenants', $1, true)", tenant_id)
                order = await connection.fetchrow(SQL["lock_generation"], tenant_id, generation_id)
                if order is None:  # another sweep is at it
                    return 0
                codes = make_codes(order["pattern"], min(order["missing"], PORTION_CODES))
                await connection.execute(SQL["hold_codes"], tenant_id)
                pool_id, exact = order["pool_id"], order["case_sensitive"]
                await connection.execute(SQL["add_codes"], tenant_id, generation_id, pool_id, codes, exact)
        return len(codes)
