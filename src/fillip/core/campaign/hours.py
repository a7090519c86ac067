"""Hours of the week in which a campaign takes events, by the clocks on the walls of its tenant's zone."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Literal, get_args

from msgspec import Struct, field

from fillip.core.instant import find_zone
from fillip.core.local_day import end_day, start_day

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: Sequence[Weekday] = get_args(Weekday)
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
_LOOKED_AT_DAYS = 15
"""Of the next hours: those of a whole week come within so many days, also where a clock that is put forward leaves one out."""


class Hours(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """From a time (HH:MM) until before another, on weekdays (none: on each); one that is not later is that of the next day."""

    opens: str = field(name="from")
    closes: str = field(name="until")
    weekdays: tuple[Weekday, ...] = ()

    def list_spans(self) -> Iterator[tuple[int, int]]:
        """The minutes of the week, from Monday, at which they begin and end; the end may be that of the next week."""
        opens, closes = _count_minutes(self.opens), _count_minutes(self.closes)
        lasts = (closes - opens) % DAY_MINUTES or DAY_MINUTES
        for weekday in self.weekdays or WEEKDAYS:
            begin = WEEKDAYS.index(weekday) * DAY_MINUTES + opens
            yield begin, begin + lasts


class Week:
    """All hours of a schedule: `turns` are the minutes of the week at which they open and close by turns, the first of them opens
    unless it `starts_open`.
    """

    def __init__(self, recurring: Sequence[Hours]) -> None:
        """Hours that meet or overlap are one."""
        spans = sorted(_cut(span for hours in recurring for span in hours.list_spans()))
        merged = [spans[0]] if spans else []
        for begin, end in spans[1:]:
            if begin > merged[-1][1]:
                merged.append((begin, end))
            else:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
        self.starts_open = bool(merged) and merged[0][0] == 0
        self.turns: Sequence[int] = [turn for span in merged for turn in span if 0 < turn < WEEK_MINUTES]

    def is_open(self, minute: int) -> bool:
        """Whether a minute of the week lies in the hours."""
        return self.starts_open ^ bool(bisect_right(self.turns, minute) & 1)

    def find_next(self, instant: datetime, time_zone: str) -> datetime | None:
        """The first instant, from this one on, in the hours; None where there are none within 15 days."""
        if self.is_open(tell_minute(instant, time_zone)):
            return instant
        days = (instant.astimezone(find_zone(time_zone)).date() + timedelta(n) for n in range(_LOOKED_AT_DAYS))
        for day in days:
            times = [
                time(*divmod(minute % DAY_MINUTES, 60))
                for minute in self.turns
                if minute // DAY_MINUTES == day.weekday()
            ]
            walls = [datetime.combine(day, each, find_zone(time_zone)) for each in times]
            found = {wall.replace(fold=fold).astimezone(UTC) for wall in walls for fold in (0, 1)}
            found |= {
                start_day(day, time_zone),
                *_find_changes(start_day(day, time_zone), end_day(day, time_zone), time_zone),
            }
            later = (each for each in sorted(found) if each > instant and self.is_open(tell_minute(each, time_zone)))
            if first := next(later, None):
                return first
        return None


def tell_minute(instant: datetime, time_zone: str) -> int:
    """The minute of the week, from Monday, that clocks in a zone show: 0 to 10,079."""
    local = instant.astimezone(find_zone(time_zone))
    return local.weekday() * DAY_MINUTES + local.hour * 60 + local.minute


def _cut(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans that go on into the next week go on at the beginning of this one."""
    for begin, end in spans:
        yield begin, min(end, WEEK_MINUTES)
        if end > WEEK_MINUTES:
            yield 0, end - WEEK_MINUTES


def _count_minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def _find_changes(begin: datetime, end: datetime, time_zone: str) -> Iterator[datetime]:
    """When the clock is put forward or back between two instants, if so once."""
    zone = find_zone(time_zone)
    before = begin.astimezone(zone).utcoffset()
    if end.astimezone(zone).utcoffset() == before:
        return
    while end - begin > timedelta(seconds=1):
        middle = begin + timedelta(seconds=(end - begin) // timedelta(seconds=1) // 2)
        if middle.astimezone(zone).utcoffset() == before:
            begin = middle
        else:
            end = middle
    yield end
