"""The slot: one publisher reads it and others wait; when it is lost, that is noticed, and all is announced anew."""

import asyncio
from typing import Any

import pytest
from msgspec import json
from prometheus_client import REGISTRY

from fillip.core.errors import Retry
from fillip.publish import Duty
from fillip.stream.kafka import KafkaProducer
from tests.publish.conftest import Site, wait_until

DROP = """
SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
WHERE slot_name = 'fillip_' || current_database() AND active;
SELECT pg_drop_replication_slot('fillip_' || current_database())
"""
"""Also while it is read: before the publisher comes again."""


def count_losses() -> float:
    return REGISTRY.get_sample_value("fillip_publish_slots_lost_total") or 0


def tell(messages: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(m["op"], m["after"]["inbox_seq"] if m["after"] else 0) for m in messages]


async def is_on(duty: Duty, name: str) -> bool:
    return duty.name == name


async def test_a_slot_that_is_dropped_while_it_is_read_is_noticed_and_what_was_deleted_meanwhile_is_told(
    site: Site,
) -> None:
    before = count_losses()
    async with site.publishing():
        site.grant(*range(8))
        await site.read(site.topics.generated, 8)
        # when the slot is dropped, and rows go and come that nobody announces
        site.run(DROP, "DELETE FROM incentive WHERE inbox_seq < 6")
        site.grant(8)
        found = await site.read(site.topics.generated, 8 + 4 + 3, emptied=True)
        site.grant(9)
        found = await site.read(site.topics.generated, 8 + 4 + 3 + 1, emptied=True)
    assert count_losses() == before + 1
    # then each partition is told that all its rows are gone, before those that there are
    _, last = sorted({message["source"]["epoch"] for message in found})
    anew = tell([message for message in found if message["source"]["epoch"] == last])
    assert sorted(anew) == [("c", 9), ("r", 6), ("r", 7), ("r", 8), ("t", 0), ("t", 0), ("t", 0), ("t", 0)]
    assert len(found) == 8 + len(anew)


async def test_publishers_that_find_no_slot_announce_one_snapshot(site: Site) -> None:
    site.grant(*range(50))
    site.run(DROP.partition(";")[2])
    running = [site.start() for _ in range(3)]
    await site.read(site.topics.generated, 50)
    site.grant(50)
    found = await site.read(site.topics.generated, 51)
    for task, stop in running:
        stop.set()
        await task
    assert sorted(tell(found)) == [("c", 50), *(("r", number) for number in range(50))]
    assert len({message["source"]["epoch"] for message in found}) == 1


async def test_of_two_publishers_one_waits_says_so_and_takes_over(site: Site) -> None:
    first, second = Duty(), Duty()
    task, _ = site.start(first)
    await wait_until(lambda: is_on(first, "reading"))
    other, other_stop = site.start(second)
    await wait_until(lambda: is_on(second, "waiting"))
    with pytest.raises(Retry, match="another publish reads the WAL"):
        second.check()
    first.check()
    # when the one that reads ends without a word
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await wait_until(lambda: is_on(second, "reading"))
    site.grant(1)
    assert len(await site.read(site.topics.generated, 1)) == 1
    other_stop.set()
    await other


async def test_a_publisher_that_waits_is_stopped_at_once(site: Site) -> None:
    duty = Duty()
    async with site.publishing():
        site.grant(1)
        await site.read(site.topics.generated, 1)
        task, stop = site.start(duty)
        await wait_until(lambda: is_on(duty, "waiting"))
        stop.set()
        await asyncio.wait_for(task, 5)


async def test_what_another_server_announced_is_announced_anew(site: Site) -> None:
    # given topics of a server of before, or of a timeline that has ended, and a slot that can be read
    source = {"epoch": "7000000000000000000-00000001-0000000000000001", "commit_lsn": 10**12, "index": 0}
    ghost = {"op": "c", "before": None, "after": {"inbox_seq": 77}, "source": source}
    producer = KafkaProducer(site.addresses.kafka_bootstrap)
    await producer.send_many([(site.topics.generated, b"k", json.encode(ghost))])
    await producer.close()
    site.grant(1)
    # when a publisher starts, then all is told anew, and once
    async with site.publishing():
        found = await site.read(site.topics.generated, 1 + 4 + 1, emptied=True)
        site.grant(2)
        found = await site.read(site.topics.generated, 1 + 4 + 2, emptied=True)
    assert sorted(tell(found)) == [("c", 2), ("c", 77), ("r", 1), ("t", 0), ("t", 0), ("t", 0), ("t", 0)]
    async with site.publishing():  # and not again by the next one
        site.grant(3)
        found = await site.read(site.topics.generated, 1 + 4 + 3, emptied=True)
    assert len(found) == 8
