"""Events/s of one worker on a backlog, beside the raw floor under it, in turns on the same servers and the same log."""

import asyncio
import time
from collections.abc import Sequence
from statistics import median
from subprocess import Popen

import asyncpg
from msgspec import Struct

from fillip.figures import Figure, at_least, expect, note
from fillip.stream.kafka import KafkaProducer, ensure_topics
from fillip.stream.topics import Topics
from tests.bench.load import GRANT_EVERY, write_events
from tests.bench.site import Site, read_cpu_s

EVENTS = 200_000
ROUNDS = 3
CHUNK = 5_000
STALLED_AFTER_S = 60.0
LOOK_EVERY_S = 0.01
RATIO = 0.5  # what a trial of this transaction reached with 1,000 events a batch
TOPICS = Topics("bench.")


class Run(Struct, frozen=True):
    """One process on the whole backlog, from its first committed batch to its last."""

    events: int
    seconds: float
    cpu_s: float
    granted: int

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


def bench(site: Site) -> list[Figure]:
    """In turns floor, worker, floor, worker …; medians."""
    asyncio.run(fill(site))
    floors, workers = [], []
    for number in range(ROUNDS):
        floors.append(measure(site, "tests.bench.floor", str(EVENTS)))
        workers.append(measure(site, "fillip.app.cli", "worker"))
        site.tell(f"round {number + 1}: floor {floors[-1].rate:,.0f}, worker {workers[-1].rate:,.0f} events/s")
    return report(floors, workers)


def report(floors: Sequence[Run], workers: Sequence[Run]) -> list[Figure]:
    """The figures of all rounds."""
    floor, worker = (median(run.rate for run in runs) for runs in (floors, workers))
    floor_us, worker_us = (median(run.cpu_s / run.events for run in runs) * 1e6 for runs in (floors, workers))
    return [
        expect("events granted, of all", EVENTS // GRANT_EVERY, workers[-1].granted, "events"),
        note("worker, 20 campaigns", round(worker), "events/s"),
        note("raw floor, no engine", round(floor), "events/s"),
        at_least("worker : floor", RATIO, round(worker / floor, 3)),
        note("worker's own CPU an event", round(worker_us, 1), "µs"),
        note("floor's own CPU an event", round(floor_us, 1), "µs"),
    ]


async def fill(site: Site) -> None:
    """Put the backlog into the log."""
    await ensure_topics(site.addresses.kafka_bootstrap, TOPICS)
    site.tell(f"writing a backlog of {EVENTS:,} events")
    producer = KafkaProducer(site.addresses.kafka_bootstrap, linger_ms=5, give_up_after_s=60)
    for start in range(0, EVENTS, CHUNK):
        await producer.send_many([(TOPICS.received, key, value) for key, value in write_events(CHUNK, start)])
    await producer.close()


def measure(site: Site, *module: str) -> Run:
    """One process on a fresh ledger."""
    with site.database() as dsn, site.process(site.settings(dsn, TOPICS), *module) as child:
        return asyncio.run(watch(dsn, child))


async def watch(dsn: str, child: Popen[bytes]) -> Run:
    """Look at the stored offsets until they reach the end of the backlog."""
    ledger = await asyncpg.connect(dsn)
    query = "SELECT coalesce(sum(next_offset), 0)::bigint FROM consumer_position"
    first, began, cpu_s, moved_at, seen = 0, 0.0, 0.0, time.monotonic(), 0
    try:
        while (done := int(await ledger.fetchval(query))) < EVENTS:
            now = time.monotonic()
            if done and not first:
                first, began, cpu_s = done, now, read_cpu_s(child.pid)
            if done != seen:
                seen, moved_at = done, now
            assert child.poll() is None, f"it ended at {done:,} of {EVENTS:,} events"
            assert now - moved_at < STALLED_AFTER_S, f"stalled at {done:,} of {EVENTS:,} events"
            await asyncio.sleep(LOOK_EVERY_S)
        seconds, cpu_s = time.monotonic() - began, read_cpu_s(child.pid) - cpu_s
        granted = await ledger.fetchval("SELECT count(DISTINCT event_id) FROM decision WHERE outcome = 'granted'")
    finally:
        await ledger.close()
    return Run(EVENTS - first, seconds, cpu_s, granted)
