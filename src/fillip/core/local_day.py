"""Calendar days of a zone as instants: where a clock is put forward over midnight, back over it, or a day is left out."""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

from fillip.core.instant import find_zone

Zone = Literal["tenant", "user"]
"""Whose days count: the tenant's, or those of each user's own time zone; of who has none the tenant's."""
FIRST_DAY, LAST_DAY = date(1970, 1, 2), date(9998, 12, 30)
"""What may be given as a day: every zone has it between the years 1970 and 9998."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SECOND = timedelta(seconds=1)
_TICK = timedelta(microseconds=1)


def is_day(text: str) -> bool:
    """Whether it is written as a day is, such as 2026-06-19."""
    return _DAY.fullmatch(text) is not None


def read_day(text: str) -> date:
    """The day that is_day; raises ValueError where there is none, and outside of FIRST_DAY to LAST_DAY."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"there is no day {text}") from None
    if FIRST_DAY <= day <= LAST_DAY:
        return day
    raise ValueError("must lie between the years 1970 and 9998")


def find_day(instant: datetime, time_zone: str) -> date:
    """The calendar day of an instant in a zone."""
    return instant.astimezone(find_zone(time_zone)).date()


def start_day(day: date, time_zone: str) -> datetime:
    """The first instant of a day in a zone. Of a day that it left out, as end_day: there is nothing in between."""
    zone = find_zone(time_zone)
    first, last = _find_midnights(day, zone)
    return first if first <= last else _find_jump(day, zone, last, first)


def end_day(day: date, time_zone: str) -> datetime:
    """The instant behind the last one of a day in a zone."""
    zone, following = find_zone(time_zone), day + timedelta(days=1)
    first, last = _find_midnights(following, zone)
    if first < last and (last - _TICK).astimezone(zone).date() == day:  # midnight came, and the clock went back over it
        return last
    return first if first <= last else _find_jump(following, zone, last, first)


def find_last(day: date, time_zone: str) -> datetime:
    """The last instant of a day in a zone."""
    return end_day(day, time_zone) - _TICK


def _find_midnights(day: date, zone: tzinfo) -> tuple[datetime, datetime]:
    """The midnight that a day begins with, before and after the clock was put back. The later one is first where there is none."""
    midnight = datetime.combine(day, time(), zone)
    return midnight.astimezone(UTC), midnight.replace(fold=1).astimezone(UTC)


def _find_jump(day: date, zone: tzinfo, before: datetime, after: datetime) -> datetime:
    """When a clock that is put forward over midnight shows `day` or a later one: behind `before`, `after` at the latest."""
    while after - before > _SECOND:
        middle = before + _SECOND * ((after - before) // _SECOND // 2)
        if middle.astimezone(zone).date() < day:
            before = middle
        else:
            after = middle
    return after
