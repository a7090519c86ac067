"""Cohorts by events at 2,000 events a second: from an event's acknowledgement to a worker's book whose list has its user."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from statistics import median, quantiles
from typing import Any

import asyncpg
import httpx
from msgspec import json

from fillip.app.up import Stack
from fillip.core.book.book import Book
from fillip.figures import Figure, at_most, note
from fillip.match.keeper_postgres import BookKeeper
from fillip.match.postgres import PostgresBooks
from fillip.stream.kafka import KafkaProducer
from tests.bench.operations import call
from tests.bench.site import Site, read_cpu_s
from tests.live.running import fetch, find_topics, make_tenant, open_producer, running_stack

TENANT, COHORT = "bench", "recent"
USERS, WINDOW_S = 100_000, 5
BATCH, EVERY_S = 40, 0.02  # 2,000 events/s
WARM_S, RUN_S, PROBE_EVERY_S, LOOK_S = 10, 30, 0.05, 0.005
GOAL_S = 1.0
SIZES = (
    "SELECT pg_total_relation_size(t) FROM unnest(ARRAY['book_change', 'book_pin', 'cohort_chunk']::regclass[]) AS t"
)


def bench(site: Site) -> list[Figure]:
    """First the events alone, then with a cohort that most of them change."""
    site.tell("starting a running set")
    with running_stack() as stack:
        return asyncio.run(measure(site, stack))


@dataclass
class Probes:
    """Users of whom each sends one event: when it was acknowledged, and how long after that a book had them."""

    sent: dict[str, float] = field(default_factory=dict)
    waits_s: list[float] = field(default_factory=list)


async def measure(site: Site, stack: Stack) -> list[Figure]:
    """The waits of the probes, and what the versions of the list cost."""
    headers = {"Authorization": f"Bearer {make_tenant(stack, TENANT)}"}
    async with (
        httpx.AsyncClient(base_url=stack.doors.api, headers=headers, timeout=60) as client,
        open_producer(stack) as producer,
        keep_books(stack) as (books, pool),
    ):
        await call(client.put("/v1/actions/BUY", json={"schema": {"type": "object", "properties": {}}}))
        loading = asyncio.create_task(keep_busy(stack, producer))
        await asyncio.sleep(WARM_S)
        site.tell(f"events alone for {WARM_S} s")
        alone = await watch(stack, WARM_S)
        await call(client.post("/v1/cohorts", json={"cohort_id": COHORT, "name": "Recent"}))
        rule = {"action": "BUY", "window_s": WINDOW_S}
        await call(client.put(f"/v1/cohorts/{COHORT}/rule", json=rule, headers={"If-Match": "*"}))
        while (await client.get(f"/v1/cohorts/{COHORT}/rule")).json()["state"] == "building":
            await asyncio.sleep(0.1)
        await asyncio.sleep(WARM_S)
        site.tell(f"with a cohort for {RUN_S} s")
        probes = Probes()
        probing = asyncio.create_task(send_probes(stack, producer, probes))
        looking = asyncio.create_task(look(books, pool, probes))
        beside = await watch(stack, RUN_S)
        probing.cancel()
        await asyncio.sleep(3)
        for task in (looking, loading):
            task.cancel()
        await asyncio.gather(probing, looking, loading, return_exceptions=True)
    p99_s = quantiles(probes.waits_s, n=100)[98]
    return [
        at_most("event acknowledged until in a worker's book, p99", GOAL_S, round(p99_s, 2), "s"),
        note("the same, median", round(median(probes.waits_s), 2), "s"),
        note("the same, longest", round(max(probes.waits_s), 2), "s"),
        at_most("probes that were never seen", 0, len(probes.sent), ""),
        note("events", round(beside["events"] / RUN_S), "/s"),
        note("users who came and went", round(beside["changes"] / RUN_S), "/s"),
        note("versions of the list and the book", round(beside["versions"] / RUN_S, 1), "/s"),
        note("CPU of the worker, alone", round(alone["worker"] / WARM_S, 2), "cores"),
        note("CPU of the worker, beside it", round(beside["worker"] / RUN_S, 2), "cores"),
        note("CPU of the cohort process", round(beside["cohort"] / RUN_S, 2), "cores"),
        note("book_change, book_pin and cohort_chunk grow by", round(beside["bytes"] / RUN_S / 1e3), "kB/s"),
        note("WAL, alone", round(alone["wal"] / WARM_S / 1e6, 2), "MB/s"),
        note("WAL, beside it", round(beside["wal"] / RUN_S / 1e6, 2), "MB/s"),
    ]


async def watch(stack: Stack, for_s: float) -> dict[str, float]:
    """What is used within some seconds."""
    before = await read_use(stack)
    await asyncio.sleep(for_s)
    after = await read_use(stack)
    return {name: after[name] - before[name] for name in after}


async def read_use(stack: Stack) -> dict[str, float]:
    """What was used until now."""
    pids = stack.pids()
    [(versions, wal)] = await fetch(
        stack, "SELECT book_version, pg_current_wal_lsn() - '0/0' FROM tenant WHERE tenant_id = $1", TENANT
    )
    [(events,)] = await fetch(stack, "SELECT coalesce(sum(next_offset), 0) FROM cohort_position")
    metrics = await read_changes(stack)
    return {
        "versions": versions,
        "wal": float(wal),
        "events": float(events),
        "changes": metrics,
        "bytes": float(sum(row[0] for row in await fetch(stack, SIZES))),
        **{name: read_cpu_s(pids[name]) for name in ("worker", "cohort")},
    }


async def read_changes(stack: Stack) -> float:
    """Users who joined or left by now, as the process counts them."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{stack.metrics_ports['cohort']}/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("fillip_cohort_behind_seconds_count")]
    return float(lines[0].split()[1])


@asynccontextmanager
async def keep_books(stack: Stack) -> AsyncIterator[tuple[BookKeeper, asyncpg.Pool]]:
    """Books as a worker keeps them, in this process."""
    async with asyncpg.create_pool(stack.settings.dsn("fillip_worker"), min_size=1, max_size=4) as pool:
        books = BookKeeper(PostgresBooks(pool), pool, decides=True)
        following = asyncio.create_task(books.run())
        try:
            yield books, pool
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def keep_busy(stack: Stack, producer: KafkaProducer) -> None:
    """Events of drawn users, until cancelled."""
    dice, number, topic = Random(3), 0, find_topics(stack).received
    loop = asyncio.get_running_loop()
    next_at = loop.time()
    while True:
        batch = [write(f"e{number + n}", f"user-{dice.randrange(USERS)}") for n in range(BATCH)]
        number += BATCH
        await producer.send_many([(topic, key, value) for key, value in batch])
        next_at += EVERY_S
        await asyncio.sleep(next_at - loop.time())


def write(event_id: str, user: str) -> tuple[bytes, bytes]:
    """Key and value of a purchase made now."""
    event: dict[str, Any] = {
        "specversion": "1.0", "id": event_id, "source": "bench", "type": "BUY", "time": datetime.now(UTC),
        "tenantid": TENANT, "subject": user, "data": {},
    }  # fmt: skip
    return f"{TENANT}:{user}".encode(), json.encode(event)


async def send_probes(stack: Stack, producer: KafkaProducer, probes: Probes) -> None:
    """One user after the other, until cancelled."""
    number = 0
    while True:
        user = f"probe-{number}"
        key, value = write(user, user)
        await producer.send_many([(find_topics(stack).received, key, value)])
        probes.sent[user] = asyncio.get_running_loop().time()
        number += 1
        await asyncio.sleep(PROBE_EVERY_S)


async def look(books: BookKeeper, pool: asyncpg.Pool, probes: Probes) -> None:
    """Look whom each new book has, until cancelled."""
    seen = -1
    while True:
        book = (await books.pin([TENANT]))[TENANT]
        assert isinstance(book, Book)
        if book.version != seen:
            seen, now = book.version, asyncio.get_running_loop().time()
            async with pool.acquire() as connection, connection.transaction(readonly=True):
                await connection.execute("SELECT set_config('app.tenants', $1, true)", TENANT)
                asked = "SELECT user_id, number FROM user_number WHERE tenant_id = $1 AND user_id = ANY ($2)"
                rows = await connection.fetch(asked, TENANT, list(probes.sent))
            for user, number in rows:
                if book.cohorts[COHORT].holds(number):
                    probes.waits_s.append(now - probes.sent.pop(user))
        await asyncio.sleep(LOOK_S)
