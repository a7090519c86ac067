"""The one lock order: batches that need each other's rows wait for each other, and never in a circle."""

import asyncio
from collections.abc import Sequence

import pytest

from fillip.core.campaign.reward import Reward
from fillip.core.match.candidate import Match
from fillip.settle import Settle
from fillip.settle.postgres import PostgresLedger
from fillip.settle.reversal.postgres import PostgresReversals
from tests.settle.conftest import World

REWARDS = (Reward("cashback", 10, "USD"), Reward("points", 5))
WAITING = "SELECT FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"


async def overtake(
    world: World,
    patch: pytest.MonkeyPatch,
    stops_at: tuple[type, str],
    first: Sequence[Match],
    second: Sequence[Match],
) -> None:
    """Settle both as batches of two workers: the first stops before a call until the second waits for it or is done."""
    held, go_on, call = asyncio.Event(), asyncio.Event(), getattr(*stops_at)

    async def stop(*arguments: object) -> object:
        if not held.is_set():
            held.set()
            await go_on.wait()
        return await call(*arguments)

    patch.setattr(*stops_at, stop)
    settle = Settle(PostgresLedger(world.pool, "other"), lambda *told: None)
    one = asyncio.create_task(settle(world.batch(*first), first))
    await held.wait()
    two = asyncio.create_task(world.settle(world.batch(*second), second))
    while not world.rows(WAITING) and not two.done():
        await asyncio.sleep(0.01)
    go_on.set()
    await asyncio.gather(one, two)


async def wait_for_waiting(world: World, count: int, *tasks: asyncio.Task[None]) -> None:
    """Until so many sessions wait for a lock, or one of the tasks is done."""
    while len(world.rows(WAITING)) < count and not any(task.done() for task in tasks):
        await asyncio.sleep(0.01)


async def test_reversals_lock_all_their_users_before_the_first_shared_counter(world: World):
    """One batch holds user u2 and wants the shared counter; the other takes back parts of u1's and then u2's."""
    world.add_limit("budget", 1_000, measure="value", reward_kind="cashback")
    await world.play(world.match("e1", "u1", rewards=REWARDS), world.match("e2", "u2", rewards=REWARDS))
    back = [
        world.reversal("r1", "e1", "u1", amount=1, of=2),
        world.reversal("r2", "e1", "u1", amount=1, of=2),
        world.reversal("r3", "e2", "u2"),
    ]
    grant = world.match("e3", "u2", rewards=REWARDS, partition=1)
    other = Settle(PostgresLedger(world.pool, "other"), lambda *told: None)
    async with world.pool.acquire() as third, third.transaction():
        await third.execute("SELECT set_config('app.tenants', 'acme', true)")
        await third.fetch("SELECT FROM limit_counter FOR UPDATE")
        one = asyncio.create_task(other(world.batch(grant), [grant]))
        await wait_for_waiting(world, 1, one)  # it has u2, and waits for the counter
        two = asyncio.create_task(world.settle(world.batch(*back), back))
        await wait_for_waiting(world, 2, two)
    await asyncio.gather(one, two)
    assert world.rows("SELECT used FROM limit_counter") == [(10,)]
    assert world.rows("SELECT user_id, array_agg(seq::int ORDER BY seq) FROM inbox GROUP BY 1 ORDER BY 1") == [
        ("u1", [1, 2, 3, 4, 5, 6]),
        ("u2", [1, 2, 3, 4, 5, 6]),
    ]


async def test_batches_that_take_back_each_others_events_meet_without_a_circle(world: World):
    await world.play(world.match("e", rewards=REWARDS), world.reversal("r", "e"))
    other = Settle(PostgresLedger(world.pool, "other"), lambda *told: None)
    for n in range(10):
        here = [world.match(f"a{n}", rewards=REWARDS), world.reversal(f"rb{n}", f"b{n}")]
        there = [world.match(f"b{n}", rewards=REWARDS, partition=1), world.reversal(f"ra{n}", f"a{n}", partition=1)]
        await asyncio.gather(world.settle(world.batch(*here), here), other(world.batch(*there), there))
    assert world.rows("SELECT state, count(*) FROM reversal GROUP BY 1") == [("applied", 21)]
    assert world.rows("SELECT active, reversed FROM wallet") == [(0, 21 * 5)]


async def test_an_original_that_comes_while_a_second_reversal_is_being_taken_finds_both(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    world.add_limit("none", 0)
    await world.play(world.reversal("r1", "e1"))
    grant, late = world.match("e1"), world.reversal("r2", "e1", partition=1)
    await overtake(world, monkeypatch, (PostgresReversals, "read_reversed_so_far"), [late], [grant])
    assert world.rows("SELECT reversal_id, state FROM reversal ORDER BY 1") == [("r1", "nothing"), ("r2", "nothing")]


async def test_who_needs_stock_and_who_does_not_lock_the_shared_counter_after_the_users_inbox(world: World):
    world.add_limit("budget", 1_000, measure="value", reward_kind="points")
    points = Reward("points", 5)
    await world.play(world.match("e1", "u1", rewards=(points,)))
    badge = world.match("e2", "u1", rewards=(points, Reward("badge", badge="saver")))
    plain = world.match("e3", "u1", rewards=(points,), partition=1)
    other = Settle(PostgresLedger(world.pool, "other"), lambda *told: None)
    async with world.pool.acquire() as third, third.transaction():
        await third.execute("SELECT set_config('app.tenants', 'acme', true)")
        await third.fetch("SELECT FROM wallet FOR UPDATE")
        one = asyncio.create_task(other(world.batch(badge), [badge]))
        await wait_for_waiting(world, 1, one)
        two = asyncio.create_task(world.settle(world.batch(plain), [plain]))
        await wait_for_waiting(world, 2, two)
    await asyncio.gather(one, two)
    assert world.rows("SELECT used FROM limit_counter") == [(15,)]
