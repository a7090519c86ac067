"""Coupon codes and badges in the ledger transaction: each code once, each badge once, nothing counted for a refusal."""

import asyncio
from datetime import timedelta

from fillip.core.campaign.reward import Reward
from fillip.core.errors import Fenced, Retry
from fillip.core.match.candidate import Match
from tests.builders import T0
from tests.settle.conftest import World

COUPON = (Reward("coupon", pool="spring"),)
BADGE = (Reward("badge", badge="regular"),)


def fill_pool(world: World, *codes: str) -> None:
    """A pool `spring` of these codes."""
    world.owner.execute("INSERT INTO coupon_pool VALUES ('acme', 'spring', 'Spring')")
    for code in codes:
        world.owner.execute("INSERT INTO coupon VALUES ('acme', %s, 'spring')", [code])


async def insist(world: World, *items: Match) -> None:
    """Settle these as one batch, again for as long as another is in the way."""
    while True:
        try:
            return await world.play(*items)
        except Retry as retry:
            assert not isinstance(retry, Fenced)


async def test_each_grant_takes_a_code_of_its_own(world: World):
    fill_pool(world, "A", "B", "C")
    await world.play(*[world.match(f"e{i}", rewards=COUPON * (i + 1)) for i in range(2)])
    assert world.rows("SELECT event_id, reward_index, coupon_code FROM incentive ORDER BY inbox_seq") == [
        ("e0", 0, "A"),
        ("e1", 0, "B"),
        ("e1", 1, "C"),
    ]
    assert world.rows("SELECT c.code FROM coupon c JOIN incentive i USING (incentive_id) ORDER BY 1") == [
        ("A",),
        ("B",),
        ("C",),
    ]


async def test_an_empty_pool_denies_before_any_use_is_counted(world: World):
    fill_pool(world, "A")
    world.add_limit("all", 10)
    await world.play(*[world.match(f"e{i}", rewards=COUPON) for i in range(3)])
    assert world.rows("SELECT event_id, reason FROM decision ORDER BY 1") == [
        ("e0", "granted"),
        ("e1", "pool_empty"),
        ("e2", "pool_empty"),
    ]
    assert world.rows("SELECT used, version FROM limit_counter") == [(1, 1)]
    assert world.rows("SELECT last_seq FROM inbox_head") == [(1,)]


async def test_two_codes_or_none(world: World):
    fill_pool(world, "A")
    await world.play(world.match("e1", rewards=COUPON * 2), world.match("e2", rewards=COUPON))
    assert world.rows("SELECT event_id, coupon_code FROM incentive") == [("e2", "A")]


async def test_what_another_batch_holds_but_does_not_use_is_waited_for(world: World):
    """Given a batch that has locked both codes, when its claims are denied, then the one that waited gets a code."""
    fill_pool(world, "A", "B")
    async with world.pool.acquire() as other:
        async with other.transaction():
            await other.execute("SELECT set_config('app.tenants', 'acme', true)")
            await other.fetch("SELECT code FROM coupon FOR UPDATE")
            playing = asyncio.create_task(world.play(world.match("e1", rewards=COUPON)))
            while not world.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
                await asyncio.sleep(0)
            await other.execute("UPDATE coupon SET incentive_id = gen_random_uuid() WHERE code = 'A'")
        await playing
    assert world.rows("SELECT coupon_code FROM incentive") == [("B",)]


async def test_concurrent_batches_empty_a_pool_exactly(world: World):
    fill_pool(world, *[f"C{i:02}" for i in range(10)])
    zero = [world.match(f"a{i}", f"u{i}", rewards=COUPON) for i in range(8)]
    one = [world.match(f"b{i}", f"v{i}", partition=1, rewards=COUPON) for i in range(8)]

    await asyncio.gather(insist(world, *zero), insist(world, *one))
    assert world.rows("SELECT count(DISTINCT coupon_code), count(*) FROM incentive") == [(10, 10)]
    assert world.rows("SELECT reason, count(*) FROM decision GROUP BY 1 ORDER BY 1") == [
        ("granted", 10),
        ("pool_empty", 6),
    ]


async def test_a_user_gets_one_code_of_a_pool_and_another_when_that_was_taken_back(world: World):
    """Given a limit of the pool, then what else the user is granted does not count, two codes are too many, and others have their own."""
    fill_pool(world, "A", "B", "C", "D")
    world.add_limit("one-each", 1, scope="user", pool="spring")
    await world.play(world.match("e1"), world.match("e2", rewards=COUPON * 2), world.match("e3", rewards=COUPON))
    await world.play(world.match("e4", rewards=COUPON), world.match("e5", "u2", rewards=COUPON), world.match("e6"))
    await world.play(world.reversal("r3", "e3"), world.match("e7", rewards=COUPON), world.match("e8", rewards=COUPON))
    reasons = world.rows("SELECT event_id, reason FROM decision WHERE outcome = 'denied' ORDER BY 1")
    assert reasons == [("e2", "limit"), ("e4", "limit"), ("e8", "limit")]
    assert world.rows("SELECT event_id, coupon_code FROM incentive WHERE kind = 'coupon' ORDER BY 1") == [
        ("e3", "A"),
        ("e5", "B"),
        ("e7", "C"),
    ]
    assert world.rows("SELECT user_id, used FROM limit_counter ORDER BY 1") == [("u1", 1), ("u2", 1)]


async def test_of_a_users_events_in_two_logs_at_once_one_gets_the_code(world: World):
    fill_pool(world, *[f"C{i:02}" for i in range(20)])
    world.add_limit("one-each", 1, scope="user", pool="spring")
    zero = [world.match(f"a{i}", f"u{i % 4}", rewards=COUPON) for i in range(8)]
    one = [world.match(f"b{i}", f"u{i % 4}", partition=1, rewards=COUPON) for i in range(8)]
    await asyncio.gather(insist(world, *zero), insist(world, *one))
    assert world.rows("SELECT user_id, count(*) FROM incentive GROUP BY 1 ORDER BY 1") == [
        (f"u{i}", 1) for i in range(4)
    ]
    assert world.rows("SELECT reason, count(*) FROM decision GROUP BY 1 ORDER BY 1") == [("granted", 4), ("limit", 12)]


async def test_a_badge_is_held_once(world: World):
    await world.play(world.match("e1", rewards=BADGE), world.match("e2", rewards=BADGE))
    await world.play(world.match("e3", rewards=BADGE), world.match("e4", "u2", rewards=BADGE))
    assert world.rows("SELECT event_id, reason FROM decision ORDER BY 1") == [
        ("e1", "granted"),
        ("e2", "already_held"),
        ("e3", "already_held"),
        ("e4", "granted"),
    ]
    assert world.rows("SELECT user_id, badge_id FROM badge_held ORDER BY 1") == [("u1", "regular"), ("u2", "regular")]


async def test_a_reward_expires_by_the_time_of_its_event_but_never_in_history(world: World):
    lasting = (Reward("cashback", 100, "USD", expires_after_s=60),)
    await world.play(world.match("e1", rewards=lasting))
    await world.play(world.match("e2", rewards=lasting, clock="live"))
    assert world.rows("SELECT expires_at FROM incentive ORDER BY event_id") == [(None,), (T0 + timedelta(minutes=1),)]


async def test_a_reversal_takes_the_badge_off_the_shelf_and_keeps_the_code_from_others(world: World):
    fill_pool(world, "A")
    await world.play(world.match("e1", rewards=COUPON + BADGE))
    await world.play(world.reversal("r1", "e1"))
    assert world.rows("SELECT count(*) FROM badge_held") == [(0,)]
    await world.play(world.match("e2", rewards=BADGE), world.match("e3", rewards=COUPON))
    assert world.rows("SELECT event_id, reason FROM decision ORDER BY 1") == [
        ("e1", "granted"),
        ("e2", "granted"),
        ("e3", "pool_empty"),
    ]
