"""Days of the user's own zone: against the table of all changes of clocks in 2026, minute by minute, and for users who move."""

from collections import Counter as Tally
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from fillip.core.campaign.quest import Quest, Step, Streak
from fillip.core.campaign.reward import Reward
from fillip.core.event import Event
from fillip.core.instant import list_zones
from fillip.core.limit import Counter, CounterKey, Limit, LimitCharge, Span, take, weigh
from fillip.core.local_day import Zone
from fillip.core.match.candidate import Candidate
from fillip.core.match.limit_charges import list_charges
from fillip.core.quest.batch import read_quest_event
from fillip.core.quest.instance import Instance, advance
from fillip.core.tenant import Tenant
from tests.builders import build_book, build_campaign, build_event, build_tenant, build_version
from tests.core.test_hours import CHANGES, list_minutes

SPANS: tuple[Span, ...] = ("day", "week", "month", "year")


def cap(span: Span, zone: Zone = "user", *, most: int = 1) -> Limit:
    return Limit(f"{span}-{zone}", "user", "count", span, most, zone=zone)


LIMITS = [cap(span) for span in SPANS]
GIFT = build_version("gift", build_campaign(rewards=(Reward("badge"),)))
TOKYO = build_tenant(time_zone="Asia/Tokyo")


def see(time_zone: str | None, *limits: Limit, tenant: Tenant = TOKYO) -> Event:
    """An event of a user in a zone, under these limits; its time is put in later."""
    book = build_book(GIFT, tenant=tenant, limits={limit.limit_id: limit for limit in limits})
    return replace(build_event(book), user_time_zone=time_zone)


def charge(event: Event, at: datetime) -> dict[str, LimitCharge]:
    """What a grant for the event would take at an instant, by limit."""
    found = list_charges(replace(event, occurred_at=at), GIFT, (0,), {}, frozenset())
    return {each.counter.limit_id: each for each in found}


def begin(span: Span, day: date) -> date:
    """The first day of a window, without anything of the product."""
    if span == "week":
        return day - timedelta(days=(day.toordinal() - 1) % 7)
    return {"day": day, "month": date(day.year, day.month, 1), "year": date(day.year, 1, 1)}[span]


def test_the_table_has_every_change_of_the_year() -> None:
    hours = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=30 * n) for n in range(365 * 48)]
    for zone, changes in CHANGES.items():
        offsets = [at.astimezone(ZoneInfo(zone)).utcoffset() for at in hours]
        found = [at for at, (before, after) in zip(hours[1:], pairwise(offsets), strict=True) if before != after]
        assert found == [datetime.fromisoformat(at) for at, _, _ in changes], zone


@pytest.mark.parametrize("zone", CHANGES)
def test_windows_are_of_the_users_day_whatever_clocks_do(zone: str) -> None:
    """Given minutes around each change, what a window counts in and when it is over are as the table says: 6,240 a zone."""
    event = see(zone, *LIMITS)
    for change in CHANGES[zone]:
        walls = [(at, date_of(at, change)) for at, *_ in list_minutes(*change)]
        begins = [at for (_, before), (at, after) in pairwise(walls) if after > before]
        for at, day in walls:
            charges = charge(event, at)
            windows = {span: charges[f"{span}-user"].counter.window_start for span in SPANS}
            assert windows == {span: begin(span, day) for span in SPANS}, at
            over_at = next((each for each in begins if each > at), None)
            assert over_at is None or charges["day-user"].resets_at == over_at, at


def date_of(at: datetime, change: tuple[str, int, int]) -> date:
    """What a calendar on the wall shows: the minutes ahead of UTC are the table's."""
    changed_at, before, after = change
    ahead = timedelta(minutes=after if at >= datetime.fromisoformat(changed_at) else before)
    return (at + ahead).date()


@pytest.mark.parametrize("zone", CHANGES)
def test_a_streak_of_the_users_days_takes_the_first_and_the_last_minute_of_each(zone: str) -> None:
    quest = Quest((Step("come", "BUY", streak=Streak(3)),), zone="user")
    version = build_version("q", build_campaign(quest=quest))
    book = build_book(version, tenant=TOKYO)
    for change in CHANGES[zone]:
        minutes: dict[date, list[datetime]] = {}
        for at, *_ in list_minutes(*change):
            minutes.setdefault(date_of(at, change), []).append(at)
        days = sorted(minutes)[-3:]
        for edge in (0, -1):
            known: list[Instance] = []
            for number, day in enumerate(days):
                event = replace(build_event(book, f"e{number}", at=minutes[day][edge]), user_time_zone=zone)
                met = read_quest_event(event, Candidate(version, steps=(0,)))
                assert met.day == day
                known = [moved.instance for moved in advance(known, met).moved] or known
            assert [each.state for each in known] == ["completed"], (change, edge)


def test_only_what_says_so_goes_by_the_users_day() -> None:
    at = datetime(2026, 6, 19, 12, tzinfo=UTC)
    both = (cap("day"), cap("day", "tenant"))
    theirs, nobodys = (charge(see(zone, *both), at) for zone in ("Pacific/Kiritimati", None))
    assert {name: each.counter.window_start.day for name, each in theirs.items()} == {"day-user": 20, "day-tenant": 19}
    assert {name: each.counter.window_start.day for name, each in nobodys.items()} == {"day-user": 19, "day-tenant": 19}
    assert (theirs["day-user"].time_zone, nobodys["day-user"].time_zone) == ("Pacific/Kiritimati", None)


def test_who_moves_gets_no_day_twice() -> None:
    """Given a user who every hour tries every zone there is: each date is had once, so two more than days went by."""
    limit, counters = cap("day", most=2), dict[CounterKey, Counter]()
    events = [see(zone, limit) for zone in [*sorted(list_zones())[::7], "Pacific/Kiritimati", "Etc/GMT+12"]]
    granted: Tally[date] = Tally()
    begin, days = datetime(2026, 6, 19, tzinfo=UTC), 5
    for hour in range(days * 24):
        for event in events:
            charges = [*charge(event, begin + timedelta(hours=hour)).values()]
            counter = charges[0].counter
            counters.setdefault(counter, Counter(0, 0))
            if weigh(charges, counters)[1] is None:
                take(charges, counters)
                granted[counter.window_start] += 1
    assert set(granted.values()) == {2}
    assert len(granted) == days + 2
