"""Rolling windows: what is used within any span of a length, counted in parts of it. Pure.

A part is a 360th of the span, in whole seconds, and at least one. What is used in a part counts for all that happens in it and
in the `reach` parts behind it, which together are at least the span: so no window of that length, wherever it begins, ever holds
more than was weighed, and a use counts for up to one part longer than the span.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from fillip.core.instant import MIN_TIME, add_span

PARTS = 360
MIN_SPAN_S, MAX_SPAN_S = 60, 366 * 86_400


class Part(Struct, frozen=True):
    """The part of `width_s` seconds in which something happened, by its number from 1970 on; `reach` more count it too."""

    number: int
    reach: int
    width_s: int

    @property
    def frames(self) -> tuple[tuple[int, int], ...]:
        """First and last number of all that may count together with it: in frames, which are the same for all parts in one."""
        size = self.reach + 1
        frame = self.number // size
        return tuple((each * size, each * size + self.reach) for each in (frame - 1, frame, frame + 1))


def find_part(rolling_s: int, at: datetime) -> Part:
    """The part of windows of so many seconds that holds an instant."""
    width_s = -(-rolling_s // PARTS)
    return Part((at - MIN_TIME) // timedelta(seconds=width_s), -(-rolling_s // width_s), width_s)


def tell_end(part: Part, number: int) -> datetime:
    """From when on what was used in the part of that number does not count any more."""
    return add_span(MIN_TIME, (number + part.reach + 1) * part.width_s)


class Parts:
    """What one counter has used, by the number of the part, as far as it is known; remembers what was there before a change."""

    def __init__(self, used: Mapping[int, int] | None = None) -> None:
        self._used = dict(used or {})
        self._numbers = sorted(self._used)
        self._before: dict[int, int] = {}

    def weigh(self, part: Part) -> tuple[int, int | None]:
        """The most that is used in a window that holds `part`, and the number of the first part in it that has any of that."""
        used, numbers = self._used, self._numbers
        first, behind = bisect_left(numbers, part.number - part.reach), bisect_right(numbers, part.number)
        total = sum(map(used.__getitem__, numbers[first:behind]))
        most, oldest = total, first
        for place in range(behind, bisect_right(numbers, part.number + part.reach)):
            total += used[numbers[place]]
            while numbers[first] < numbers[place] - part.reach:
                total -= used[numbers[first]]
                first += 1
            if total > most:
                most, oldest = total, first
        return most, next((number for number in numbers[oldest:] if used[number]), None) if most else None

    def add(self, number: int, amount: int) -> None:
        """Use so much in a part, or give it back."""
        before = self._used.get(number)
        if before is None:
            insort(self._numbers, number)
        self._before.setdefault(number, before or 0)
        self._used[number] = (before or 0) + amount

    def learn(self, used: Mapping[int, int]) -> None:
        """Take note of what was used in parts of which nothing was known."""
        self._used |= used
        self._numbers = sorted(self._used)

    @property
    def changed(self) -> dict[int, int]:
        """What is used in the parts that changed since `keep`."""
        return {number: self._used[number] for number, before in self._before.items() if self._used[number] != before}

    def keep(self) -> None:
        """What has changed stays."""
        self._before.clear()

    def roll_back(self) -> None:
        """Be as at the last `keep`."""
        self._used |= self._before
        self._before.clear()
