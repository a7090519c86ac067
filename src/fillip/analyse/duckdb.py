"""The facts in one DuckDB file, which this process owns. One thread, so that the event loop stays free."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import duckdb

from fillip.analyse.facts import Load, Place, Position
from fillip.analyse.report import CampaignDay, Question, RejectionDay, Spend
from fillip.core.errors import Crash, Retry
from fillip.stream.topics import Topics

MEMORY_LIMIT = "256MB"
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": MEMORY_LIMIT,
    "threads": "1",
    "enable_external_access": "false",
    "preserve_insertion_order": "false",
}
SQL = {
    name: Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
    for name in (
        "schema",
        "positions",
        "move",
        "forget_decisions",
        "forget_rejections",
        "forget_reversals",
        "load_decisions",
        "load_rejections",
        "load_reversals",
        "campaign_days",
        "rejection_days",
    )
}
Answer = TypeVar("Answer")


class DuckdbBay:
    """Bay in a DuckDB file."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, topics: Topics) -> None:
        """What is loaded comes from these topics: see `sources`."""
        self._connection = connection
        self._tables = dict(zip(sources(topics), ("decisions", "rejections", "reversals"), strict=True))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="duckdb")
        self._positions: dict[Place, Position] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, file: Path, topics: Topics) -> AsyncIterator[Self]:
        """Open or create the file. Raises Crash when it can't be: another process owns it, or it is no such file."""
        connection = await asyncio.to_thread(_connect, file)
        bay = cls(connection, topics)
        try:
            yield bay
        finally:
            await bay._run(connection.close)
            bay._thread.shutdown()

    async def read_positions(self) -> Mapping[Place, Position]:
        """See Bay. Kept in memory after the first reading: nobody else writes."""
        if self._positions is None:
            found = [Position(*row) for row in await self._run(self._fetch, "positions")]
            self._positions = {(position.topic, position.partition): position for position in found}
        return self._positions

    async def load(self, load: Load) -> None:
        """See Bay."""
        known = await self.read_positions()
        self._positions = None  # not known until the load has succeeded
        await self._run(self._load, load)
        self._positions = {**known, **load.positions}

    async def report_campaign_days(self, question: Question) -> Sequence[CampaignDay]:
        """See Bay."""
        return [_read_campaign_day(row) for row in await self._run(self._fetch, "campaign_days", _ask(question))]

    async def report_rejection_days(self, question: Question) -> Sequence[RejectionDay]:
        """See Bay."""
        asked = _ask(question)
        del asked["campaign_id"]
        return [RejectionDay(*row) for row in await self._run(self._fetch, "rejection_days", asked)]

    async def _run(self, work: Callable[..., Answer], *arguments: object) -> Answer:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            raise Retry(f"the analytics file can't be used now: {error}") from error
        except duckdb.Error as error:
            raise Crash(f"the analytics file refused what it was given: {error}") from error

    def _fetch(self, name: str, asked: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        return self._connection.execute(SQL[name], asked).fetchall()

    def _load(self, load: Load) -> None:
        self._connection.begin()
        try:
            for topic, partition in load.renewed:
                self._connection.execute(SQL[f"forget_{self._tables[topic]}"], [partition])
            for topic, rows in load.rows.items():
                self._connection.execute(SQL[f"load_{self._tables[topic]}"], [_join(rows)])
            self._connection.executemany(SQL["move"], [_list(position) for position in load.positions.values()])
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise


def sources(topics: Topics) -> list[str]:
    """The topics that facts are loaded from."""
    return [topics.decided, topics.rejected, topics.reversed]


def _connect(file: Path) -> duckdb.DuckDBPyConnection:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = duckdb.connect(str(file), config=SETTINGS)
        connection.execute(SQL["schema"])
        connection.execute("SET lock_configuration = true")
    except (duckdb.Error, OSError) as error:
        raise Crash(f"the analytics file {file} can't be opened: {error}") from error
    return connection


def _join(rows: Sequence[tuple[int, bytes]]) -> str:
    """One JSON text for DuckDB to take apart: four times as fast as rows of Python values."""
    return (b"[" + b",".join(b'{"partition":%d,"message":%b}' % row for row in rows) + b"]").decode()


def _list(position: Position) -> list[object]:
    return [getattr(position, name) for name in position.__struct_fields__]


def _ask(question: Question) -> dict[str, object]:
    return {
        "tenant_id": question.tenant_id,
        "first": question.first,
        "last": question.last,
        "campaign_id": question.campaign_id,
        "count": question.count,
        "after_day": question.after[0],
        "after_name": question.after[1],
    }


def _read_campaign_day(row: tuple[Any, ...]) -> CampaignDay:
    day, campaign_id, granted, issued, denied, spend, unique_users = row
    return CampaignDay(day, campaign_id, granted, issued, denied or {}, [Spend(**s) for s in spend or ()], unique_users)
