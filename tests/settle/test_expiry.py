"""The expiry sweep: what is due expires once, is told to its user, and a claim that was faster stands."""

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from fillip.core.campaign.reward import Reward
from fillip.migrations import role_dsn
from fillip.settle.expiry.postgres import PostgresDueIncentives
from tests.builders import T0
from tests.settle.conftest import World

A_DAY = (Reward("cashback", 100, "USD", expires_after_s=86_400),)
DAY = timedelta(days=1)


@pytest.fixture
async def due_incentives(world: World, database: str) -> AsyncIterator[PostgresDueIncentives]:
    """What the publish process runs."""
    async with asyncpg.create_pool(role_dsn(database, "fillip_sweep"), min_size=1, max_size=1) as finder:
        yield PostgresDueIncentives(finder, world.pool)


async def test_what_is_due_expires_once_and_is_told(world: World, due_incentives: PostgresDueIncentives):
    given = [world.match(f"e{i}", f"u{i % 2}", rewards=A_DAY, clock="live") for i in range(3)]
    await world.play(
        *given, world.match("kept"), world.match("p", rewards=(Reward("points", 5, expires_after_s=60),), clock="live")
    )
    assert await due_incentives.move_due(T0 + DAY - timedelta(seconds=1)) == 0
    assert await due_incentives.move_due(T0 + DAY) == 3
    assert await due_incentives.move_due(T0 + DAY) == 0
    assert world.rows("SELECT event_id, state FROM incentive ORDER BY 1") == [
        ("e0", "expired"),
        ("e1", "expired"),
        ("e2", "expired"),
        ("kept", "granted"),
        ("p", "granted"),
    ]
    told = "SELECT user_id, seq, kind FROM inbox WHERE kind <> 'granted' ORDER BY 1, 2"
    assert world.rows(told) == [("u0", 3, "expired"), ("u0", 4, "expired"), ("u1", 4, "expired")]
    assert world.rows("SELECT change, expires_at, sum(changed_value) FROM incentive_change GROUP BY 1, 2") == [
        ("expired", T0 + DAY, 300)
    ]


async def test_what_was_claimed_or_is_being_claimed_does_not_expire(
    world: World, due_incentives: PostgresDueIncentives
):
    await world.play(*[world.match(f"e{i}", rewards=A_DAY, clock="live") for i in range(2)])
    world.owner.execute("UPDATE incentive SET state = 'claimed', claimed_at = now() WHERE event_id = 'e0'")
    with world.owner.transaction():
        world.owner.execute("UPDATE incentive SET state = 'claimed', claimed_at = now() WHERE event_id = 'e1'")
        assert await due_incentives.move_due(T0 + DAY) == 0
    assert await due_incentives.move_due(T0 + DAY) == 0
    assert world.rows("SELECT DISTINCT state FROM incentive") == [("claimed",)]
