"""Days, weeks, months and years are counted in the tenant's zone."""

from datetime import UTC, date, datetime, timedelta

import pytest

from fillip.core.tenant import LIFETIME, WEEKDAYS, end_window, start_window
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
    assert [start_window(span, wednesday) for span in ("day", "week", "month", "year", "lifetime")] == [
        wednesday,
        date(2017, 3, 13),
        date(2017, 3, 1),
        date(2017, 1, 1),
        LIFETIME,
    ]


def test_weeks_begin_on_any_day_and_end_before_the_next_of_its_name():
    wednesday = date(2017, 3, 15)
    starts = [start_window("week", wednesday, weekday) for weekday in WEEKDAYS]
    assert [start.day for start in starts] == [13, 14, 15, 9, 10, 11, 12]
    sunday = starts[-1]
    week = {start_window("week", sunday + timedelta(days=n), "sunday") for n in range(7)}
    assert week == {sunday}
    assert end_window("week", sunday, "UTC") == datetime(2017, 3, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    ("span", "start", "zone", "ends_at"),
    [
        ("day", date(2026, 3, 29), "Europe/Berlin", datetime(2026, 3, 29, 22, tzinfo=UTC)),  # 23 hours long
        ("month", date(2026, 10, 1), "Europe/Berlin", datetime(2026, 10, 31, 23, tzinfo=UTC)),
        ("month", date(2026, 12, 1), "UTC", datetime(2027, 1, 1, tzinfo=UTC)),
        ("year", date(2024, 1, 1), "Asia/Tokyo", datetime(2024, 12, 31, 15, tzinfo=UTC)),
        ("day", date(2018, 11, 3), "America/Sao_Paulo", datetime(2018, 11, 4, 3, tzinfo=UTC)),  # there was no midnight
        ("day", date(2026, 10, 31), "America/Havana", datetime(2026, 11, 1, 4, tzinfo=UTC)),  # there are two
        ("day", date(2011, 12, 29), "Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),  # nor was there a 30th
        ("lifetime", LIFETIME, "UTC", None),
    ],
)
def test_a_window_is_over_when_the_next_day_begins_in_the_zone(span, start, zone, ends_at):
    assert end_window(span, start, zone) == ends_at
    if ends_at:
        tenant = build_tenant(time_zone=zone)
        last, first = (start_window(span, tenant.local_day(ends_at - timedelta(microseconds=n))) for n in (1, 0))
        assert last == start < first
