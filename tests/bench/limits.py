"""How long a change of a limit and a pause wait beside three workers that are never idle."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from statistics import median
from typing import Any

import psycopg
from msgspec import json

from fillip.app.operate import create_key
from fillip.embedded.ports import choose_free_port
from fillip.figures import Figure, at_least, at_most, expect, note
from fillip.stream.kafka import KafkaProducer, ensure_topics
from fillip.stream.topics import Topics
from tests.bench.http import await_ready
from tests.bench.load import LIMITS, TENANT, name_campaign, write_events
from tests.bench.site import Site

EVENTS, CHUNK = 150_000, 5_000
WORKERS, ROUNDS = 3, 3
PAUSE_S = 0.05
"""Between two changes of one kind."""
TOPICS = Topics("bench-limits.")
LIMIT = LIMITS[1]


def bench(site: Site) -> list[Figure]:
    """The same backlog by three workers, left alone and beside changes, in turns; medians of rates, all latencies."""
    asyncio.run(fill(site))
    alone, beside, waits = [], [], Waits()
    for number in range(ROUNDS):
        alone.append(decide(site, None))
        beside.append(decide(site, waits))
        site.tell(f"round {number + 1}: {alone[-1]:,.0f} events/s alone, {beside[-1]:,.0f} beside changes")
    return [
        at_most("change of a limit, p99", 1_000, round(waits.tell("limit", 0.99)), "ms"),
        note("change of a limit, p50", round(waits.tell("limit", 0.5)), "ms"),
        at_most("pause and resume, p99", 1_000, round(waits.tell("pause", 0.99)), "ms"),
        note("pause and resume, p50", round(waits.tell("pause", 0.5)), "ms"),
        note("changes made", sum(map(len, waits.ms.values()))),
        expect("changes answered other than 200", 0, waits.refused),
        note(f"{WORKERS} workers", round(median(alone)), "events/s"),
        at_least("rate beside 20 changes a second : rate alone", 0.7, round(median(beside) / median(alone), 2)),
    ]


class Waits:
    """How long each request took, by what it did."""

    def __init__(self) -> None:
        self.ms: dict[str, list[float]] = {"limit": [], "pause": []}
        self.refused = 0

    def tell(self, what: str, part: float) -> float:
        """A quantile in ms."""
        ordered = sorted(self.ms[what])
        return ordered[int(len(ordered) * part)]


async def fill(site: Site) -> None:
    """Put the backlog into the log."""
    await ensure_topics(site.addresses.kafka_bootstrap, TOPICS)
    producer = KafkaProducer(site.addresses.kafka_bootstrap, linger_ms=5, give_up_after_s=60)
    for start in range(0, EVENTS, CHUNK):
        await producer.send_many([(TOPICS.received, key, value) for key, value in write_events(CHUNK, start)])
    await producer.close()


def decide(site: Site, waits: Waits | None) -> float:
    """Events a second of all workers on a fresh ledger, from the first committed batch to the end of the backlog."""
    port = choose_free_port()
    with site.database() as dsn, ExitStack() as stack:
        settings = site.settings(dsn, TOPICS, api_port=port)
        stack.enter_context(site.process(settings, "fillip.app.cli", "api"))
        key = str(create_key(dsn, TENANT, "bench").key)
        await_ready(port)
        for _ in range(WORKERS):
            stack.enter_context(site.process(settings, "fillip.app.cli", "worker"))
        ledger = stack.enter_context(psycopg.connect(dsn, autocommit=True))
        first = await_progress(ledger, 1)
        began = time.monotonic()
        with keep_changing(port, key, waits):
            await_progress(ledger, EVENTS)
        return (EVENTS - first) / (time.monotonic() - began)


def await_progress(ledger: psycopg.Connection, wanted: int) -> int:
    """Return when so many events are settled; how many are."""
    deadline = time.monotonic() + 180
    while True:
        row = ledger.execute("SELECT coalesce(sum(next_offset), 0)::bigint FROM consumer_position").fetchone()
        if row and row[0] >= wanted:
            return int(row[0])
        assert time.monotonic() < deadline, f"stalled before {wanted:,} events"
        time.sleep(0.02)


@contextmanager
def keep_changing(port: int, key: str, waits: Waits | None) -> Iterator[None]:
    """Two clients, until the block ends: one changes a cap, one pauses and resumes a campaign."""
    over = False

    def change(what: str) -> None:
        line = HTTPConnection("127.0.0.1", port, timeout=120)
        number = 0
        while not over and waits:
            number += 1
            method, path, body = draw_change(what, number)
            began = time.perf_counter()
            line.request(
                method,
                path,
                json.encode(body),
                {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "If-Match": "*"},
            )
            answer = line.getresponse()
            answer.read()
            waits.ms[what].append((time.perf_counter() - began) * 1000)
            waits.refused += answer.status != 200
            time.sleep(PAUSE_S)

    with ThreadPoolExecutor() as threads:
        changing = [threads.submit(change, what) for what in ("limit", "pause")]
        try:
            yield
        finally:
            over = True
        for each in changing:
            each.result()


def draw_change(what: str, number: int) -> tuple[str, str, dict[str, Any] | None]:
    """(method, path, body) of the next change."""
    if what == "pause":
        return "POST", f"/v1/campaigns/{name_campaign(19)}/{'pause' if number % 2 else 'resume'}", None
    names = ("limit_id", "scope", "measure", "span", "reward_kind", "action", "cap")
    return "PUT", f"/v1/limits/{LIMIT[0]}", dict(zip(names, LIMIT, strict=True)) | {"cap": 1_000_000_000 + number}
