"""A tenant: an organisation that owns users, campaigns and everything decided for them."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

LIFETIME = date(1970, 1, 1)
"""The start of the one window of a lifetime limit; not date.min, which asyncpg stores as '-infinity'."""


class Tenant(Struct, frozen=True):
    """`clock` is `live`, or `history` (no acceptance horizon, no automatic expiry). `time_zone` is an IANA name."""

    tenant_id: str
    name: str
    time_zone: str
    currency: str
    clock: str

    def local_day(self, instant: datetime) -> date:
        """The calendar day of `instant` in the tenant's zone."""
        return instant.astimezone(UTC if self.time_zone == "UTC" else ZoneInfo(self.time_zone)).date()


def start_window(span: str, day: date) -> date:
    """First day of the window (`day`, `week` from Monday, `month`, `lifetime`) that holds `day`."""
    if span == "day":
        return day
    if span == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if span == "month" else LIFETIME
