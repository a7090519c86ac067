"""Hours of the week by the clocks on the walls: against a table of all changes of clocks in 2026, minute by minute."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from fillip.core.campaign.campaign import Schedule
from fillip.core.campaign.hours import WEEKDAYS, Hours, tell_minute

MINUTE = timedelta(minutes=1)
CHANGES = {
    "Europe/Berlin": [("2026-03-29T01:00Z", 60, 120), ("2026-10-25T01:00Z", 120, 60)],
    "America/New_York": [("2026-03-08T07:00Z", -300, -240), ("2026-11-01T06:00Z", -240, -300)],
    "America/Santiago": [("2026-04-05T03:00Z", -180, -240), ("2026-09-06T04:00Z", -240, -180)],
    "America/Havana": [("2026-03-08T05:00Z", -300, -240), ("2026-11-01T05:00Z", -240, -300)],
    "America/Nuuk": [("2026-03-29T01:00Z", -120, -60), ("2026-10-25T01:00Z", -60, -120)],
    "America/St_Johns": [("2026-03-08T05:30Z", -210, -150), ("2026-11-01T04:30Z", -150, -210)],
    "Asia/Beirut": [("2026-03-28T22:00Z", 120, 180), ("2026-10-24T21:00Z", 180, 120)],
    "Africa/Casablanca": [("2026-02-15T02:00Z", 60, 0), ("2026-03-22T02:00Z", 0, 60)],
    "Africa/Cairo": [("2026-04-23T22:00Z", 120, 180), ("2026-10-29T21:00Z", 180, 120)],
    "Australia/Lord_Howe": [("2026-04-04T15:00Z", 660, 630), ("2026-10-03T15:30Z", 630, 660)],
    "Pacific/Chatham": [("2026-04-04T14:00Z", 825, 765), ("2026-09-26T14:00Z", 765, 825)],
    "Antarctica/Troll": [("2026-03-29T01:00Z", 0, 120), ("2026-10-25T01:00Z", 120, 0)],
}
"""When clocks change, and the minutes that they are ahead of UTC before and after."""
WEEKEND = (Hours("02:15", "02:45", ("saturday", "sunday")),)
PATTERNS = [
    (Hours("17:00", "19:00", ("monday", "saturday")),),
    (Hours("22:00", "02:00", ("friday", "saturday")), Hours("01:30", "03:10", ("sunday",))),
    (Hours("00:00", "00:00", ("sunday",)), Hours("00:00", "00:30")),
    (Hours("01:30", "02:30"), Hours("02:45", "03:15")),  # which open when clocks change, forward or back
]


def list_minutes(at: str, before: int, after: int) -> Iterator[tuple[datetime, int, int]]:
    """The minutes around a change, with the weekday and the minute of the day on the wall."""
    change = datetime.fromisoformat(at)
    for each in range(-26 * 60, 26 * 60):
        instant = change + each * MINUTE
        wall = int(instant.timestamp()) // 60 + (after if each >= 0 else before)
        yield instant, (wall // 1440 + 3) % 7, wall % 1440  # the first day of 1970 was a thursday


def lies_in(hours: Hours, weekday: int, minute: int) -> bool:
    """Whether a wall shows a time of these hours."""
    opens, closes = (int(each[:2]) * 60 + int(each[3:]) for each in (hours.opens, hours.closes))
    today, yesterday = (not hours.weekdays or WEEKDAYS[day % 7] in hours.weekdays for day in (weekday, weekday - 1))
    if opens < closes:
        return today and opens <= minute < closes
    return (today and minute >= opens) or (yesterday and minute < closes)


@pytest.mark.parametrize("zone", CHANGES)
def test_hours_go_by_the_wall_whatever_clocks_do(zone: str) -> None:
    """An hour that comes twice is open both times, one that there is not is skipped; and the next opening is the first one."""
    for recurring in PATTERNS:
        schedule = Schedule(recurring=recurring)
        for change in CHANGES[zone]:
            told = [(at, any(lies_in(each, *wall) for each in recurring)) for at, *wall in list_minutes(*change)]
            assert [schedule.refuse(at, zone) for at, _ in told] == [
                None if is_open else "outside_hours" for _, is_open in told
            ]
            opening = None
            for at, is_open in reversed(told):
                opening = at if is_open else opening
                if opening and at.minute == 0:
                    assert schedule.find_next(at, zone) == opening, at


def test_the_first_minute_counts_and_the_last_does_not() -> None:
    schedule = Schedule(recurring=(Hours("17:00", "19:00"),))
    first, last = datetime(2026, 6, 19, 17, tzinfo=UTC), datetime(2026, 6, 19, 19, tzinfo=UTC)
    tick = timedelta(microseconds=1)
    told = [schedule.refuse(at, "UTC") for at in (first - tick, first, last - tick, last)]
    assert told == ["outside_hours", None, None, "outside_hours"]


def test_an_hour_that_a_week_leaves_out_comes_the_week_after() -> None:
    """Given hours of Sunday that Berlin's clocks jump over on 29 March."""
    schedule = Schedule(recurring=(Hours("02:15", "02:45", ("sunday",)),))
    assert schedule.find_next(datetime(2026, 3, 23, tzinfo=UTC), "Europe/Berlin") == datetime(
        2026, 4, 5, 0, 15, tzinfo=UTC
    )


def test_the_next_opening_lies_between_start_and_end() -> None:
    begin, end = datetime(2026, 6, 19, 12, tzinfo=UTC), datetime(2026, 6, 20, 2, 14, tzinfo=UTC)
    schedule = Schedule(begin, recurring=WEEKEND)
    assert schedule.find_next(begin - timedelta(days=30), "UTC") == datetime(2026, 6, 20, 2, 15, tzinfo=UTC)
    assert Schedule(begin, end, recurring=WEEKEND).find_next(begin, "UTC") is None
    assert Schedule(begin, end).find_next(begin - timedelta(1), "UTC") == begin


def test_hours_that_meet_are_one_and_a_whole_week_never_closes() -> None:
    """Also where they go over the end of the week."""
    week = Schedule(recurring=(Hours("00:00", "12:00"), Hours("12:00", "00:00"))).week
    assert (week.starts_open, week.turns) == (True, [])
    night = Schedule(recurring=(Hours("22:00", "02:00", ("sunday",)), Hours("01:00", "03:00", ("monday",)))).week
    assert (night.starts_open, night.turns) == (True, [180, 7 * 1440 - 120])
    assert tell_minute(datetime(2026, 6, 21, 23, 59, tzinfo=UTC), "UTC") == 7 * 1440 - 1
