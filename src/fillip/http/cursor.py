"""Cursors: the place of a page's last row as a text that means something to us alone."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any

import msgspec

from fillip.http.errors import Invalid


def write_cursor(values: Sequence[object]) -> str:
    """The cursor of a row with these values in the columns that order the list."""
    return urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def read_cursor(cursor: str, kinds: Sequence[type]) -> tuple[Any, ...]:
    """The values that a cursor stands for, one of each of `kinds`; raises Invalid for any other list's."""
    place: tuple[Any, ...] | None
    try:
        values = msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=list[Any])
        place = tuple(msgspec.convert(value, kind) for value, kind in zip(values, kinds, strict=True))
    except (ValueError, RecursionError):  # ValueError: of base64, of UTF-8, of msgspec, and of a wrong number of values
        place = None
    if place is None or any(map(_is_beyond, place)):
        raise Invalid("not a cursor of this list: use `next_cursor` of a page as it is", at="cursor")
    return place


def _is_beyond(value: object) -> bool:
    """Whether no table can hold the value."""
    return "\0" in value if isinstance(value, str) else isinstance(value, int) and abs(value) >= 2**63
