"""Points outstanding. That they equal the ledger's at any instant is shown by the wallets' state machine (tests/settle)."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fillip.analyse.duckdb.bay import DuckdbBay
from fillip.analyse.facts import sift
from fillip.analyse.liability import Liability, LiabilityExpiry, LiabilityMovement, LiabilityQuestion, ask_expiries
from fillip.analyse.report import Bay
from fillip.core.instant import MAX_TIME, MIN_TIME
from fillip.stream.topics import Topics
from tests.analyse.bay_world import emptied, part, record, transfer

TOPICS = Topics()
LIFE = (
    transfer(1, "grant", "issued", "pending", 100),
    transfer(2, "activate", "pending", "active", 100),
    transfer(3, "spend", "active", "spent", 30),
    transfer(4, "refund", "spent", "active", 10),
    transfer(5, "adjust", "issued", "active", 5),
    transfer(6, "adjust", "active", "issued", 15),
    transfer(7, "expire", "active", "expired", 20),
    transfer(8, "reverse", "active", "reversed", 60),
    transfer(9, "grant", "issued", "active", 7, currency="STARS"),
    transfer(10, "grant", "issued", "active", 999, tenant_id="rival"),
    transfer(15, "import", "imported", "pending", 4, currency="STARS"),
)


def day(number: int, microsecond: int = 1) -> datetime:
    """When transfer `number` was made, or a moment beside."""
    return datetime(2026, 3, number, 10, 0, 0, microsecond, UTC)


def ask(begin: datetime = MIN_TIME, end: datetime = MAX_TIME, count: int = 10, after: str = "") -> LiabilityQuestion:
    """A question of acme."""
    return LiabilityQuestion("acme", begin, end, count, after)


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[DuckdbBay]:
    """The facts of LIFE."""
    async with DuckdbBay.open(tmp_path / "analyse.duckdb", TOPICS) as bay:
        await load(bay, *LIFE)
        yield bay


async def load(bay: Bay, *messages: dict[str, Any], first: int = 0) -> None:
    """Load announcements of one partition."""
    records = [record(first + n, message, TOPICS.moved) for n, message in enumerate(messages)]
    for number, each in enumerate(records):  # each is a load of its own: the ledger's order is not that of the days
        await bay.load(sift([each], await bay.read_positions() if number else {}))


async def test_what_users_hold_at_an_instant_is_what_was_made_by_then(life: DuckdbBay) -> None:
    assert await life.report_liability(ask(end=day(1, 0))) == []
    assert await life.report_liability(ask(end=day(1))) == [Liability("POINTS", 100, 0, 0, 100)]
    assert await life.report_liability(ask(end=day(4))) == [Liability("POINTS", 0, 80, 0, 80)]
    debt = Liability("POINTS", 0, -10, 0, -10)
    assert await life.report_liability(ask()) == [debt, Liability("STARS", 4, 7, 0, 11)]
    assert await life.report_liability(ask(count=1)) == [debt]
    assert await life.report_liability(ask(after="POINTS")) == [Liability("STARS", 4, 7, 0, 11)]


async def test_opening_and_what_moved_give_the_closing(life: DuckdbBay) -> None:
    points, stars = await life.report_liability_movements(ask(begin=day(2)))
    assert points == LiabilityMovement("POINTS", 100, 0, -10, 0, 10, 30, 20, 60, -10)
    assert stars == LiabilityMovement("STARS", 0, 7, 0, 4, 0, 0, 0, 0, 11)
    (all_of_it,) = await life.report_liability_movements(ask(end=day(8)))
    assert (all_of_it.opening, all_of_it.granted, all_of_it.closing) == (0, 100, -10)


async def test_each_transfer_counts_once_and_a_snapshot_replaces_them(life: DuckdbBay) -> None:
    again = [record(20 + n, message, TOPICS.moved) for n, message in enumerate(LIFE[:9])]
    await life.load(sift(again, await life.read_positions()))
    assert (await life.report_liability(ask(end=day(4))))[0].active == 80
    anew = transfer(1, "grant", "issued", "active", 3) | {"op": "r"}
    anew["source"] = anew["source"] | {"epoch": "e2"}
    records = [record(40, emptied("wallet_transfer", 0, "e2"), TOPICS.moved), record(41, anew, TOPICS.moved)]
    await life.load(sift(records, await life.read_positions()))
    assert await life.report_liability(ask()) == [Liability("POINTS", 0, 3, 0, 3)]


async def test_a_transfer_that_can_not_be_read_is_set_aside(life: DuckdbBay) -> None:
    good = [transfer(n, "grant", "issued", "active", 1, currency="STARS") for n in (16, 17, 18, 19)]
    for message, wrong in zip(good, ({"amount": "many"}, {"made_at": "once"}, {"currency": None}), strict=False):
        message["after"] |= wrong
    spoilt = sift(
        [record(50 + n, message, TOPICS.moved) for n, message in enumerate(good)], await life.read_positions()
    )
    await life.load(spoilt)
    assert [aside.record_offset for aside in spoilt.asides] == [50, 51, 52]
    assert (await life.report_liability(ask()))[1].active == 8


async def test_a_sum_beyond_64_bits_ends_nothing(life: DuckdbBay) -> None:
    await load(life, *(transfer(n, "grant", "issued", "active", 2**63 - 1) for n in (20, 21)), first=60)
    assert (await life.report_liability(ask()))[0].outstanding == 2**63 - 1


MAY, JUNE, NEVER = (
    "2026-05-31T22:00:00.000000Z",
    "2026-05-31T22:00:00.000001Z",
    None,
)  # in Berlin May ends with the first
GRANT = ("grant", "issued", "active")
LOTS = (
    transfer(1, *GRANT, 100, lots={"a": 100}, expiries=[MAY]),
    transfer(2, *GRANT, 60, lots={"b": 60}, expiries=[JUNE]),
    transfer(3, *GRANT, 7, lots={"c": 7}),
    transfer(4, "spend", "active", "spent", 150, lots={"a": -100, "b": -10}, expiries=[MAY, JUNE]),
    transfer(6, "refund", "spent", "active", 5, lots={"b": 5}, expiries=[JUNE]),
    transfer(7, *GRANT, 9, lots={"d": 9}, expiries=["2026-03-08T10:00:00.000000Z"]),
    transfer(9, "expire", "active", "expired", 9, lots={}),
    transfer(10, *GRANT, 3, lots={"e": 3}, expiries=["2099-01-01T00:00:00.000000Z"], currency="STARS"),
    transfer(11, *GRANT, 999, lots={"x": 999}, tenant_id="rival"),
)


async def tell_expiries(bay: Bay, at: datetime, zone: str = "Europe/Berlin", count: int = 99, after: str = "") -> Any:
    """What the report says of acme's points: how many expire when."""
    lines = await bay.report_liability_expiries(ask_expiries("acme", zone, at, count, ("POINTS", after)))
    return {line.expires: line.outstanding for line in lines if line.currency == "POINTS"}


@pytest.fixture
async def lots(store: Bay) -> Bay:
    """The facts of LOTS, and what lots gave a day after the spend, in either store."""
    await load(store, *LOTS)
    later = [part(1, 5, {"b": -30}, expiries=[JUNE]), part(2, 5, {"c": -6, "d": -4}, expiries=[NEVER, MAY])]
    records = [record(n, message, TOPICS.drawn) for n, message in enumerate(later)]
    await store.load(sift(records, await store.read_positions()))
    return store


async def test_what_is_outstanding_by_the_month_in_which_it_expires(lots: Bay) -> None:
    assert await tell_expiries(lots, day(1, 0)) == {}
    assert await tell_expiries(lots, day(3)) == {"2026-05": 100, "2026-06": 60, "never": 7}
    assert await tell_expiries(lots, day(3), "UTC") == {"2026-05": 160, "never": 7}
    assert await tell_expiries(lots, day(3), "Asia/Kathmandu") == {"2026-06": 160, "never": 7}
    assert await tell_expiries(lots, day(3), count=2) == {"2026-05": 100, "2026-06": 60}
    assert await tell_expiries(lots, day(3), after="2026-06") == {"never": 7}
    star = LiabilityExpiry("STARS", "later", 3)
    asked = ask_expiries("acme", "UTC", day(11), 9, ("POINTS", "unsettled"))
    assert await lots.report_liability_expiries(asked) == [star]


async def test_what_lots_are_still_to_give_and_what_is_past_its_time_is_unsettled(lots: Bay) -> None:
    """Months and what is unsettled always add up to what is outstanding."""
    assert await tell_expiries(lots, day(4)) == {"2026-06": 50, "never": 7, "unsettled": -40}
    gave = {"2026-05": -4, "2026-06": 20, "never": 1}
    assert await tell_expiries(lots, day(5)) == gave
    assert await tell_expiries(lots, day(7)) == gave | {"2026-03": 9, "2026-06": 25}
    assert await tell_expiries(lots, day(8)) == gave | {"2026-06": 25, "unsettled": 9}
    assert await tell_expiries(lots, day(9)) == gave | {"2026-06": 25}


async def test_lots_are_forgotten_with_what_a_snapshot_replaces(lots: Bay) -> None:
    records = [record(40, emptied("wallet_part", 0, "e2"), TOPICS.drawn)]
    await lots.load(sift(records, await lots.read_positions()))
    without_parts = {"2026-06": 55, "never": 7, "unsettled": -40}
    assert await tell_expiries(lots, day(9)) == without_parts
    anew = LOTS[0] | {"op": "r", "source": LOTS[0]["source"] | {"epoch": "e2"}}
    records = [record(40, emptied("wallet_transfer", 0, "e2"), TOPICS.moved), record(41, anew, TOPICS.moved)]
    await lots.load(sift(records, await lots.read_positions()))
    assert await tell_expiries(lots, day(9)) == {"2026-05": 100}


async def test_lots_that_can_not_be_read_are_set_aside_with_their_transfer(lots: Bay) -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {"lots": {"f": "x"}},
        {"lots": {"f": 1}, "expiries": [MAY, MAY]},
        {"lots": {"f": None}},
    )
    spoilt = [transfer(20 + n, *GRANT, 1, **columns) for n, columns in enumerate(wrong)]
    sifted = sift(
        [record(50 + n, message, TOPICS.moved) for n, message in enumerate(spoilt)], await lots.read_positions()
    )
    await lots.load(sifted)
    assert len(sifted.asides) == 3
    assert (await lots.report_liability(ask()))[0].outstanding == sum((await tell_expiries(lots, day(25))).values())


async def test_what_is_held_is_owed_until_it_is_captured_and_expires_in_no_month(store: Bay) -> None:
    await load(
        store,
        transfer(1, *GRANT, 100, lots={"a": 100}, expiries=[MAY]),
        transfer(2, "hold", "active", "held", 60, lots={"a": -60}, expiries=[MAY]),
        transfer(3, "capture", "held", "spent", 40),
        transfer(4, "release", "held", "active", 20, lots={"a": 20}, expiries=[MAY]),
    )
    assert await store.report_liability(ask(end=day(2))) == [Liability("POINTS", 0, 40, 60, 100)]
    assert await store.report_liability(ask(end=day(3))) == [Liability("POINTS", 0, 40, 20, 60)]
    assert await store.report_liability(ask()) == [Liability("POINTS", 0, 60, 0, 60)]
    (moved,) = await store.report_liability_movements(ask())
    assert moved == LiabilityMovement("POINTS", 0, 100, 0, 0, 0, 40, 0, 0, 60)
    assert await tell_expiries(store, day(2)) == {"2026-05": 40, "held": 60}
    assert await tell_expiries(store, day(4)) == {"2026-05": 60}
