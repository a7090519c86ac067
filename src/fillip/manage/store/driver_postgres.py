"""The driver below SQLAlchemy, for statements that other rooms share."""

from collections.abc import Sequence

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection


class DriverConnection:
    """See fillip.rows.connection.Connection; of a request's transaction, with the errors of all its statements."""

    def __init__(self, connection: AsyncConnection) -> None:
        """`connection` is inside a transaction."""
        self._connection = connection

    async def fetch(self, query: str, /, *args: object) -> Sequence[RowMapping]:
        """Its rows. Raises DBAPIError."""
        result = await self._connection.exec_driver_sql(query, args)
        return result.mappings().all() if result.returns_rows else ()
