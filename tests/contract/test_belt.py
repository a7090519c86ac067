"""One contract for the belt's sources: the memory twin and Kafka."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Protocol

import pytest

from fillip.app.embedded import Addresses
from fillip.stream.belt import PORTION, Batch, Record, Rewind, Source, StreamLost, walk
from fillip.stream.kafka import KafkaProducer, KafkaSource, ensure_topics
from fillip.stream.memory import MemoryLog, MemorySource
from fillip.stream.topics import Topics

PARTITIONS = 4
WITHIN_S = 40


class Ledger:
    """Stored offsets with a fence, as the real ledger keeps them; remembers what was committed."""

    def __init__(self) -> None:
        self.next: dict[tuple[str, int], int] = {}
        self.values: dict[int, list[bytes | None]] = {p: [] for p in range(PARTITIONS)}
        self.fenced = 0

    async def claim(self, topic: str, partition: int, first_offset: int) -> int:
        await asyncio.sleep(0)
        return self.next.setdefault((topic, partition), first_offset)

    async def commit(self, batch: Batch, items: list[Record]) -> None:
        await asyncio.sleep(0.001)
        if any(self.next[span.topic, span.partition] != span.start for span in batch.spans):
            self.fenced += 1
            raise Rewind("the stored offset is another one")
        for span in batch.spans:
            self.next[span.topic, span.partition] = span.end
        for record in items:
            self.values[record.partition].append(record.value)

    def count(self) -> int:
        return sum(map(len, self.values.values()))


class Log(Protocol):
    """A fresh topic of the kind under test."""

    async def append(self, first: int, last: int) -> None: ...

    def join(self, ledger: Ledger, max_records: int = 50) -> Source: ...


class InMemory:
    def __init__(self) -> None:
        self._log = MemoryLog("t", PARTITIONS)

    async def append(self, first: int, last: int) -> None:
        for number in range(first, last):
            self._log.append(number % PARTITIONS, b"%d" % number)

    def join(self, ledger: Ledger, max_records: int = 50) -> Source:
        return MemorySource(self._log, ledger, max_records=max_records)


class OnKafka:
    def __init__(self, bootstrap: str, producer: KafkaProducer, topic: str) -> None:
        self._bootstrap, self._producer, self._topic = bootstrap, producer, topic
        self._sources: list[KafkaSource] = []

    async def append(self, first: int, last: int) -> None:
        await self._producer.send_many([(self._topic, b"%d" % (n % 97), b"%d" % n) for n in range(first, last)])

    def join(self, ledger: Ledger, max_records: int = 50) -> Source:
        source = KafkaSource(self._bootstrap, f"g.{self._topic}", self._topic, ledger, max_records=max_records)
        self._sources.append(source)
        return source

    async def close(self) -> None:
        for source in self._sources:
            await source.close()
        await self._producer.close()


@pytest.fixture(params=["memory", "kafka"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    if request.param == "memory":
        yield InMemory()
        return
    servers: Addresses = request.getfixturevalue("servers")
    topics = Topics(f"{uuid.uuid4().hex[:8]}.")
    await ensure_topics(servers.kafka_bootstrap, topics, PARTITIONS)
    made = OnKafka(servers.kafka_bootstrap, KafkaProducer(servers.kafka_bootstrap), topics.received)
    yield made
    await made.close()


async def until(holds: Callable[[], bool], *walks: "asyncio.Task[None]") -> None:
    """Wait for a condition, with a deadline; a walk that fails meanwhile fails the test."""
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            for task in walks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.005)


def assert_all_once_in_order(ledger: Ledger, total: int) -> None:
    numbers = {p: [int(value or b"") for value in values] for p, values in ledger.values.items()}
    assert sorted(n for part in numbers.values() for n in part) == list(range(total))
    assert all(part == sorted(part) for part in numbers.values())
    assert sum(ledger.next.values()) == total


async def test_every_record_is_committed_once_and_in_order(log: Log) -> None:
    ledger = Ledger()
    source = log.join(ledger)
    await log.append(0, 300)
    walking = asyncio.create_task(walk(source, [], ledger.commit))
    await log.append(300, 1000)
    await until(lambda: ledger.count() >= 1000, walking)

    await source.close()
    await walking
    assert_all_once_in_order(ledger, 1000)
    assert ledger.fenced == 0


async def test_a_source_reads_on_from_the_stored_offsets(log: Log) -> None:
    ledger = Ledger()
    first = log.join(ledger)
    walking = asyncio.create_task(walk(first, [], ledger.commit))
    await log.append(0, 200)
    await until(lambda: ledger.count() >= 200, walking)
    await first.close()
    await walking

    await log.append(200, 400)
    second = log.join(ledger)
    walking = asyncio.create_task(walk(second, [], ledger.commit))
    await until(lambda: ledger.count() >= 400, walking)
    await second.close()
    await walking
    assert_all_once_in_order(ledger, 400)


async def test_rewinding_under_load_loses_and_repeats_nothing(log: Log) -> None:
    ledger, commits = Ledger(), 0

    async def commit(batch: Batch, items: list[Record]) -> None:
        nonlocal commits
        commits += 1
        if commits % 3 == 0:
            raise Rewind("as if fenced")
        if commits % 7 == 0:
            raise ConnectionError("as if the server were away")
        await ledger.commit(batch, items)

    source = log.join(ledger)
    walking = asyncio.create_task(walk(source, [], commit, retry_on=(ConnectionError,)))
    for first in range(0, 2000, 100):
        await log.append(first, first + 100)
    await until(lambda: ledger.count() >= 2000, walking)
    await source.close()
    await walking
    assert_all_once_in_order(ledger, 2000)
    assert commits > 20


async def test_a_rewind_with_nothing_new_in_the_log_reads_the_batch_again(log: Log) -> None:
    ledger, failures = Ledger(), 2

    async def commit(batch: Batch, items: list[Record]) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise ConnectionError("away")
        await ledger.commit(batch, items)

    source = log.join(ledger)
    await log.append(0, 3)
    walking = asyncio.create_task(walk(source, [], commit, retry_on=(ConnectionError,)))
    await until(lambda: ledger.count() >= 3, walking)
    await source.close()
    await walking
    assert_all_once_in_order(ledger, 3)


async def test_a_batch_that_is_too_much_is_taken_in_smaller_ones_until_some_are_committed(log: Log) -> None:
    ledger, sizes, most = Ledger(), [], 10

    async def commit(batch: Batch, items: list[Record]) -> None:
        nonlocal most
        if len(items) > most:
            raise TimeoutError("the server would not wait for so many")
        await ledger.commit(batch, items)
        sizes.append(len(items))
        if ledger.count() > 100:
            most = 40

    await log.append(0, 400)
    source = log.join(ledger, max_records=40)
    walking = asyncio.create_task(walk(source, [], commit, retry_on=(TimeoutError,)))
    await until(lambda: ledger.count() >= 400, walking)
    await source.close()
    await walking
    assert_all_once_in_order(ledger, 400)
    assert max(sizes) > 10, "it stayed small"


async def test_members_share_and_take_over(log: Log) -> None:
    ledger = Ledger()
    sources = [log.join(ledger), log.join(ledger)]
    busy = [0, 0]

    def count(index: int) -> Callable[[Batch, list[Record]], object]:
        async def commit(batch: Batch, items: list[Record]) -> None:
            await ledger.commit(batch, items)
            busy[index] += len(items)

        return commit

    walks = [asyncio.create_task(walk(source, [], count(i))) for i, source in enumerate(sources)]
    sent = 0
    async with asyncio.timeout(WITHIN_S):
        while not all(busy):  # both have joined and work
            await log.append(sent, sent + 50)
            sent += 50
            await asyncio.sleep(0.01)
    await sources[0].close()
    await walks[0]
    await log.append(sent, sent + 500)
    sent += 500
    await until(lambda: ledger.count() >= sent, walks[1])
    await sources[1].close()
    await walks[1]
    assert_all_once_in_order(ledger, sent)


async def test_stages_of_the_next_batch_run_during_a_commit_and_commits_one_by_one(log: Log) -> None:
    ledger, staged, committing, seen = Ledger(), 0, 0, set()

    async def stage(items: list[Record]) -> list[Record]:
        nonlocal staged
        staged += 1
        return items

    async def commit(batch: Batch, items: list[Record]) -> None:
        nonlocal committing
        committing += 1
        before = staged
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while staged == before and ledger.count() < 4 * PORTION:
                    await asyncio.sleep(0.001)
        seen.add((committing, staged > before))
        committing -= 1
        await ledger.commit(batch, items)

    await log.append(0, 8 * PORTION)
    source = log.join(ledger, 2 * PORTION)
    walking = asyncio.create_task(walk(source, [stage], commit))
    await until(lambda: ledger.count() >= 8 * PORTION, walking)
    await source.close()
    await walking
    assert (1, True) in seen
    assert {n for n, _ in seen} == {1}
    assert_all_once_in_order(ledger, 8 * PORTION)


async def test_what_comes_during_a_small_commit_is_one_batch() -> None:
    log, ledger, sizes = InMemory(), Ledger(), list[int]()  # on Kafka partitions may arrive one by one

    async def commit(batch: Batch, items: list[Record]) -> None:
        sizes.append(len(items))
        if len(sizes) == 1:
            for number in range(1, 11):
                await log.append(number, number + 1)
                await asyncio.sleep(0)
        await ledger.commit(batch, items)

    async def stage(items: list[Record]) -> list[Record]:
        return items

    await log.append(0, 1)
    source = log.join(ledger)
    walking = asyncio.create_task(walk(source, [stage], commit))
    await until(lambda: ledger.count() >= 11, walking)
    await source.close()
    await walking
    assert sizes == [1, 10]


async def test_an_unforeseen_error_ends_the_walk(log: Log) -> None:
    ledger = Ledger()

    async def stage(items: list[Record]) -> list[Record]:
        raise StreamLost("going on would do harm")

    await log.append(0, 1)
    source = log.join(ledger)
    with pytest.raises(StreamLost):
        await asyncio.wait_for(walk(source, [stage], ledger.commit, retry_on=(OSError,)), WITHIN_S)
    await source.close()
    assert ledger.count() == 0


async def test_batches_are_bounded(log: Log) -> None:
    ledger, sizes = Ledger(), []

    async def commit(batch: Batch, items: list[Record]) -> None:
        sizes.append(len(items))
        await ledger.commit(batch, items)

    await log.append(0, 500)
    source = log.join(ledger, max_records=40)
    walking = asyncio.create_task(walk(source, [], commit))
    await until(lambda: ledger.count() >= 500, walking)
    await source.close()
    await walking
    assert max(sizes) == 40
