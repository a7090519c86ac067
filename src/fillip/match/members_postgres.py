"""The members of cohorts: read in pieces, each a transaction of its own; and what is left of former lists, removed so."""

import asyncio
from datetime import datetime
from uuid import UUID

import asyncpg

from fillip.core.cohort import END, Members
from fillip.core.errors import Retry
from fillip.match.sql import SQL
from fillip.match.transient_postgres import TRANSIENT_ERRORS

PIECE_PARTS = 256
"""Some half a megabyte: read in 2 ms, removed in 5."""


class PostgresMembers:
    """Reads lists of members, as role fillip_worker."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._turn = asyncio.Lock()

    async def read(self, tenant_id: str, content_id: UUID | None, size: int) -> Members | None:
        """The members of a list of `size`; None where some are gone: another list has taken its place.

        Takes one connection at a time, for one piece, so that many large lists don't keep others from theirs.
        """
        parts: list[tuple[bytes, bytes]] = []
        found, after = 0, ""
        while content_id is not None:
            async with self._turn, self._pool.acquire() as connection, connection.transaction(readonly=True):
                await connection.execute("SELECT set_config('app.tenants', $1, true)", tenant_id)
                rows = await connection.fetch(SQL["parts"], tenant_id, content_id, after, PIECE_PARTS)
            if not rows:
                break
            parts += [(first_id.encode(), members) for first_id, members in rows]
            found += sum(members.count(END) - 1 for _, members in rows)
            after = rows[-1][0]
        return Members(parts) if found == size else None


class PostgresFormerMembers:
    """See fillip.settle.sweep.Due: lists that no cohort names any more, and those whose upload has come to nothing."""

    def __init__(self, finder: asyncpg.Pool, pool: asyncpg.Pool) -> None:
        """`finder` is of role fillip_sweep, which sees all tenants; `pool` of fillip_worker, held to those it names."""
        self._finder = finder
        self._pool = pool

    async def move_due(self, at: datetime) -> int:
        """Remove one portion of the list that was begun first, or its row once it is empty."""
        try:
            found = await self._finder.fetchrow(SQL["find_left"], at)
            if found is None:
                return 0
            tenant_id, content_id = found["tenant_id"], found["content_id"]
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT set_config('app.tenants', $1, true)", tenant_id)
                removed: int = await connection.fetchval(SQL["forget_parts"], tenant_id, content_id, PIECE_PARTS)
                if not removed:
                    await connection.execute(SQL["forget_content"], tenant_id, content_id)
            return removed or 1
        except (*TRANSIENT_ERRORS, asyncpg.PostgresError) as error:
            raise Retry(f"former lists of members were not removed: {type(error).__name__}: {error}") from error
