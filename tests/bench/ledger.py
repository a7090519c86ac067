"""The ledger transaction alone: one batch after the other, by size, every tenth event granted."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from statistics import median

import asyncpg
import uvloop

from fillip.figures import Figure, expect, note
from fillip.ingest import Ingest
from fillip.match import Meet
from fillip.match.numbers_postgres import PostgresNumbers
from fillip.match.postgres import PostgresBooks
from fillip.match.users_postgres import PostgresUsers
from fillip.migrations import role_dsn
from fillip.settle import Settle
from fillip.settle.postgres import PostgresLedger
from fillip.stream.belt import Batch, Record, Span
from tests.bench.load import GRANT_EVERY, write_events
from tests.bench.site import Site

TOPIC = "bench.ledger"
SIZES = {1: 200, 100: 50, 1_000: 15, 5_000: 7}
"""Events a batch -> how many batches are timed."""


def bench(site: Site) -> list[Figure]:
    """ms a batch, the median of each size."""
    with site.database() as dsn:
        return uvloop.run(measure(dsn, site))


async def measure(dsn: str, site: Site) -> list[Figure]:
    """All sizes on one ledger."""
    figures, granted, wanted = [], 0, 0
    numbers = count(step=GRANT_EVERY)
    async with asyncpg.create_pool(role_dsn(dsn, "fillip_worker"), min_size=1, max_size=2) as pool:

        def report(settled: object, *others: object) -> None:
            nonlocal granted
            granted += len(settled)  # type: ignore[arg-type]

        ingest, meet = (
            Ingest(PostgresBooks(pool)),
            Meet(PostgresUsers(pool), PostgresNumbers(pool), lambda refusals: None),
        )
        settle, offset = Settle(PostgresLedger(pool, "bench"), report), 0
        await PostgresLedger(pool, "bench").claim(TOPIC, 0, 0, "")
        for size, times in SIZES.items():
            spent_ms = []
            for _ in range(times + 1):
                batch = make_batch(offset, size, numbers)
                items = await meet(await ingest(batch.records))
                began = time.perf_counter()
                await settle(batch, items)
                spent_ms.append((time.perf_counter() - began) * 1000)
                offset, wanted = offset + size, wanted + len(items)
            figures.append(note(f"batch of {size:,} events", round(median(spent_ms[1:]), 2), "ms"))
            site.tell(f"{size:,} events a batch: {figures[-1].got} ms")
    return [*figures, expect("events granted", wanted, granted)]


def make_batch(offset: int, size: int, numbers: Iterator[int]) -> Batch:
    """A batch of new events; the one event of the smallest batch is a granted one."""
    start = next(numbers)
    for _ in range(size // GRANT_EVERY):
        next(numbers)
    now = datetime.now(UTC)
    records = [
        Record(TOPIC, 0, offset + index, value, key, int(now.timestamp() * 1000))
        for index, (key, value) in enumerate(write_events(size, start))
    ]
    return Batch(records, [Span(TOPIC, 0, offset, offset + size)], now)
