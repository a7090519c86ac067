"""Streaks: what the calendar says of the days met, in whatever order their events come."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import combinations
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fillip.core.campaign.campaign import Schedule
from fillip.core.campaign.quest import Quest, Start, Step, Streak
from fillip.core.quest.instance import QuestEvent
from fillip.core.quest.streak import MAX_UNITS, join_day, measure
from fillip.core.tenant import Tenant, list_skipped_days
from tests.builders import build_tenant
from tests.core.test_quest import Log, name, play, quest_event
from tests.core.test_undoing import Path

DAY_S, WEEK_S = 86_400, 7 * 86_400
STREAK = Quest((Step("open", "OPEN", streak=Streak(3, "day", 1)),), Start("campaign"))


def streak(length: int, unit: Literal["day", "week"] = "day", freeze: int = 0, **more: Any) -> Quest:
    return Quest((Step("open", "OPEN", streak=Streak(length, unit, freeze)),), **more)


def days(*numbers: int) -> list[QuestEvent]:
    return [quest_event(number * DAY_S) for number in numbers]


def at(moment: datetime, tenant: Tenant, received_at: datetime | None = None) -> QuestEvent:
    day, clock_at = tenant.local_day(moment), received_at or moment
    return replace(quest_event(), occurred_at=moment, clock_at=clock_at, time_zone=tenant.time_zone, day=day)


def test_a_streak_wants_an_event_on_each_day_and_tolerates_the_missed_ones():
    assert play(STREAK, *days(0, 1, 2)) == [("completed", (3,))]
    assert play(STREAK, *days(0, 0, 2, 3)) == [("completed", (3,))]
    assert play(STREAK, *days(0, 3, 4)) == [("open", (2,))], "two missed at once"
    assert play(STREAK, *days(0, 2, 4)) == [("open", (2,))], "the second missed day takes the first one off"
    assert play(STREAK, *days(0, 2, 4, 5)) == [("completed", (3,))], "one missed since day 2"
    assert play(streak(3), *days(0, 1, 3)) == [("open", (1,))], "without a freeze it begins anew"


def test_a_late_day_joins_the_streak_where_it_belongs():
    assert play(STREAK, *days(0, 2, 1)) == [("completed", (3,))]
    assert play(streak(5), *days(0, 1, 3, 4)) == [("open", (2,))]
    assert play(streak(5), *days(0, 1, 3, 4, 2)) == [("completed", (5,))]
    assert play(streak(3), *days(0, 1, 9, 2)) == [("completed", (3,))], "those days stood in a row"
    log = Log(streak(4)).play(*days(0, 2, 1, 1))
    assert (log.show(), len(log.met["", 1])) == ([("open", (3,))], 4), "one more event of a day keeps it"


@pytest.mark.parametrize(("after_s", "done"), [(-1, 3), (0, 1)], ids=["within the lateness", "past it"])
@pytest.mark.parametrize("unit_s", [DAY_S, WEEK_S], ids=["day", "week"])
def test_a_late_day_joins_until_the_lateness_after_its_end(unit_s: int, after_s: int, done: int):
    """By the broker's clock, in the tenant's zone: day 1 ends there at 5 o'clock in Greenwich."""
    quest = streak(4, "day" if unit_s == DAY_S else "week", lateness_s=7200)
    tenant = build_tenant(time_zone="America/New_York", clock="live")
    first = datetime(2017, 1, 2, 12, tzinfo=UTC)  # a Monday
    second, third = first + timedelta(seconds=unit_s), first + timedelta(seconds=2 * unit_s)
    over_at = datetime(2017, 1, 2, 5, tzinfo=UTC) + timedelta(seconds=2 * unit_s + 7200)
    late = at(second, tenant, over_at + timedelta(seconds=after_s))
    in_time = [at(first, tenant), at(third, tenant)]
    assert play(quest, *in_time, late) == [("open", (done,))]
    assert play(quest, in_time[0], late, in_time[1]) == [("open", (3,))], "one that is not before the newest counts"


def test_a_streak_of_weeks_goes_by_weeks_from_monday():
    quest = streak(3, "week")  # day 0 is a Wednesday
    assert play(quest, *days(4, 5, 12)) == [("completed", (3,))]
    assert play(quest, *days(0, 4, 12)) == [("open", (1,))]
    assert play(quest, *days(0, 12, 5)) == [("completed", (3,))]


@pytest.mark.parametrize("month", [3, 11], ids=["clocks go forward", "clocks go back"])
def test_a_streak_counts_local_days_over_a_change_of_clocks(month: int):
    zone = ZoneInfo("America/New_York")
    tenant = build_tenant(time_zone="America/New_York")
    first = {3: 11, 11: 4}[month]  # the day before the clocks change
    late = [datetime(2017, month, first + n, 23, 30, tzinfo=zone) for n in range(3)]
    early = [datetime(2017, month, first + n, 0, 30, tzinfo=zone) for n in range(3)]
    for moments in (late, early, [late[0], early[1], late[2]]):
        assert play(STREAK, *[at(moment, tenant) for moment in moments]) == [("completed", (3,))]


@pytest.mark.parametrize(
    ("zone", "before"),
    [
        ("Pacific/Apia", date(2011, 12, 29)),
        ("Pacific/Fakaofo", date(2011, 12, 29)),
        ("Pacific/Kwajalein", date(1993, 8, 20)),
        ("Pacific/Kiritimati", date(1994, 12, 30)),
    ],
)
def test_a_day_that_never_was_is_not_missed(zone: str, before: date):
    tenant = build_tenant(time_zone=zone)
    local = [datetime(*(before + timedelta(days=n)).timetuple()[:3], 9, tzinfo=ZoneInfo(zone)) for n in (-1, 0, 2, 3)]
    told = [at(moment, tenant) for moment in local]
    assert play(streak(4), *told) == [("completed", (4,))]
    assert play(streak(4), told[0], told[3], told[2], told[1]) == [("completed", (4,))], "nor by late days"
    assert play(streak(4), *told[:2], told[3]) == [("open", (1,))], "the day after it is"
    assert list_skipped_days(zone) == (before + timedelta(days=1),)


def test_no_day_is_left_out_by_clocks_that_change_or_a_day_that_comes_twice():
    for zone in ("UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Guam"):
        assert list_skipped_days(zone) == ()


def test_what_lies_too_far_back_counts_for_nothing_and_never_takes_more_room():
    counted = [len(Log(streak(3)).play(*days(0, MAX_UNITS + n, 1)).met["", 1]) for n in (0, 1)]
    assert counted == [3, 2]
    log = Log(streak(300)).play(*days(*range(0, 3 * MAX_UNITS, 2), 100_000))
    assert log.show() == [("open", (1,))]
    log = Log(streak(300)).play(*days(*range(0, 3 * MAX_UNITS, 2)))
    assert len(log.instances["", 1].steps[0].days) == MAX_UNITS / 4


def measure_by_hand(form: Streak, met: Iterable[int]) -> int:
    """The longest of all choices of neighbours that has few enough missed; up to the newest if none is long enough."""
    known = sorted(set(met))
    rows = [known[a:b] for a, b in combinations(range(len(known) + 1), 2)]
    fair = [row for row in rows if row[-1] - row[0] + 1 - len(row) <= form.freeze]
    if any(len(row) >= form.length for row in fair):
        return form.length
    return max(len(row) for row in fair if row[-1] == known[-1])


FORMS = st.builds(lambda length, part: Streak(length, "day", part % length), st.integers(2, 9), st.integers(0, 8))


@given(FORMS, st.lists(st.integers(0, 25), min_size=1, max_size=20))
def test_a_streak_is_what_its_days_are_in_whatever_order_they_come(form: Streak, met: list[int]):
    newest: date | None = None
    known = ""
    for number in met:
        joined = join_day(form, newest, known, date(2017, 3, 1) + timedelta(number), ())
        assert joined is not None
        newest, known = joined
    assert newest == date(2017, 3, 1) + timedelta(max(met))
    assert measure(form, known) == measure_by_hand(form, met)


SECONDS = st.integers(0, 20 * DAY_S)
MOMENTS = st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=20)
"""(when, how much later it comes)"""


@given(MOMENTS, FORMS, st.sampled_from(["UTC", "America/New_York", "Pacific/Apia"]), st.randoms())
def test_what_comes_within_the_lateness_makes_the_same_streak_in_any_order(moments, form, zone, luck):
    """Around the day that Samoa left out, in a live tenant."""
    tenant = build_tenant(time_zone=zone, clock="live")
    begin = datetime(2011, 12, 20, tzinfo=UTC)
    quest = Quest((Step("open", "OPEN", streak=form),), Start("campaign"), lateness_s=20 * DAY_S)
    told = [
        replace(at(begin + timedelta(seconds=when), tenant, begin + timedelta(seconds=when + late)),
                schedule=Schedule(begin))
        for when, late in moments
    ]  # fmt: skip
    shuffled = luck.sample(told, len(told))
    assert play(quest, *told) == play(quest, *shuffled)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=12), FORMS, st.data())
def test_a_streak_without_a_day_that_was_taken_back_is_as_if_it_had_never_come(numbers, form, data):
    quest = Quest((Step("open", "OPEN", streak=form), Step("never", "NEVER")), Start("campaign"), ordered=False)
    path = Path(quest, Log(quest).play(*days(*numbers)))
    names = {name(f"e{n + 1}"): f"e{n + 1}" for n in range(len(numbers))}
    gone = {names[each.event_key] for each in data.draw(st.sets(st.sampled_from(path.given), max_size=len(path.given)))}
    for event_id in sorted(gone):
        path.undo(event_id, Fraction(1))
    left = [number for n, number in enumerate(numbers) if f"e{n + 1}" not in gone]
    counted = {each.event_key for each in path.given}
    if len(counted) == len(numbers):  # else it was met before the last came
        expected = measure_by_hand(form, left) if left else 0
        assert path.going.instance.steps[0].done == expected


def test_a_new_version_goes_on_with_the_days_that_are_known():
    log = Log(streak(5, freeze=2, start=Start("campaign"))).play(*days(0, 1, 3, 4))
    log.quest = streak(3, start=Start("campaign"))
    log.play(replace(days(4)[0], campaign_version=2))
    assert log.show() == [("open", (2,))], "the same day does not complete what the change alone would have"
    assert log.play(replace(days(5)[0], campaign_version=2)).show() == [("completed", (3,))]
