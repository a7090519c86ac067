"""Rows turned into the columns that a statement's unnest() takes. Pure."""

from collections.abc import Iterable


def to_columns(rows: Iterable[tuple[object, ...]], width: int) -> list[list[object]]:
    """One list a column; `width` empty ones where there is no row."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]
