"""The belt's source: one member of a consumer group, which reads on from the stored positions."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from msgspec.structs import replace

from fillip.stream.belt import Batch, Position, Positions, Record, Span
from fillip.stream.fit import HELP, Log, sort_out
from fillip.stream.kafka.log import TopicWatch, look_at
from fillip.stream.kafka.reader import (
    ANSWER_S,
    OUT_OF_LOG,
    TURN_S,
    Closing,
    Config,
    Reader,
    build_client_config,
    build_config,
    resolve,
)
from fillip.stream.pause import Pause
from fillip.stream.size import MAX_BATCH_BYTES, Size

LOOK_EVERY_S = 5.0  # at partitions that are refused
ANYWHERE = 2**63 - 1  # where a log ends that goes on growing

log = logging.getLogger(__name__)


class KafkaSource:
    """Batches of one topic for one member of a consumer group; the stored positions decide where it reads on.

    A partition whose stored position does not fit the log (see find_misfit) is refused: nothing of it is read until an
    operator has mended it, and the others go on. `tell_refused` gets those refused, each time that they change.
    `extra` goes to librdkafka as it is (security settings). An error of `retry_on` from positions is tried again.
    """

    def __init__(
        self, bootstrap: str, group: str, topic: str, positions: Positions, *, max_records: int = 5_000,
        fetch_wait_ms: int = 100, retry_on: tuple[type[Exception], ...] = (OSError,), extra: Config | None = None,
        tell_refused: Callable[[Mapping[int, str]], None] = lambda refused: None,
    ) -> None:  # fmt: skip
        self._config = build_config(bootstrap, group, fetch_wait_ms, {"group.protocol": "consumer"} | dict(extra or {}))
        self._admin_config = {**build_client_config(bootstrap), **(extra or {})}
        self._topic = topic
        self._positions = positions
        self._max_records = max_records
        self._size = Size(max_records)
        self._retry_on = retry_on
        self._tell_refused = tell_refused
        self._reader: Reader | None = None
        self._starts: dict[int, int] = {}  # on the loop: partition -> start of its next span
        self._settled: dict[int, int] = {}  # on the loop: partition -> end of its last settled span
        self._generations: dict[int, int] = {}  # partition -> which of the logs of this name
        self._logs: dict[int, Log] = {}  # partition -> its log when it was looked at last
        self._held: dict[int, int] = {}  # on the thread: partition -> offset it was last set to
        self._refused: dict[int, str] = {}  # on the thread: partition -> why it is not read
        self._watch = TopicWatch(self._admin_config, topic)
        self._topic_id = ""  # on the thread: of what is held
        self._look_at = 0.0  # on the thread: when the refused are looked at again
        self._fresh: set[int] = set()  # on the thread: assigned during the current read

    def __aiter__(self) -> "KafkaSource":
        """Itself."""
        return self

    async def __anext__(self) -> Batch:
        """See Source."""
        reader = self._open()
        while records := await reader.handover.take(self._size.now, MAX_BATCH_BYTES):
            if batch := self._assemble(records):
                return batch
        raise StopAsyncIteration

    async def rewind(self, *, worked: int | None = None) -> None:
        """See Source. Raises what `positions.claim` raises."""
        reader = self._open()
        wanted, misfits = sort_out(await self._claim({n: self._logs[n] for n in self._starts}), self._logs)
        if worked is not None:
            self._size.fail(worked)
        sought = reader.loop.create_future()
        reader.order(lambda: self._seek(reader, wanted, misfits, sought))
        await asyncio.wait({sought, reader.ended}, return_when=asyncio.FIRST_COMPLETED)

    async def committed(self, batch: Batch) -> None:
        """See Source: librdkafka sends the newest offsets to the broker once in a while."""
        self._size.commit(len(batch.records))
        self._settled |= {span.partition: span.end for span in batch.spans if span.partition in self._starts}
        offsets = [TopicPartition(span.topic, span.partition, span.end) for span in batch.spans]
        self._open().order(lambda: self._store(offsets))  # on the thread: beside a read this call would block

    @property
    def places(self) -> dict[tuple[str, int], int]:
        """The offset that is to be settled next, of each partition that is read."""
        return {(self._topic, number): offset for number, offset in self._settled.items()}

    async def close(self) -> None:
        """See Source."""
        await self._open(start=False).close()

    def _open(self, *, start: bool = True) -> Reader:
        if self._reader is None:
            self._reader = reader = Reader(self._config, self._max_records)
            reader.filter_fresh = self._drop_stale
            reader.between = self._look_again
            reader.consumer.subscribe(
                [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )
            if start:
                reader.start()
        return self._reader

    def _assemble(self, records: list[Record]) -> Batch | None:
        starts = self._starts
        ours = [record for record in records if record.partition in starts]
        ends = {record.partition: record.offset + 1 for record in ours}
        spans = [Span(self._topic, n, starts[n], end, self._generations[n]) for n, end in ends.items()]
        starts.update(ends)
        return Batch(ours, spans, datetime.now(UTC)) if spans else None

    async def _claim(self, logs: Mapping[int, Log]) -> Mapping[int, Position]:
        claims = (self._positions.claim(self._topic, n, log.first, log.topic_id) for n, log in logs.items())
        return dict(zip(logs, await asyncio.gather(*claims), strict=True))

    async def _claim_patiently(self, logs: Mapping[int, Log]) -> Mapping[int, Position]:
        pause = Pause(TURN_S, ANSWER_S)
        while True:
            try:
                return await self._claim(logs)
            except self._retry_on as error:
                log.warning("positions cannot be read, again in %.2f s: %s", pause.next_s, error)
                await pause.take()

    # ------------------------------------------------------------ on the reader's thread
    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        reader = self._open()
        logs = self._look_patiently(reader, {part.partition for part in partitions})
        claimed = reader.ask(self._claim_patiently(logs))
        consumer.incremental_assign([TopicPartition(self._topic, n, at.next_offset) for n, at in claimed.items()])
        fits, misfits = sort_out(claimed, logs)
        self._fresh |= fits.keys()
        self._take_up(fits, logs)
        self._refuse(misfits)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = {part.partition for part in partitions}
        with suppress(KafkaException):  # lost ones are gone already
            consumer.incremental_unassign(partitions)
        self._let_go(numbers)
        for number in numbers:
            self._refused.pop(number, None)
        self._report()

    def _look_patiently(self, reader: Reader, numbers: set[int]) -> dict[int, Log]:
        while not reader.closing.is_set():
            try:
                return look_at(reader.consumer, AdminClient(self._admin_config, logger=log), self._topic, numbers)
            except KafkaException as error:
                log.warning("the log of %s can't be looked at: %s", self._topic, error)
                reader.closing.wait(TURN_S)
        raise Closing

    def _look_again(self) -> None:
        """Whether the topic is still the one that is read, and whether what is refused fits by now: it may be mended."""
        topic_id = self._watch.poll()
        if topic_id and topic_id != self._topic_id:
            self._refuse(dict.fromkeys(self._held, f"the topic was made anew: its id is {topic_id}"))
            self._topic_id = topic_id
        if not self._refused or time.monotonic() < self._look_at:
            return
        reader = self._open()
        try:
            logs = look_at(reader.consumer, AdminClient(self._admin_config, logger=log), self._topic, self._refused)
        except KafkaException:  # away, or the topic is gone: the next look tells
            self._look_at = time.monotonic() + LOOK_EVERY_S
            return
        fits, misfits = sort_out(reader.ask(self._claim_patiently(logs)), logs)
        for number, at in fits.items():
            del self._refused[number]
            _assign_anew(reader, self._topic, number, at.next_offset)
            log.warning("%s/%d is read again, from offset %d", self._topic, number, at.next_offset)
        self._take_up(fits, logs)
        self._refuse(misfits)

    def _take_up(self, fits: Mapping[int, Position], logs: Mapping[int, Log]) -> None:
        self._held |= {number: at.next_offset for number, at in fits.items()}
        self._topic_id = next(iter(logs.values())).topic_id if logs else self._topic_id
        self._open().handover.tell(self._settle, fits, logs)

    def _refuse(self, misfits: Mapping[int, str]) -> None:
        """Read no more of these, and say so, now and every LOOK_EVERY_S."""
        if misfits:
            self._look_at = time.monotonic() + LOOK_EVERY_S
            self._open().consumer.pause([TopicPartition(self._topic, number) for number in misfits])
            self._let_go(set(misfits))
            for number, why in misfits.items():
                log.error("%s/%d is not read: %s. %s", self._topic, number, why, HELP)
        self._refused |= misfits
        self._report()

    def _let_go(self, numbers: set[int]) -> None:
        for number in numbers:
            self._held.pop(number, None)
        self._open().handover.tell(self._forget, numbers)

    def _report(self) -> None:
        self._open().handover.tell(self._tell_refused, dict(self._refused))

    def _drop_stale(self, messages: list[Message]) -> list[Message]:
        """A rebalance within one read may put records from before it first: read its partitions again.

        An offset that the log does not have is no record, but the end of reading its partition.
        """
        gone = {m.partition(): m for m in messages if (error := m.error()) and error.code() in OUT_OF_LOG}
        self._refuse({n: f"the broker has no such offset: {m.error()}" for n, m in gone.items() if n in self._held})
        messages = [m for m in messages if m not in gone.values()]
        fresh, self._fresh = self._fresh, set()
        if not fresh:
            return [m for m in messages if m.partition() in self._held or m.error()]
        stale = {
            number for m in messages if (number := m.partition()) in fresh and number is not None and not m.error()
        }
        for number in stale & self._held.keys():
            _seek(self._open(), self._topic, number, self._held[number])
        return [m for m in messages if m.error() or (m.partition() in self._held and m.partition() not in stale)]

    def _seek(
        self, reader: Reader, wanted: Mapping[int, Position], misfits: Mapping[int, str], sought: "asyncio.Future[None]"
    ) -> None:
        ours = {number: at for number, at in wanted.items() if number in self._held}
        for number, at in ours.items():
            _seek(reader, self._topic, number, at.next_offset)
        self._take_up(ours, {})
        self._refuse({number: why for number, why in misfits.items() if number in self._held})
        reader.handover.tell(resolve, sought)

    def _store(self, offsets: list[TopicPartition]) -> None:
        with suppress(KafkaException):  # no longer ours
            self._open().consumer.store_offsets(offsets=offsets)

    # ------------------------------------------------------------ told to the loop by the thread
    def _settle(self, fits: Mapping[int, Position], logs: Mapping[int, Log]) -> None:
        self._open().handover.discard(fits.keys())
        self._starts |= {number: at.next_offset for number, at in fits.items()}
        self._settled |= {number: at.next_offset for number, at in fits.items()}
        self._generations |= {number: at.generation for number, at in fits.items()}
        self._logs |= {number: replace(log, end=ANYWHERE) for number, log in logs.items()}

    def _forget(self, numbers: set[int]) -> None:
        self._open().handover.discard(numbers)
        for number in numbers:
            self._starts.pop(number, None)
            self._settled.pop(number, None)


def _seek(reader: Reader, topic: str, partition: int, offset: int) -> None:
    """Set a held partition to an offset; just after an assignment librdkafka may need a moment to be able to."""
    give_up_at = time.monotonic() + ANSWER_S
    while not reader.closing.is_set():
        try:
            reader.consumer.seek(TopicPartition(topic, partition, offset))
            return
        except KafkaException as error:
            if error.args[0].code() != KafkaError._STATE or time.monotonic() > give_up_at:
                _assign_anew(reader, topic, partition, offset)
                return
            reader.closing.wait(0.005)


def _assign_anew(reader: Reader, topic: str, partition: int, offset: int) -> None:
    """Set a held partition to an offset, whatever state librdkafka has left it in."""
    place = TopicPartition(topic, partition, offset)
    reader.consumer.incremental_unassign([place])
    reader.consumer.incremental_assign([place])
    reader.consumer.resume([place])
