"""Computing under locks, some at a time: the loop stays free for others, and the session alive."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from time import monotonic
from typing import TypeVar

SLICE_S = 0.01

T = TypeVar("T")


async def take_all(steps: Iterable[Sequence[T]], stay: Callable[[], Awaitable[None]]) -> list[T]:
    """All that the steps give, with `stay` awaited after each slice of time."""
    taken: list[T] = []
    due = monotonic() + SLICE_S
    for some in steps:
        taken += some
        if monotonic() >= due:
            await stay()
            due = monotonic() + SLICE_S
    return taken


def cut_evenly(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in order, at most `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))
