"""The members of cohorts: read in pieces, each a transaction of its own; and what is left of former lists, removed so."""

import asyncio
from datetime import datetime
from uuid import UUID

import asyncpg

from fillip.core.cohort import NOBODY, Cohort, join_chunks
from fillip.core.errors import Retry
from fillip.match.sql import SQL
from fillip.match.transient_postgres import TRANSIENT_ERRORS

PIECE_CHUNKS = 64
"""Some half a megabyte: read in 2 ms, removed in 5."""


class PostgresMembers:
    """Reads the lists of cohorts, as role fillip_worker."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._turn = asyncio.Lock()

    async def read(
        self, tenant_id: str, content_id: UUID, *, version: int, size: int, known: Cohort | None
    ) -> Cohort | None:
        """A list at a version at which it has `size` members; of what is `known` only the chunks that changed are read.

        None where some are gone: another version has taken its place. Takes one connection at a time, for one piece, so that
        many large lists don't keep others from theirs.
        """
        before = known if known and known.content_id == content_id and known.version <= version else None
        chunks: list[tuple[int, bytes]] = []
        since, after = before.version if before else 0, -1
        while True:
            async with self._turn, self._pool.acquire() as connection, connection.transaction(readonly=True):
                await connection.execute("SELECT set_config('app.tenants', $1, true)", tenant_id)
                rows = await connection.fetch(SQL["chunks"], tenant_id, content_id, since, version, after, PIECE_CHUNKS)
            chunks += [(chunk, members) for chunk, members in rows]
            if len(rows) < PIECE_CHUNKS:
                break
            after = chunks[-1][0]
        members = await asyncio.to_thread(join_chunks, before.members if before else NOBODY, chunks)
        return Cohort(version=version, members=members, content_id=content_id) if len(members) == size else None


class PostgresFormerMembers:
    """See fillip.settle.sweep.Due: chunks of lists that others have taken the place of, and of deleted cohorts."""

    def __init__(self, finder: asyncpg.Pool, pool: asyncpg.Pool) -> None:
        """`finder` is of role fillip_sweep, which sees all tenants; `pool` of fillip_worker, held to those it names."""
        self._finder = finder
        self._pool = pool

    async def move_due(self, at: datetime) -> int:
        """Remove some chunks of the tenant with the one that was left first."""
        try:
            tenant_id = await self._finder.fetchval(SQL["find_left"], at)
            if tenant_id is None:
                return 0
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT set_config('app.tenants', $1, true)", tenant_id)
                removed: int = await connection.fetchval(SQL["forget_chunks"], tenant_id, at, PIECE_CHUNKS)
            return removed
        except (*TRANSIENT_ERRORS, asyncpg.PostgresError) as error:
            raise Retry(f"former lists of members were not removed: {type(error).__name__}: {error}") from error
