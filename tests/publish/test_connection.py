"""A connection that is given up, however often: the server is rid of it at once."""

import asyncio
from typing import Any

import psycopg

from fillip.publish.postgres import connect


async def test_a_connection_is_closed_where_it_is_cancelled_again_while_it_closes(database: str) -> None:
    opened: asyncio.Future[psycopg.AsyncConnection[Any]] = asyncio.get_running_loop().create_future()

    async def read() -> None:
        async with connect(database) as connection:
            await connection.execute("BEGIN")
            opened.set_result(connection)
            await asyncio.Event().wait()

    reading = asyncio.create_task(read())
    connection = await opened
    reading.cancel()
    await asyncio.sleep(0)  # it is closing now
    reading.cancel()
    await asyncio.wait([reading])
    assert connection.closed
