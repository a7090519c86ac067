"""Rejections as stored."""

from typing import Any, TypeAlias

from sqlalchemy import Row, select

from fillip.core.ports import Caller
from fillip.http.paging import Paging
from fillip.manage.object.postgres import Objects
from fillip.manage.store.keyset import RowPage, read_page, split_filters
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.ledger import rejection

RejectionRow: TypeAlias = Row[Any]
rejections = Objects(rejection, "rejection_id", "there is no rejection {}")
_SHORT = [column for column in rejection.c if column.name != "original"]


async def list_rejections(
    connection: Connection,
    caller: Caller,
    pages: Paging,
    *,
    reason: str | None,
    event_id: str | None,
    event_source: str | None,
) -> RowPage:
    """A page of rejections without their bytes, the newest first, and the next cursor."""
    asked, sift = split_filters(rejection, {"event_id": event_id, "reason": reason})
    sift |= {"event_source": event_source}
    statement = select(*_SHORT).where(rejection.c.tenant_id == caller.tenant_id, *asked)
    order = [rejection.c.rejected_at, rejection.c.rejection_id]
    return await read_page(connection, statement, order, pages, descending=True, sift=sift)
