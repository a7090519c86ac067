"""The rows of an import, staged for one session: compared, summed, and stored in portions in one commit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from asyncpg import Record
from msgspec import Struct, json
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.ports import Caller
from fillip.core.problem import Fault
from fillip.manage.balance_import.lines import STAGED
from fillip.manage.upload.staging_postgres import STAGED_WITHIN_S, Staging, open_staging, retryable

PORTION_ROWS = 500
"""Of one commit: a batch that grants to one of these users waits for it, and publish announces it as one."""
_NAMES = ("stage_rows", "find_twice", "sum_rows", "store_import")
_SQL = {name: Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8").split("\n\n") for name in _NAMES}
_AT_LENGTH = f"SET LOCAL statement_timeout = '{STAGED_WITHIN_S:.0f}s'; SET LOCAL work_mem = '64MB'"


class Sums(Struct, frozen=True):
    """Rows, users and points of one currency, or in all."""

    rows: int
    users: int
    amount: int


class ImportSums(Struct, frozen=True):
    """What a file holds: in all, and by currency."""

    rows: int
    users: int
    sums: dict[str, Sums]


class StagedImport:
    """The rows of one import, in a session of their own. All methods raise Retry."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging

    async def find_twice(self) -> tuple[list[Fault], int]:
        """A fault for each row whose id an earlier one has, the first hundred, and how many there are."""
        rows = await self._fetch("find_twice")
        faults = [Fault(f"line {row['line']}, id", f"stands in line {row['first']} already") for row in rows]
        return faults, rows[0]["count"] if rows else 0

    async def sum_rows(self) -> ImportSums:
        """What the rows come to."""
        sums = {
            row["currency"]: Sums(row["rows"], row["users"], row["amount"]) for row in await self._fetch("sum_rows")
        }
        whole = sums.pop(None)
        return ImportSums(whole.rows, whole.users, sums)

    async def store(self, import_id: str, content_hash: bytes, sums: ImportSums) -> None:
        """Store the import and its rows in one commit; nothing where there is an import of this id."""
        driver, tenant_id = self._staging.driver, self._staging.tenant_id
        one, portions = _SQL["store_import"]
        told = json.encode(sums.sums).decode()
        with retryable():
            async with self._staging.enter():
                await driver.execute(_AT_LENGTH)
                if await driver.fetchval(one, tenant_id, import_id, content_hash, sums.rows, sums.users, told):
                    await driver.execute(portions, tenant_id, import_id, PORTION_ROWS, timeout=STAGED_WITHIN_S)

    async def _fetch(self, name: str) -> "list[Record]":
        with retryable():
            async with self._staging.enter():
                await self._staging.driver.execute(_AT_LENGTH)
                return await self._staging.driver.fetch(*_SQL[name], timeout=STAGED_WITHIN_S)


@asynccontextmanager
async def stage_import(engine: AsyncEngine, caller: Caller, rows: BinaryIO) -> AsyncIterator[StagedImport]:
    """Stage `rows` (COPY text, columns STAGED) for the length of the context. Raises Retry."""
    async with open_staging(engine, caller) as staging:
        with retryable():
            async with staging.enter():
                await staging.driver.execute(_AT_LENGTH)
                await staging.driver.execute(*_SQL["stage_rows"])
                await staging.driver.copy_to_table(
                    "staged_balance", source=rows, columns=STAGED, timeout=STAGED_WITHIN_S
                )
        yield StagedImport(staging)
