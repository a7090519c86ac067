"""Ladders as stored, and where users stand on them."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import DateTime, Row, Text, bindparam, select, text

from fillip.core.ports import Caller
from fillip.http.errors import NotFound
from fillip.manage.object.postgres import Objects
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.book import ladder

ladders = Objects(ladder, "currency", "there is no ladder of the currency {}")
LadderRow: TypeAlias = Row[Any]
_LEVELS = text(Path(__file__).with_name("read_levels.sql").read_text(encoding="utf-8")).bindparams(
    bindparam("user_id", type_=Text), bindparam("at", type_=DateTime(timezone=True))
)


async def find_ladder(connection: Connection, caller: Caller, currency: str, *, lock: bool = False) -> LadderRow:
    """One that is not being deleted. Raises NotFound."""
    row = await ladders.find(connection, caller, currency, lock=lock)
    if row.leaving:
        raise NotFound(ladders.missing.format(currency))
    return row


async def find_reading(connection: Connection, caller: Caller, attribute: str, currency: str) -> str | None:
    """The currency of another ladder by whose level this attribute of users is taken."""
    other = (
        (ladder.c.tenant_id == caller.tenant_id) & (ladder.c.attribute == attribute) & (ladder.c.currency != currency)
    )
    return (await connection.execute(select(ladder.c.currency).where(other))).scalar_one_or_none()


async def leave_ladder(connection: Connection, caller: Caller, currency: str) -> None:
    """Let the sweep remove it with the levels of its users; from here on it is as if it were gone."""
    await ladders.change(connection, caller, currency, {"leaving": True})


async def read_levels(connection: Connection, caller: Caller, user_id: str, at: datetime) -> Sequence[LadderRow]:
    """Where a user stands on each ladder, by currency."""
    return (await connection.execute(_LEVELS, {"tenant_id": caller.tenant_id, "user_id": user_id, "at": at})).all()
