"""Uploads of up to millions of lines: staged for one session, then written in portions, each a transaction of its own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from asyncpg import Connection, Record
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.errors import Crash, Retry
from fillip.core.ports import Caller
from fillip.http.errors import QuotaExceeded
from fillip.manage.store.postgres import reach
from fillip.rows.transient_postgres import TRANSIENT_ERRORS

PORTION_CODES = 2_000
STAGED_WITHIN_S = 600.0
"""A large list is copied, sorted and compared in minutes, beside others."""
NAMES = (
    "stage_lines",
    "number_codes",
    "add_codes",
    "count_codes",
    "find_elsewhere",
    "find_spellings",
    "hold_codes",
)
SQL = {name: Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8").split("\n\n") for name in NAMES}


class Elsewhere(NamedTuple):
    """A code of another pool that the staged code `line` would be taken for."""

    code: str
    pool_id: str
    line: str


class Spellings(NamedTuple):
    """A line whose code an earlier line has in another spelling; lines are counted from 1, without a header."""

    number: int
    line: str
    first_number: int
    first_line: str


class Staging:
    """The lines of one upload, in a session of their own. All methods raise Retry."""

    def __init__(self, driver: "Connection[Record]", tenant_id: str) -> None:
        self.driver = driver
        self.tenant_id = tenant_id

    async def number_codes(self) -> int:
        """Make codes of the lines, each once; how many."""
        with retryable():
            for statement in SQL["number_codes"]:
                await self.driver.execute(statement)
            return int(await self.driver.fetchval("SELECT count(*) FROM staged_part"))

    async def find_spellings(self) -> Spellings | None:
        """The first line with a code that an earlier one has in another spelling."""
        with retryable():
            exists, find = SQL["find_spellings"]
            found = await self.driver.fetchrow(find) if await self.driver.fetchval(exists) else None
        return Spellings(*found) if found else None

    async def add_codes(self, pool_id: str, count: int, quota: int, *, case_sensitive: bool) -> int:
        """Add the codes to a pool; how many were new to the tenant.

        Raises QuotaExceeded for the portion with which the tenant would have more than `quota`; those before it stay.
        """
        added = 0
        with retryable():
            for start in range(1, count + 1, PORTION_CODES):
                async with self.enter():
                    await self.driver.execute(*SQL["hold_codes"], self.tenant_id)
                    (statement,), until = SQL["add_codes"], start + PORTION_CODES
                    more = await self.driver.fetchval(statement, self.tenant_id, pool_id, start, until, case_sensitive)
                    used = await self.driver.fetchval(*SQL["count_codes"], self.tenant_id, more)
                    if more and used > quota:
                        raise QuotaExceeded("coupon_codes", quota, used - more, more)
                    added += more
        return added

    async def find_elsewhere(self, pool_id: str, *, case_sensitive: bool) -> Elsewhere | None:
        """One that would be taken for a code of another pool."""
        with retryable():
            async with self.enter():
                (statement,) = SQL["find_elsewhere"]
                found = await self.driver.fetchrow(statement, self.tenant_id, pool_id, case_sensitive)
        return Elsewhere(*found) if found else None

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """One transaction of the tenant's."""
        async with self.driver.transaction():
            await self.driver.execute("SELECT set_config('app.tenant', $1, true)", self.tenant_id)
            yield


@asynccontextmanager
async def open_staging(engine: AsyncEngine, caller: Caller) -> AsyncIterator[Staging]:
    """A session for the length of the context, on a connection of its own: what is staged in it ends with it. Raises Retry."""
    connection = engine.connect()
    await reach(connection.start())
    try:
        driver = (await connection.get_raw_connection()).driver_connection
        if not isinstance(driver, Connection):
            raise Crash(f"the control plane needs the driver asyncpg, not {type(driver).__name__}")
        yield Staging(driver, caller.tenant_id)
        with retryable():
            await driver.execute("DISCARD TEMP")
    except BaseException:
        await connection.invalidate()  # the session ends, and with it what is staged
        raise
    finally:
        await connection.close()


@asynccontextmanager
async def stage_lines(engine: AsyncEngine, caller: Caller, rows: BinaryIO) -> AsyncIterator[Staging]:
    """Stage `rows` (COPY text, one column) for the length of the context. Raises Retry."""
    async with open_staging(engine, caller) as staging:
        with retryable():
            await staging.driver.execute(*SQL["stage_lines"])
            await staging.driver.copy_to_table("staged_line", source=rows, columns=["line"], timeout=STAGED_WITHIN_S)
        yield staging


@contextmanager
def retryable() -> Iterator[None]:
    """Raise Retry where PostgreSQL was not reached or gave up."""
    try:
        yield
    except TRANSIENT_ERRORS as error:
        raise Retry(f"the upload was not taken, send it again: {type(error).__name__}: {error}") from error
