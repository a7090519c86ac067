"""publish: rows a second through the whole reader and the producers, from the slot to Kafka's acknowledgement, with a backlog to go."""

import asyncio
import time
from subprocess import Popen

import psycopg

from fillip.figures import Figure, at_least, at_most, note
from fillip.stream.kafka import Tail, ensure_topics, read_last
from fillip.stream.topics import Topics
from tests.bench.site import Site, read_cpu_s

COUNTERS, ROUNDS, A_COMMIT = 20_000, 15, 500
ROWS = COUNTERS * ROUNDS
WITHIN_S = 90.0
SLOT = "SELECT pg_create_logical_replication_slot('fillip_' || current_database(), 'pgoutput')"
LAG = "SELECT pg_current_wal_flush_lsn() - confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()"
DROP = "SELECT pg_drop_replication_slot('fillip_' || current_database())"
WRITE = """
INSERT INTO limit_counter (tenant_id, limit_id, user_id, key, window_start, used, cap, version)
SELECT 'bench', 'budget', 'user-' || n, '', '2026-01-01', 1, 1000, 1 FROM generate_series(%s::int, %s::int) n
ON CONFLICT (tenant_id, limit_id, user_id, key, window_start)
DO UPDATE SET used = limit_counter.used + 1, version = limit_counter.version + 1
"""


def bench(site: Site) -> list[Figure]:
    """One publisher on a backlog of counters, in transactions of the size of a worker's batch."""
    with site.database() as dsn:
        topics = Topics("wal.")
        asyncio.run(ensure_topics(site.addresses.kafka_bootstrap, topics))
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(SLOT)
            site.tell(f"writing {ROWS:,} rows")
            for _ in range(ROUNDS):
                for first in range(0, COUNTERS, A_COMMIT):
                    connection.execute(WRITE, [first + 1, first + A_COMMIT])
            try:
                with site.process(site.settings(dsn, topics), "fillip.app.cli", "publish") as child:
                    figures = asyncio.run(watch(site.addresses.kafka_bootstrap, topics, child))
                    time.sleep(2)  # a report to the server is due each second
                    lag = int((connection.execute(LAG).fetchone() or (0,))[0])
            finally:
                connection.execute(DROP)
    return [*figures, at_most("slot lag then", 100_000, lag, "bytes")]


async def watch(bootstrap: str, topics: Topics, child: Popen[bytes]) -> list[Figure]:
    """From the first record on the topic to the last."""
    done, began, cpu_s = 0, 0.0, 0.0
    give_up_at = time.monotonic() + WITHIN_S
    while done < ROWS:
        assert time.monotonic() < give_up_at, f"only {done:,} rows were announced"
        last = await read_last(bootstrap, [topics.used])
        done = sum(record.offset + 1 for record in last.values() if record)
        if done and not began:
            began, first, cpu_s = time.monotonic(), done, read_cpu_s(child.pid)
        await asyncio.sleep(0.1)
    took_s, spent_s = time.monotonic() - began, read_cpu_s(child.pid) - cpu_s
    size = 0
    async with Tail(bootstrap, [topics.used], from_end=False) as tail:
        records = await anext(tail)
        size = sum(len(record.value or b"") for record in records) // len(records)
    return [
        at_least("rows announced, from slot to acknowledgement", 100_000, round((ROWS - first) / took_s), "/s"),
        note("CPU of publish a row", round(spent_s / (ROWS - first) * 1e6, 1), "µs"),
        note("bytes an announcement", size),
        note("rows", ROWS),
    ]
