"""Incentives that are due: found across tenants by a role that only reads, moved by the worker's."""

from datetime import datetime
from pathlib import Path

import asyncpg

from fillip.core.errors import Retry
from fillip.settle.postgres import PASSING

PORTION = 500
SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}


class PostgresDueIncentives:
    """See fillip.settle.sweep.Due. Lock order: incentives, then the inboxes of their users."""

    def __init__(self, finder: asyncpg.Pool, pool: asyncpg.Pool) -> None:
        """`finder` is of role fillip_publish, which sees all tenants; `pool` of fillip_worker, held to those it names."""
        self._finder = finder
        self._pool = pool

    async def move_due(self, at: datetime) -> int:
        """Expire those that have been due longest and that nobody is changing, and tell their users."""
        try:
            due = [tuple(row) for row in await self._finder.fetch(SQL["find_due"], at, PORTION)]
            return await self._expire(due, at) if due else 0
        except (*PASSING, asyncpg.PostgresError) as error:
            raise Retry(f"due incentives were not moved: {type(error).__name__}: {error}") from error

    async def _expire(self, due: list[tuple[str, object]], at: datetime) -> int:
        tenants, ids = [tenant for tenant, _ in due], [incentive_id for _, incentive_id in due]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('app.tenants', $1, true)", ",".join(sorted(set(tenants))))
            rows = await connection.fetch(SQL["expire"], tenants, ids, at)
            expired = sorted(rows, key=lambda row: (row["tenant_id"], ids.index(row["incentive_id"])))
            if expired:
                columns = [[row[name] for row in expired] for name in ("tenant_id", "incentive_id", "left_over")]
                await connection.execute(SQL["tell_expired"], *columns, len(expired))
        return len(expired)
