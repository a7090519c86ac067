"""When what is done again and again is due: every so many minutes, or by a cron expression in the tenant's time zone."""

from datetime import datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from msgspec import Struct

LEAST_MINUTES = 5
MOST_MINUTES = 31 * 24 * 60
LONGEST_CRON = 100
_LOOKED_AT = 300
"""Times of a cron expression: more than a day has that stand five minutes apart."""


class Schedule(Struct, frozen=True):
    """One of the two is given."""

    every_minutes: int | None = None
    cron: str | None = None

    def find_next(self, after: datetime, time_zone: str) -> datetime:
        """The first time after an instant; raises ValueError for an expression that `check_cron` refuses."""
        if self.cron is None:
            return after + timedelta(minutes=self.every_minutes or LEAST_MINUTES)
        try:
            return next(CronSim(self.cron, after.astimezone(ZoneInfo(time_zone))))
        except (CronSimError, StopIteration) as error:
            raise ValueError(f"not a cron expression that ever comes: {error}") from None


def check_cron(cron: str) -> None:
    """Raise ValueError unless it is a cron expression of five fields that comes, and never twice in five minutes."""
    if len(cron) > LONGEST_CRON or len(cron.split()) != 5:
        raise ValueError('write five fields: minute, hour, day, month, weekday, such as "0 3 * * *"')
    start = datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC"))
    try:
        times = list(islice(CronSim(cron, start), _LOOKED_AT))
    except CronSimError as error:
        raise ValueError(f"not a cron expression: {error}") from None
    if not times:
        raise ValueError("it never comes")
    if any(later - earlier < timedelta(minutes=LEAST_MINUTES) for earlier, later in pairwise(times)):
        raise ValueError(f"at most every {LEAST_MINUTES} minutes")
