"""What the broker has of a topic: its id, and where its partitions begin and end."""

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from fillip.stream.fit import Log
from fillip.stream.kafka.reader import (
    ANSWER_S,
    Away,
    Config,
    ask_broker,
    ask_watermarks,
    build_client_config,
    build_config,
    list_partitions,
    log,
)

WATCH_EVERY_S = 0.5


def look_at(consumer: Consumer, admin: AdminClient, topic: str, partitions: Iterable[int]) -> dict[int, Log]:
    """Some partitions of a topic. Raises KafkaException."""
    asked = admin.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_S)
    topic_id = str(asked[topic].result(2 * ANSWER_S).topic_id)
    marks = {number: ask_watermarks(consumer, TopicPartition(topic, number)) for number in partitions}
    return {number: Log(first, end, topic_id) for number, (first, end) in marks.items()}


class TopicWatch:
    """Asks for a topic's id every WATCH_EVERY_S, without waiting for the answer."""

    def __init__(self, config: Config, topic: str) -> None:
        self._admin = AdminClient(dict(config), logger=log)
        self._topic = topic
        self._asked: Future[Any] | None = None
        self._next_at = 0.0
        self._found = ""

    def poll(self) -> str:
        """The id as it was answered last; "" before the first answer."""
        if self._asked is not None and self._asked.done():
            with suppress(KafkaException):  # away, or there is no such topic just now
                self._found = str(self._asked.result().topic_id)
            self._asked = None
        if self._asked is None and time.monotonic() >= self._next_at:
            self._asked = self._admin.describe_topics(TopicCollection([self._topic]))[self._topic]
            self._next_at = time.monotonic() + WATCH_EVERY_S
        return self._found


async def read_log(bootstrap: str, topic: str, extra: Config | None = None) -> dict[int, Log]:
    """All partitions of a topic. Raises Away, also where there is no such topic."""
    return await asyncio.to_thread(_read_log, bootstrap, topic, extra or {})


def _read_log(bootstrap: str, topic: str, extra: Config) -> dict[int, Log]:
    config = build_config(bootstrap, "fillip-look", 10, {"enable.auto.commit": False} | dict(extra))
    consumer = Consumer(config, logger=log)
    try:
        numbers = [part.partition for part in list_partitions(consumer, [topic])]
        admin = AdminClient({**build_client_config(bootstrap), **extra}, logger=log)
        return ask_broker(look_at, consumer, admin, topic, numbers)
    except KafkaException as error:
        raise Away(f"Kafka does not answer: {error}") from None
    finally:
        consumer.close()
