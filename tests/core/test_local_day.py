"""Days of a zone as instants: by what clocks on its walls show, second by second."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fillip.core.local_day import end_day, is_day, read_day, start_day

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("zone", "day", "starts_at", "ends_at"),
    [
        ("Europe/Berlin", "2026-06-19", "2026-06-18T22:00Z", "2026-06-19T22:00Z"),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
        ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00Z", "2026-03-29T21:00Z"),  # from 00:00 to 01:00
        ("Asia/Beirut", "2026-10-24", "2026-10-23T21:00Z", "2026-10-24T22:00Z"),  # from 24:00 to 23:00
        ("America/Santiago", "2026-09-06", "2026-09-06T04:00Z", "2026-09-07T03:00Z"),
        ("America/Santiago", "2026-04-04", "2026-04-04T03:00Z", "2026-04-05T04:00Z"),
        ("America/Havana", "2026-03-08", "2026-03-08T05:00Z", "2026-03-09T04:00Z"),
        ("America/Havana", "2026-11-01", "2026-11-01T04:00Z", "2026-11-02T05:00Z"),  # 00:00 comes twice, of one day
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00Z", "2026-04-05T13:30Z"),
        (
            "America/St_Johns",
            "2010-11-06",
            "2010-11-06T02:30Z",
            "2010-11-07T03:30Z",
        ),  # from 00:01 to 23:01 of the day before
        ("America/St_Johns", "2010-11-07", "2010-11-07T02:30Z", "2010-11-08T03:30Z"),
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30Z", "1919-04-01T04:00Z"),  # from 23:30 to 00:30
        ("Pacific/Apia", "2011-12-29", "2011-12-29T10:00Z", "2011-12-30T10:00Z"),
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00Z", "2011-12-30T10:00Z"),  # left out
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00Z", "2011-12-31T10:00Z"),
    ],
)
def test_a_day_begins_and_ends_when_its_zone_says(zone: str, day: str, starts_at: str, ends_at: str) -> None:
    found = start_day(date.fromisoformat(day), zone), end_day(date.fromisoformat(day), zone)
    assert found == (datetime.fromisoformat(starts_at), datetime.fromisoformat(ends_at))


@pytest.mark.parametrize(
    "zone", ["Asia/Beirut", "America/Santiago", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia"]
)
def test_every_day_of_a_year_begins_where_the_one_before_ends_and_shows_its_own_date(zone: str) -> None:
    day, local = date(2011, 1, 1), ZoneInfo(zone)
    while day < date(2012, 1, 2):
        starts_at, ends_at = start_day(day, zone), end_day(day, zone)
        assert ends_at == start_day(day + DAY, zone)
        seconds = [starts_at, ends_at - timedelta(seconds=1)] if starts_at < ends_at else []
        assert {at.astimezone(local).date() for at in seconds} <= {day}
        assert (starts_at - timedelta(seconds=1)).astimezone(local).date() < day
        day += DAY


def test_what_is_written_as_a_day_and_is_none_is_refused() -> None:
    assert read_day("2028-02-29") == date(2028, 2, 29)
    assert not any(map(is_day, ("2026-6-19", "2026-W25-5", "20260619", "2026-06-19T", "٢٠٢٦-٠٦-١٩")))
    for text in ("2026-02-29", "2026-13-01", "1970-01-01", "9998-12-31"):
        with pytest.raises(ValueError, match=r".+"):
            read_day(text)
    for day in ("1970-01-02", "9998-12-30"):
        for zone in ("Pacific/Kiritimati", "Etc/GMT+12"):
            assert start_day(read_day(day), zone) >= datetime(1970, 1, 1, tzinfo=UTC)
            assert end_day(read_day(day), zone) <= datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)
