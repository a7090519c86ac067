"""Producer, tail, topics and the group on a real broker."""

import asyncio
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence

import pytest

from fillip.embedded.addresses import Addresses
from fillip.stream.belt import Batch, Position, Record, Unsent, walk
from fillip.stream.kafka import Away, KafkaProducer, KafkaSource, Tail, ensure_topics, read_last
from fillip.stream.topics import Topics

WITHIN_S = 60
FOREIGN = """
import asyncio, sys
from fillip.stream.belt import Position
from fillip.stream.kafka import KafkaSource
class Positions:
    async def claim(self, topic, partition, first, topic_id): return Position(first, 0, topic_id)
async def main():
    source = KafkaSource(sys.argv[1], sys.argv[2], sys.argv[3], Positions())
    async for batch in source:
        print(len(batch.records), flush=True)
asyncio.run(main())
"""


@pytest.fixture
async def topics(servers: Addresses) -> Topics:
    made = Topics(f"{uuid.uuid4().hex[:8]}.")
    await ensure_topics(servers.kafka_bootstrap, made, 4)
    return made


@pytest.fixture
async def producer(servers: Addresses) -> AsyncIterator[KafkaProducer]:
    made = KafkaProducer(servers.kafka_bootstrap)
    yield made
    await made.close()


async def take(tail: Tail, count: int) -> list[Record]:
    taken: list[Record] = []
    async with asyncio.timeout(WITHIN_S):
        async for records in tail:
            taken += records
            if len(taken) >= count:
                return taken
    raise AssertionError("the tail ended")


async def test_topics_are_made_once_and_stay(servers: Addresses, topics: Topics, producer: KafkaProducer) -> None:
    await producer.send(topics.received, "a:b", b"1")
    await ensure_topics(servers.kafka_bootstrap, topics, 7)
    last = await read_last(servers.kafka_bootstrap, [topics.received, topics.changed])
    assert len(last) == 4 + 1
    assert [record.value for record in last.values() if record] == [b"1"]


class Broken(dict[int, tuple[int, int]]):
    """Where nothing can be noted."""

    def __setitem__(self, *noted: object) -> None:
        raise ValueError("a fault in a report")


async def test_a_report_that_can_not_be_taken_keeps_no_others_from_their_own(
    topics: Topics, producer: KafkaProducer
) -> None:
    producer.post([(topics.received, "a:b", b"1")], Broken())
    async with asyncio.timeout(WITHIN_S):
        await producer.send(topics.received, "a:b", b"2")
        await producer.send(topics.received, "a:b", b"3")


async def test_a_user_keeps_the_partition_that_java_producers_give_it(
    servers: Addresses, topics: Topics, producer: KafkaProducer
) -> None:
    # (murmur2(key) & 0x7fffffff) % partitions, as the Java client does it
    keys = ["t:1", "t:2", "t:33", "acme:user-42", "x"]
    async with Tail(servers.kafka_bootstrap, [topics.received]) as tail:
        for key in keys:
            await producer.send(topics.received, key, key)
        found = {(record.key or b"").decode(): record.partition for record in await take(tail, len(keys))}
    assert found == {key: murmur2_partition(key.encode(), 4) for key in keys}


def murmur2_partition(key: bytes, partitions: int) -> int:
    """Kafka's partition of a key (org.apache.kafka.common.utils.Utils.murmur2, seed 0x9747b28c)."""
    mask, mix = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(key)
    for i in range(0, len(key) // 4 * 4, 4):
        k = int.from_bytes(key[i : i + 4], "little") * mix & mask
        k = (k ^ (k >> 24)) * mix & mask
        h = (h * mix & mask) ^ k
    rest = key[len(key) // 4 * 4 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * mix & mask
    h = (h ^ (h >> 13)) * mix & mask
    return ((h ^ (h >> 15)) & 0x7FFFFFFF) % partitions


async def test_many_messages_arrive_in_order_with_the_brokers_time(
    servers: Addresses, topics: Topics, producer: KafkaProducer
) -> None:
    async with Tail(servers.kafka_bootstrap, [topics.changed]) as tail:
        await producer.send_many([(topics.changed, "t", b"%d" % n) for n in range(3000)])
        records = await take(tail, 3000)
    assert [record.value for record in records] == [b"%d" % n for n in range(3000)]
    assert abs(records[0].appended_at_ms / 1000 - time.time()) < WITHIN_S


async def test_a_tail_starts_where_it_is_told(servers: Addresses, topics: Topics, producer: KafkaProducer) -> None:
    await producer.send_many([(topics.changed, "t", b"%d" % n) for n in range(5)])
    async with Tail(servers.kafka_bootstrap, [topics.changed], from_end=False) as tail:
        assert [r.value for r in await take(tail, 5)] == [b"0", b"1", b"2", b"3", b"4"]
    async with Tail(servers.kafka_bootstrap, [topics.changed], offsets={(topics.changed, 0): 3}) as tail:
        assert [r.value for r in await take(tail, 2)] == [b"3", b"4"]
    async with Tail(servers.kafka_bootstrap, [topics.changed]) as tail:
        await producer.send(topics.changed, "t", b"new")
        assert [r.value for r in await take(tail, 1)] == [b"new"]


async def test_an_offset_that_is_gone_is_told_and_all_that_is_there_is_read(
    servers: Addresses, topics: Topics, producer: KafkaProducer, caplog: pytest.LogCaptureFixture
) -> None:
    await producer.send(topics.changed, "t", b"there")
    async with Tail(servers.kafka_bootstrap, [topics.changed], offsets={(topics.changed, 0): 1000}) as tail:
        assert [record.value for record in await take(tail, 1)] == [b"there"]
    assert f"{topics.changed}/0 holds 0 to 1, not 1000" in caplog.text


async def test_a_missing_topic_and_an_absent_broker_are_told_apart_from_silence(servers: Addresses) -> None:
    with pytest.raises(Away, match=r"no\.such"):
        async with Tail(servers.kafka_bootstrap, ["no.such"]):
            pass
    nowhere = KafkaProducer("127.0.0.1:9", give_up_after_s=0.5)
    started = time.monotonic()
    with pytest.raises(Unsent):
        await nowhere.send("t", "k", b"v")
    assert time.monotonic() - started < 5
    await nowhere.close()


async def test_positions_that_cannot_be_read_are_asked_again(
    servers: Addresses, topics: Topics, producer: KafkaProducer
) -> None:
    class Shaky:
        failures = 3

        async def claim(self, topic: str, partition: int, first_offset: int, topic_id: str) -> Position:
            self.failures -= 1
            if self.failures >= 0:
                raise ConnectionError("away")
            return Position(first_offset, 0, topic_id)

    await producer.send(topics.received, "a:b", b"1")
    source = KafkaSource(servers.kafka_bootstrap, topics.prefix, topics.received, positions := Shaky())
    batch = await asyncio.wait_for(anext(source), WITHIN_S)
    await source.close()
    assert [record.value for record in batch.records] == [b"1"]
    assert positions.failures < 0


async def test_a_killed_member_leaves_its_partitions_to_the_others(
    servers: Addresses, topics: Topics, producer: KafkaProducer
) -> None:
    group = f"g{topics.prefix}"
    arguments = [sys.executable, "-c", FOREIGN, servers.kafka_bootstrap, group, topics.received]
    other = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    assert other.stdout is not None
    feeding = asyncio.create_task(feed(producer, topics.received))
    await asyncio.wait_for(other.stdout.readline(), WITHIN_S)  # it reads all partitions now
    os.kill(other.pid, signal.SIGKILL)
    await other.wait()

    class Positions:
        async def claim(self, topic: str, partition: int, first_offset: int, topic_id: str) -> Position:
            return Position(first_offset, 0, topic_id)

    seen: set[int] = set()

    async def commit(batch: Batch, items: Sequence[Record]) -> None:
        seen.update(record.partition for record in items)

    async def set_aside(batch: object, error: Exception) -> None:
        raise AssertionError("nothing is wrong with any record") from error

    source = KafkaSource(servers.kafka_bootstrap, group, topics.received, Positions())
    walking = asyncio.create_task(walk(source, [], commit, set_aside))
    async with asyncio.timeout(WITHIN_S):
        while len(seen) < 4:
            await asyncio.sleep(0.01)
    feeding.cancel()
    await source.close()
    await walking


async def feed(producer: KafkaProducer, topic: str) -> None:
    number = 0
    while True:
        number += 1
        await producer.send(topic, f"t:{number}", b"%d" % number)
        await asyncio.sleep(0.01)
