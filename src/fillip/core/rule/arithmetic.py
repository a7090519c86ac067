"""What CEL's numbers, strings and lists do where Python's do something else. ValueError stands for CEL's errors."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

_Value = TypeVar("_Value")
MAX_READ_CHARS = 128
"""Of a text that is read as a number, an instant or a span: Python's readers are not linear in it."""

INT64_MIN, INT64_MAX, UINT64_MAX = -(2**63), 2**63 - 1, 2**64 - 1
CONTAINS_TRIED, CONTAINS_SHORT = 8_000, 6  # comparisons (10 µs at the worst); characters
_LONG = 30_000  # characters: see the choice of an algorithm in CPython's stringlib/fastsearch.h
_INTEGER = re.compile(r"[ \t\n\v\f\r]*[+-]?\d+[ \t\n\v\f\r]*", re.ASCII)
_DOUBLE = re.compile(
    r"[ \t\n\v\f\r]*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan)[ \t\n\v\f\r]*",
    re.ASCII | re.IGNORECASE,
)
_BOOLS = {"true": True, "True": True, "TRUE": True, "t": True, "1": True} | {
    "false": False, "False": False, "FALSE": False, "f": False, "0": False
}  # fmt: skip


def check_int(value: int) -> int:
    """The same integer, or ValueError outside 64 bits."""
    if INT64_MIN <= value <= INT64_MAX:
        return value
    raise ValueError("integer overflow")


def check_uint(value: int) -> int:
    """The same integer, or ValueError outside unsigned 64 bits."""
    if 0 <= value <= UINT64_MAX:
        return value
    raise ValueError("unsigned integer overflow")


def divide_int(left: int, right: int) -> int:
    """The quotient rounded towards zero."""
    if right == 0:
        raise ValueError("divide by zero")
    quotient = abs(left) // abs(right)
    return check_int(quotient if (left < 0) == (right < 0) else -quotient)


def modulo_int(left: int, right: int) -> int:
    """The remainder with the sign of the dividend."""
    if right == 0:
        raise ValueError("modulus by zero")
    if right == -1:
        check_int(-left)
    rest = abs(left) % abs(right)
    return rest if left >= 0 else -rest


def divide_double(left: float, right: float) -> float:
    """The quotient as IEEE 754 has it: infinite or not a number where Python raises."""
    if right != 0.0:
        return left / right
    if left == 0.0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def double_to_int(value: float) -> int:
    """Rounded towards zero; ValueError where the double is at or beyond the ends of 64 bits."""
    if -(2.0**63) < value < 2.0**63:
        return int(value)
    raise ValueError("double out of int range")


def double_to_uint(value: float) -> int:
    """Rounded towards zero; ValueError where negative or beyond unsigned 64 bits."""
    if 0.0 <= value < 2.0**64:
        return int(value)
    raise ValueError("double out of uint range")


def bound_text(text: str) -> str:
    """The same text, or ValueError where it is too long to be read."""
    if len(text) > MAX_READ_CHARS:
        raise ValueError(f"{len(text)} characters are no number: at most {MAX_READ_CHARS}")
    return text


def read_int(text: str) -> int:
    """A 64-bit integer from decimal digits; ValueError otherwise."""
    if not _INTEGER.fullmatch(bound_text(text)):
        raise ValueError("cannot convert string to int")
    return check_int(int(text))


def read_uint(text: str) -> int:
    """An unsigned 64-bit integer from decimal digits; ValueError otherwise."""
    if not _INTEGER.fullmatch(bound_text(text)):
        raise ValueError("cannot convert string to uint")
    return check_uint(int(text))


def read_double(text: str) -> float:
    """A double from decimal notation, inf or nan; ValueError otherwise."""
    if not _DOUBLE.fullmatch(bound_text(text)):
        raise ValueError("cannot convert string to double")
    return float(text)


def read_bool(text: str) -> bool:
    """A bool from true, t, 1, false, f, 0 and their upper-case forms; ValueError otherwise."""
    if text not in _BOOLS:
        raise ValueError("cannot convert string to bool")
    return _BOOLS[text]


def write_int(value: int) -> str:
    """Decimal digits; TypeError for null."""
    return str(value + 0)


def write_bool(value: bool | None) -> str:
    """'true' or 'false'; TypeError for null."""
    return "true" if need_bool(value) else "false"


def need_bool(value: bool | None) -> bool:
    """The same bool; TypeError for null."""
    if value is None:
        raise TypeError("null is not a bool")
    return value


def need(value: _Value | None) -> _Value:
    """The same value; TypeError for null."""
    if value is None:
        raise TypeError("null is not a value")
    return value


def replace_null(value: _Value | None, other: _Value | None) -> _Value:
    """The value, or where it is null the other; TypeError where both are."""
    return need(other) if value is None else value


def pick(items: Sequence[_Value], index: int) -> _Value:
    """The item at an index from 0; IndexError for a negative one too."""
    if index < 0:
        raise IndexError(index)
    return items[index]


def contains(text: str, part: str) -> bool:
    """Whether the part occurs in the text. Linear: Python's search in a short text takes part x text at its worst.

    It searches by an algorithm that is linear where the text is long, and much longer than the part: so a short one is
    made long, with a letter that the part lacks.
    """
    if len(text) * len(part) <= CONTAINS_TRIED or len(part) < CONTAINS_SHORT or len(part) > len(text):
        return part in text
    letters = set(part)
    filler = next(letter for letter in map(chr, range(len(letters) + 1)) if letter not in letters)
    return part in text.ljust(max(_LONG, 4 * len(part)), filler)


def is_same(left: object, right: object) -> bool:
    """Equality in depth without Python's shortcut that one object equals itself: not a number equals nothing."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(is_same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(is_same(left[key], right[key]) for key in left)
    return bool(left == right)


def is_among(value: object, items: Sequence[object]) -> bool:
    """Whether any item is the same in the sense of `is_same`."""
    return any(is_same(value, item) for item in items)


def is_key(value: object, entries: Mapping[object, object]) -> bool:
    """Whether the map has the key; TypeError for null."""
    return need(value) in entries


def build_map(*pairs: object) -> dict[object, object]:
    """A map of keys and values in turn; ValueError for a repeated key, TypeError for null."""
    entries = {need(key): value for key, value in zip(pairs[::2], pairs[1::2], strict=True)}
    if len(entries) * 2 != len(pairs):
        raise ValueError("duplicate key in map")
    return entries
