"""One contract for the belt's sources: the memory twin and Kafka."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillip.embedded.addresses import Addresses
from fillip.stream.belt import (
    PORTION,
    TRIES,
    Batch,
    Errors,
    Position,
    Record,
    Rewind,
    Source,
    Span,
    StreamLost,
    halve,
    walk,
)
from fillip.stream.kafka import KafkaProducer, KafkaSource, ensure_topics
from fillip.stream.memory import MemoryLog, MemorySource
from fillip.stream.topics import Topics

PARTITIONS = 4
WITHIN_S = 40
ERRORS = Errors(away=(ConnectionError, TimeoutError), busy=(TimeoutError,))
AWAY = Errors(away=(ConnectionError,))


class Ledger:
    """Stored offsets with a fence, as the real ledger keeps them; remembers what was committed."""

    def __init__(self) -> None:
        self.next: dict[tuple[str, int], int] = {}
        self.values: dict[int, list[bytes | None]] = {p: [] for p in range(PARTITIONS)}
        self.aside: dict[bytes | None, str] = {}
        self.fenced = 0

    async def claim(self, topic: str, partition: int, first_offset: int, topic_id: str) -> Position:
        await asyncio.sleep(0)
        return Position(self.next.setdefault((topic, partition), first_offset), 0, topic_id)

    async def commit(self, batch: Batch, items: Sequence[Record]) -> None:
        await asyncio.sleep(0.001)
        if any(self.next[span.topic, span.partition] != span.start for span in batch.spans):
            self.fenced += 1
            raise Rewind("the stored offset is another one")
        for span in batch.spans:
            self.next[span.topic, span.partition] = span.end
        for record in items:
            self.values[record.partition].append(record.value)

    async def set_aside(self, batch: Batch, error: Exception) -> None:
        [record] = batch.records
        await self.commit(batch, [])
        self.aside[record.value] = f"{type(error).__name__}: {error}"

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
    walking = asyncio.create_task(walk(source, [], ledger.commit, ledger.set_aside))
    await log.append(300, 1000)
    await until(lambda: ledger.count() >= 1000, walking)

    await source.close()
    await walking
    assert_all_once_in_order(ledger, 1000)
    assert ledger.fenced == 0


async def test_a_source_reads_on_from_the_stored_offsets(log: Log) -> None:
    ledger = Ledger()
    first = log.join(ledger)
    walking = asyncio.create_task(walk(first, [], ledger.commit, ledger.set_aside))
    await log.append(0, 200)
    await until(lambda: ledger.count() >= 200, walking)
    await first.close()
    await walking

    await log.append(200, 400)
    second = log.join(ledger)
    walking = asyncio.create_task(walk(second, [], ledger.commit, ledger.set_aside))
    await until(lambda: ledger.count() >= 400, walking)
    await second.close()
    await walking
    assert_all_once_in_order(ledger, 400)


async def test_rewinding_under_load_loses_and_repeats_nothing(log: Log) -> None:
    ledger, commits = Ledger(), 0

    async def commit(batch: Batch, items: Sequence[Record]) -> None:
        nonlocal commits
        commits += 1
        if commits % 3 == 0:
            raise Rewind("as if fenced")
        if commits % 7 == 0:
            raise ConnectionError("as if the server were away")
        await ledger.commit(batch, items)

    source = log.join(ledger)
    walking = asyncio.create_task(walk(source, [], commit, ledger.set_aside, AWAY))
    for first in range(0, 2000, 100):
        await log.append(first, first + 100)
    await until(lambda: ledger.count() >= 2000, walking)
    await source.close()
    await walking
    assert_all_once_in_order(ledger, 2000)
    assert commits > 20


async def test_a_rewind_with_nothing_new_in_the_log_reads_the_batch_again(log: Log) -> None:
    ledger, failures = Ledger(), 2

    async def commit(batch: Batch, items: Sequence[Record]) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise ConnectionError("away")
        await ledger.commit(batch, items)

    source = log.join(ledger)
    await log.append(0, 3)
    walking = asyncio.create_task(walk(source, [], commit, ledger.set_aside, AWAY))
    await until(lambda: ledger.count() >= 3, walking)
    await source.close()
    await walking
    assert_all_once_in_order(ledger, 3)


async def test_what_fails_by_itself_is_set_aside_and_all_else_is_committed(log: Log) -> None:
    ledger, bad = Ledger(), {b"%d" % n for n in (0, 7, 8, 199, 399)}

    async def stage(items: Sequence[Record]) -> Sequence[Record]:
        if wrong := [record for record in items if record.value in bad]:
            raise KeyError(f"no rule for {wrong[0].value!r}")
        return items

    await log.append(0, 400)
    source = log.join(ledger, max_records=100)
    walking = asyncio.create_task(walk(source, [stage], ledger.commit, ledger.set_aside, ERRORS))
    await until(lambda: ledger.count() + len(ledger.aside) >= 400, walking)
    await log.append(400, 500)
    await until(lambda: ledger.count() >= 495, walking)
    await source.close()
    await walking
    assert ledger.aside == {value: f'KeyError: "no rule for {value!r}"' for value in bad}
    numbers = {p: [int(value or b"") for value in values] for p, values in ledger.values.items()}
    assert sorted(n for part in numbers.values() for n in part) == [n for n in range(500) if b"%d" % n not in bad]
    assert all(part == sorted(part) for part in numbers.values())
    assert sum(ledger.next.values()) == 500


async def test_a_record_for_which_the_server_is_always_busy_is_set_aside_after_some_tries(log: Log) -> None:
    ledger, tries = Ledger(), 0

    async def commit(batch: Batch, items: Sequence[Record]) -> None:
        nonlocal tries
        if any(record.value == b"13" for record in items):
            tries += len(items) == 1
            raise TimeoutError("a lock")
        await ledger.commit(batch, items)

    await log.append(0, 40)
    source = log.join(ledger)
    walking = asyncio.create_task(walk(source, [], commit, ledger.set_aside, ERRORS))
    await until(lambda: ledger.count() + len(ledger.aside) >= 40, walking)
    await source.close()
    await walking
    assert ledger.aside == {b"13": "TimeoutError: a lock"}
    assert tries == TRIES


async def test_while_a_server_is_away_nothing_is_set_aside(log: Log) -> None:
    ledger, failures = Ledger(), 2 * TRIES

    async def commit(batch: Batch, items: Sequence[Record]) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise ConnectionError("away")
        await ledger.commit(batch, items)

    await log.append(0, 1)
    source = log.join(ledger)
    walking = asyncio.create_task(walk(source, [], commit, ledger.set_aside, ERRORS))
    await until(lambda: ledger.count() >= 1, walking)
    await source.close()
    await walking
    assert not ledger.aside


async def test_what_can_not_even_be_set_aside_waits(log: Log) -> None:
    ledger, refusals = Ledger(), 2

    async def stage(items: Sequence[Record]) -> Sequence[Record]:
        raise KeyError("for all")

    async def set_aside(batch: Batch, error: Exception) -> None:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise ValueError("the ledger takes nothing")
        await ledger.set_aside(batch, error)

    await log.append(0, 2)
    source = log.join(ledger)
    walking = asyncio.create_task(walk(source, [stage], ledger.commit, set_aside, ERRORS))
    await until(lambda: len(ledger.aside) >= 2, walking)
    await source.close()
    await walking
    assert refusals < 0


async def test_a_size_that_works_is_remembered(log: Log) -> None:
    ledger, failed, sizes = Ledger(), 0, list[int]()

    async def commit(batch: Batch, items: Sequence[Record]) -> None:
        nonlocal failed
        if len(items) > 10:
            failed += 1
            raise TimeoutError("the server would not wait for so many")
        await ledger.commit(batch, items)
        sizes.append(len(items))

    await log.append(0, 2000)
    source = log.join(ledger, max_records=40)
    walking = asyncio.create_task(walk(source, [], commit, ledger.set_aside, ERRORS))
    await until(lambda: ledger.count() >= 2000, walking)
    await source.close()
    await walking
    assert_all_once_in_order(ledger, 2000)
    assert not ledger.aside
    assert failed < len(sizes) / 10, "it tried again and again what had failed"


async def test_a_lost_race_makes_no_batch_smaller(log: Log) -> None:
    ledger, tried = Ledger(), list[list[int]]()

    async def commit(batch: Batch, items: Sequence[Record]) -> None:
        tried.append([record.offset for record in items])
        if len(tried) % 2:
            raise TimeoutError("another was first")
        await ledger.commit(batch, items)

    await log.append(0, 800)
    source = log.join(ledger, max_records=40)
    walking = asyncio.create_task(walk(source, [], commit, ledger.set_aside, ERRORS))
    await until(lambda: ledger.count() >= 800, walking)
    await source.close()
    await walking
    assert_all_once_in_order(ledger, 800)
    assert tried[::2] == tried[1::2], "the whole is tried again"
    sizes = [len(offsets) for offsets in tried[1::2]]
    assert max(sizes[len(sizes) // 2 :]) == 40, "and what comes behind is as large, where the log has so much"


async def test_batches_grow_again_when_more_works(log: Log) -> None:
    ledger, most, sizes = Ledger(), 10, list[int]()

    async def commit(batch: Batch, items: Sequence[Record]) -> None:
        nonlocal most
        if len(items) > most:
            raise TimeoutError("the server would not wait for so many")
        await ledger.commit(batch, items)
        sizes.append(len(items))
        most = 10 if ledger.count() < 100 else 40

    await log.append(0, 3000)
    source = log.join(ledger, max_records=40)
    walking = asyncio.create_task(walk(source, [], commit, ledger.set_aside, ERRORS))
    await until(lambda: ledger.count() >= 3000, walking)
    await source.close()
    await walking
    assert_all_once_in_order(ledger, 3000)
    assert max(sizes) == 40


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), min_size=2, max_size=40))
def test_the_halves_of_a_batch_join(steps: list[tuple[int, int]]) -> None:
    ends, records = dict.fromkeys(range(4), 10), list[Record]()
    for partition, gap in steps:  # a log has gaps
        records.append(Record("t", partition, ends[partition] + gap - 1, None, None, 0))
        ends[partition] += gap
    spans = [Span("t", p, 10, ends[p], 3) for p in sorted({p for p, _ in steps})]

    stored, seen = dict.fromkeys(range(4), 10), list[Record]()
    for half in halve(Batch(records, spans, datetime.now(UTC))):
        assert half.records
        assert {span.partition for span in half.spans} == {record.partition for record in half.records}
        for span in half.spans:
            assert span.generation == 3
            assert stored[span.partition] == span.start
            stored[span.partition] = span.end
        mine = {span.partition: span for span in half.spans}
        for record in half.records:
            assert mine[record.partition].start <= record.offset < mine[record.partition].end
        seen += half.records
    assert seen == records
    assert stored == ends


async def test_members_share_and_take_over(log: Log) -> None:
    ledger = Ledger()
    sources = [log.join(ledger), log.join(ledger)]
    busy = [0, 0]

    def count(index: int) -> Callable[[Batch, Sequence[Record]], Awaitable[None]]:
        async def commit(batch: Batch, items: Sequence[Record]) -> None:
            await ledger.commit(batch, items)
            busy[index] += len(items)

        return commit

    walks = [asyncio.create_task(walk(source, [], count(i), ledger.set_aside)) for i, source in enumerate(sources)]
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

    async def stage(items: Sequence[Record]) -> Sequence[Record]:
        nonlocal staged
        staged += 1
        return items

    async def commit(batch: Batch, items: Sequence[Record]) -> None:
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
    walking = asyncio.create_task(walk(source, [stage], commit, ledger.set_aside))
    await until(lambda: ledger.count() >= 8 * PORTION, walking)
    await source.close()
    await walking
    assert (1, True) in seen
    assert {n for n, _ in seen} == {1}
    assert_all_once_in_order(ledger, 8 * PORTION)


async def test_what_comes_during_a_small_commit_is_one_batch() -> None:
    log, ledger, sizes = InMemory(), Ledger(), list[int]()  # on Kafka partitions may arrive one by one

    async def commit(batch: Batch, items: Sequence[Record]) -> None:
        sizes.append(len(items))
        if len(sizes) == 1:
            for number in range(1, 11):
                await log.append(number, number + 1)
                await asyncio.sleep(0)
        await ledger.commit(batch, items)

    async def stage(items: Sequence[Record]) -> Sequence[Record]:
        return items

    await log.append(0, 1)
    source = log.join(ledger)
    walking = asyncio.create_task(walk(source, [stage], commit, ledger.set_aside))
    await until(lambda: ledger.count() >= 11, walking)
    await source.close()
    await walking
    assert sizes == [1, 10]


async def test_a_lost_stream_ends_the_walk(log: Log) -> None:
    ledger = Ledger()

    async def stage(items: Sequence[Record]) -> Sequence[Record]:
        raise StreamLost("going on would do harm")

    await log.append(0, 1)
    source = log.join(ledger)
    with pytest.raises(StreamLost):
        await asyncio.wait_for(walk(source, [stage], ledger.commit, ledger.set_aside, ERRORS), WITHIN_S)
    await source.close()
    assert ledger.count() == 0


async def test_batches_are_bounded(log: Log) -> None:
    ledger, sizes = Ledger(), []

    async def commit(batch: Batch, items: Sequence[Record]) -> None:
        sizes.append(len(items))
        await ledger.commit(batch, items)

    await log.append(0, 500)
    source = log.join(ledger, max_records=40)
    walking = asyncio.create_task(walk(source, [], commit, ledger.set_aside))
    await until(lambda: ledger.count() >= 500, walking)
    await source.close()
    await walking
    assert max(sizes) == 40
