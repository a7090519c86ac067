"""How fast limits are used up, and until when they last. Pure."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated

from msgspec import Meta, Struct

from fillip.core.instant import find_zone
from fillip.core.tenant import WEEKDAYS, Weekday, end_window, start_window

DAY_H, WEEK_H = 24, 168
Instant = Annotated[datetime, Meta(tz=True)]


class BurnWindow(Struct, frozen=True):
    """The window of now of all limits of a span, of weeks those that begin on one day: its first day, and when it is over."""

    span: str
    week_starts_on: Weekday | None
    start: date
    ends_at: datetime | None


class BurnQuestion(Struct, frozen=True):
    """Of one tenant's limits that users share, as of `now`: up to `count` lines after (limit, key)."""

    tenant_id: str
    now: datetime
    windows: Sequence[BurnWindow]
    count: int
    after_limit: str
    after_key: str


class Burn(Struct, frozen=True):
    """What was `used` from `since` to now, less what reversals gave back, and the rate of that in an hour.

    `exhausted_at` is when nothing remains if it goes on so: now + remaining / rate. It is null where nothing was used, where the window is
    over sooner, and where that lies more than a hundred years ahead.
    """

    since: Instant
    used: int
    per_hour: float
    exhausted_at: Instant | None


class LimitBurn(Struct, frozen=True):
    """A limit that users share, and of it one key ('' where it is not split), in the window of now.

    What is `remaining` of `cap` is never below 0. `last_day` and `last_week` are the rates of the last 24 hours and 7 days.
    """

    limit_id: str
    key: str
    span: str
    measure: str
    window_start: date
    window_ends_at: Instant | None
    cap: int
    used: int
    remaining: int
    last_day: Burn
    last_week: Burn


class LimitHoursQuestion(Struct, frozen=True):
    """Of one tenant's limit, perhaps of one key: hours that begin at `begin` or later and before `end`; up to `count` after
    `after`.
    """

    tenant_id: str
    limit_id: str
    key: str | None
    begin: datetime
    end: datetime
    count: int
    after: datetime


class LimitHour(Struct, frozen=True):
    """What was used of a limit in one hour, by when that was committed; less what reversals gave back, so perhaps below 0."""

    hour: Instant
    used: int


class LimitUse(Struct, frozen=True):
    """What a store knows of a line: what was used in the window of now, and of that key since `list_since`.

    `first_hour` is the first in which that is known; None where it was never used.
    """

    limit_id: str
    key: str
    span: str
    measure: str
    window_start: date
    window_ends_at: datetime | None
    cap: int
    used: int
    first_hour: datetime | None
    day_used: int
    week_used: int


def ask_burn(tenant_id: str, zone: str, now: datetime, count: int, after: tuple[str, str]) -> BurnQuestion:
    """The question for a tenant of this time zone: windows are those that settle would count in now."""
    day = now.astimezone(find_zone(zone)).date()
    return BurnQuestion(
        tenant_id=tenant_id,
        now=now,
        windows=list(_list_windows(day, zone)),
        count=count,
        after_limit=after[0],
        after_key=after[1],
    )


def tell_burn(now: datetime, since: datetime, used: int, remaining: int, ends_at: datetime | None) -> Burn:
    """The rate since then, over an hour at least, and until when what remains lasts at it."""
    hours = max((now - since) / timedelta(hours=1), 1.0)
    per_hour = used / hours
    left = remaining / per_hour if per_hour > 0 else None
    exhausted_at = now + timedelta(hours=left) if left is not None and left < MOST_HOURS else None
    if exhausted_at and ends_at and exhausted_at > ends_at:
        exhausted_at = None
    return Burn(since, used, per_hour, exhausted_at)


def list_since(now: datetime) -> tuple[datetime, datetime]:
    """From when on the last day counts, and the last week: whole hours."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    return this_hour - timedelta(hours=DAY_H), this_hour - timedelta(hours=WEEK_H)


def tell_limit(now: datetime, line: LimitUse) -> LimitBurn:
    """A line of the report."""
    remaining = max(line.cap - line.used, 0)
    day, week = (
        tell_burn(now, max(begin, line.first_hour or begin), used, remaining, line.window_ends_at)
        for begin, used in zip(list_since(now), (line.day_used, line.week_used), strict=True)
    )
    return LimitBurn(
        limit_id=line.limit_id,
        key=line.key,
        span=line.span,
        measure=line.measure,
        window_start=line.window_start,
        window_ends_at=line.window_ends_at,
        cap=line.cap,
        used=line.used,
        remaining=remaining,
        last_day=day,
        last_week=week,
    )


MOST_HOURS = 100 * 365.25 * 24


def _list_windows(day: date, zone: str) -> Iterator[BurnWindow]:
    for span in ("day", "week", "month", "year", "lifetime"):
        for weekday in WEEKDAYS if span == "week" else (None,):
            start = start_window(span, day, weekday)
            yield BurnWindow(span, weekday, start, end_window(span, start, zone))
