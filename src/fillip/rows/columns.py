"""Rows turned into the columns that a statement's unnest() takes. Pure."""

from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import astuple

Columns = dict[str, list[object]]
"""Of rows, by name: so are those of wide tables given, of which a call with more than 15 keywords a row would be slow."""

_Row = TypeVar("_Row", bound=Struct)


def list_columns(row: type[_Row], rows: Iterable[_Row]) -> list[list[object]]:
    """One list a field, in the order in which `row` declares them."""
    return to_columns(map(astuple, rows), len(row.__struct_fields__))


def to_columns(rows: Iterable[tuple[object, ...]], width: int) -> list[list[object]]:
    """One list a column; `width` empty ones where there is no row."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]
