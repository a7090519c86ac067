"""Whatever instant a door takes, all that is reckoned from it has an answer."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillip.core.campaign.quest import Quest, Start, Step, Streak
from fillip.core.instant import (
    LAST_TIME,
    MAX_TIME,
    MIN_TIME,
    add_span,
    bound_time,
    find_zone,
    list_zones,
    read_instant,
    read_instant_ns,
)
from fillip.core.quest.instance import Instance, QuestEvent, advance
from fillip.core.tenant import end_window, start_window
from tests.builders import build_tenant

ENDS = st.sampled_from([MIN_TIME, MAX_TIME, MAX_TIME - timedelta(days=1), MIN_TIME + timedelta(days=40)])
TIMES = ENDS | st.datetimes(MIN_TIME.replace(tzinfo=None), MAX_TIME.replace(tzinfo=None), timezones=st.just(UTC))
ZONES = st.sampled_from(sorted(list_zones()))
SPANS = st.integers(0, 10 * 366 * 86_400)


@given(TIMES, ZONES, st.sampled_from(["day", "week", "month", "year", "lifetime"]))
def test_a_window_of_every_limit_can_be_told(instant: datetime, zone: str, span: str) -> None:
    day = build_tenant(time_zone=zone).local_day(instant)
    assert abs(day - instant.date()) <= timedelta(days=1)
    start = start_window(span, day)
    ends_at = end_window(span, start, zone)
    assert (start <= day and ends_at and instant < ends_at <= LAST_TIME + timedelta(days=1)) or span == "lifetime"


@given(TIMES | st.just(LAST_TIME), SPANS)
def test_what_lies_a_span_later_never_leaves_the_calendar(instant: datetime, span_s: int) -> None:
    later = add_span(instant, span_s)
    assert instant <= later <= LAST_TIME
    assert later == LAST_TIME or later == instant + timedelta(seconds=span_s)


@given(TIMES, TIMES, ZONES, SPANS, SPANS)
def test_a_quest_opens_and_lapses_at_every_instant(
    first: datetime, second: datetime, zone: str, window_s: int, lateness_s: int
) -> None:
    steps = (Step("go", "GO", streak=Streak(3, "week", freeze=2)),)
    quest = Quest(steps, Start("first_step"), window_s=window_s, lateness_s=lateness_s, repeatable=True)
    tenant = build_tenant(time_zone=zone)
    known: list[Instance] = []
    for number, instant in enumerate((first, second)):
        day = tenant.local_day(instant)
        quest_event = QuestEvent(quest, 1, uuid4(), "/till", f"e{number}", instant, instant, zone, day, number, (0,))
        known = [moved.instance for moved in advance(known, quest_event).moved] or known
    assert known
    assert all(instance.ends_at and instance.ends_at <= LAST_TIME for instance in known)


@pytest.mark.parametrize("hours", [-23, -1, 0, 1, 23])
def test_bounds_are_those_of_greenwich(hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    for instant in (MIN_TIME, MAX_TIME):
        assert bound_time(instant.astimezone(zone)) == instant
    tick = timedelta(microseconds=1)
    for instant in (
        (MIN_TIME - tick).astimezone(zone),
        (MAX_TIME + tick).astimezone(zone),
        datetime.min.replace(tzinfo=zone),
    ):
        with pytest.raises(ValueError, match="1970 and 9998"):
            bound_time(instant)


@pytest.mark.parametrize(
    "zone", ["localtime", "Factory", "posixrules", "right/UTC", "posix/UTC", "leapseconds", "Berlin"]
)
def test_a_zone_is_one_of_ianas_and_the_same_on_every_machine(zone: str) -> None:
    assert zone not in list_zones()
    with pytest.raises(ValueError, match="unknown time zone"):
        find_zone(zone)


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-02-28", "2026-02-28T10:00:00", "1772323199", "now", ""],
)
def test_an_instant_is_a_date_time_of_its_years(text: str) -> None:
    with pytest.raises(ValueError, match=r"date-time|day|between"):
        read_instant(text)


@given(TIMES, st.integers(0, 999), st.sampled_from(["Z", "z", "+05:30", "-11:00"]), st.sampled_from("Tt "))
def test_what_is_finer_than_a_microsecond_is_cut_off(instant: datetime, finer: int, offset: str, between: str) -> None:
    zone = UTC if offset in "Zz" else datetime.strptime(offset, "%z").tzinfo
    local = instant.astimezone(zone).strftime(f"%Y-%m-%d{between}%H:%M:%S.%f").zfill(26)
    for digits in (f"{finer:03d}", f"{finer:03d}9999"):
        assert read_instant(f"{local}{digits}{offset}") == instant
    if between != " ":
        assert read_instant_ns(f"{local}{finer:03d}999{offset}") == read_instant_ns(f"{local}{offset}") + finer
