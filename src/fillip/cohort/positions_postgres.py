"""How far events are counted for cohorts, for the operator, as role fillip_cohort."""

from collections.abc import Mapping

import asyncpg

from fillip.cohort.connection_postgres import SQL
from fillip.core.errors import Refused, Retry
from fillip.rows.transient_postgres import TRANSIENT_ERRORS
from fillip.stream.belt import Position


async def list_positions(dsn: str, topic: str) -> dict[int, Position]:
    """What is stored, by partition; nothing where nobody has counted yet. Raises Retry."""
    try:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
            rows = await pool.fetch(SQL["list_positions"], topic)
    except TRANSIENT_ERRORS as error:
        raise Retry(f"PostgreSQL does not answer: {error}") from error
    return {partition: Position(next_offset, 0, topic_id) for partition, next_offset, topic_id in rows}


async def restart_positions(dsn: str, topic: str, seen: Mapping[int, Position], first: Mapping[int, int]) -> None:
    """Count these partitions from their `first` offsets on; all or none. Raises Refused where one has moved since, Retry."""
    try:
        async with (
            asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool,
            pool.acquire() as connection,
            connection.transaction(),
        ):
            for partition, at in sorted(seen.items()):
                restarted = await connection.execute(
                    SQL["restart_position"], topic, partition, at.next_offset, first[partition], at.topic_id
                )
                if restarted != "UPDATE 1":
                    raise Refused(f"the position of {topic}/{partition} for cohorts has moved meanwhile: look again")
    except TRANSIENT_ERRORS as error:
        raise Retry(f"PostgreSQL does not answer: {error}") from error
