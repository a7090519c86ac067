"""Sends the sample's events through Kafka as fast as the system takes them."""

import time
from collections.abc import Collection, Iterable
from itertools import islice

from fillip.client.events import encode_events
from fillip.stream.kafka import KafkaProducer
from fillip_demo.sample import Event
from fillip_demo.tally import Tally

CHUNK = 500
MAX_AHEAD = 50_000


async def replay(
    producer: KafkaProducer,
    topic: str,
    events: Iterable[Event],
    tally: Tally,
    noted: dict[str, int],
    users: Collection[str],
) -> None:
    """Send all, in order, at most 50,000 ahead of the ledger; into `noted` goes when the events of `users` were sent.

    `noted`: event id -> microseconds since 1970.
    """
    source = iter(events)
    while chunk := list(islice(source, CHUNK)):
        await tally.until(lambda: tally.sent - tally.settled <= MAX_AHEAD)
        messages = list(encode_events(topic, chunk))
        now_us = time.time_ns() // 1000
        noted.update((str(event["id"]), now_us) for event in chunk if event["subject"] in users)
        await producer.send_many(messages)
        tally.sent += len(chunk)
