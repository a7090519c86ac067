"""A stored position and a log that do not belong together: the topic was made anew, or the broker lost its end."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from confluent_kafka.admin import AdminClient
from msgspec.structs import replace

from fillip.embedded.addresses import Addresses
from fillip.stream.belt import Batch, Position, Record, Rewind, walk
from fillip.stream.fit import Log, find_misfit
from fillip.stream.kafka import KafkaProducer, KafkaSource, ensure_topics, read_log
from fillip.stream.topics import Topics

WITHIN_S = 60
PARTITIONS = 2


@dataclass
class Offsets:
    """Stored positions with a fence."""

    stored: dict[int, Position] = field(default_factory=dict)
    values: list[bytes | None] = field(default_factory=list)

    async def claim(self, topic: str, partition: int, first_offset: int, topic_id: str) -> Position:
        return self.stored.setdefault(partition, Position(first_offset, 0, topic_id))

    async def commit(self, batch: Batch, items: Sequence[Record]) -> None:
        for span in batch.spans:
            if (self.stored[span.partition].next_offset, self.stored[span.partition].generation) != (
                span.start,
                span.generation,
            ):
                raise Rewind("fenced")
        for span in batch.spans:
            self.stored[span.partition] = replace(self.stored[span.partition], next_offset=span.end)
        self.values += [record.value for record in items]

    async def set_aside(self, batch: Batch, error: Exception) -> None:
        raise AssertionError("nothing is wrong with any record") from error

    def restart(self, logs: Mapping[int, Log]) -> None:
        """What the operator's command does."""
        for number, log in logs.items():
            self.stored[number] = Position(log.first, self.stored[number].generation + 1, log.topic_id)


@dataclass
class Site:
    bootstrap: str
    topics: Topics
    producer: KafkaProducer

    async def send(self, *values: str) -> None:
        """To both partitions, one after the other."""
        topic = self.topics.received
        await self.producer.send_many([(topic, key, value) for value in values for key in ("a", "b", "c", "d")])

    async def make_anew(self) -> None:
        """Delete the topic and make one of the same name."""
        old = await read_log(self.bootstrap, self.topics.received)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        await asyncio.to_thread(lambda: [f.result() for f in admin.delete_topics([self.topics.received]).values()])
        async with asyncio.timeout(WITHIN_S):
            while True:
                await ensure_topics(self.bootstrap, self.topics, PARTITIONS)
                if (await read_log(self.bootstrap, self.topics.received))[0].topic_id != old[0].topic_id:
                    return
                await asyncio.sleep(0.1)


@pytest.fixture
async def log_site(servers: Addresses) -> AsyncIterator[Site]:
    topics = Topics(f"{uuid.uuid4().hex[:8]}.")
    await ensure_topics(servers.kafka_bootstrap, topics, PARTITIONS)
    producer = KafkaProducer(servers.kafka_bootstrap)
    yield Site(servers.kafka_bootstrap, topics, producer)
    await producer.close()


async def until(holds: Callable[[], bool], walking: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            if walking.done():
                walking.result()
            await asyncio.sleep(0.01)


async def test_a_topic_made_anew_is_refused_until_an_operator_goes_on_with_it(log_site: Site) -> None:
    offsets, refused = Offsets(), dict[int, str]()

    def tell(now: Mapping[int, str]) -> None:
        refused.clear()
        refused.update(now)

    topic = log_site.topics.received
    await log_site.send(*(f"old-{n}" for n in range(50)))
    source = KafkaSource(log_site.bootstrap, log_site.topics.prefix, topic, offsets, tell_refused=tell)
    walking = asyncio.create_task(walk(source, [], offsets.commit, offsets.set_aside))
    await until(lambda: len(offsets.values) == 200, walking)

    await log_site.make_anew()
    await log_site.send("new-0")
    await until(lambda: len(refused) == PARTITIONS, walking)
    await log_site.send(*(f"new-{n}" for n in range(1, 100)))  # beyond the old offsets
    await until(lambda: len(refused) == PARTITIONS and all("made anew" in why for why in refused.values()), walking)
    assert len(offsets.values) == 200, "records of another log were taken for what follows"

    offsets.restart(await read_log(log_site.bootstrap, topic))
    await until(lambda: len(offsets.values) == 200 + 400, walking)
    assert not refused
    await source.close()
    await walking
    assert sorted(value or b"" for value in offsets.values[200:]) == sorted(
        b"new-%d" % n for n in range(100) for _ in range(4)
    )


async def test_one_partition_that_does_not_fit_lets_the_others_go_on(log_site: Site) -> None:
    refused = dict[int, str]()
    await log_site.send("1", "2")
    logs = await read_log(log_site.bootstrap, log_site.topics.received)
    offsets = Offsets({0: Position(logs[0].end + 1000, 0, logs[0].topic_id)})
    source = KafkaSource(
        log_site.bootstrap, log_site.topics.prefix, log_site.topics.received, offsets, tell_refused=refused.update
    )
    walking = asyncio.create_task(walk(source, [], offsets.commit, offsets.set_aside))
    await until(lambda: len(offsets.values) == logs[1].end, walking)
    assert refused.keys() == {0}
    assert "an older copy was restored" in refused[0]
    await source.rewind()  # changes nothing of that
    await log_site.send("3")
    await until(lambda: offsets.stored[1].next_offset > logs[1].end, walking)
    assert offsets.stored[0].next_offset == logs[0].end + 1000

    offsets.restart({0: logs[0]})
    await until(lambda: len(offsets.values) == 12, walking)
    await source.close()
    await walking


async def test_an_offset_that_the_broker_lost_while_it_was_read_is_refused(log_site: Site) -> None:
    """The stored position is moved behind the log's end in the middle of reading, as after a restored copy."""
    offsets, refused = Offsets(), dict[int, str]()
    await log_site.send("1")
    source = KafkaSource(
        log_site.bootstrap, log_site.topics.prefix, log_site.topics.received, offsets, tell_refused=refused.update
    )
    walking = asyncio.create_task(walk(source, [], offsets.commit, offsets.set_aside))
    await until(lambda: len(offsets.values) == 4, walking)
    for number, stored in offsets.stored.items():
        offsets.stored[number] = replace(stored, next_offset=stored.next_offset + 1000)
    await source.rewind()
    await until(lambda: len(refused) == PARTITIONS, walking)
    assert not walking.done()

    offsets.restart(await read_log(log_site.bootstrap, log_site.topics.received))
    await until(lambda: len(offsets.values) == 8, walking)
    await source.close()
    await walking


async def test_the_topic_is_watched_while_it_is_read(log_site: Site) -> None:
    """Whatever an offset says: should the topic have another id than when it was taken up, it is looked at again."""
    offsets, told = Offsets(), list[Mapping[int, str]]()
    await log_site.send("1")
    source = KafkaSource(
        log_site.bootstrap, log_site.topics.prefix, log_site.topics.received, offsets, tell_refused=told.append
    )
    walking = asyncio.create_task(walk(source, [], offsets.commit, offsets.set_aside))
    await until(lambda: len(offsets.values) == 4, walking)
    source._topic_id = "another"
    await until(lambda: any(len(refused) == PARTITIONS for refused in told), walking)
    await until(lambda: not told[-1], walking)  # it fits after all
    await log_site.send("2")
    await until(lambda: len(offsets.values) == 8, walking)
    await source.close()
    await walking


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        (Position(5, 0, "A"), None),
        (Position(10, 0, "A"), None),
        (Position(3, 0, "A"), None),
        (Position(11, 0, "A"), "older copy"),
        (Position(2, 0, "A"), "gone"),
        (Position(5, 0, "B"), "made anew"),
    ],
)
def test_a_position_fits_the_log_it_was_stored_for(stored: Position, why: str | None) -> None:
    found = find_misfit(stored, Log(3, 10, "A"))
    assert found is None if why is None else why in (found or "")
