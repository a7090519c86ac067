"""Incentives that are due: found across tenants by a role that only reads, moved by the worker's."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import asyncpg

from fillip.settle.sweep import Columns, Key, Turns
from fillip.settle.transient_postgres import retry_sweep, retry_transient

PORTION, OF_A_TENANT = 500, 100
SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}


class PostgresDueIncentives:
    """See fillip.settle.sweep.Due. Lock order: incentives, then the inboxes of their users."""

    def __init__(self, finder: asyncpg.Pool, pool: asyncpg.Pool) -> None:
        """`finder` is of role fillip_sweep, which sees all tenants; `pool` of fillip_worker, held to those it names."""
        self._finder = finder
        self._pool = pool
        self._turns = Turns()

    async def move_due(self, at: datetime) -> int:
        """Expire those that have been due longest and that nobody is changing, and tell their users."""
        with retry_sweep("due incentives were not moved"):
            rows = await self._turns.find(2, PORTION, partial(self._find, at))
            due = [tuple(row) for row in rows]
            return await self._turns.move(due, partial(self._expire, at=at)) if due else 0

    async def _find(self, at: datetime, after: str, aside: Columns) -> Sequence[asyncpg.Record]:
        found: Sequence[asyncpg.Record] = await self._finder.fetch(
            SQL["find_due"], at, after, OF_A_TENANT, PORTION, *aside
        )
        return found

    async def _expire(self, due: Sequence[Key], at: datetime) -> int:
        tenants, ids = [str(tenant) for tenant, _ in due], [incentive_id for _, incentive_id in due]
        places = {incentive_id: place for place, incentive_id in enumerate(ids)}
        with retry_transient():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT set_config('app.tenants', $1, true)", ",".join(sorted(set(tenants))))
                rows = await connection.fetch(SQL["expire"], tenants, ids, at)
                expired = sorted(rows, key=lambda row: (row["tenant_id"], places[row["incentive_id"]]))
                if expired:
                    columns = [[row[name] for row in expired] for name in ("tenant_id", "incentive_id", "left_over")]
                    await connection.execute(SQL["tell_expired"], *columns, len(expired))
        return len(expired)
