"""Streaks: the days or weeks that have an event, and how many of them stand in a row. Pure.

A streak is what its days are, in whatever order they came. `days` are those up to the newest, as the bits of a number in
hexadecimal: the lowest is the newest, the next the one before it. A day that the calendar left out has no bit: see list_left_out.
"""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from datetime import date

from fillip.core.campaign.quest import Quest, Streak
from fillip.core.tenant import list_skipped_days, start_window

MAX_UNITS = 1_000
"""Days (or weeks) up to the newest that a streak knows; one further back counts for nothing. The longest takes 731."""
_KNOWN = (1 << MAX_UNITS) - 1


def list_left_out(quest: Quest, time_zone: str) -> Sequence[date]:
    """The days that the calendar of a quest's streaks left out, of a tenant in a zone.

    None by the users' own zones: users move, and what one zone left out another had.
    """
    return list_skipped_days(time_zone) if quest.zone == "tenant" else ()


def join_day(
    streak: Streak, newest: date | None, days: str, day: date, skipped: Collection[date]
) -> tuple[date, str] | None:
    """(first day of the newest unit, the days) with one day more; None where it lies too far back.

    `skipped` are the days that the calendar left out.
    """
    unit = start_window(streak.unit, day)
    if newest is None:
        return unit, "1"
    apart = _count_apart(streak, min(unit, newest), max(unit, newest), skipped)
    known = int(days, 16)
    if unit >= newest:
        return unit, f"{(known << min(apart, MAX_UNITS) | 1) & _KNOWN:x}"
    return (newest, f"{known | 1 << apart:x}") if apart < MAX_UNITS else None


def is_closed(streak: Streak, newest: date | None, day: date, due_day: date) -> bool:
    """Whether a day lies before the newest unit and in one that joins no more: those before that of `due_day`."""
    unit = start_window(streak.unit, day)
    return newest is not None and unit < newest and unit < start_window(streak.unit, due_day)


def measure(streak: Streak, days: str) -> int:
    """How many stand in a row up to the newest, with no more missed between them than may be; the streak's length where
    so many do anywhere.
    """
    window = deque[tuple[int, int]]()
    standing, done, missed = 0, 0, 0
    up_to_newest = True
    for gap, run in _list_runs(int(days, 16)):
        window.append((gap, run))
        done, missed = done + run, missed + gap
        while missed > streak.freeze:
            up_to_newest = False
            done -= window.popleft()[1]
            missed -= window[0][0]
        if done >= streak.length:
            return streak.length
        standing = done if up_to_newest else standing
    return standing


def _list_runs(known: int) -> Iterator[tuple[int, int]]:
    """From the newest back: (how many were missed behind the days, how many days stand side by side)."""
    while known:
        gap = (known & -known).bit_length() - 1
        known >>= gap
        run = (known ^ (known + 1)).bit_length() - 1
        known >>= run
        yield gap, run


def _count_apart(streak: Streak, first: date, last: date, skipped: Collection[date]) -> int:
    """How many units later the last is. No week was ever left out."""
    if streak.unit == "week":
        return (last - first).days // 7
    return (last - first).days - sum(first < day < last for day in skipped)
