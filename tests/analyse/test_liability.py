"""Points outstanding. That they equal the ledger's at any instant is shown by the wallets' state machine (tests/settle)."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fillip.analyse.duckdb import DuckdbBay
from fillip.analyse.facts import sift
from fillip.analyse.liability import Liability, LiabilityMovement, LiabilityQuestion
from fillip.core.instant import MAX_TIME, MIN_TIME
from fillip.stream.topics import Topics
from tests.analyse.bay_world import emptied, record, transfer

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
    transfer(1, "grant", "issued", "active", 999, tenant_id="rival"),
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


async def load(bay: DuckdbBay, *messages: dict[str, Any], first: int = 0) -> None:
    """Load announcements of one partition."""
    records = [record(first + n, message, TOPICS.moved) for n, message in enumerate(messages)]
    for number, each in enumerate(records):  # each is a load of its own: the ledger's order is not that of the days
        await bay.load(sift([each], await bay.read_positions() if number else {}))


async def test_what_users_hold_at_an_instant_is_what_was_made_by_then(life: DuckdbBay) -> None:
    assert await life.report_liability(ask(end=day(1, 0))) == []
    assert await life.report_liability(ask(end=day(1))) == [Liability("POINTS", 100, 0, 100)]
    assert await life.report_liability(ask(end=day(4))) == [Liability("POINTS", 0, 80, 80)]
    debt = Liability("POINTS", 0, -10, -10)
    assert await life.report_liability(ask()) == [debt, Liability("STARS", 0, 7, 7)]
    assert await life.report_liability(ask(count=1)) == [debt]
    assert await life.report_liability(ask(after="POINTS")) == [Liability("STARS", 0, 7, 7)]


async def test_opening_and_what_moved_give_the_closing(life: DuckdbBay) -> None:
    points, stars = await life.report_liability_movements(ask(begin=day(2)))
    assert points == LiabilityMovement("POINTS", 100, 0, -10, 10, 30, 20, 60, -10)
    assert stars == LiabilityMovement("STARS", 0, 7, 0, 0, 0, 0, 0, 7)
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
    assert await life.report_liability(ask()) == [Liability("POINTS", 0, 3, 3)]


async def test_a_transfer_that_can_not_be_read_is_set_aside(life: DuckdbBay) -> None:
    good = [transfer(n, "grant", "issued", "active", 1, currency="STARS") for n in (10, 11, 12, 13)]
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
