"""Instants and days as the control plane reads them: those for which Python has no words come as the nearest it has.

A row of an old log may hold -infinity, or a year before Christ: it is shown, explained and listed all the same. Two days
of room at each end let every zone's clock and every week's first day be told.
"""

from datetime import UTC, date, datetime, timedelta

from asyncpg import Connection, Record
from sqlalchemy import event
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection
from sqlalchemy.ext.asyncio import AsyncEngine

_EPOCH, _FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC), date(2000, 1, 1)
_EARLIEST, _LATEST = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)
_MICROSECOND, _DAY = timedelta(microseconds=1), timedelta(days=1)
_LOWEST_US, _HIGHEST_US = ((bound - _EPOCH) // _MICROSECOND for bound in (_EARLIEST, _LATEST))
_LOWEST_DAY, _HIGHEST_DAY = ((bound.date() - _FIRST_DAY) // _DAY for bound in (_EARLIEST, _LATEST))


def clamp_instants(engine: AsyncEngine) -> None:
    """Let all connections of the engine read so. What they write stays as it is."""

    @event.listens_for(engine.sync_engine, "connect")
    def set_codecs(connection: AsyncAdapt_asyncpg_connection, record: object) -> None:
        connection.run_async(_set_codecs)


async def _set_codecs(connection: "Connection[Record]") -> None:
    codecs = (("timestamptz", _write_instant, _read_instant), ("date", _write_day, _read_day))
    for name, write, read in codecs:
        await connection.set_type_codec(name, schema="pg_catalog", format="tuple", encoder=write, decoder=read)


def _write_instant(instant: datetime) -> tuple[int]:
    aware = instant if instant.tzinfo else instant.astimezone()
    return ((aware - _EPOCH) // _MICROSECOND,)


def _read_instant(stored: tuple[int]) -> datetime:
    return _EPOCH + max(_LOWEST_US, min(stored[0], _HIGHEST_US)) * _MICROSECOND


def _write_day(day: date) -> tuple[int]:
    return ((day - _FIRST_DAY) // _DAY,)


def _read_day(stored: tuple[int]) -> date:
    return _FIRST_DAY + max(_LOWEST_DAY, min(stored[0], _HIGHEST_DAY)) * _DAY
