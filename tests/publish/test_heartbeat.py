"""Users are announced in one order, and heartbeats say up to where everything is."""

import asyncio
from itertools import pairwise
from typing import Any

from msgspec import json

from fillip.publish.announce import HEARTBEATS_APART_US
from fillip.stream.belt import Record
from fillip.stream.kafka import Tail, read_last
from tests.publish import rows
from tests.publish.conftest import WITHIN_S, Site, wait_until

MOVE = "UPDATE end_user SET attributes = '{}', revision = 2 WHERE user_id = %(user)s"
LEAVE = "DELETE FROM end_user WHERE user_id = %(user)s"
USER = "ann ü"


async def read_heartbeats(site: Site, behind_lsn: int) -> list[dict[str, Any]]:
    """All heartbeats, once there is one behind this place of the WAL."""
    async with asyncio.timeout(WITHIN_S):
        found: list[dict[str, Any]] = []
        async with Tail(site.addresses.kafka_bootstrap, [site.topics.heartbeat], from_end=False) as tail:
            while not found or found[-1]["source"]["commit_lsn"] <= behind_lsn:
                found += [json.decode(record.value or b"") for record in await anext(tail)]
        return found


async def test_a_user_is_announced_when_made_changed_and_removed(site: Site) -> None:
    async with site.publishing():
        for statement in (rows.USER, MOVE, LEAVE):
            site.run(statement, user=USER)
        made, changed, removed = await site.read(site.topics.users, 3)
    assert [(each["op"], each["after"]["attributes"]) for each in (made, changed)] == [
        ("c", {"tier": "gold"}),
        ("u", {}),
    ]
    assert made["after"]["user_id"] == USER
    assert (removed["op"], removed["after"]) == ("d", None)
    assert removed["before"] == {"tenant_id": site.tenant, "user_id": USER}  # what the replica identity has
    last = await read_last(site.addresses.kafka_bootstrap, [site.topics.users])
    assert {place[1]: record and record.key for place, record in last.items()} == {0: f"{site.tenant}:{USER}".encode()}


async def test_a_heartbeat_says_below_which_offsets_everything_before_it_stands_and_nothing_after_it(
    site: Site,
) -> None:
    # given a publisher that is cut off once, while transactions of several topics are committed
    for number in range(0, 200, 20):
        site.grant(*range(number, number + 20))
        task, _ = site.start()
        site.run(rows.USER, user=f"u{number}")
        await site.read(site.topics.generated, number + 10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with site.publishing():
        for number in range(200, 600, 5):
            site.grant(*range(number, number + 5))
            site.run(rows.USER, user=f"u{number}")
        generated = await site.read(site.topics.generated, 600)
        newest = max(message["source"]["commit_lsn"] for message in generated)
        heartbeats = await read_heartbeats(site, newest)
    # then what stands below the offsets of each heartbeat is what was committed before it
    records = list[Record]()
    names = [site.topics.generated, site.topics.decided, site.topics.users]
    async with Tail(site.addresses.kafka_bootstrap, names, from_end=False) as tail:
        while len(records) < 1_200 + 90:
            records += await anext(tail)
    places = [
        (r.topic, str(r.partition), r.offset, json.decode(r.value or b"")["source"]["commit_lsn"]) for r in records
    ]
    for heartbeat in heartbeats:
        next_offsets, lsn = heartbeat["after"]["next_offsets"], heartbeat["source"]["commit_lsn"]
        assert len(next_offsets[site.topics.generated]) == 4
        assert all((offset < next_offsets[topic][number]) == (at < lsn) for topic, number, offset, at in places)
    # and they come in order, not more often than agreed, and name the epoch
    lsns = [heartbeat["source"]["commit_lsn"] for heartbeat in heartbeats]
    assert lsns == sorted(set(lsns))
    assert {heartbeat["source"]["epoch"] for heartbeat in heartbeats} == {generated[0]["source"]["epoch"]}


async def test_heartbeats_that_others_write_are_bounded_and_other_messages_are_left_out(site: Site) -> None:
    many = "SELECT pg_logical_emit_message(true, %(prefix)s, '')"
    async with site.publishing():
        for prefix in ("fillip.heartbeat", "another"):
            for _ in range(50):
                site.run(many, prefix=prefix)
        site.grant(1)
        (generated,) = await site.read(site.topics.generated, 1)
        heartbeats = await read_heartbeats(site, generated["source"]["commit_lsn"])
    times = [heartbeat["source"]["committed_at_us"] for heartbeat in heartbeats]
    apart = [later - earlier for earlier, later in pairwise(times)]
    assert min(apart, default=HEARTBEATS_APART_US) >= HEARTBEATS_APART_US


async def test_a_publisher_that_is_idle_goes_on_beating(site: Site) -> None:
    async def beaten() -> bool:
        last = await read_last(site.addresses.kafka_bootstrap, [site.topics.heartbeat])
        return any(record is not None and record.offset >= 3 for record in last.values())

    async with site.publishing():
        await wait_until(beaten)
