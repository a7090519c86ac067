"""What a backtest reads of the ledger and the catalogue, as role fillip_worker, held to its tenant."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from msgspec.structs import replace

from fillip.core.backtest.question import BacktestQuestion
from fillip.core.book.book import Book
from fillip.core.book.version import CampaignVersion
from fillip.core.errors import Refused, Retry
from fillip.core.limit import Counter, CounterKey, Frame
from fillip.rows.campaign.postgres import name_lists, read_version
from fillip.rows.connection import Connection, Row
from fillip.rows.limit.postgres import read_counters, read_parts
from fillip.rows.transient_postgres import TRANSIENT_ERRORS

_VERSION = Path(__file__).with_name("read_version.sql").read_text(encoding="utf-8")


class PastLedger:
    """Reads without locks."""

    def __init__(self, pool: asyncpg.Pool, tenant_id: str) -> None:
        self._pool = pool
        self._tenant_id = tenant_id

    async def read_version(self, question: BacktestQuestion, book: Book) -> tuple[CampaignVersion, bool]:
        """The version that is asked for, with its lists as they are in the book; and whether the campaign was ever launched.

        Raises Refused where it is gone, Retry.
        """
        async with self._read() as connection:
            rows = await connection.fetch(_VERSION, question.tenant_id, question.campaign_id, question.version)
        if not rows:
            raise Refused("the campaign, or this version of it, is not there any more")
        [row] = rows
        version = read_version(question.campaign_id, question.version, "running", row["definition"], row["checked"])
        return replace(version, lists={name: book.lists[name] for name in name_lists(version)}), row["state"] != "draft"

    async def fetch(self, statement: str, *arguments: object) -> Sequence[Row]:
        """The rows of a SELECT. Raises Retry."""
        async with self._read() as connection:
            return await connection.fetch(statement, *arguments)

    async def read_counters(self, asked: Collection[CounterKey]) -> Mapping[CounterKey, Counter]:
        """What is used of them now. Raises Retry."""
        async with self._read() as connection:
            return await read_counters(connection, asked)

    async def read_parts(self, frames: Collection[Frame]) -> Mapping[CounterKey, Mapping[int, int]]:
        """What is used of counters by rolling windows in these frames now, by part. Raises Retry."""
        async with self._read() as connection:
            return await read_parts(connection, frames)

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[Connection]:
        try:
            async with self._pool.acquire() as connection, connection.transaction(readonly=True):
                await connection.execute("SELECT set_config('app.tenants', $1, true)", self._tenant_id)
                yield connection
        except TRANSIENT_ERRORS as error:
            raise Retry(f"PostgreSQL is away: {error}") from error
