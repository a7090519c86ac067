"""Days, weeks and months are counted in the tenant's zone."""

from datetime import UTC, date, datetime

import pytest

from fillip.core.tenant import LIFETIME, start_window
from tests.builders import build_tenant


@pytest.mark.parametrize(
    ("zone", "day"),
    [("UTC", date(2017, 3, 1)), ("Asia/Tokyo", date(2017, 3, 2)), ("America/New_York", date(2017, 3, 1))],
)
def test_the_day_of_an_instant_depends_on_the_zone(zone, day):
    tenant = build_tenant(time_zone=zone)
    assert tenant.local_day(datetime(2017, 3, 1, 20, 30, tzinfo=UTC)) == day


def test_windows_start_on_the_day_the_monday_the_first_or_never():
    wednesday = date(2017, 3, 15)
    assert [start_window(span, wednesday) for span in ("day", "week", "month", "lifetime")] == [
        wednesday,
        date(2017, 3, 13),
        date(2017, 3, 1),
        LIFETIME,
    ]
