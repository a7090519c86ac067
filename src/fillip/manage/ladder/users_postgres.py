"""Users by level, as stored: on a ladder is who has a wallet of its currency."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ARRAY, DateTime, Select, Text, bindparam, exists, func, select, text

from fillip.core.ports import Caller
from fillip.http.paging import Paging
from fillip.manage.ladder.postgres import LadderRow
from fillip.manage.store.keyset import RowPage, read_page
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.book import user_level
from fillip.manage.store.tables.tenant import user_merge
from fillip.manage.store.tables.wallet import wallet

_FOLDER = Path(__file__)
_COUNT = text(_FOLDER.with_name("count_users.sql").read_text(encoding="utf-8"))
_WEIGH = text(_FOLDER.with_name("weigh_users.sql").read_text(encoding="utf-8")).bindparams(
    bindparam("users", type_=ARRAY(Text)), bindparam("at", type_=DateTime(timezone=True))
)


async def list_users(
    connection: Connection, caller: Caller, ladder: LadderRow, level: str | None, pages: Paging
) -> RowPage:
    """A page of a ladder's users by id, all or those on a level, as it was announced last."""
    if level is None or level == ladder.names[0]:
        statement = _select_all(caller, ladder)
        return await read_page(connection, statement, [wallet.c.user_id], pages, sift={"level": level})
    mine = (user_level.c.tenant_id == caller.tenant_id) & (user_level.c.currency == ladder.currency)
    found = select(user_level).where(mine, user_level.c.level == level)
    return await read_page(connection, found, [user_level.c.user_id], pages)


async def weigh_users(
    connection: Connection, caller: Caller, currency: str, users: Sequence[str], at: datetime
) -> Mapping[str, int]:
    """What each of these users earned in the window of a ladder at an instant."""
    given = {"tenant_id": caller.tenant_id, "currency": currency, "users": users, "at": at}
    return {row.user_id: row.earned for row in await connection.execute(_WEIGH, given)}


async def count_users(connection: Connection, caller: Caller, ladder: LadderRow) -> Mapping[str, int]:
    """How many users are on each level. Goes through an index for all users of the ladder."""
    given = {"tenant_id": caller.tenant_id, "currency": ladder.currency}
    counted = {row.level: row.users for row in await connection.execute(_COUNT, given)}
    everybody, lowest = counted.pop(None), ladder.names[0]
    above = {name: users for name, users in counted.items() if name != lowest}
    return {name: above.get(name, 0) for name in ladder.names} | {lowest: max(0, everybody - sum(above.values()))}


def _select_all(caller: Caller, ladder: LadderRow) -> Select[Any]:
    """Everybody on a ladder: who has no row of a level yet is on the lowest."""
    column, level = wallet.c, user_level.c
    same = (
        (level.tenant_id == column.tenant_id) & (level.currency == column.currency) & (level.user_id == column.user_id)
    )
    is_another = exists().where(user_merge.c.tenant_id == column.tenant_id, user_merge.c.user_id == column.user_id)
    shown = func.coalesce(level.level, ladder.names[0]).label("level")
    return (
        select(column.user_id, shown, level.since, level.falls_at)
        .join(user_level, same, isouter=True)
        .where(column.tenant_id == caller.tenant_id, column.currency == ladder.currency, ~is_another)
    )
