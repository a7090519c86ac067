"""Points in the settle transaction: posted once, taken back once, sums that hold."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import psycopg
import pytest

from fillip.core.campaign.period_end import PeriodEnd
from fillip.core.campaign.reward import Reward
from fillip.core.errors import Fenced, Retry
from fillip.core.match.candidate import Match
from tests.builders import T0
from tests.settle.conftest import World

FIVE = Reward("points", 5)
TAKEN = (
    "SELECT reversal_id, (t ->> 'value')::int, (t ->> 'short')::int FROM reversal, jsonb_array_elements(incentives) t"
    " ORDER BY reversal_id"
)


async def test_points_are_posted_in_the_transaction_of_their_grant(world: World):
    await world.play(
        world.match("e1", rewards=(FIVE, Reward("points", 7, "STARS"))), world.match("e2", rewards=(FIVE,))
    )
    assert world.rows("SELECT user_id, currency, active, last_seq FROM wallet ORDER BY 2") == [
        ("u1", "POINTS", 10, 2),
        ("u1", "STARS", 7, 1),
    ]
    assert world.rows("SELECT currency, account, sum(amount)::int FROM wallet_posting GROUP BY 1, 2 ORDER BY 1, 2") == [
        ("POINTS", "active", 10),
        ("POINTS", "issued", -10),
        ("STARS", "active", 7),
        ("STARS", "issued", -7),
    ]
    assert world.rows("SELECT count(*) FROM wallet_lot JOIN incentive ON incentive_id = lot_id") == [(3,)]


async def test_a_batch_that_comes_again_posts_nothing_twice(world: World):
    first = world.match("e1", rewards=(FIVE,))
    await world.play(first)
    with pytest.raises(Fenced):
        await world.play(first)
    await world.play(world.match("e1", rewards=(FIVE,)), world.match("e2", rewards=(FIVE,)))
    assert world.rows("SELECT active, last_seq FROM wallet") == [(10, 2)]


async def test_what_a_limit_refuses_posts_nothing(world: World):
    world.add_limit("one", 1)
    await world.play(world.match("e1", rewards=(FIVE,)), world.match("e2", rewards=(FIVE,)))
    assert world.rows("SELECT active FROM wallet") == [(5,)]


async def test_a_campaign_without_points_leaves_no_wallet(world: World):
    await world.play(world.match("e1"), world.match("e2", rewards=(Reward("points", 0),)))
    assert world.rows("SELECT count(*) FROM wallet") == [(0,)]


async def test_lots_go_by_event_time_and_never_expire_in_a_history_tenant(world: World):
    await world.play(world.match("e1", rewards=(Reward("points", 5, pending_for_s=60, expires_after_s=90),)))
    assert world.rows("SELECT available_at, expires_at FROM wallet_lot") == [(T0 + timedelta(seconds=60), None)]
    assert world.rows("SELECT pending, active FROM wallet") == [(5, 0)]
    await world.play(world.match("e2", clock="live", rewards=(Reward("points", 5, expires_after_s=90),)))
    assert world.rows("SELECT expires_at FROM wallet_lot WHERE available_at IS NULL") == [(T0 + timedelta(seconds=90),)]


async def test_lots_end_with_months_and_years_of_the_calendar(world: World):
    """Given the same months for many: what is earned in march is there from april on, and until the end of may."""
    ends = Reward("points", 5, available=PeriodEnd("month"), expires=PeriodEnd("month", 2))
    fixed = Reward("points", 5, available_at=T0 + timedelta(days=1), expires_at=T0 + timedelta(days=9))
    await world.play(
        world.match("e1", clock="live", rewards=(ends, fixed)), world.match("e2", clock="live", rewards=(ends,))
    )
    april, june = datetime(2017, 4, 1, tzinfo=UTC), datetime(2017, 6, 1, tzinfo=UTC)
    assert world.rows("SELECT available_at, expires_at FROM wallet_lot ORDER BY 1 DESC") == [
        (april, june),
        (april, june),
        (T0 + timedelta(days=1), T0 + timedelta(days=9)),
    ]
    assert world.rows("SELECT expires_at FROM incentive ORDER BY 1 DESC")[:2] == [(june,), (june,)]


async def test_two_first_grants_of_one_wallet_at_once_both_count_in_the_end(world: World):
    async def insist(item: Match) -> None:
        while True:
            try:
                return await world.play(item)
            except Retry as retry:
                assert not isinstance(retry, Fenced)

    items = [world.match(f"e{p}", partition=p, rewards=(FIVE,)) for p in (0, 1)]
    await asyncio.gather(*map(insist, items))
    assert world.rows("SELECT active, last_seq FROM wallet") == [(10, 2)]


async def test_a_reversal_takes_points_back_once(world: World):
    await world.play(world.match("e1", rewards=(FIVE,)))
    for _ in range(2):
        await world.play(world.reversal("r1", "e1", amount=3, of=5))
        assert world.rows("SELECT active, reversed FROM wallet") == [(2, 3)]
    await world.play(world.reversal("r2", "e1"))
    assert world.rows("SELECT kind, amount, reason FROM wallet_transfer ORDER BY seq") == [
        ("grant", 5, None),
        ("reverse", 3, "r1"),
        ("reverse", 2, "r2"),
    ]


async def test_a_reversal_of_what_was_spent_goes_down_to_the_currency_s_floor(world: World):
    await world.play(world.match("e1", rewards=(FIVE,)))
    world.owner.execute("UPDATE wallet SET active = 0, spent = 5")
    world.owner.execute("UPDATE wallet_lot SET remaining = 0")
    world.owner.execute(
        "INSERT INTO points_currency (tenant_id, currency, name, floor) VALUES ('acme', 'POINTS', 'P', -2)"
    )
    await world.play(world.reversal("r1", "e1", amount=4, of=5), world.reversal("r2", "e1"))
    assert world.rows(TAKEN) == [("r1", 2, 2), ("r2", 0, 1)]
    assert world.rows("SELECT state, reversed_value FROM incentive") == [("reversed", 2)]
    assert world.rows("SELECT changed_value, reversed_value FROM incentive_change") == [(2, 2), (0, 2)]
    assert world.rows("SELECT active, floor, reversed FROM wallet") == [(-2, -2, 2)]
    await world.play(world.match("e2", rewards=(FIVE,)))
    assert world.rows("SELECT active, floor FROM wallet") == [(3, 0)]
    assert world.rows("SELECT remaining FROM wallet_lot ORDER BY seq DESC LIMIT 1") == [(3,)]


async def test_a_reversal_says_and_tells_no_more_than_it_took_of_what_was_spent_and_what_has_expired(world: World):
    lasting = Reward("points", 200, expires_after_s=12)
    world.add_limit("budget", 1_000, measure="value", reward_kind="points")
    await world.play(*[world.match(f"e{n}", f"u{n}", rewards=(lasting,), clock="live") for n in range(2)])
    world.owner.execute("UPDATE wallet SET active = 150, spent = 50 WHERE user_id = 'u1'")
    world.owner.execute("UPDATE wallet_lot SET remaining = 150 WHERE user_id = 'u1'")
    late = timedelta(seconds=12)
    await world.play(*[world.reversal(f"r{n}", f"e{n}", f"u{n}", after=late, clock="live") for n in range(2)])
    assert world.rows("SELECT active, expired, reversed FROM wallet ORDER BY user_id") == [(0, 200, 0), (-50, 150, 50)]
    assert world.rows(TAKEN) == [("r0", 0, 200), ("r1", 50, 150)]
    assert world.rows("SELECT state, reversed_value FROM incentive ORDER BY 2") == [("reversed", 0), ("reversed", 50)]
    assert world.rows("SELECT changed_value, reversed_value FROM incentive_change ORDER BY 1") == [(0, 0), (50, 50)]
    assert world.rows("SELECT used FROM limit_counter") == [(0,)], "a budget gets back what the grants took of it"


async def test_what_one_part_could_not_take_the_next_one_does_not_ask_for(world: World):
    await world.play(world.match("e1", clock="live", rewards=(Reward("points", 200, expires_after_s=12),)))
    world.owner.execute("UPDATE wallet SET active = 150, spent = 50")
    world.owner.execute("UPDATE wallet_lot SET remaining = 150")
    late = timedelta(seconds=12)
    halves = [world.reversal(name, "e1", after=late, clock="live", amount=1, of=2) for name in ("r1", "r2")]
    await world.play(*halves)
    assert world.rows(TAKEN) == [("r1", 50, 50), ("r2", 0, 100)]
    assert world.rows("SELECT changed_value, reversed_value FROM incentive_change ORDER BY inbox_seq") == [
        (50, 50),
        (0, 50),
    ]


async def test_the_database_refuses_an_overdraft_and_any_change_of_a_transfer(world: World):
    await world.play(world.match("e1", rewards=(FIVE,)))
    with pytest.raises(psycopg.errors.CheckViolation):
        world.owner.execute("UPDATE wallet SET active = -1")
    with pytest.raises(psycopg.errors.CheckViolation):
        world.owner.execute("UPDATE wallet_lot SET reversed = 1")
    for statement in ("UPDATE wallet_transfer SET amount = 6", "DELETE FROM wallet_transfer"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await world.pool.execute(statement)
