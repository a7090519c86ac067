"""Reversals as stored."""

from typing import Any, TypeAlias

from sqlalchemy import Row, select

from fillip.core.identity import identify_event
from fillip.core.ports import Caller
from fillip.http.paging import Paging
from fillip.manage.event.postgres import MAX_NAMED, ask_for_source, split_name
from fillip.manage.store.keyset import RowPage, read_page, split_filters
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.ledger import reversal

ReversalRow: TypeAlias = Row[Any]


async def list_reversals(
    connection: Connection,
    caller: Caller,
    pages: Paging,
    *,
    state: str | None,
    event_id: str | None,
    event_source: str | None,
    user_ids: list[str] | None,
) -> RowPage:
    """A page of reversals, of `user_ids` alone where they are given, the newest first, and the next cursor."""
    named, unserved = split_name(caller, event_id, event_source)
    asked, sift = split_filters(reversal, named | {"user_id": user_ids, "state": state})
    statement = select(reversal).where(reversal.c.tenant_id == caller.tenant_id, *asked)
    order = [reversal.c.recorded_at, reversal.c.reversal_key]
    return await read_page(connection, statement, order, pages, descending=True, sift=sift | unserved)


async def find_reversal(
    connection: Connection, caller: Caller, reversal_id: str, source: str | None
) -> ReversalRow | None:
    """The one reversal of this id, of `source` where it is given. Raises Invalid, which names the sources of several."""
    mine = (reversal.c.tenant_id == caller.tenant_id) & (reversal.c.reversal_id == reversal_id)
    if source is not None:
        mine &= reversal.c.reversal_key == identify_event(caller.tenant_id, source, reversal_id)
    rows = (await connection.execute(select(reversal).where(mine).limit(MAX_NAMED + 1))).all()
    if len(rows) > 1:
        raise ask_for_source("reversal", reversal_id, [row.reversal_source for row in rows], "reversal_source")
    return rows[0] if rows else None
