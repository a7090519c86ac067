"""Memory of a worker on backlogs of large records: what is on its way is bounded in bytes, not only in records."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import asyncpg
from msgspec import json

from fillip.core.envelope import MAX_EVENT_BYTES
from fillip.figures import Figure, at_most, expect, note
from fillip.stream.kafka import KafkaProducer, ensure_topics
from fillip.stream.topics import Topics
from tests.bench.load import TENANT, draw_events
from tests.bench.site import Site

PARTITIONS = 8
STALLED_AFTER_S = 120.0
LOOK_EVERY_S = 0.05
MOST_MB = 600
"""Of a worker, whatever is in the log."""
BROKER_TAKES_BYTES = 1_048_588
MEGABYTES, HOSTILE, USUAL = 1_500, 3_000, 30_000


def write_megabytes() -> Iterator[bytes]:
    """The largest records that the broker takes: no events, and each is kept as a rejection."""
    return (b"%07d" % number + b"x" * 1_000_000 for number in range(MEGABYTES))


def write_hostile() -> Iterator[bytes]:
    """Events of 64 KiB that take the most memory once they are decoded: thousands of empty lists. All meet a rule."""
    for event in draw_events(HOSTILE * 10):
        if int(event["id"][1:]) % 10 == 0:
            event |= {"tenantid": TENANT, "data": event["data"] | {"more": []}}
            event["data"]["more"] = [[]] * ((MAX_EVENT_BYTES - 16 - len(json.encode(event))) // 3)
            yield json.encode(event)


def write_usual() -> Iterator[bytes]:
    """Purchases of 300 bytes."""
    return (json.encode({**event, "tenantid": TENANT}) for event in draw_events(USUAL))


KINDS: dict[str, tuple[Callable[[], Iterator[bytes]], int]] = {
    "usual events": (write_usual, USUAL),
    "records of 1 MB": (write_megabytes, MEGABYTES),
    "events of 64 KiB that decode to lists": (write_hostile, HOSTILE),
}


def bench(site: Site) -> list[Figure]:
    """One backlog after the other, each with a fresh worker."""
    figures = []
    for number, (name, (write, count)) in enumerate(KINDS.items()):
        topics = Topics(f"bytes{number}.")
        asyncio.run(fill(site, topics, write()))
        with site.database() as dsn, site.process(site.settings(dsn, topics), "fillip.app.cli", "worker") as child:
            decided, peak_mb, seconds = asyncio.run(watch(dsn, child, count))
        site.tell(f"{name}: {peak_mb:,.0f} MB, {count / seconds:,.0f} a second")
        figures += [
            expect(f"{name}: decided or kept, of all", count, decided),
            at_most(f"{name}: worker's memory at its highest", MOST_MB, round(peak_mb), "MB"),
            note(f"{name}: a second", round(count / seconds), "records/s"),
        ]
    return figures


async def fill(site: Site, topics: Topics, values: Iterator[bytes]) -> None:
    """Put a backlog into the log."""
    await ensure_topics(site.addresses.kafka_bootstrap, topics, PARTITIONS)
    producer = KafkaProducer(
        site.addresses.kafka_bootstrap, give_up_after_s=60, extra={"message.max.bytes": BROKER_TAKES_BYTES}
    )
    for number, value in enumerate(values):
        sending = producer.post([(topics.received, str(number), value)])
        if number % 50 == 49:  # what waits in the producer is bounded too
            await sending
    await producer.close()


async def watch(dsn: str, child: Popen[bytes], count: int) -> tuple[int, float, float]:
    """(records done, most resident memory in MB, seconds from the first to the last)."""
    ledger = await asyncpg.connect(dsn)
    query = "SELECT coalesce(sum(next_offset), 0)::bigint FROM consumer_position"
    began, moved_at, seen = 0.0, time.monotonic(), 0
    try:
        while (done := int(await ledger.fetchval(query))) < count:
            if done != seen:
                began, seen, moved_at = began or time.monotonic(), done, time.monotonic()
            assert child.poll() is None, f"it ended at {done:,} of {count:,} records"
            assert time.monotonic() - moved_at < STALLED_AFTER_S, f"stalled at {done:,} of {count:,} records"
            await asyncio.sleep(LOOK_EVERY_S)
        status = Path(f"/proc/{child.pid}/status").read_text()
    finally:
        await ledger.close()
    peak_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return done, peak_kb / 1024, time.monotonic() - (began or moved_at)
