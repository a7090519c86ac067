"""How much PostgreSQL writes for an event, by what becomes of it."""

import asyncio
import time
from collections.abc import Iterator

from fillip.client.events import encode_events
from fillip.core.errors import Crash
from fillip.figures import Figure, at_most, note
from fillip.stream.kafka import KafkaProducer
from fillip_demo.latency import write_tap
from fillip_demo.postgres import Ledger
from fillip_demo.sample import Event

GRANTED, UNMET = 5_000, 20_000
USERS = 500
ABOUT_NOTHING_BYTES = 10
SETTLED_WITHIN_S = 60


async def measure_writing(producer: KafkaProducer, topic: str, ledger: Ledger) -> list[Figure]:
    """WAL bytes per granted and per non-matching event, of a burst of each. Raises Crash."""
    granted = await _measure_burst(producer, topic, ledger, write_burst("granted", GRANTED, 1), GRANTED)
    unmet = await _measure_burst(producer, topic, ledger, write_burst("unmet", UNMET, -1), UNMET)
    return [
        note("PostgreSQL WAL per granted event", round(granted), "bytes"),
        at_most("PostgreSQL WAL per non-matching event", ABOUT_NOTHING_BYTES, round(unmet, 2), "bytes"),
    ]


def write_burst(name: str, count: int, n: int) -> Iterator[Event]:
    """`count` taps of 500 users; none is granted where `n` is negative."""
    return (write_tap(f"{name}-{number}", f"burst-{number % USERS}", n) for number in range(count))


async def _measure_burst(
    producer: KafkaProducer, topic: str, ledger: Ledger, events: Iterator[Event], count: int
) -> float:
    before = await ledger.read_progress()
    await producer.send_many(list(encode_events(topic, events)))
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while (after := await ledger.read_progress()).settled < before.settled + count:
        if time.monotonic() > deadline:
            raise Crash(f"{before.settled + count - after.settled:,} events of a burst were not settled in time")
        await asyncio.sleep(0.05)
    return (after.wal_bytes - before.wal_bytes) / count
