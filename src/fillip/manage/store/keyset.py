"""Lists by keyset: the rows after those of the page before, found by an index however far the list has been read."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Row, Select, bindparam, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.sql.selectable import FromClause

from fillip.http import cursor as cursors
from fillip.http.paging import Paging

MAX_SIFTED = 1_000
"""Most rows that are looked at for one page where a filter has no index."""
RowPage: TypeAlias = tuple[Sequence[Row[Any]], str | None]
"""The rows of one page, and the next cursor (None: that was the last page)."""


async def read_page(
    connection: AsyncConnection,
    statement: Select[Any],
    order: Sequence[ColumnElement[Any]],
    paging: Paging,
    *,
    descending: bool = False,
    sift: Mapping[str, object] | None = None,
    timed_by: str | None = None,
) -> RowPage:
    """One page of `statement`.

    `order` are columns that `statement` selects and that tell its rows apart. `sift` are filters by name of a column that
    no index serves (None: any value; of JSON, what it has to hold), and so is `name_prefix`, and the period by the column `timed_by` where
    the list has another order: of the next 1,000 rows those that pass. Raises Invalid for another list's cursor.
    """
    if paging.cursor is not None:
        place = read_cursor(paging.cursor, order)
        statement = statement.where(tuple_(*order) < place if descending else tuple_(*order) > place)
    statement = statement.where(*_bound_id(order[0], paging.prefix)).order_by(*_direct(order, descending))
    wanted = {name: value for name, value in (sift or {}).items() if value is not None}
    is_timed = paging.since is not None or paging.until is not None
    if timed_by is None:
        statement = statement.where(*_bound_time(order[0], paging))
    is_sifted = bool(wanted) or paging.name_prefix is not None or (timed_by is not None and is_timed)
    if is_sifted:
        looked_at = statement.limit(inline_count(MAX_SIFTED)).subquery()
        order = [looked_at.c[column.key or ""] for column in order]
        in_time = _bound_time(looked_at.c[timed_by], paging) if timed_by else []
        passed = select(looked_at).where(*_sift(looked_at, wanted, paging.name_prefix), *in_time)
        statement, end = (
            passed.order_by(*_direct(order, descending)),
            select(*order).offset(inline_count(MAX_SIFTED - 1)),
        )
    rows = (await connection.execute(statement.limit(inline_count(paging.limit + 1)))).all()
    if len(rows) > paging.limit:
        last = rows[paging.limit - 1]._mapping
        return rows[: paging.limit], cursors.write_cursor([last[column] for column in order])
    reached = (await connection.execute(end.limit(inline_count(1)))).one_or_none() if is_sifted else None
    return rows, None if reached is None else cursors.write_cursor(list(reached))


def split_filters(
    table: FromClause, given: Mapping[str, object]
) -> tuple[list[ColumnElement[bool]], dict[str, object]]:
    """The first filter given, which its index serves, as a condition, and the others to sift by.

    `given` are columns and the values asked for, any of a list, the one that leaves the fewest rows first.
    """
    first = next((name for name, value in given.items() if value is not None), None)
    if first is None:
        return [], {}
    return [_is(table.c[first], given[first])], {name: value for name, value in given.items() if name != first}


def _is(column: ColumnElement[Any], value: object) -> ColumnElement[bool]:
    """Whether a column has a value, or one of a list; of JSON, whether it holds what a mapping has."""
    if isinstance(value, Mapping):
        return column.contains(value)
    if isinstance(value, list):
        return column.in_(value) if len(value) > 1 else column == value[0]
    return column == value


def _bound_id(column: ColumnElement[Any], prefix: str | None) -> list[ColumnElement[bool]]:
    """That an id begins so: a condition that the index in the list's order serves."""
    if prefix is None:
        return []
    pattern = re.sub(r"([\\%_])", r"\\\1", prefix) + "%"
    # in the statement's text: only where it knows the pattern can the planner look between two ids
    return [column.like(bindparam("prefix", pattern, unique=True, literal_execute=True))]


def _bound_time(column: ColumnElement[Any], paging: Paging) -> list[ColumnElement[bool]]:
    """That an instant lies in the period asked for."""
    bounds = [] if paging.since is None else [column >= paging.since]
    return bounds if paging.until is None else [*bounds, column < paging.until]


def _sift(looked_at: FromClause, wanted: Mapping[str, object], name_prefix: str | None) -> list[ColumnElement[bool]]:
    """What rows have to pass that no index serves."""
    sifted = [_is(looked_at.c[name], value) for name, value in wanted.items()]
    if name_prefix is not None:
        sifted.append(looked_at.c["name"].istartswith(name_prefix, autoescape=True))
    return sifted


def _direct(order: Sequence[ColumnElement[Any]], descending: bool) -> list[ColumnElement[Any]]:
    return [column.desc() if descending else column for column in order]


def inline_count(count: int) -> BindParameter[int]:
    """A number that is part of the statement's text: a plan made for any number would be one for a tenth of the table."""
    return bindparam("count", count, unique=True, literal_execute=True)


def read_cursor(cursor: str, order: Sequence[ColumnElement[Any]]) -> tuple[Any, ...]:
    """The place that a cursor stands for, a value for each of `order`; raises Invalid."""
    return cursors.read_cursor(cursor, [column.type.python_type for column in order])
