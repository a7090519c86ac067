"""Sending: resolved when the broker has the message, with one wake-up of the loop for all that it has confirmed."""

import asyncio
import threading
from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from fillip.stream.belt import StreamLost, Unsent
from fillip.stream.kafka.reader import TURN_S, Config, build_client_config, log
from fillip.stream.topics import Partition

Text: TypeAlias = bytes | str | None
Outgoing: TypeAlias = tuple[str, Text, Text] | tuple[str, Text, Text, int]
"""Topic, key, value; and the partition where the key is not to choose it."""

BY_KEY = -1
Offsets: TypeAlias = dict[Partition, int]
"""The offset behind the last of some messages, by where they went."""

Spot: TypeAlias = tuple[int, int]
"""Partition and offset of one message."""

MAX_WAITING = 500_000  # messages in librdkafka's queue
FLUSH_S = 5.0


class _Delivery:
    """Some messages sent together: settled when the last of them is."""

    __slots__ = ("error", "future", "left", "offsets", "settled")

    def __init__(self, count: int, settled: "list[_Delivery]") -> None:
        self.future: asyncio.Future[Offsets] = asyncio.get_running_loop().create_future()
        self.left = count
        self.offsets: Offsets = {}
        self.error: KafkaError | None = None
        self.settled = settled

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        """Note one delivery report; on the polling thread."""
        if error is not None:
            self.error = error
        else:  # in order within a partition, so the last one stands
            self.offsets[message.topic(), message.partition()] = message.offset() + 1  # type: ignore[index, operator]
        self.left -= 1
        if not self.left:
            self.settled.append(self)

    def place(self, spots: dict[int, Spot], index: int, error: KafkaError | None, message: Message) -> None:
        """Note one delivery report, and where the message of this index went; on the polling thread."""
        if error is None:
            spots[index] = message.partition(), message.offset()  # type: ignore[assignment]
        self(error, message)

    def resolve(self) -> None:
        """Wake who waits; on the loop."""
        if self.future.done():  # cancelled
            return
        if self.error is None:
            self.future.set_result(self.offsets)
        else:
            self.future.set_exception(_explain(self.error))


def _explain(error: KafkaError) -> Exception:
    if error.fatal():
        return StreamLost(f"the producer cannot go on: {error.str()}. Restart the process.")
    return Unsent(f"Kafka has not confirmed the message: {error.str()}")


class KafkaProducer:
    """An idempotent producer (acks=all, murmur2_random). One per loop; close it.

    `give_up_after_s` bounds how long a message is tried; 0: for ever. `extra` goes to librdkafka as it is.
    """

    def __init__(
        self, bootstrap: str, *, linger_ms: float = 0, give_up_after_s: float = 5.0, extra: Config | None = None
    ) -> None:
        config = {
            **build_client_config(bootstrap),
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "linger.ms": linger_ms,
            "message.timeout.ms": round(give_up_after_s * 1000),
            "queue.buffering.max.messages": MAX_WAITING,
            "queue.buffering.max.kbytes": 256 * 1024,
            "retry.backoff.ms": 50,
            **(extra or {}),
        }
        self._producer = Producer(config, logger=log)
        self._loop = asyncio.get_running_loop()
        self._settled: list[_Delivery] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)
        self._thread.start()

    async def send(self, topic: str, key: bytes | str | None, value: bytes | str | None) -> None:
        """Return when the broker has the message. Raises Unsent (it may or may not be in the log), StreamLost."""
        await self.send_many([(topic, key, value)])

    async def send_many(self, messages: Sequence[Outgoing]) -> None:
        """Send all, in order, queued before the first await; return when the broker has them all. Raises as send."""
        await self.post(messages)

    async def send_placed(self, messages: Sequence[Outgoing]) -> list[Spot]:
        """Send all as `send_many` does; where each of them stands."""
        spots: dict[int, Spot] = {}
        await self.post(messages, spots)
        return [spots[index] for index in range(len(messages))]

    def post(self, messages: Sequence[Outgoing], spots: dict[int, Spot] | None = None) -> "asyncio.Future[Offsets]":
        """Queue all now, in order; the future is done when the broker has them all, or fails as send does.

        `spots` gets where each of them stands, by its index.
        """
        delivery = _Delivery(len(messages), self._settled)
        produce, queued = self._producer.produce, 0
        try:
            for message in messages:
                report = delivery if spots is None else partial(delivery.place, spots, queued)
                produce(message[0], message[2], message[1], BY_KEY if len(message) == 3 else message[3], report)
                queued += 1
        except (BufferError, KafkaException) as error:  # full, or a message larger than the broker takes
            raise Unsent(f"Kafka takes no more: {error}; {queued} of {len(messages)} messages were queued") from None
        if not messages:
            delivery.future.set_result({})
        return delivery.future

    async def close(self) -> None:
        """Wait some seconds for what is still on its way, then end."""
        await asyncio.to_thread(self._producer.flush, FLUSH_S)
        self._closing.set()
        await asyncio.to_thread(self._thread.join)

    def _poll(self) -> None:
        while not self._closing.is_set():
            try:
                self._producer.poll(TURN_S)
            except Exception:  # noqa: BLE001 - whatever a report raised: without this thread all later ones would be waited for in vain
                log.exception("a report of Kafka's on what was sent could not be taken")
            if settled := self._settled.copy():
                del self._settled[: len(settled)]
                try:
                    self._loop.call_soon_threadsafe(_resolve, settled)
                except RuntimeError:  # the loop is closed: nobody waits
                    self._closing.set()


def _resolve(settled: list[_Delivery]) -> None:
    for delivery in settled:
        delivery.resolve()
