"""The positions in PostgreSQL, as role fillip_worker."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from fillip.core.errors import Refused, Retry
from fillip.settle.transient_postgres import TRANSIENT_ERRORS
from fillip.stream.belt import Position
from fillip.stream.fit import Log

OPERATOR = "operator"
SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}


async def list_positions(dsn: str, topic: str) -> dict[int, Position]:
    """What is stored, by partition. Raises Retry."""
    async with _connect(dsn) as connection:
        rows = await connection.fetch(SQL["list_positions"], topic)
    return {partition: Position(*stored) for partition, *stored in rows}


async def restart_positions(dsn: str, topic: str, seen: Mapping[int, Position], logs: Mapping[int, Log]) -> None:
    """Go on at the first offset of each of these logs, under a new generation; all in one transaction, or none.

    `seen` are the positions that were looked at. Raises Refused where one has moved since, Retry.
    """
    async with _connect(dsn) as connection, connection.transaction():
        for partition, log in sorted(logs.items()):
            at = seen[partition]
            was, now = (at.next_offset, at.generation, at.topic_id), (log.first, log.topic_id)
            done = await connection.execute(SQL["restart_position"], topic, partition, *was, *now, OPERATOR)
            if done != "UPDATE 1":
                raise Refused(f"the position of {topic}/{partition} has moved meanwhile: look again")


@asynccontextmanager
async def _connect(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    try:
        connection = await asyncpg.connect(dsn)
        try:
            yield connection
        finally:
            await connection.close()
    except TRANSIENT_ERRORS as error:
        raise Retry(f"PostgreSQL does not answer: {error}") from error
