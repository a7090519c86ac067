"""What campaigns decided in the last hours, as the ledger had it at one snapshot."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from fillip.core.errors import Retry
from fillip.publish.live import HourChange, Visibility, list_changes, read_visibility
from fillip.publish.postgres import connect


class PostgresHours:
    """Opens snapshots of the ledger."""

    def __init__(self, dsn: str) -> None:
        """`dsn` is of role fillip_publish."""
        self._dsn = dsn

    @asynccontextmanager
    async def open(self) -> AsyncIterator["HoursSnapshot"]:
        """The ledger as it is now, until the end. Raises Retry."""
        try:
            async with connect(self._dsn) as connection:
                await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                found = await (await connection.execute("SELECT pg_current_snapshot()::text")).fetchone()
                yield HoursSnapshot(connection, read_visibility(str(found and found[0])))
        except psycopg.Error as error:
            raise Retry(f"PostgreSQL is away or busy: {error}") from error


def load_sql() -> LiteralString:
    """The one statement."""
    text: Any = Path(__file__).with_name("read_hours.sql").read_text(encoding="utf-8")
    return text  # type: ignore[no-any-return]  # written by us, as good as a literal


class HoursSnapshot:
    """The ledger at one instant; `visibility` tells which transactions it has seen."""

    def __init__(self, connection: "psycopg.AsyncConnection[Any]", visibility: Visibility) -> None:
        self._connection, self.visibility = connection, visibility

    async def list_tenants(self) -> Sequence[str]:
        """Every tenant."""
        cursor = await self._connection.execute("SELECT tenant_id FROM tenant ORDER BY tenant_id")
        return [row[0] for row in await cursor.fetchall()]

    async def read(self, tenant_id: str, since: datetime) -> AsyncGenerator[Sequence[HourChange], None]:
        """What each campaign of a tenant decided in each hour since, in pieces."""
        declare = sql.SQL('DECLARE "hours" CURSOR FOR {}').format(sql.SQL(load_sql()))
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(declare, {"tenant": tenant_id, "since": since})
            while rows := await (await cursor.execute('FETCH FORWARD 1000 FROM "hours"')).fetchall():
                yield list(list_changes(rows))
            await cursor.execute('CLOSE "hours"')
