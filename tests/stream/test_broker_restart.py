"""The broker is killed and comes back."""

import asyncio
import uuid
from collections.abc import Callable, Sequence

from fillip.embedded.servers import Servers
from fillip.stream.belt import Batch, Position, Record, Rewind, Unsent, walk
from fillip.stream.kafka import KafkaProducer, KafkaSource, Tail, ensure_topics
from fillip.stream.topics import Topics

WITHIN_S = 90
BATCH = 100


class Offsets:
    """Stored offsets with a fence."""

    def __init__(self) -> None:
        self.next: dict[int, int] = {}
        self.values: set[bytes | None] = set()

    async def claim(self, topic: str, partition: int, first_offset: int, topic_id: str) -> Position:
        return Position(self.next.setdefault(partition, first_offset), 0, topic_id)

    async def set_aside(self, batch: Batch, error: Exception) -> None:
        raise AssertionError("nothing is wrong with any record") from error

    async def commit(self, batch: Batch, items: Sequence[Record]) -> None:
        if any(self.next[span.partition] != span.start for span in batch.spans):
            raise Rewind("fenced")
        self.next |= {span.partition: span.end for span in batch.spans}
        self.values |= {record.value for record in items}


async def test_nothing_acknowledged_is_lost_when_the_broker_is_killed(own_servers: Callable[..., Servers]) -> None:
    servers = own_servers()
    bootstrap, topics = servers.addresses.kafka_bootstrap, Topics(f"{uuid.uuid4().hex[:8]}.")
    await ensure_topics(bootstrap, topics, 2)
    producer, offsets = KafkaProducer(bootstrap, give_up_after_s=1), Offsets()
    source = KafkaSource(bootstrap, "g", topics.received, offsets)
    walking = asyncio.create_task(walk(source, [], offsets.commit, offsets.set_aside))
    acknowledged: set[bytes] = set()

    async def send(first: int) -> bool:
        values = [b"%d" % n for n in range(first, first + BATCH)]
        try:
            await producer.send_many([(topics.received, value, value) for value in values])
        except Unsent:
            return False
        acknowledged.update(values)
        return True

    seen: set[bytes | None] = set()

    async def watch(tail: Tail) -> None:
        async for records in tail:
            seen.update(record.value for record in records)

    async with asyncio.timeout(WITHIN_S), Tail(bootstrap, [topics.received]) as tail:
        watching = asyncio.create_task(watch(tail))
        first = 0
        while not await send(first):  # a new broker needs a moment for its first idempotent producer
            first += BATCH
        servers.kill("kafka")
        first += BATCH
        assert not await send(first)  # a clear refusal, not a false yes
        restarting = asyncio.create_task(asyncio.to_thread(servers.restart, "kafka"))
        first += BATCH
        while not await send(first):
            first += BATCH
        await restarting
        while not (acknowledged <= offsets.values and acknowledged <= seen):
            await asyncio.sleep(0.01)
        watching.cancel()
    await source.close()
    await walking
    await producer.close()
