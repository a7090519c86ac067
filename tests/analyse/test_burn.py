"""How fast limits are used up, in both stores: from their counters as they stand, and the hours in which they changed."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillip.analyse.burn import LimitBurn, LimitHour, LimitHoursQuestion, ask_burn, tell_burn
from fillip.analyse.facts import sift
from fillip.analyse.report import Bay
from fillip.core.instant import MAX_TIME, MIN_TIME
from fillip.stream.topics import Topics
from tests.analyse.bay_world import announce, emptied, record

TOPICS = Topics()
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
Told = tuple[str, dict[str, Any]]


def zone(tenant_id: str = "acme", time_zone: str = "UTC") -> Told:
    """The tenant is made."""
    document = {"time_zone": time_zone, "user_schema": {"type": "object"}}
    after = {"tenant_id": tenant_id, "book_version": 1, "kind": "tenant", "object_id": tenant_id, "document": document}
    return TOPICS.changed, announce("book_change", 1, "c", "e1", after)


def limit(limit_id: str, cap: int, *, version: int = 2, tenant_id: str = "acme", **columns: Any) -> Told:
    """A limit is made or changed."""
    document = {"limit_id": limit_id, "scope": "tenant", "measure": "value", "span": "month", "cap": cap, "key": None}
    after = {"tenant_id": tenant_id, "book_version": version, "kind": "limit", "object_id": limit_id}
    return TOPICS.changed, announce("book_change", 1, "c", "e1", after | {"document": document | columns})


def use(limit_id: str, used: int, version: int, ago_h: float, op: str = "", **columns: Any) -> Told:
    """So much is used of it since so many hours before noon, after so many changes."""
    after = {
        "tenant_id": "acme",
        "limit_id": limit_id,
        "user_id": "",
        "key": "",
        "window_start": "2026-03-01",
        "cap": 9,
    }
    told = announce(
        "limit_counter",
        1,
        op or ("c" if version == 1 else "u"),
        "e1",
        after | {"used": used, "version": version} | columns,
    )
    told["source"]["committed_at_us"] = int((NOON - timedelta(hours=ago_h)).timestamp() * 1_000_000)
    return TOPICS.used, told


async def load(bay: Bay, *messages: Told, first: int = 1, together: bool = False) -> int:
    """Load announcements, each by itself unless all together; how many could not be."""
    for offset, (_, message) in enumerate(messages, first):
        message["source"]["commit_lsn"] = offset
    records = [record(offset, message, topic) for offset, (topic, message) in enumerate(messages, first)]
    asides = 0
    for each in [records] if together else [[one] for one in records]:
        sifted = sift(each, await bay.read_positions())
        await bay.load(sifted)
        asides += len(sifted.asides)
    return asides


@pytest.fixture(params=[False, True], ids=["one by one", "at once"])
async def budgets(store: Bay, request: pytest.FixtureRequest) -> Bay:
    """A budget of 1,000 a month: 400 used two days ago, 120 of them given back, 240 more within the last day; and others."""
    told = [
        zone(),
        zone("rival"),
        limit("budget", 900),
        limit("idle", 5, span="lifetime"),
        limit("mine", 5, scope="user"),
        limit("gone", 5),
        limit("gone", 5, version=3, deleted=True),
        limit("canary", 1, tenant_id="rival"),
        limit("budget", 1000, version=4),
        use("budget", 300, 1, 48.5),
        use("budget", 400, 2, 48.2),
        use("budget", 280, 3, 40),
        use("budget", 500, 4, 1.5),
        use("budget", 520, 5, 0.1),
        use("mine", 3, 1, 1, user_id="u1"),
        use("budget", 77, 1, 1, tenant_id="rival"),
    ]
    await load(store, *told, together=request.param)
    return store


async def ask(
    bay: Bay, now: datetime = NOON, count: int = 10, after: tuple[str, str] = ("", "")
) -> Sequence[LimitBurn]:
    """The report of acme."""
    return await bay.report_limit_burn(ask_burn("acme", "UTC", now, count, after))


async def hours(bay: Bay, limit_id: str = "budget", **changes: Any) -> list[tuple[float, int]]:
    """How long before noon each hour begins, and what was used in it."""
    asked: dict[str, Any] = {"key": None, "begin": MIN_TIME, "end": MAX_TIME, "count": 10, "after": MIN_TIME} | changes
    lines = await bay.report_limit_hours(LimitHoursQuestion("acme", limit_id, **asked))
    assert all(isinstance(line, LimitHour) for line in lines)
    return [((NOON - line.hour) / timedelta(hours=1), line.used) for line in lines]


async def test_what_remains_how_fast_it_goes_and_until_when_it_lasts(budgets: Bay) -> None:
    budget, idle = await ask(budgets)
    assert (budget.cap, budget.used, budget.remaining, budget.window_start) == (1000, 520, 480, date(2026, 3, 1))
    assert budget.window_ends_at == datetime(2026, 4, 1, tzinfo=UTC)
    assert (budget.last_day.used, budget.last_day.per_hour) == (240, 10.0)
    assert budget.last_day.exhausted_at == NOON + timedelta(hours=48)
    assert (budget.last_week.used, budget.last_week.since) == (520, NOON - timedelta(hours=49))
    assert budget.last_week.exhausted_at == NOON + timedelta(hours=480 / (520 / 49))
    assert (idle.limit_id, idle.used, idle.remaining, idle.window_ends_at) == ("idle", 0, 5, None)
    assert (idle.last_week.used, idle.last_week.per_hour, idle.last_week.exhausted_at) == (0, 0.0, None)


async def test_the_hours_of_a_limit(budgets: Bay) -> None:
    assert await hours(budgets) == [(49, 400), (40, -120), (2, 220), (1, 20)]
    assert await hours(budgets, begin=NOON - timedelta(hours=40), end=NOON - timedelta(hours=1)) == [
        (40, -120),
        (2, 220),
    ]
    assert await hours(budgets, after=NOON - timedelta(hours=40), count=1) == [(2, 220)]
    assert await hours(budgets, "canary") == []


async def test_the_next_window_is_whole_again_at_the_rate_of_the_last(budgets: Bay) -> None:
    april = datetime(2026, 4, 1, 0, 30, tzinfo=UTC)
    await load(
        budgets, use("budget", 240, 1, -510, window_start="2026-03-01", key="x"), first=30
    )  # of a key that it has not
    budget = (await ask(budgets, april))[0]
    assert (budget.used, budget.remaining, budget.window_start) == (0, 1000, date(2026, 4, 1))


async def test_a_split_limit_has_a_line_for_each_key_that_is_used(budgets: Bay) -> None:
    split = limit("shops", 10, key="event.shop", span="day")
    keys = [
        use("shops", 4, 1, 0.5, key="b", window_start="2026-03-10"),
        use("shops", 1, 1, 30, key="a", window_start="2026-03-09"),
    ]
    await load(budgets, split, *keys, use("shops", 1, 1, 200, key="old", window_start="2026-03-02"), first=30)
    lines = [(line.limit_id, line.key, line.used) for line in await ask(budgets)]
    assert lines == [("budget", "", 520), ("idle", "", 0), ("shops", "a", 0), ("shops", "b", 4)]
    assert [line.key for line in await ask(budgets, after=("shops", "a"))] == ["b"]
    assert [line.limit_id for line in await ask(budgets, count=1)] == ["budget"]
    assert await hours(budgets, "shops", key="b") == [(1, 4)]


async def test_after_a_snapshot_the_rate_begins_anew(budgets: Bay) -> None:
    anew = [use("budget", 600, 9, 3, op="r"), use("budget", 660, 10, 2.5)]
    for _, message in anew:
        message["source"]["epoch"] = "e2"
    await load(budgets, (TOPICS.used, emptied("limit_counter", 1, "e2")), *anew, first=30)
    assert await hours(budgets) == [(3, 60)]
    assert (await ask(budgets))[0].used == 660


async def test_what_can_not_be_read_is_set_aside(budgets: Bay) -> None:
    spoilt = [limit("x", 1), zone(), use("budget", 1, 6, 0), use("budget", 1, 6, 0)]
    spoilt[2][1]["after"]["used"] = "many"
    spoilt[3][1]["after"]["version"] = None
    spoilt[1][1]["after"]["document"] = {"time_zone": 7.5, "name": None}
    spoilt[0][1]["after"]["book_version"] = None
    spoilt[1][1]["after"]["tenant_id"] = None
    assert await load(budgets, *spoilt, use("budget", 530, 6, 0), first=30, together=True) == 4
    assert (await ask(budgets))[0].used == 530


def test_windows_are_those_of_the_tenants_calendar() -> None:
    asked = ask_burn("acme", "America/New_York", datetime(2026, 3, 8, 4, 30, tzinfo=UTC), 1, ("", ""))
    found = {(each.span, each.week_starts_on): (each.start, each.ends_at) for each in asked.windows}
    assert found["day", None] == (date(2026, 3, 7), datetime(2026, 3, 8, 5, tzinfo=UTC))
    assert found["week", "monday"] == (date(2026, 3, 2), datetime(2026, 3, 9, 4, tzinfo=UTC))
    assert found["week", "saturday"] == (date(2026, 3, 7), datetime(2026, 3, 14, 4, tzinfo=UTC))
    assert found["month", None] == (date(2026, 3, 1), datetime(2026, 4, 1, 4, tzinfo=UTC))
    assert found["lifetime", None] == (date(1970, 1, 1), None)


async def test_each_limit_has_its_own_window_of_now(budgets: Bay) -> None:
    weeks = {day: limit(day, 9, span="week", week_starts_on=day) for day in ("monday", "wednesday")}
    first = {"plain": "2026-03-09", "monday": "2026-03-09", "wednesday": "2026-03-04", "yearly": "2026-01-01"}
    uses = [use(name, 3, 1, 1, window_start=start) for name, start in first.items()]
    plain, yearly = limit("plain", 9, span="week"), limit("yearly", 9, span="year")
    await load(budgets, *weeks.values(), plain, yearly, *uses, first=30)
    lines = {line.limit_id: line for line in await ask(budgets)}
    assert {name: (lines[name].used, str(lines[name].window_start)) for name in first} == {
        name: (3, start) for name, start in first.items()
    }
    assert lines["wednesday"].window_ends_at == datetime(2026, 3, 11, tzinfo=UTC)
    assert lines["yearly"].window_ends_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert (lines["wednesday"].span, lines["yearly"].span) == ("week", "year")


@given(st.integers(-(2**63), 2**63), st.integers(0, 2**63), st.floats(0, 1e6), st.one_of(st.none(), st.floats(0, 1e6)))
def test_a_forecast_is_ahead_and_within_the_window_or_is_none(
    used: int, remaining: int, since_h: float, ends_h: float | None
) -> None:
    ends_at = NOON + timedelta(hours=ends_h) if ends_h is not None else None
    burn = tell_burn(NOON, NOON - timedelta(hours=since_h), used, remaining, ends_at)
    if burn.exhausted_at is not None:
        assert used > 0
        assert NOON <= burn.exhausted_at <= (ends_at or MAX_TIME)
