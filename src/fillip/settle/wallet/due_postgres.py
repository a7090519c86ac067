"""Wallets with something due: found across tenants by a role that only reads, moved by the worker's, tenant by tenant."""

from datetime import datetime

import asyncpg

from fillip.core.errors import Retry
from fillip.settle.postgres import PASSING
from fillip.settle.wallet.postgres import SQL, PostgresWallets

PORTION_LOTS = 500


class PostgresDueWallets:
    """See fillip.settle.sweep.Due."""

    def __init__(self, finder: asyncpg.Pool, pool: asyncpg.Pool) -> None:
        """`finder` is of role fillip_publish, which sees all tenants; `pool` of fillip_worker, held to those it names."""
        self._finder = finder
        self._pool = pool

    async def move_due(self, at: datetime) -> int:
        """Activate and expire what is due in the wallets that have waited longest and that nobody holds."""
        try:
            rows = await self._finder.fetch(SQL["find_due"], at, PORTION_LOTS)
            keys = sorted((row["tenant_id"], row["user_id"], row["currency"]) for row in rows)
            if not keys:
                return 0
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(SQL["name_tenants"], ",".join(sorted({key[0] for key in keys})))
                return await PostgresWallets(connection).mature(keys, at)
        except (*PASSING, asyncpg.PostgresError) as error:  # whatever is wrong, it is not to stop the announcing
            raise Retry(f"due points were not moved: {type(error).__name__}: {error}") from error
