"""Uploads of up to a million lines: staged for one session, then written in portions, each a transaction of its own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from asyncpg import Connection, Record
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.errors import Crash, Retry
from fillip.core.ports import Caller
from fillip.http.errors import QuotaExceeded
from fillip.manage.store.postgres import reach
from fillip.rows.transient_postgres import TRANSIENT_ERRORS

PORTION_PARTS = 256
"""Some half a megabyte, written in 10 ms."""
PORTION_CODES = 2_000
NAMES = (
    "stage_lines",
    "bundle_members",
    "measure_parts",
    "write_parts",
    "number_codes",
    "add_codes",
    "count_codes",
    "find_elsewhere",
)
SQL = {name: Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8").split("\n\n") for name in NAMES}


class StagedCohort(Struct, frozen=True):
    """A list of users as staged: how many, how many bytes, in how many parts."""

    size: int
    octets: int
    parts: int


class Staging:
    """The lines of one upload, in a session of their own. All methods raise Retry."""

    def __init__(self, driver: "Connection[Record]", tenant_id: str) -> None:
        self._driver = driver
        self._tenant_id = tenant_id

    async def bundle(self) -> StagedCohort:
        """Make parts of the lines, each user once."""
        with _retryable():
            for statement in SQL["bundle_members"]:
                await self._driver.execute(statement)
            (found,) = await self._driver.fetch(*SQL["measure_parts"])
        return StagedCohort(**dict(found))

    async def write(self, roll: StagedCohort) -> UUID:
        """The id of the list that the parts are now: nothing names it yet."""
        with _retryable():
            async with self._enter():
                content_id: UUID = await self._driver.fetchval(
                    "INSERT INTO cohort_content (tenant_id) VALUES ($1) RETURNING content_id", self._tenant_id
                )
            for start in range(1, roll.parts + 1, PORTION_PARTS):
                async with self._enter():
                    (statement,) = SQL["write_parts"]
                    await self._driver.execute(statement, self._tenant_id, content_id, start, start + PORTION_PARTS)
        return content_id

    async def number_codes(self) -> int:
        """Make codes of the lines, each once; how many."""
        with _retryable():
            for statement in SQL["number_codes"]:
                await self._driver.execute(statement)
            return int(await self._driver.fetchval("SELECT count(*) FROM staged_part"))

    async def add_codes(self, pool_id: str, count: int, quota: int) -> int:
        """Add the codes to a pool; how many were new to the tenant.

        Raises QuotaExceeded for the portion with which the tenant would have more than `quota`; those before it stay.
        """
        added = 0
        with _retryable():
            for start in range(1, count + 1, PORTION_CODES):
                async with self._enter():
                    (statement,) = SQL["add_codes"]
                    more = await self._driver.fetchval(
                        statement, self._tenant_id, pool_id, start, start + PORTION_CODES
                    )
                    used = await self._driver.fetchval(*SQL["count_codes"], self._tenant_id, more)
                    if more and used > quota:
                        raise QuotaExceeded("coupon_codes", quota, used - more, more)
                    added += more
        return added

    async def find_elsewhere(self, pool_id: str) -> tuple[str, str] | None:
        """(code, pool) of one that is in another pool."""
        with _retryable():
            async with self._enter():
                (statement,) = SQL["find_elsewhere"]
                found = await self._driver.fetchrow(statement, self._tenant_id, pool_id)
        return (found["code"], found["pool_id"]) if found else None

    @asynccontextmanager
    async def _enter(self) -> AsyncIterator[None]:
        async with self._driver.transaction():
            await self._driver.execute("SELECT set_config('app.tenant', $1, true)", self._tenant_id)
            yield


@asynccontextmanager
async def stage_lines(engine: AsyncEngine, caller: Caller, rows: BinaryIO) -> AsyncIterator[Staging]:
    """Stage `rows` (COPY text, one column) for the length of the context, on a connection of its own. Raises Retry."""
    connection = engine.connect()
    await reach(connection.start())
    try:
        driver = (await connection.get_raw_connection()).driver_connection
        if not isinstance(driver, Connection):
            raise Crash(f"the control plane needs the driver asyncpg, not {type(driver).__name__}")
        with _retryable():
            await driver.execute(*SQL["stage_lines"])
            await driver.copy_to_table("staged_line", source=rows, columns=["line"])
        yield Staging(driver, caller.tenant_id)
        with _retryable():
            await driver.execute("DROP TABLE staged_line, staged_part")
    except BaseException:
        await connection.invalidate()  # the session ends, and with it what is staged
        raise
    finally:
        await connection.close()


@contextmanager
def _retryable() -> Iterator[None]:
    try:
        yield
    except TRANSIENT_ERRORS as error:
        raise Retry(f"the upload was not taken, send it again: {type(error).__name__}: {error}") from error
