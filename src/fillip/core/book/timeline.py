"""Which of many schedules have not started, or have ended, at an instant: bitmaps, without a look at each."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime

from fillip.core.campaign.campaign import Schedule
from fillip.core.index.cells import set_bits

STRIDE = 256
"""Instants between two bitmaps that are kept: so many bits are set for each bitmap that is asked for."""

Interval = tuple[int, int]
"""Between two instants at which a schedule starts or ends: how many starts and how many ends come before it."""


class Timeline:
    """Schedules at places 0, 1, … Within an interval nothing starts or ends."""

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        """About 2 µs a schedule."""
        self._starts = _Instants((s.starts_at, place) for place, s in enumerate(schedules) if s.starts_at)
        self._ends = _Instants((s.ends_at, place) for place, s in enumerate(schedules) if s.ends_at)

    def find_interval(self, instant: datetime) -> Interval:
        """The interval an instant lies in; both ends of a schedule lie inside it."""
        return bisect_right(self._starts.each, instant), bisect_left(self._ends.each, instant)

    def tell(self, interval: Interval) -> tuple[int, int]:
        """(places not started, places started and ended)."""
        started, ended = self._starts.list_before(interval[0]), self._ends.list_before(interval[1])
        waiting = self._starts.every & ~started
        return waiting, ended & ~waiting


class _Instants:
    def __init__(self, marks: Iterable[tuple[datetime, int]]) -> None:
        ordered = sorted(marks)
        self.each = sorted({instant for instant, _ in ordered})
        self._places = [place for _, place in ordered]
        instants = [instant for instant, _ in ordered]
        self._counts = [*(bisect_left(instants, instant) for instant in self.each), len(ordered)]
        self._kept = [0]
        for first in range(0, len(ordered), STRIDE):
            self._kept.append(self._kept[-1] | set_bits(self._places[first : first + STRIDE]))
        self.every = self._kept[-1]

    def list_before(self, number: int) -> int:
        """The places of the first `number` different instants."""
        count = self._counts[number]
        strides = count // STRIDE
        return self._kept[strides] | set_bits(self._places[strides * STRIDE : count])
