"""Users' attributes, kept in the worker and checked against PostgreSQL before each batch, as role fillip_worker."""

from collections.abc import Collection, Mapping
from sys import intern

import asyncpg
from prometheus_client import Counter

from fillip.core.errors import Busy, Retry
from fillip.core.instant import list_zones
from fillip.core.ports import StoredUser
from fillip.match.kept_users import KeptUsers, UserKey
from fillip.match.postgres import Connection
from fillip.match.sql import SQL
from fillip.match.transient_postgres import TOO_SLOW, TRANSIENT_ERRORS

ASKED = Counter("fillip_match_users_total", "Users whose attributes a batch asked for, by where they were", ["found"])


class PostgresUsers:
    """UserAttributes: a batch asks how many changes its tenants' users have seen, and reads only who has changed, or is new.

    The numbers are of PostgreSQL's and in the order of its commits, so no clock, and nothing that a publisher or a broker
    does, has a part in it: what was committed before a batch was taken, it sees.
    """

    def __init__(self, pool: asyncpg.Pool, kept: KeptUsers | None = None) -> None:
        """`pool` connects as fillip_worker."""
        self._pool = pool
        self._kept = kept or KeptUsers()

    async def read(self, users: Collection[UserKey]) -> Mapping[UserKey, StoredUser]:
        """See UserAttributes."""
        tenant_ids = sorted({tenant_id for tenant_id, _ in users})
        try:
            rows = await self._pool.fetch(SQL["user_heads"], tenant_ids)
            behind = self._kept.follow(rows[0]["server"], {row["tenant_id"]: row["last_number"] for row in rows})
            found, missing = self._kept.find(users) if not behind else ({}, users)
            if missing:
                async with self._pool.acquire() as connection, connection.transaction(readonly=True):
                    await connection.execute("SELECT set_config('app.tenants', $1, true)", ",".join(tenant_ids))
                    if behind:
                        await self._catch_up(connection, behind)
                        found, missing = self._kept.find(users)
                    found |= await self._read_missing(connection, missing)
        except TOO_SLOW as error:
            raise Busy(f"user attributes can't be read: {error}") from error
        except TRANSIENT_ERRORS as error:
            raise Retry(f"user attributes can't be read, PostgreSQL is away: {error}") from error
        ASKED.labels("kept").inc(len(users) - len(missing))
        ASKED.labels("read").inc(len(missing))
        return found

    async def _catch_up(self, connection: Connection, behind: Mapping[str, int]) -> None:
        """Drop who has changed of tenants that are behind."""
        for row in await connection.fetch(SQL["user_changes"], list(behind), list(behind.values())):
            self._kept.bring(row["tenant_id"], row["last_number"], row["user_ids"])

    async def _read_missing(self, connection: Connection, missing: Collection[UserKey]) -> dict[UserKey, StoredUser]:
        marks = self._kept.mark({tenant_id for tenant_id, _ in missing})
        read = await self.fetch(connection, missing) if missing else {}
        self._kept.keep(marks, missing, read)
        return read

    async def fetch(self, connection: Connection, users: Collection[UserKey]) -> dict[UserKey, StoredUser]:
        """What these users have now."""
        rows = await connection.fetch(SQL["users"], [user[0] for user in users], [user[1] for user in users])
        return {
            (row["tenant_id"], row["user_id"]): StoredUser(row["revision"], row["attributes"], _share(row["time_zone"]))
            for row in rows
        }


def _share(time_zone: str | None) -> str | None:
    """The same text for all users of a zone, so that it takes no room; none where this process does not know the zone."""
    return intern(time_zone) if time_zone in list_zones() else None
