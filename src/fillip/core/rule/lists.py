"""What functions of lists do: sum, min, max, distinct. ValueError stands for CEL's errors, TypeError comes of null."""

from collections.abc import Sequence
from typing import TypeVar

from fillip.core.rule.arithmetic import check_int, need

_Item = TypeVar("_Item")
_ORDERED = ("int", "double", "string", "timestamp", "duration")
LIST_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "sum": ("int", "double", "duration"),
    "min": _ORDERED,
    "max": _ORDERED,
    "distinct": ("bool", *_ORDERED),
}
"""By name, the kinds of items for which each is there, as `sum(items)` and as `items.sum()`: see name_overloads."""


def name_overloads(name: str, kind: str) -> tuple[str, str]:
    """What the checker calls a function of a list of such items: (as a function, as a method)."""
    return f"{name}_list_{kind}", f"list_{name}_{kind}"


def sum_ints(items: Sequence[int]) -> int:
    """The exact sum, 0 of none; ValueError outside 64 bits. Of durations too, in nanoseconds."""
    return check_int(sum(items))


def sum_doubles(items: Sequence[float]) -> float:
    """The sum in the order of the list, each step rounded as `+` does it: Python's own sum is more exact."""
    total = 0.0
    for item in items:
        total += item
    return total


def find_least(items: Sequence[_Item]) -> _Item:
    """The first that none is less than; ValueError where there is none. Not a number is kept where it comes first."""
    if not items:
        raise ValueError("the least of an empty list")
    return need(min(items))  # type: ignore[type-var] # the checker gives numbers, strings, timestamps and durations alone


def find_greatest(items: Sequence[_Item]) -> _Item:
    """As find_least, of what none is greater than."""
    if not items:
        raise ValueError("the greatest of an empty list")
    return need(max(items))  # type: ignore[type-var] # as above


def drop_repeats(items: Sequence[_Item]) -> list[_Item]:
    """Each value once, where it comes first."""
    return [need(item) for item in dict.fromkeys(items)]


def drop_repeated_doubles(items: Sequence[float]) -> list[float]:
    """As drop_repeats; not a number equals nothing, so it stays as often as it comes."""
    seen: set[float] = set()
    kept = []
    for item in items:
        if item != item or item not in seen:
            seen.add(need(item))
            kept.append(item)
    return kept
