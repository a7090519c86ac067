"""Whoever merges is killed at any instant, again and again, beside batches: each lot comes over once, and every sum stays."""

import asyncio
import multiprocessing
import random
from contextlib import suppress
from multiprocessing.connection import Connection

from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.errors import Retry
from fillip.core.match.candidate import Match
from fillip.migrations import role_dsn
from tests.settle import merge_victim
from tests.settle.conftest import World
from tests.settle.test_merge import POINTS, find_breaches, plain_api, play, read_total  # noqa: F401 - a fixture

MOST_KILLS, LOTS = 20, 24


def hear(heard: Connection, portions: int) -> None:
    """Return when so many portions have moved, or whoever moves them has ended."""
    with suppress(EOFError):
        for _ in range(portions):
            heard.recv_bytes()


async def settle(world: World, match: Match) -> None:
    """As a worker does: what comes between is taken anew."""
    while True:
        try:
            return await play(world, match)
        except Retry:
            continue


async def test_a_merge_that_is_killed_again_and_again_comes_to_its_end_once(
    world: World,
    plain_api: AsyncEngine,  # noqa: F811
    database: str,
) -> None:
    processes, chance, kills = multiprocessing.get_context("forkserver"), random.Random(108), set[int]()
    processes.set_forkserver_preload(["tests.settle.merge_victim"])
    world.add_limit("mine", 2**40, scope="user")
    await world.play(*(world.match(f"e{n}", "anon", rewards=(POINTS,)) for n in range(LOTS)))
    points = LOTS * 10
    for n in range(1_000):
        heard, told = processes.Pipe(duplex=False)
        victim = processes.Process(target=merge_victim.run, args=(role_dsn(database, "fillip_api"), told))
        victim.start()
        told.close()
        await asyncio.to_thread(hear, heard, chance.randrange(4) if n < MOST_KILLS else LOTS * 2)
        await asyncio.to_thread(victim.join, chance.uniform(0, 0.02) if n < MOST_KILLS else None)
        victim.kill()
        await asyncio.to_thread(victim.join)
        heard.close()
        if n < LOTS and n % 4 == 1:
            await settle(world, world.reversal(f"r{n}", f"e{n}", "anon"))
            points -= 10
        await settle(world, world.match(f"f{n}", "anon", rewards=(POINTS,)))
        points += 10
        assert sum(read_total(world)[:2]) == points
        assert not find_breaches(world)
        [(left, used)] = world.rows(
            "SELECT (SELECT count(*) FROM wallet_lot WHERE user_id = 'anon' AND remaining > 0), (SELECT sum(used)::int FROM limit_counter)"
        )
        kills.add(left)
        assert used * 10 == points
        if victim.exitcode == 0:
            break
    assert len(kills) > 3, "it was killed in the middle"
    assert world.rows("SELECT user_id, active FROM wallet WHERE active <> 0") == [("ada", points)]
    assert world.rows("SELECT next_at FROM user_merge") == [(None,)]
