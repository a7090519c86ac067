"""The belt's source: one member of a consumer group, which reads on from the stored positions."""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from fillip.stream.belt import Batch, Positions, Record, Span
from fillip.stream.kafka.reader import ANSWER_S, TURN_S, Closing, Config, Reader, ask_watermarks, build_config

log = logging.getLogger(__name__)


class KafkaSource:
    """Batches of one topic for one member of a consumer group; the stored positions decide where it reads on.

    `extra` goes to librdkafka as it is (security settings). An error of `retry_on` from positions is tried again.
    """

    def __init__(
        self, bootstrap: str, group: str, topic: str, positions: Positions, *, max_records: int = 5_000,
        fetch_wait_ms: int = 100, retry_on: tuple[type[Exception], ...] = (OSError,), extra: Config | None = None,
    ) -> None:  # fmt: skip
        self._config = build_config(bootstrap, group, fetch_wait_ms, {"group.protocol": "consumer"} | dict(extra or {}))
        self._topic = topic
        self._positions = positions
        self._max_records = self._most = max_records
        self._retry_on = retry_on
        self._reader: Reader | None = None
        self._starts: dict[int, int] = {}  # on the loop: partition -> start of its next span
        self._first: dict[int, int] = {}  # partition -> first offset of the log when assigned
        self._held: dict[int, int] = {}  # on the thread: partition -> offset it was last set to
        self._fresh: set[int] = set()  # on the thread: assigned during the current read

    def __aiter__(self) -> "KafkaSource":
        """Itself."""
        return self

    async def __anext__(self) -> Batch:
        """See Source."""
        reader = self._open()
        while records := await reader.handover.take(self._most):
            if batch := self._assemble(records):
                return batch
        raise StopAsyncIteration

    async def rewind(self, *, smaller: bool = False) -> None:
        """See Source. Raises what `positions.claim` raises."""
        reader = self._open()
        wanted = await self._claim({partition: self._first[partition] for partition in self._starts})
        self._most = max(1, self._most // 2) if smaller else self._most
        sought = reader.loop.create_future()
        reader.order(lambda: self._seek(reader, wanted, sought))
        await asyncio.wait({sought, reader.ended}, return_when=asyncio.FIRST_COMPLETED)

    async def committed(self, batch: Batch) -> None:
        """See Source: librdkafka sends the newest offsets to the broker once in a while."""
        self._most = min(2 * self._most, self._max_records)
        offsets = [TopicPartition(span.topic, span.partition, span.end) for span in batch.spans]
        self._open().order(lambda: self._store(offsets))  # on the thread: beside a read this call would block

    async def close(self) -> None:
        """See Source."""
        await self._open(start=False).close()

    def _open(self, *, start: bool = True) -> Reader:
        if self._reader is None:
            self._reader = reader = Reader(self._config, self._max_records)
            reader.filter_fresh = self._drop_stale
            reader.consumer.subscribe(
                [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )
            if start:
                reader.start()
        return self._reader

    def _assemble(self, records: list[Record]) -> Batch | None:
        starts = self._starts
        ends = {record.partition: record.offset + 1 for record in records if record.partition in starts}
        spans = [Span(self._topic, partition, starts[partition], end) for partition, end in ends.items()]
        starts.update(ends)
        return Batch(records, spans, datetime.now(UTC)) if spans else None

    async def _claim(self, first: Mapping[int, int]) -> Mapping[int, int]:
        claims = (self._positions.claim(self._topic, partition, offset) for partition, offset in first.items())
        return dict(zip(first, await asyncio.gather(*claims), strict=True))

    async def _claim_patiently(self, first: Mapping[int, int]) -> Mapping[int, int]:
        pause_s = TURN_S
        while True:
            try:
                return await self._claim(first)
            except self._retry_on as error:
                log.warning("positions cannot be read, again in %.2f s: %s", pause_s, error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, ANSWER_S)

    # ------------------------------------------------------------ on the reader's thread
    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        reader = self._open()
        first = {part.partition: self._find_first(reader, part) for part in partitions}
        claimed = reader.ask(self._claim_patiently(first))
        consumer.incremental_assign([TopicPartition(self._topic, number, offset) for number, offset in claimed.items()])
        self._held |= claimed
        self._fresh |= claimed.keys()
        reader.handover.tell(self._settle, claimed, first)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = {part.partition for part in partitions}
        with suppress(KafkaException):  # lost ones are gone already
            consumer.incremental_unassign(partitions)
        for number in numbers:
            self._held.pop(number, None)
        self._open().handover.tell(self._forget, numbers)

    def _find_first(self, reader: Reader, part: TopicPartition) -> int:
        while not reader.closing.is_set():
            try:
                return ask_watermarks(reader.consumer, part)[0]
            except KafkaException as error:
                log.warning("first offset of %s/%d: %s", part.topic, part.partition, error)
                reader.closing.wait(TURN_S)
        raise Closing

    def _drop_stale(self, messages: list[Message]) -> list[Message]:
        """A rebalance within one read may put records from before it first: read its partitions again."""
        fresh, self._fresh = self._fresh, set()
        if not fresh:
            return [m for m in messages if m.partition() in self._held or m.error()]
        stale = {
            number for m in messages if (number := m.partition()) in fresh and number is not None and not m.error()
        }
        for number in stale & self._held.keys():
            _seek(self._open(), self._topic, number, self._held[number])
        return [m for m in messages if m.error() or (m.partition() in self._held and m.partition() not in stale)]

    def _seek(self, reader: Reader, wanted: Mapping[int, int], sought: "asyncio.Future[None]") -> None:
        ours = {number: offset for number, offset in wanted.items() if number in self._held}
        for number, offset in ours.items():
            _seek(reader, self._topic, number, offset)
        self._held |= ours
        reader.handover.tell(self._settle, ours, {}, sought)

    def _store(self, offsets: list[TopicPartition]) -> None:
        with suppress(KafkaException):  # no longer ours
            self._open().consumer.store_offsets(offsets=offsets)

    # ------------------------------------------------------------ told to the loop by the thread
    def _settle(
        self, starts: Mapping[int, int], first: Mapping[int, int], done: "asyncio.Future[None] | None" = None
    ) -> None:
        self._open().handover.discard(starts.keys())
        self._starts |= starts
        self._first |= first
        if done is not None and not done.done():
            done.set_result(None)

    def _forget(self, numbers: set[int]) -> None:
        self._open().handover.discard(numbers)
        for number in numbers:
            self._starts.pop(number, None)


def _seek(reader: Reader, topic: str, partition: int, offset: int) -> None:
    """Set a held partition to an offset; just after an assignment librdkafka may need a moment to be able to."""
    give_up_at = time.monotonic() + ANSWER_S
    while not reader.closing.is_set():
        try:
            reader.consumer.seek(TopicPartition(topic, partition, offset))
            return
        except KafkaException as error:
            if error.args[0].code() != KafkaError._STATE or time.monotonic() > give_up_at:
                raise
            reader.closing.wait(0.005)
