"""Who the users of events are by now, where they were merged into others, asked of PostgreSQL as role fillip_worker."""

from collections.abc import Collection, Mapping

import asyncpg

from fillip.core.errors import Busy, Retry
from fillip.match.kept_users import UserKey
from fillip.match.sql import SQL
from fillip.match.transient_postgres import TOO_SLOW, TRANSIENT_ERRORS


class PostgresMerged:
    """MergedUsers."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        """`pool` connects as fillip_worker."""
        self._pool = pool

    async def find(self, users: Collection[UserKey]) -> Mapping[UserKey, str]:
        """See MergedUsers."""
        try:
            asked, tenants = sorted(users), ",".join(sorted({tenant_id for tenant_id, _ in users}))
            async with self._pool.acquire() as connection, connection.transaction(readonly=True):
                await connection.execute("SELECT set_config('app.tenants', $1, true)", tenants)
                found = await connection.fetch(SQL["merged"], [user[0] for user in asked], [user[1] for user in asked])
        except TOO_SLOW as error:
            raise Busy(f"merged users can't be read: {error}") from error
        except TRANSIENT_ERRORS as error:
            raise Retry(f"merged users can't be read, PostgreSQL is away: {error}") from error
        return {(row["tenant_id"], row["user_id"]): row["merged_into"] for row in found}
