"""Cursor pagination: keyset queries, the place of the last row as an opaque text."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from fastapi import Depends, Query
from pydantic import BaseModel
from sqlalchemy import Row, Select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from fillip.manage.refusals import Invalid

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """One page; `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None


class Paging:
    """The `limit` and `cursor` of a list request."""

    def __init__(
        self,
        limit: Annotated[int, Query(ge=1, le=200, description="Most items of the page")] = 50,
        cursor: Annotated[str | None, Query(max_length=2000, description="`next_cursor` of the page before")] = None,
    ) -> None:
        self.limit = limit
        self.cursor = cursor


Pages = Annotated[Paging, Depends()]


async def read_page(
    connection: AsyncConnection,
    statement: Select[Any],
    order: Sequence[ColumnElement[Any]],
    paging: Paging,
    *,
    descending: bool = False,
) -> tuple[Sequence[Row[Any]], str | None]:
    """The rows of one page of `statement` and the next cursor (None: that was the last page).

    `order` are columns that `statement` selects and that tell its rows apart. Raises Invalid for another list's cursor.
    """
    if paging.cursor is not None:
        place = read_cursor(paging.cursor, order)
        statement = statement.where(tuple_(*order) < place if descending else tuple_(*order) > place)
    ordered = statement.order_by(*(column.desc() if descending else column for column in order))
    rows = (await connection.execute(ordered.limit(paging.limit + 1))).all()
    if len(rows) <= paging.limit:
        return rows, None
    last = rows[paging.limit - 1]._mapping
    return rows[: paging.limit], _write_cursor([last[column] for column in order])


def _write_cursor(values: Sequence[object]) -> str:
    return urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def read_cursor(cursor: str, order: Sequence[ColumnElement[Any]]) -> tuple[Any, ...]:
    """The place that a cursor stands for, a value for each of `order`; raises Invalid."""
    try:
        values = msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=list[Any])
        kinds = [column.type.python_type for column in order]
        place = tuple(msgspec.convert(value, kind) for value, kind in zip(values, kinds, strict=True))
    except (ValueError, msgspec.MsgspecError):
        raise Invalid("not a cursor of this list: use `next_cursor` of a page as it is", at="cursor") from None
    if any(_is_beyond(value) for value in place):
        raise Invalid("not a cursor of this list: use `next_cursor` of a page as it is", at="cursor")
    return place


def _is_beyond(value: object) -> bool:
    """Whether PostgreSQL cannot hold the value."""
    return "\0" in value if isinstance(value, str) else isinstance(value, int) and abs(value) >= 2**63
