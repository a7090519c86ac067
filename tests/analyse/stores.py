"""The stores of the facts that one contract holds for, and a log of announcements to load into both. No broker."""

import asyncio
import importlib.util
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from fillip.analyse.clickhouse.bay import ClickhouseBay, connect_clickhouse
from fillip.analyse.duckdb.bay import DuckdbBay, sources
from fillip.analyse.facts import sift
from fillip.analyse.report import Bay
from fillip.stream.belt import Record
from fillip.stream.topics import Topics
from tests.analyse.bay_world import TABLES, record

URL = os.environ.get("FILLIP_TEST_CLICKHOUSE_URL")
ABSENT = "" if URL or importlib.util.find_spec("chdb") else "no ClickHouse: `make test-clickhouse` brings it"
TOPICS = Topics()
NAMED = dict(zip(TABLES, sources(TOPICS), strict=True))

Connect = Callable[[], Client]


@contextmanager
def new_clickhouse() -> Iterator[Connect]:
    """A database of a test's own, in the server at FILLIP_TEST_CLICKHOUSE_URL or in this process; opens clients of it."""
    name = f"fillip_{uuid.uuid4().hex}"
    if URL:
        parts = urlsplit(URL)
        connect, base = (
            partial(connect_clickhouse, urlunsplit(parts._replace(path=path)), None) for path in (f"/{name}", "")
        )
    else:
        base = partial(open_chdb, engine_folder())
        connect = partial(open_chdb, engine_folder(), name)
    client = base()
    client.command(f"CREATE DATABASE {name}")
    try:
        yield connect
    finally:
        client.command(f"DROP DATABASE {name}")
        client.close()


@cache
def engine_folder() -> str:
    """Of the one engine that a process can have."""
    return tempfile.mkdtemp(prefix="fillip-chdb-")


def open_chdb(folder: str, database: str = "default") -> Client:
    """A client of the engine in this process: the same driver, engine and SQL, without HTTP between them."""
    return clickhouse_connect.get_client(interface="chdb", path=folder, database=database)


@asynccontextmanager
async def open_duckdb(folder: Path) -> AsyncIterator[DuckdbBay]:
    """The embedded store."""
    async with DuckdbBay.open(folder / "analyse.duckdb", TOPICS) as bay:
        yield bay


@asynccontextmanager
async def open_clickhouse(connect: Connect) -> AsyncIterator[ClickhouseBay]:
    """The second one."""
    async with ClickhouseBay.open(connect, TOPICS) as bay:
        yield bay


class AnnouncementLog:
    """What stands in the topics, in the order of each partition."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._ends: dict[tuple[str, int], int] = {}

    def append(self, message: dict[str, Any], partition: int = 0) -> None:
        """Announce."""
        table = message["source"]["table"]
        topic = NAMED["changed incentive" if (table, message["op"]) == ("incentive", "u") else table]
        offset = self._ends.get((topic, partition), 0)
        self._ends[topic, partition] = offset + 1
        self._records.append(record(offset, message, topic, partition))

    async def load_into(self, bay: Bay, most: int = 1_000_000) -> int:
        """Load what comes next for this store, `most` records of it; how many these were."""
        positions = await bay.read_positions()
        nexts = {place: position.next_offset for place, position in positions.items()}
        waiting = [each for each in self._records if each.offset >= nexts.get((each.topic, each.partition), 0)]
        if waiting:
            await bay.load(sift(waiting[:most], positions))
        return len(waiting[:most])


async def load(bay: Bay, *messages: dict[str, Any], log: AnnouncementLog | None = None) -> AnnouncementLog:
    """Announce, and load it; the log goes on where it is given."""
    log = log or AnnouncementLog()
    for message in messages:
        log.append(message)
    while await log.load_into(bay):
        await asyncio.sleep(0)
    return log
