"""Ends of days, months and years of a zone's calendar, as rewards name them: by the event's time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fillip.core.campaign.period_end import MOST_AFTER, PeriodEnd
from fillip.core.campaign.reward import Reward
from fillip.core.instant import LAST_TIME
from tests.builders import build_tenant


@pytest.mark.parametrize(
    ("at", "zone", "period", "after", "ends_at"),
    [
        ("2026-01-31T22:59:59Z", "Europe/Berlin", "month", 0, "2026-01-31T23:00Z"),
        ("2026-01-31T23:00:00Z", "Europe/Berlin", "month", 0, "2026-02-28T23:00Z"),  # it is february there
        ("2026-01-15T12:00:00Z", "Europe/Berlin", "month", 2, "2026-03-31T22:00Z"),  # and summer by then
        ("2026-11-30T12:00:00Z", "UTC", "month", 1, "2027-01-01T00:00Z"),
        ("2027-11-30T12:00:00Z", "UTC", "month", 3, "2028-03-01T00:00Z"),  # over a leap day
        ("2026-12-31T23:30:00Z", "UTC", "year", 0, "2027-01-01T00:00Z"),
        ("2026-12-31T23:30:00Z", "Asia/Tokyo", "year", 1, "2028-12-31T15:00Z"),  # it is 2027 there
        ("2024-02-29T12:00:00Z", "America/New_York", "year", 1, "2026-01-01T05:00Z"),
        ("2026-03-28T12:00:00Z", "Asia/Beirut", "day", 0, "2026-03-28T22:00Z"),  # the next day begins at one
        ("2026-10-24T12:00:00Z", "Asia/Beirut", "day", 0, "2026-10-24T22:00Z"),  # its last hour comes twice
        ("2026-10-24T12:00:00Z", "Australia/Lord_Howe", "day", 30, "2026-11-23T13:00Z"),
        ("2026-08-31T12:00:00Z", "America/Santiago", "month", 0, "2026-09-01T04:00Z"),
    ],
)
def test_an_end_is_that_of_the_calendar_of_the_zone(at: str, zone: str, period: Any, after: int, ends_at: str) -> None:
    assert PeriodEnd(period, after).find(datetime.fromisoformat(at), zone, None) == datetime.fromisoformat(ends_at)


@pytest.mark.parametrize("period", MOST_AFTER)
def test_no_event_is_too_early_or_too_late_for_an_end(period: Any) -> None:
    for zone in ("Pacific/Kiritimati", "Etc/GMT+12"):
        last = datetime(9998, 12, 31, 23, 59, 59, 999_999, UTC)
        found = [PeriodEnd(period, after).find(last, zone, None) for after in (0, MOST_AFTER[period])]
        assert last <= found[0] <= found[1] == LAST_TIME
        assert PeriodEnd(period).find(datetime(1970, 1, 1, tzinfo=UTC), zone, None).year in (1969, 1970, 1971)


def test_an_end_goes_by_the_users_own_calendar_where_it_says_so() -> None:
    """Given a new year that New York, Berlin and Auckland are in at other times, and a user without a zone."""
    at, berlin = datetime(2026, 12, 31, 12, tzinfo=UTC), "Europe/Berlin"
    for zone, ends_at in (
        ("America/New_York", datetime(2027, 1, 1, 5, tzinfo=UTC)),
        ("Pacific/Auckland", datetime(2027, 12, 31, 11, tzinfo=UTC)),
        (None, datetime(2026, 12, 31, 23, tzinfo=UTC)),
    ):
        assert PeriodEnd("year", zone="user").find(at, berlin, zone) == ends_at
        assert PeriodEnd("year").find(at, berlin, zone) == datetime(2026, 12, 31, 23, tzinfo=UTC)


def test_what_an_event_earned_is_over_when_it_comes_after_the_end() -> None:
    """Given points until the end of the month, of an event that is sent days later; and a tenant in which nothing expires."""
    points, tenant = (
        Reward("points", 5, expires=PeriodEnd("month")),
        build_tenant(time_zone="Europe/Berlin", clock="live"),
    )
    bought_at, end = datetime(2026, 1, 30, tzinfo=UTC), datetime(2026, 1, 31, 23, tzinfo=UTC)
    tick = timedelta(microseconds=1)
    assert [points.is_over(bought_at, at, tenant, None) for at in (end - tick, end)] == [False, True]
    fixed = Reward("points", 5, expires_at=end)
    assert [fixed.is_over(bought_at, at, tenant, None) for at in (end - tick, end)] == [False, True]
    assert not points.is_over(bought_at, end, build_tenant(time_zone="Europe/Berlin", clock="history"), None)
