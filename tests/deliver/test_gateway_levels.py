"""A user's level on the phone: each change told live once, the newest to who connects."""

import json
import time

from tests.deliver.gateway_world import World, hear_nothing_but_pong, receive
from tests.deliver.quest_hand import TENANT

LADDER = """
INSERT INTO ladder (tenant_id, currency, span, names, thresholds) VALUES ('acme', $1, 'year', '{bronze, silver, gold}', '{0, 100, 300}')
ON CONFLICT DO NOTHING
"""
CHANGE = """
INSERT INTO level_change (tenant_id, user_id, currency, number, direction, from_level, to_level, earned, next_level, next_threshold, falls_at,
                          changed_at)
VALUES ('acme', 'ann', $1, $2, 'up', $3, $4, 120, 'gold', 300, '2027-01-01 00:00+01', '2026-01-31 09:30+00')
RETURNING to_jsonb(level_change)
"""


async def change(world: World, number: int, before: str, after: str, currency: str = "POINTS") -> dict:
    """Store that ann's level changed, as a ladder's trigger does; the row as JSON."""
    await world.pool.execute(TENANT, "acme")
    await world.pool.execute(LADDER, currency)
    return json.loads(await world.pool.fetchval(CHANGE, currency, number, before, after))


def announce(world: World, *rows: dict) -> None:
    """One message of level.changed for each row; returns when the broker has them."""
    for index, row in enumerate(rows):
        us = time.time_ns() // 1000
        source = {"epoch": "1", "commit_lsn": us, "index": index, "committed_at_us": us, "published_at_us": us}
        message = json.dumps({"op": "c", "after": row, "source": source}).encode()
        world.producer.produce(world.topics.levels, message, b"acme:ann")
    world.producer.flush(10)


async def test_a_change_is_told_once_and_the_newest_to_who_connects(open_world: World) -> None:
    async with open_world.client("ann") as live:
        first = await change(open_world, 1, "bronze", "silver")
        announce(open_world, first, first)
        frame = await receive(live)
        assert await hear_nothing_but_pong(live)
        async with open_world.client("ann") as late:
            assert await receive(late) == frame
    assert frame == {
        "type": "level",
        "currency": "POINTS",
        "number": 1,
        "direction": "up",
        "from": "bronze",
        "to": "silver",
        "earned": 120,
        "next_level": "gold",
        "next_from": 300,
        "falls_at": "2026-12-31T23:00:00.000000Z",
        "changed_at": "2026-01-31T09:30:00.000000Z",
    }


async def test_who_connects_hears_the_newest_of_each_ladder_and_nothing_of_one_that_is_gone(open_world: World) -> None:
    for number, (before, after) in enumerate([("bronze", "silver"), ("silver", "gold")], 1):
        for currency in ("GONE", "POINTS", "STARS"):
            await change(open_world, number, before, after, currency)
    await open_world.pool.execute("UPDATE ladder SET leaving = true WHERE currency = 'GONE'")
    async with open_world.client("ann") as client:
        shown = [await receive(client) for _ in range(2)]
        assert sorted((each["currency"], each["number"], each["to"]) for each in shown) == [
            ("POINTS", 2, "gold"),
            ("STARS", 2, "gold"),
        ]
        assert await hear_nothing_but_pong(client)
    async with open_world.client("bob") as other:
        assert await hear_nothing_but_pong(other)
