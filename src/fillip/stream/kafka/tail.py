"""Reading all partitions without a group: from now on, from given offsets, or just the last record."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from confluent_kafka import Consumer, TopicPartition

from fillip.stream.belt import Record, StreamError
from fillip.stream.kafka.reader import (
    ANSWER_S,
    TURN_S,
    Away,
    Config,
    Reader,
    ask_broker,
    ask_watermarks,
    build_config,
    is_sound,
    list_partitions,
    log,
    read_record,
)  # fmt: skip
from fillip.stream.topics import Partition


class Tail:
    """All partitions of some topics, without a group, as lists of records in log order.

    Each partition starts at its entry in `offsets`, else at the end (`from_end`) or at the beginning of the log, as it
    is when `async with` is entered. An entry that the log does not hold (any more: its retention passed, or the topic was
    made anew) is told of in the log, and the partition starts at its beginning. While the broker is away it waits. Raises
    StreamLost: enter a new one. Entering raises Away.
    """

    def __init__(
        self, bootstrap: str, topics: Sequence[str], *,
        from_end: bool = True, offsets: Mapping[Partition, int] | None = None,
        max_records: int = 5_000, fetch_wait_ms: int = 50, extra: Config | None = None,
    ) -> None:  # fmt: skip
        self._config = build_config(
            bootstrap, "fillip-tail", fetch_wait_ms, {"enable.auto.commit": False} | dict(extra or {})
        )
        self._topics = topics
        self._from_end = from_end
        self._offsets = offsets or {}
        self._max_records = max_records
        self._reader: Reader | None = None
        self.places: dict[Partition, int] = {}
        """The offset that comes next, of each partition."""

    async def __aenter__(self) -> "Tail":
        """Fix where every partition starts, and begin to read: what is produced from now on is surely seen."""
        self._reader = reader = Reader(self._config, self._max_records)
        try:
            await asyncio.to_thread(self._assign, reader.consumer)
        except BaseException:
            await reader.close()
            raise
        reader.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading."""
        if self._reader is not None:
            await self._reader.close()

    def __aiter__(self) -> "Tail":
        """Itself."""
        return self

    async def __anext__(self) -> list[Record]:
        """What has arrived, never empty. Ends when the tail is closed."""
        if self._reader is None:
            raise StreamError("enter the tail first: async with Tail(...) as tail")
        if records := await self._reader.handover.take(self._max_records):
            self.places.update({(record.topic, record.partition): record.offset + 1 for record in records})
            return records
        raise StopAsyncIteration

    def _assign(self, consumer: Consumer) -> None:
        found = list_partitions(consumer, self._topics)
        parts = [TopicPartition(part.topic, part.partition, self._find_start(consumer, part)) for part in found]
        self.places = {(part.topic, part.partition): part.offset for part in parts}
        consumer.assign(parts)

    def _find_start(self, consumer: Consumer, part: TopicPartition) -> int:
        wanted = self._offsets.get((part.topic, part.partition))
        low, high = ask_broker(ask_watermarks, consumer, part)
        if wanted is None:
            return high if self._from_end else low
        if not low <= wanted <= high:
            log.error("%s/%d holds %d to %d, not %d: what lay there is not read, starting at %d",
                      part.topic, part.partition, low, high, wanted, low)  # fmt: skip
            return low
        return wanted


async def read_last(
    bootstrap: str, topics: Sequence[str], extra: Config | None = None
) -> dict[Partition, Record | None]:
    """The newest record of every partition of `topics`, None where there is none. Raises Away."""
    config = build_config(bootstrap, "fillip-last", 10, {"enable.auto.commit": False} | dict(extra or {}))
    return await asyncio.to_thread(_read_last, config, topics)


def _read_last(config: Config, topics: Sequence[str]) -> dict[Partition, Record | None]:
    consumer = Consumer(dict(config), logger=log)
    try:
        last: dict[Partition, Record | None] = {}
        wanted = []
        for part in list_partitions(consumer, topics):
            low, high = ask_broker(ask_watermarks, consumer, part)
            last[part.topic, part.partition] = None
            if high > low:
                wanted.append(TopicPartition(part.topic, part.partition, high - 1))
        consumer.assign(wanted)
        return last | _read_one_each(consumer, len(wanted))
    finally:
        consumer.close()


def _read_one_each(consumer: Consumer, count: int) -> dict[Partition, Record]:
    found: dict[Partition, Record] = {}
    give_up_at = time.monotonic() + 2 * ANSWER_S
    while len(found) < count:
        for message in consumer.consume(count, TURN_S):
            if is_sound(message):
                record = read_record(message)
                found[record.topic, record.partition] = record
        if time.monotonic() > give_up_at:
            raise Away(f"Kafka gave the last record of {len(found)} of {count} partitions only")
    return found
