"""Limits by rolling windows on a real PostgreSQL: by event time, whatever comes late, at once, or back."""

import asyncio
from datetime import timedelta

import pytest

from fillip.core.errors import Fenced, Retry
from fillip.core.match.candidate import Match
from tests.settle.conftest import World

HOUR = timedelta(hours=1)
DENIED = "SELECT event_id FROM decision WHERE outcome = 'denied' ORDER BY 1"


def limit(world: World, cap: int, **fields: object) -> None:
    world.add_limit("rolling", cap, **({"scope": "user", "span": "rolling", "rolling_s": 86_400} | fields))


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
async def test_a_window_rolls_by_event_time_and_late_events_find_room_where_there_is_some(world: World, together: bool):
    limit(world, 2)
    hours = {"a": 0, "b": 20, "c": 23, "d": 25, "late": 19, "early": -5, "next": 50}
    matches = [world.match(name, after=at * HOUR) for name, at in hours.items()]
    for batch in [matches] if together else [[match] for match in matches]:
        await world.play(*batch)
    # c with a and b is a third; so is what comes late between b and d, or a and b
    assert world.rows(DENIED) == [("c",), ("late",)]
    assert world.rows("SELECT used, version FROM limit_counter") == [(5, 5)]
    assert world.rows("SELECT sum(used), count(*) FROM limit_part") == [(5, 5)]


async def test_a_refusal_says_what_was_used_and_from_when_there_is_room(world: World):
    limit(world, 150, scope="tenant", measure="value", reward_kind="cashback")
    await world.play(world.match("a"))
    await world.play(world.match("b", after=2 * HOUR))
    [(use, occurred_at)] = world.rows("SELECT limits -> 0, occurred_at FROM decision WHERE outcome = 'denied'")
    assert (use["used_before"], use["amount"], use["cap"], use["window_start"]) == (100, 100, 150, "1970-01-01")
    [(room,)] = world.rows("SELECT (limits -> 0 ->> 'resets_at')::timestamptz FROM decision WHERE outcome = 'denied'")
    assert 22 * HOUR <= room - occurred_at <= 22 * HOUR + timedelta(minutes=4)
    await world.play(world.match("c", after=2 * HOUR + (room - occurred_at)))
    assert world.rows(DENIED) == [("b",)]


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
async def test_what_is_taken_back_leaves_room_where_it_was(world: World, together: bool):
    limit(world, 1)
    turns = [
        world.match("a"),
        world.match("b", after=30 * HOUR),
        world.reversal("r1", "a"),
        world.match("c", after=HOUR),
        world.match("d", after=31 * HOUR),
    ]
    for batch in [turns] if together else [[turn] for turn in turns]:
        await world.play(*batch)
    assert world.rows(DENIED) == [("d",)]
    assert world.rows("SELECT used, version FROM limit_counter") == [(2, 4)]
    assert world.rows("SELECT used FROM limit_part WHERE used > 0") == [(1,), (1,)]


async def test_two_workers_that_count_in_different_parts_do_not_pass_the_cap(world: World):
    limit(world, 1, scope="tenant", rolling_s=600)

    async def insist(*items: Match) -> None:
        while True:
            try:
                return await world.play(*items)
            except Retry as retry:
                assert not isinstance(retry, Fenced)

    for at in range(0, 60, 20):
        minutes = [timedelta(minutes=at + more) for more in (0, 9)]
        ends = [world.match(f"e{after}", "u", partition=n, after=after) for n, after in enumerate(minutes)]
        await asyncio.gather(*[insist(end) for end in ends])
    assert world.rows("SELECT count(*) FROM incentive") == [(3,)]
    assert world.rows("SELECT used, version FROM limit_counter") == [(3, 3)]


async def test_a_cap_lowered_below_its_use_refuses_until_that_is_gone(world: World):
    limit(world, 3)
    await world.play(*[world.match(f"e{n}", after=n * HOUR) for n in range(3)])
    world.owner.execute("UPDATE spending_limit SET cap = 1")
    await world.play(world.match("f", after=24 * HOUR + timedelta(minutes=5)), world.match("g", after=27 * HOUR))
    assert world.rows(DENIED) == [("f",)]
