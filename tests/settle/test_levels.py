"""Levels by points earned in a window: kept with the postings that change them, each change told once."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from msgspec import json
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.campaign.reward import Reward
from fillip.manage.erasure import postgres as erasures
from fillip.manage.store.postgres import transaction
from fillip.match.users_postgres import PostgresUsers
from fillip.migrations import role_dsn
from fillip.settle.level.postgres import PostgresDueLadders, PostgresDueLevels
from tests.builders import T0
from tests.settle.conftest import World
from tests.settle.test_erasure import ACME, engines
from tests.settle.test_merge import merge, plain_api, play

__all__ = ["engines", "plain_api"]
LEVELS = "SELECT user_id, level FROM user_level ORDER BY 1"
TOLD = "SELECT user_id, number, direction, from_level, to_level, earned, next_level FROM level_change ORDER BY user_id, number"
DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(hour=12)


def points(value: int, **more: Any) -> tuple[Reward, ...]:
    return (Reward("points", value, **more),)


def make_ladder(
    world: World, span: str = "lifetime", days: int | None = None, *, filled: bool = True, clock: str = "history"
) -> None:
    """Bronze, silver from 100 and gold from 300 POINTS; new, or there from the beginning on."""
    world.owner.execute("UPDATE tenant SET clock = %s", [clock])
    world.owner.execute(
        "INSERT INTO ladder (tenant_id, currency, span, rolling_s, names, thresholds, filled_to)"
        " VALUES ('acme', 'POINTS', %s, %s, '{bronze, silver, gold}', '{0, 100, 300}', %s)",
        [span, days and days * 86_400, None if filled else ""],
    )


@pytest.fixture
async def ladders(world: World, database: str) -> AsyncIterator[PostgresDueLadders]:
    """What the sweep runs, by portions of two."""
    async with asyncpg.create_pool(role_dsn(database, "fillip_sweep"), min_size=1, max_size=1) as finder:
        yield PostgresDueLadders(finder, world.pool, users_at_once=2)


@pytest.fixture
async def falls(world: World, database: str) -> AsyncIterator[PostgresDueLevels]:
    """What the sweep runs."""
    async with asyncpg.create_pool(role_dsn(database, "fillip_sweep"), min_size=1, max_size=1) as finder:
        yield PostgresDueLevels(finder, world.pool)


async def follow(world: World, ladders: PostgresDueLadders) -> int:
    """Sweep until nothing is due; in how many portions."""
    portions = 0
    while await ladders.move_due(NOW):
        portions += 1
    return portions


@pytest.mark.parametrize("together", [True, False])
async def test_a_level_is_what_was_earned_whatever_was_spent_and_each_change_is_told_once(
    world: World, together: bool
) -> None:
    """Given grants of one user in one batch, or in a batch each: the last level is the same."""
    make_ladder(world)
    matches = [world.match(f"e{n}", rewards=points(value)) for n, value in enumerate((60, 40, 150, 50))]
    matches.append(world.match("stars", rewards=points(900, currency="STARS")))
    if together:
        await world.play(*matches)
        assert world.rows(TOLD) == [("u1", 1, "up", "bronze", "gold", 300, None)]
    else:
        for match in matches:
            await world.play(match)
            world.owner.execute("UPDATE wallet SET spent = spent + active, active = 0")
        told = [("u1", 1, "up", "bronze", "silver", 100, "gold"), ("u1", 2, "up", "silver", "gold", 300, None)]
        assert world.rows(TOLD) == told
    assert world.rows(LEVELS) == [("u1", "gold")]


async def test_what_is_taken_back_was_not_earned_though_it_was_spent_or_has_expired(world: World) -> None:
    make_ladder(world)
    world.owner.execute(
        "INSERT INTO points_currency (tenant_id, currency, name, floor) VALUES ('acme', 'POINTS', 'P', 0)"
    )
    await world.play(world.match("e1", rewards=points(200)), world.match("e2", rewards=points(100)))
    world.owner.execute("UPDATE wallet SET active = 0, spent = 300")
    world.owner.execute("UPDATE wallet_lot SET remaining = 0")
    await world.play(world.reversal("r1", "e1", amount=1, of=4))
    assert world.rows("SELECT (t ->> 'short')::int FROM reversal, jsonb_array_elements(incentives) t") == [(50,)]
    assert world.rows(LEVELS) == [("u1", "silver")]
    await world.play(world.reversal("r2", "coming"), world.reversal("r3", "e1"), world.reversal("r4", "e1"))
    await world.play(world.match("coming", rewards=points(500)))
    told = [("gold", "silver", 250), ("silver", "bronze", 100)]
    assert world.rows("SELECT earned FROM earned_day WHERE day = '-infinity'") == [(100,)]
    assert (
        world.rows("SELECT from_level, to_level, earned FROM level_change WHERE direction = 'down' ORDER BY number")[:1]
        == told[:1]
    )
    assert world.rows(LEVELS) == [("u1", "silver")]


async def test_what_one_batch_gives_and_takes_back_moves_no_level(world: World) -> None:
    make_ladder(world)
    await world.play(
        world.match("e1", rewards=points(200)), world.reversal("r1", "e1"), world.match("e2", rewards=points(10))
    )
    assert world.rows(TOLD) == []
    assert world.rows("SELECT day::text, earned FROM earned_day ORDER BY 2") == [("-infinity", 10), ("2017-03-01", 10)]


async def test_a_level_of_a_rolling_window_falls_when_so_much_has_left_it(
    world: World, falls: PostgresDueLevels
) -> None:
    make_ladder(world, "rolling", days=30, clock="live")
    for name, days, value in (("old", 31, 500), ("a", 30, 150), ("b", 20, 120), ("c", 5, 40)):
        await world.play(world.match(name, after=NOW - days * DAY - T0, rewards=points(value), clock="live"))
    assert world.rows("SELECT level, earned FROM user_level JOIN level_change ON to_level = level") == [("gold", 310)]
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    assert world.rows("SELECT falls_at FROM user_level") == [(midnight + DAY,)], "30 whole days later it still counts"
    assert await falls.move_due(midnight + DAY - timedelta(seconds=1)) == 0
    assert await falls.move_due(midnight + DAY) == 1
    assert world.rows(TOLD)[2:] == [("u1", 3, "down", "gold", "silver", 160, "gold")]
    assert world.rows("SELECT falls_at FROM user_level") == [(midnight + 11 * DAY,)]
    assert await falls.move_due(midnight + 11 * DAY) == 1
    assert world.rows(LEVELS) == [("u1", "bronze")]
    assert world.rows("SELECT falls_at FROM user_level") == [(None,)]


async def test_a_year_begins_anew_for_all_by_the_tenant_s_calendar(world: World, falls: PostgresDueLevels) -> None:
    make_ladder(world, "year", clock="live")
    world.owner.execute("UPDATE tenant SET time_zone = 'Asia/Tokyo'")
    batch = [world.match(f"e{n}", f"u{n}", after=NOW - T0, rewards=points(150), clock="live") for n in range(3)]
    await world.play(*batch, world.match("before", "u9", after=NOW - 370 * DAY - T0, rewards=points(150), clock="live"))
    assert world.rows(LEVELS) == [(f"u{n}", "silver") for n in range(3)]
    new_year = datetime(NOW.year, 12, 31, 15, tzinfo=UTC)
    assert world.rows("SELECT DISTINCT falls_at FROM user_level") == [(new_year,)]
    assert await falls.move_due(new_year) == 3
    assert world.rows("SELECT DISTINCT level, falls_at FROM user_level") == [("bronze", None)]
    assert world.rows("SELECT DISTINCT number, earned FROM level_change WHERE direction = 'down'") == [(2, 0)]


async def test_in_a_tenant_of_the_past_the_window_is_that_of_the_newest_day(
    world: World, falls: PostgresDueLevels
) -> None:
    make_ladder(world, "month")
    await world.play(world.match("march", rewards=points(150)))
    assert world.rows(LEVELS) == [("u1", "silver")]
    assert await falls.move_due(NOW) == 0
    await world.play(world.match("april", after=31 * DAY, rewards=points(20)), world.match("late", rewards=points(200)))
    assert world.rows(LEVELS) == [("u1", "bronze")]


async def test_a_new_ladder_counts_the_past_of_all_while_events_come(
    world: World, ladders: PostgresDueLadders, plain_api: AsyncEngine
) -> None:
    await world.play(
        *[world.match(f"e{n}", f"u{n}", rewards=points(120)) for n in range(5)],
        world.match("x", "anon", rewards=points(90)),
    )
    await world.play(world.reversal("r1", "e1", "u1"), world.reversal("r2", "x", "anon", amount=1, of=3))
    await merge(plain_api, "anon", "u3", "m1")
    make_ladder(world, filled=False)
    assert await ladders.move_due(NOW) == 1, "of which one has as many transfers as a portion"
    await world.play(*[world.match(f"f{n}", f"u{n}", rewards=points(200)) for n in range(5)])
    assert await follow(world, ladders) >= 2
    assert world.rows("SELECT user_id, earned FROM earned_day WHERE day = '-infinity' ORDER BY 1") == [
        ("u0", 320), ("u1", 200), ("u2", 320), ("u3", 380), ("u4", 320),
    ]  # fmt: skip
    await play(world, world.reversal("r3", "x", "anon"))
    assert world.rows("SELECT earned FROM earned_day WHERE user_id = 'u3' AND day = '-infinity'") == [(320,)]
    assert world.rows(LEVELS) == [("u0", "gold"), ("u1", "silver"), ("u2", "gold"), ("u3", "gold"), ("u4", "gold")]


async def test_users_follow_a_changed_ladder_and_a_deleted_one_leaves_nothing(
    world: World, ladders: PostgresDueLadders
) -> None:
    make_ladder(world)
    await world.play(*[world.match(f"e{n}", f"u{n}", rewards=points(120)) for n in range(3)])
    change = "UPDATE ladder SET names = '{tin, argent, gold}', thresholds = '{0, %s, 300}', followed_to = ''"
    world.owner.execute(change % 100)
    assert await follow(world, ladders) == 3, "two, one, and the end"
    assert {row[2:5] for row in world.rows(TOLD) if row[1] == 2} == {("renamed", "silver", "argent")}
    world.owner.execute(change % 200)
    await follow(world, ladders)
    assert {row[2:5] for row in world.rows(TOLD) if row[1] == 3} == {("down", "argent", "tin")}
    assert world.rows("SELECT followed_to FROM ladder") == [(None,)]
    world.owner.execute("UPDATE ladder SET leaving = true")
    await world.play(world.match("late", "u7", rewards=points(900)))
    await follow(world, ladders)
    left = "SELECT (SELECT count(*) FROM ladder), (SELECT count(*) FROM user_level), (SELECT count(*) FROM earned_day)"
    assert world.rows(left) == [(0, 0, 0)]


async def test_merged_users_have_the_level_of_both_and_erased_ones_none(
    world: World, plain_api: AsyncEngine, engines: tuple[AsyncEngine, AsyncEngine]
) -> None:
    make_ladder(world)
    await world.play(world.match("a", "anon", rewards=points(150)), world.match("b", "ada", rewards=points(160)))
    await merge(plain_api)
    assert world.rows(LEVELS) == [("ada", "gold")]
    assert world.rows("SELECT user_id, earned FROM earned_day WHERE day = '-infinity'") == [("ada", 310)]
    async with transaction(engines[1], ACME) as connection:
        await erasures.ask_erasure(connection, ACME, "ada")
    held = await erasures.begin_step(*engines)
    assert held
    await erasures.erase_ledger(engines[1], held)
    tables = ("user_level", "earned_day", "level_change")
    mine = [world.rows(f"SELECT count(*) FROM {name} WHERE user_id = 'ada'") for name in tables]
    assert mine == [[(0,)]] * 3
    assert world.rows("SELECT sum(earned) FROM earned_day WHERE day = '-infinity'") == [(310,)]


async def test_a_ladder_that_is_being_deleted_moves_nobody(
    world: World, falls: PostgresDueLevels, plain_api: AsyncEngine
) -> None:
    """Given a ladder that is deleted and not yet removed by the sweep: a return, a merge and a window that is over are told to nobody."""
    make_ladder(world, "rolling", days=30, clock="live")
    for name, user, value in (("a", "anon", 150), ("b", "ada", 160), ("c", "bob", 100)):
        await world.play(world.match(name, user, after=NOW - T0, rewards=points(value), clock="live"))
    told = world.rows(TOLD)
    world.owner.execute("UPDATE ladder SET leaving = true, revision = revision + 1")
    await play(world, world.reversal("r1", "c", "bob"))
    await merge(plain_api)
    assert await falls.move_due(NOW + 32 * DAY) == 0
    assert world.rows(TOLD) == told


async def test_rules_read_the_level_that_was_committed_before_the_batch_was_taken(
    world: World, falls: PostgresDueLevels
) -> None:
    """Given a ladder whose level users have as an attribute: who never earned anything is on the lowest, and no worker keeps an older level."""
    make_ladder(world, "rolling", days=30, clock="live")
    users, named = PostgresUsers(world.pool), [("acme", "u1"), ("acme", "u2")]

    async def read() -> list[Any]:
        found = await users.read(named)
        return [json.decode(found[user].attributes) if user in found else None for user in named]

    assert await read() == [None, None]
    world.owner.execute("UPDATE ladder SET attribute = 'tier', revision = revision + 1")
    world.owner.execute(
        """INSERT INTO end_user (tenant_id, user_id, attributes) VALUES ('acme', 'u2', '{"age": 7, "tier": "gold"}')"""
    )
    assert await read() == [{"tier": "bronze"}, {"age": 7, "tier": "bronze"}], "what is written there is covered"
    await world.play(*[world.match(f"e{n}", after=NOW - T0, rewards=points(200), clock="live") for n in range(2)])
    assert await read() == [{"tier": "gold"}, {"age": 7, "tier": "bronze"}]
    assert await falls.move_due(NOW + 32 * DAY) == 1
    assert [each["tier"] for each in await read()] == ["bronze", "bronze"]
    world.owner.execute("UPDATE ladder SET leaving = true, revision = revision + 1")
    assert await read() == [None, {"age": 7, "tier": "gold"}]
