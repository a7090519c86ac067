"""Ends of days, months and years of a tenant's calendar, or a user's own."""

from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Literal

from msgspec import Struct

from fillip.core.instant import LAST_TIME, find_zone
from fillip.core.local_day import LAST_DAY, Zone, end_day

Period = Literal["day", "month", "year"]
MOST_AFTER: Mapping[Period, int] = {"day": 3_660, "month": 120, "year": 10}
"""Ten years."""


class PeriodEnd(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The end of the day, month or year (`end_of`) that holds an instant, or of the one so many `after` it, by the calendar of the tenant's
    or the user's `zone`.
    """

    end_of: Period
    after: int = 0
    zone: Zone = "tenant"

    def find(self, instant: datetime, time_zone: str, own_time_zone: str | None) -> datetime:
        """The instant behind it, by the calendar of the tenant's zone or, where it goes by that, of the user's own, if there is one; LAST_TIME
        at most.
        """
        if self.zone == "user" and own_time_zone:
            time_zone = own_time_zone
        day = instant.astimezone(find_zone(time_zone)).date()
        last = _LASTS[self.end_of](day, self.after)
        return LAST_TIME if last > LAST_DAY else end_day(last, time_zone)


def _end_month(day: date, after: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + after, 12)
    return date.max if year > date.max.year else date(year, month + 1, monthrange(year, month + 1)[1])


_LASTS: Mapping[Period, Callable[[date, int], date]] = {
    "day": lambda day, after: day + min(timedelta(after), date.max - day),
    "month": _end_month,
    "year": lambda day, after: date(min(day.year + after, date.max.year), 12, 31),
}
