"""POST /v1/events on one API process, answered only when the broker has the events."""

import asyncio
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from statistics import median

from msgspec import Struct, json

from fillip.app.operate import create_key
from fillip.embedded.ports import choose_free_port
from fillip.figures import Figure, at_least, expect, note
from fillip.stream.kafka import ensure_topics, read_last
from fillip.stream.topics import Topics
from tests.bench.load import TENANT
from tests.bench.site import Site, read_cpu_s

TOPICS = Topics("bench-http.")
ROUNDS = 3
BATCHES, SIZE, BATCH_LINES = 400, 100, 8
SINGLES, SINGLE_LINES = 12_000, 64
READY_WITHIN_S = 60.0
SENT_WITHIN_S = 120.0


class Load(Struct, frozen=True):
    """What one run of the load generator measured; `api_cpu_s` is the API's."""

    seconds: float
    cpu_s: float
    p50_ms: float
    p99_ms: float
    api_cpu_s: float = 0.0


def bench(site: Site) -> list[Figure]:
    """Batches of 100 and single events in turns, after a warm-up of each; medians."""
    asyncio.run(ensure_topics(site.addresses.kafka_bootstrap, TOPICS))
    port = choose_free_port()
    with (
        site.database() as dsn,
        site.process(site.settings(dsn, TOPICS, api_port=port), "fillip.app.cli", "api") as api,
    ):
        key = str(create_key(dsn, TENANT, "bench").key)
        await_ready(port)
        runs: dict[int, list[Load]] = {SIZE: [], 1: []}
        for number in range(ROUNDS + 1):
            for size, count, lines in ((SIZE, BATCHES, BATCH_LINES), (1, SINGLES, SINGLE_LINES)):
                start = (2 * number + (size == 1)) * 1_000_000
                runs[size].append(send(api.pid, port, key, size, count, lines, start))
                site.tell(f"round {number}: {size * count / runs[size][-1].seconds:,.0f} events/s by {size}")
    accepted = (ROUNDS + 1) * (SIZE * BATCHES + SINGLES)
    return [
        *report("batches of 100", 20_000, SIZE * BATCHES, "events", runs[SIZE][1:]),
        *report("single requests", 3_000, SINGLES, "requests", runs[1][1:]),
        expect("events in the log, of those accepted", accepted, asyncio.run(count_log(site)), "events"),
    ]


async def count_log(site: Site) -> int:
    """Events that the broker has."""
    newest = await read_last(site.addresses.kafka_bootstrap, [TOPICS.received])
    return sum(record.offset + 1 for record in newest.values() if record)


def report(name: str, goal: float, count: int, unit: str, runs: list[Load]) -> list[Figure]:
    """The figures of one kind of request."""
    return [
        at_least(name, goal, round(median(count / run.seconds for run in runs)), f"{unit}/s"),
        note(f"{name}, p50", round(median(run.p50_ms for run in runs), 1), "ms"),
        note(f"{name}, p99", round(median(run.p99_ms for run in runs), 1), "ms"),
        note(
            f"{name}, CPU of the API", round(100 * median(run.api_cpu_s / run.seconds for run in runs)), "% of a core"
        ),
        note(f"{name}, CPU of the client", round(100 * median(run.cpu_s / run.seconds for run in runs)), "% of a core"),
    ]


def send(api_pid: int, port: int, key: str, size: int, count: int, lines: int, start: int) -> Load:
    """One run of the load generator in its own process."""
    before = read_cpu_s(api_pid)
    command = [sys.executable, "-m", "tests.bench.client", *map(str, (port, key, size, count, lines, start))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=SENT_WITHIN_S)
    load = json.decode(done.stdout, type=Load)
    return Load(load.seconds, load.cpu_s, load.p50_ms, load.p99_ms, read_cpu_s(api_pid) - before)


def await_ready(port: int) -> None:
    """Return when the API answers."""
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
            return
        assert time.monotonic() < deadline, "the API did not start"
        time.sleep(0.05)
