"""The sweep: due points become active and expire, whoever their tenant is, and it gets in nobody's way."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from fillip.core.campaign.reward import Reward
from fillip.core.errors import Retry
from fillip.migrations import role_dsn
from fillip.settle.sweep import sweep
from fillip.settle.wallet.due_postgres import PostgresDueWallets
from tests.builders import T0
from tests.settle.conftest import World

DAY = timedelta(days=1)
A_DAY = Reward("points", 5, expires_after_s=86_400)
LATER = Reward("points", 7, pending_for_s=86_400)


@pytest.fixture
async def due_wallets(world: World, database: str) -> AsyncIterator[PostgresDueWallets]:
    """What the publish process runs."""
    async with asyncpg.create_pool(role_dsn(database, "fillip_sweep"), min_size=1, max_size=1) as finder:
        yield PostgresDueWallets(finder, world.pool)


async def test_what_is_due_moves_and_nothing_else(world: World, due_wallets: PostgresDueWallets):
    await world.play(*[world.match(f"e{i}", f"u{i}", rewards=(A_DAY, LATER), clock="live") for i in range(3)])
    world.owner.execute("UPDATE wallet SET tenant_id = 'other' WHERE user_id = 'u1'")
    world.owner.execute("UPDATE wallet_lot SET tenant_id = 'other' WHERE user_id = 'u1'")
    assert await due_wallets.move_due(T0 + DAY - timedelta(seconds=1)) == 0
    assert await due_wallets.move_due(T0 + DAY) == 6
    assert await due_wallets.move_due(T0 + DAY) == 0
    assert world.rows("SELECT tenant_id, pending, active, expired FROM wallet ORDER BY user_id") == [
        ("acme", 0, 7, 5),
        ("other", 0, 7, 5),
        ("acme", 0, 7, 5),
    ]
    assert world.rows("SELECT kind, debit, credit, amount FROM wallet_transfer WHERE user_id = 'u0' ORDER BY seq") == [
        ("grant", "issued", "active", 5),
        ("grant", "issued", "pending", 7),
        ("activate", "pending", "active", 7),
        ("expire", "active", "expired", 5),
    ]


async def test_a_wallet_that_is_in_use_is_left_to_the_next_round(world: World, due_wallets: PostgresDueWallets):
    await world.play(
        world.match("e1", "u1", rewards=(A_DAY,), clock="live"), world.match("e2", "u2", rewards=(A_DAY,), clock="live")
    )
    with world.owner.transaction():
        world.owner.execute("SELECT FROM wallet WHERE user_id = 'u1' FOR UPDATE")
        assert await due_wallets.move_due(T0 + DAY) == 1
    assert await due_wallets.move_due(T0 + DAY) == 1


async def test_two_sweeps_at_once_move_each_lot_once(world: World, due_wallets: PostgresDueWallets):
    await world.play(*[world.match(f"e{i}", f"u{i}", rewards=(A_DAY,), clock="live") for i in range(20)])
    moved = await asyncio.gather(due_wallets.move_due(T0 + DAY), due_wallets.move_due(T0 + DAY))
    assert sum(moved) + await due_wallets.move_due(T0 + DAY) == 20
    assert world.rows("SELECT count(*), sum(expired)::int FROM wallet WHERE active = 0") == [(20, 100)]


async def test_it_runs_until_it_is_told_to_stop_and_an_error_is_one_to_try_again(
    world: World, due_wallets: PostgresDueWallets
):
    await world.play(world.match("e1", rewards=(A_DAY,), clock="live"))
    stop = asyncio.Event()

    class Waiting:
        async def move_due(self, at: object) -> int:
            if world.rows("SELECT expired FROM wallet") == [(5,)]:
                stop.set()
            return 0

    async with asyncio.timeout(30):
        await sweep([due_wallets, Waiting()], stop)
    await world.play(world.match("e2", rewards=(Reward("cashback", 1, "USD"),)))
    world.owner.execute("REVOKE UPDATE ON wallet FROM fillip_worker")
    world.owner.execute("UPDATE wallet SET expired_to = 'epoch', due_at = 'epoch'")
    with pytest.raises(Retry, match="due points were not moved"):
        await due_wallets.move_due(T0 + DAY)


async def test_tenants_take_turns_however_long_the_row_of_one_is(world: World, due_wallets: PostgresDueWallets):
    await world.play(*[world.match(f"e{i}", f"u{i:03}", rewards=(A_DAY,), clock="live") for i in range(121)])
    for table in ("wallet", "wallet_lot", "wallet_transfer"):
        world.owner.execute(f"UPDATE {table} SET tenant_id = 'other' WHERE user_id = 'u120'")
    assert await due_wallets.move_due(T0 + DAY) == 21, "20 of acme, and the one of the other tenant"
    assert world.rows("SELECT expired FROM wallet WHERE tenant_id = 'other'") == [(5,)]
    while await due_wallets.move_due(T0 + DAY):
        pass
    assert world.rows("SELECT count(*) FROM wallet WHERE active = 0") == [(121,)]


async def test_a_wallet_that_cannot_be_moved_is_set_aside_and_the_others_go_on(
    world: World, due_wallets: PostgresDueWallets
):
    await world.play(*[world.match(f"e{i}", f"u{i}", rewards=(A_DAY,), clock="live") for i in range(5)])
    world.owner.execute("ALTER TABLE wallet ADD CHECK (user_id <> 'u3' OR expired = 0)")
    assert await due_wallets.move_due(T0 + DAY) == 4
    assert await due_wallets.move_due(T0 + DAY) == 0
    assert world.rows("SELECT user_id FROM wallet WHERE expired = 0") == [("u3",)]


async def test_many_lots_of_a_wallet_move_by_their_sum_in_one_transfer_each(
    world: World, due_wallets: PostgresDueWallets
):
    later = Reward("points", 7, pending_for_s=86_400, expires_after_s=172_800)
    await world.play(*[world.match(f"e{i}", rewards=(A_DAY, later), clock="live") for i in range(101)])
    while await due_wallets.move_due(T0 + DAY):
        pass
    while await due_wallets.move_due(T0 + 2 * DAY):
        pass
    told = "SELECT kind, amount, source_id FROM wallet_transfer WHERE kind <> 'grant' ORDER BY seq"
    assert world.rows(told) == [("activate", 707, ""), ("expire", 505, ""), ("expire", 707, "")]
    assert world.rows("SELECT pending, active, expired, due_at FROM wallet") == [(0, 0, 1_212, None)]


async def test_each_change_of_lots_says_when_they_expire(world: World, due_wallets: PostgresDueWallets):
    spans = (86_400, None, 172_800, 259_200)
    rewards = [Reward("points", 5, expires_after_s=span) for span in spans]
    await world.play(*[world.match(f"e{i}", rewards=(reward,), clock="live") for i, reward in enumerate(rewards)])
    world.owner.execute("UPDATE wallet SET active = 5, spent = 15, owed = 15, due_at = 'epoch'")
    world.owner.execute("""INSERT INTO wallet_draw (tenant_id, user_id, currency, seq, transfer_id, owed, since, part)
        SELECT tenant_id, user_id, currency, last_seq, gen_random_uuid(), 15, 'epoch', 0 FROM wallet""")
    while await due_wallets.move_due(T0):
        pass
    for table, changes in (("wallet_transfer", 4), ("wallet_part", 3)):
        named = f"""SELECT count(*)::int, count(*) FILTER (WHERE t.expiries[n.place] IS DISTINCT FROM l.expires_at)::int
            FROM {table} t CROSS JOIN jsonb_object_keys(t.lots) WITH ORDINALITY AS n (lot_id, place)
            JOIN wallet_lot l ON l.lot_id = n.lot_id::uuid"""
        assert world.rows(named) == [(changes, 0)]
    assert world.rows("SELECT DISTINCT currency, made_at FROM wallet_part") == [("POINTS", T0)]
    assert world.rows("SELECT count(*) FROM wallet_transfer WHERE expiries IS NULL") == [(1,)]


async def test_what_a_reversal_takes_of_other_lots_is_paid_by_the_sweep(world: World, due_wallets: PostgresDueWallets):
    await world.play(*[world.match(f"e{i}", rewards=(A_DAY,), clock="live") for i in range(4)])
    world.owner.execute("UPDATE wallet SET active = 15, spent = 5")
    world.owner.execute("UPDATE wallet_lot SET remaining = 0 WHERE seq = 1")
    await world.play(world.reversal("r1", "e0"))
    assert world.rows("SELECT active, owed FROM wallet") == [(10, 5)]
    assert await due_wallets.move_due(T0) == 1
    assert world.rows("SELECT active, owed FROM wallet") == [(10, 0)]
    assert world.rows("SELECT remaining FROM wallet_lot ORDER BY seq") == [(0,), (0,), (5,), (5,)]
    assert world.rows("SELECT count(*) FROM wallet_draw") == [(0,)]
