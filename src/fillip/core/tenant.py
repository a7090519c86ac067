"""A tenant: an organisation that owns users, campaigns and everything decided for them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from msgspec import Struct

from fillip.core.identity import identify
from fillip.core.instant import LAST_TIME, find_zone
from fillip.core.local_day import find_day

_HALF_A_DAY = timedelta(hours=12)
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: Sequence[Weekday] = get_args(Weekday)
LIFETIME = date(1970, 1, 1)
"""The start of the one window of a lifetime limit; not date.min, which asyncpg stores as '-infinity'."""


class Tenant(Struct, frozen=True):
    """`clock` is `live`, or `history` (no acceptance horizon, no automatic expiry). `time_zone` is an IANA name.

    `holdout_percent` of its users get nothing, so that what incentives bring can be measured against them.
    """

    tenant_id: str
    name: str
    time_zone: str
    currency: str
    clock: str
    holdout_percent: int = 0

    def local_day(self, instant: datetime) -> date:
        """The calendar day of `instant` in the tenant's zone."""
        return find_day(instant, self.time_zone)

    def holds_out(self, user_id: str) -> bool:
        """Whether a user is in the holdout: by a hash of tenant and user alone, so the same for every campaign, for ever.

        A larger percentage holds the same users out, and more.
        """
        if not self.holdout_percent:
            return False
        return identify("holdout", self.tenant_id, user_id).int % 2**32 * 100 < self.holdout_percent * 2**32


def start_window(span: str, day: date, week_starts_on: Weekday | None = None) -> date:
    """First day of the window (`day`, `week`, `month`, `year`, `rolling`, `lifetime`) that holds `day`; weeks begin on Monday unless said.

    The last two have but one.
    """
    if span == "day":
        return day
    if span == "week":
        return day - timedelta(days=(day.weekday() - WEEKDAYS.index(week_starts_on or "monday")) % 7)
    if span == "year":
        return day.replace(month=1, day=1)
    return day.replace(day=1) if span == "month" else LIFETIME


@lru_cache(maxsize=4096)
def end_window(span: str, start: date, time_zone: str) -> datetime | None:
    """The instant at which the window that begins on `start` is over in a zone, in UTC; None for `rolling` and `lifetime`.

    That is when the next day begins: at midnight, or where clocks are put forward then, when they are.
    """
    if span in ("rolling", "lifetime"):
        return None
    if span == "year":
        after = start.replace(year=start.year + 1) if start.year < LAST_TIME.year else LAST_TIME.date()
    elif span == "month":
        after = (start + timedelta(days=31)).replace(day=1)
    else:
        after = start + timedelta(days=7 if span == "week" else 1)
    return datetime.combine(after, time.min, find_zone(time_zone)).astimezone(UTC)


@lru_cache(maxsize=1024)
def list_skipped_days(time_zone: str) -> Sequence[date]:
    """The days since 1970 that the calendar of a zone left out, such as Samoa's 30 December 2011.

    A zone that leaves a day out is a day ahead from then on: so only months between which it gains hours are looked at.

    To 2037, where the rules that are known end.
    """
    zone = ZoneInfo(time_zone)
    months = [datetime(year, month, 1, 12, tzinfo=zone) for year in range(1970, 2038) for month in range(1, 13)]
    gaining = [pair for pair in pairwise(months) if _tell_offset(pair[1]) - _tell_offset(pair[0]) > _HALF_A_DAY]
    days = [first + timedelta(n) for first, last in gaining for n in range((last - first).days)]
    return tuple(noon.date() for noon in days if noon.astimezone(UTC).astimezone(zone).date() != noon.date())


def _tell_offset(local: datetime) -> timedelta:
    return local.utcoffset() or timedelta()
