"""Which of many schedules have not started, have ended, or are outside their hours at an instant: bitmaps, without a look at each."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import accumulate, chain
from typing import Generic, TypeVar

from fillip.core.campaign.campaign import Schedule
from fillip.core.campaign.hours import tell_minute
from fillip.core.index.cells import flip_bits, set_bits

STRIDE = 256
"""Marks between two bitmaps that are kept: so many bits are flipped for each bitmap that is asked for."""

Interval = tuple[int, int, int]
"""Between two instants at which a schedule starts, ends, opens or closes: how many starts, how many ends, and how many openings and
closings of its week come before it.
"""
_Mark = TypeVar("_Mark", datetime, int)


class Timeline:
    """Schedules at places 0, 1, … of a tenant in a zone. Within an interval nothing starts, ends, opens or closes."""

    def __init__(self, schedules: Sequence[Schedule], time_zone: str) -> None:
        """About 2 µs a schedule, and 1 µs for each of the openings and closings of its week."""
        self._time_zone = time_zone
        self._starts = _Marks((s.starts_at, place) for place, s in enumerate(schedules) if s.starts_at)
        self._ends = _Marks((s.ends_at, place) for place, s in enumerate(schedules) if s.ends_at)
        recurring = [(place, s.week) for place, s in enumerate(schedules) if s.recurring]
        self._turns = _Marks((minute, place) for place, week in recurring for minute in week.turns)
        self._closed = set_bits(place for place, week in recurring if not week.starts_open)

    def find_interval(self, instant: datetime) -> Interval:
        """The interval an instant lies in; both ends of a schedule lie inside it, and of hours the first one."""
        turns = bisect_right(self._turns.each, tell_minute(instant, self._time_zone)) if self._turns.each else 0
        return bisect_right(self._starts.each, instant), bisect_left(self._ends.each, instant), turns

    def tell(self, interval: Interval) -> tuple[int, int, int]:
        """(places not started, places started and ended, others outside their hours)."""
        started, ended = self._starts.flip_before(interval[0]), self._ends.flip_before(interval[1])
        waiting = self._starts.every & ~started
        outside = self._closed ^ self._turns.flip_before(interval[2])
        return waiting, ended & ~waiting, outside & ~(waiting | ended)


class _Marks(Generic[_Mark]):
    def __init__(self, marks: Iterable[tuple[_Mark, int]]) -> None:
        places: dict[_Mark, list[int]] = {}
        for value, place in marks:
            places.setdefault(value, []).append(place)
        self.each: list[_Mark] = sorted(places)
        self._places = array("i", chain.from_iterable(places[value] for value in self.each))
        self._counts = [0, *accumulate(len(places[value]) for value in self.each)]
        self._kept = [0]
        for first in range(0, len(self._places), STRIDE):
            self._kept.append(self._kept[-1] ^ flip_bits(self._places[first : first + STRIDE]))
        self.every = self._kept[-1]

    def flip_before(self, number: int) -> int:
        """The places that the first `number` different marks name an odd number of times."""
        count = self._counts[number]
        strides = count // STRIDE
        return self._kept[strides] ^ flip_bits(self._places[strides * STRIDE : count])
