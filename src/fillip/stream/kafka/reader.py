"""librdkafka on a thread of its own beside the loop; what it brings crosses in order by Handover."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from fillip.stream.belt import Record, StreamError, StreamLost
from fillip.stream.handover import ROOM_BYTES, Handover

TURN_S = 0.05  # how long the thread may sleep in a read before it looks for orders
NOTE_EVERY_S = 10.0
AT_ONCE = 50  # messages in a call: librdkafka fetches on meanwhile, so that one of thousands may bring gigabytes
QUEUE_KB = 8 * 1024  # fetched ahead by librdkafka; the broker's largest message, 1 MB, must fit
ANSWER_S = 5.0  # for questions to the broker
OUT_OF_LOG = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})
LOST = OUT_OF_LOG | frozenset({KafkaError._FATAL,
                  KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})  # fmt: skip

SETTLING = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})

Config: TypeAlias = Mapping[str, Any]
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)
_noted: dict[int, float] = {}


class Away(StreamError):
    """The broker does not answer; nothing happened."""


class Closing(Exception):
    """Leaves a wait on the thread when the reader is being closed."""


class Reader:
    """A consumer on its own thread. `filter_fresh` sees each read before it is handed over, `between` is run in between."""

    def __init__(self, config: Config, room: int) -> None:
        self.consumer = Consumer(dict(config), logger=log)
        self.loop = asyncio.get_running_loop()
        self.handover = Handover(self.loop, room)
        self.closing = threading.Event()
        self.ended = self.loop.create_future()
        self.between: Callable[[], None] = lambda: None
        self.filter_fresh: Callable[[list[Message]], list[Message]] = lambda messages: messages
        self._room = room
        self._orders: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="kafka-reader", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    async def close(self) -> None:
        """Stop, leave the group, and return when the thread has ended."""
        self.closing.set()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)
        else:
            await asyncio.to_thread(self.consumer.close)

    def order(self, action: Callable[[], None]) -> None:
        """Run `action` on the thread between two reads."""
        self._orders.put(action)

    def ask(self, question: Coroutine[Any, Any, Answer]) -> Answer:
        """On the thread: run a coroutine on the loop and wait for its answer; raises Closing when asked to stop."""
        answer = asyncio.run_coroutine_threadsafe(question, self.loop)
        while not self.closing.is_set():
            with suppress(TimeoutError):
                return answer.result(TURN_S)
        answer.cancel()
        raise Closing

    def _run(self) -> None:
        error: Exception | None = None
        try:
            while not self.closing.is_set():
                with suppress(Empty):
                    while True:
                        self._orders.get_nowait()()
                self.between()
                if self.handover.has_room(TURN_S):
                    self._read()
        except Closing:
            pass
        except Exception as raised:  # noqa: BLE001 - told to whoever iterates
            error = raised
        with suppress(Exception):  # leaving is a courtesy to the group
            self.consumer.close()
        self.handover.end(error)
        self.handover.tell(resolve, self.ended)

    def _read(self) -> None:
        messages = fresh = self.consumer.consume(1, TURN_S)  # sleeps until one is there: a larger number would wait on
        bytes_left, most = ROOM_BYTES, len(fresh)
        while fresh and len(messages) < self._room and bytes_left > 0:
            most = min(2 * most, AT_ONCE, self._room - len(messages))
            fresh = self.consumer.consume(most, 0)
            messages += fresh
            bytes_left -= sum(len(message) for message in fresh)
        if messages:
            records = [read_record(message) for message in self.filter_fresh(messages) if is_sound(message)]
            if records:
                self.handover.give(records)


def resolve(done: "asyncio.Future[None]") -> None:
    """Let those go on who wait for it."""
    if not done.done():
        done.set_result(None)


def note_error(error: KafkaError) -> None:
    """Log what librdkafka tells of its connections; it mends them by itself. The same thing once in a while only."""
    now = time.monotonic()
    if now - _noted.get(error.code(), -NOTE_EVERY_S) >= NOTE_EVERY_S:
        _noted[error.code()] = now
        log.warning("kafka: %s", error.str())


def is_sound(message: Message) -> bool:
    """True for a record, False for an error that passes (logged). Raises StreamLost for one that does not."""
    error = message.error()
    if error is None:
        return True
    if error.fatal() or error.code() in LOST:
        where = f"{message.topic()}/{message.partition()} at offset {message.offset()}"
        raise StreamLost(f"cannot read {where}: {error.str()}.")
    note_error(error)
    return False


def read_record(message: Message) -> Record:
    """The record of a sound message."""
    place: Any = (message.topic(), message.partition(), message.offset())  # None only beside an error
    topic, partition, offset = place
    return Record(topic, partition, offset, message.value(), message.key(), message.timestamp()[1])


def build_client_config(bootstrap: str) -> dict[str, Any]:
    """What all clients have in common: quick to come back, quiet meanwhile."""
    return {
        "bootstrap.servers": bootstrap,
        "socket.nagle.disable": True,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        "topic.metadata.refresh.interval.ms": 5_000,  # a topic made anew is found by it, at times only by it
        "log_level": 2,  # its connection errors come by error_cb
        "error_cb": note_error,
    }


def build_config(bootstrap: str, group: str, fetch_wait_ms: int, extra: Config | None) -> dict[str, Any]:
    """A consumer's settings: nothing is lost silently, and what has arrived comes at once."""
    return {
        **build_client_config(bootstrap),
        "group.id": group,
        "auto.offset.reset": "error",
        "enable.auto.offset.store": False,
        "fetch.wait.max.ms": fetch_wait_ms,
        "fetch.min.bytes": 1,
        "fetch.queue.backoff.ms": 5,
        "fetch.error.backoff.ms": 50,
        "queued.min.messages": 20_000,
        "queued.max.messages.kbytes": QUEUE_KB,
        "fetch.max.bytes": QUEUE_KB * 1024,
        **(extra or {}),
    }


def ask_watermarks(consumer: Consumer, part: TopicPartition) -> tuple[int, int]:
    """First offset of a partition and the one after its last, asked of the broker. Raises KafkaException."""
    low, high = consumer.get_watermark_offsets(part, timeout=ANSWER_S)
    return low, high


def ask_broker(question: Callable[..., Answer], *arguments: object) -> Answer:
    """Ask, again while a new topic's leader settles; with the driver's errors raised as Away."""
    give_up_at = time.monotonic() + ANSWER_S
    while True:
        try:
            return question(*arguments)
        except KafkaException as error:
            if error.args[0].code() not in SETTLING or time.monotonic() > give_up_at:
                raise Away(f"Kafka does not answer: {error.args[0].str()}") from None
            time.sleep(TURN_S)


def list_partitions(consumer: Consumer, topics: Iterable[str]) -> list[TopicPartition]:
    """All partitions of some topics. Raises Away, also for a topic that is missing."""
    parts = []
    for name in topics:
        found = ask_broker(consumer.list_topics, name, ANSWER_S).topics[name]
        if found.error is not None:
            raise Away(f"topic {name}: {found.error.str()}; `fillip migrate` makes topics that are missing")
        parts += [TopicPartition(name, number) for number in sorted(found.partitions)]
    return parts
