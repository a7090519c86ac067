"""POST /v1/events?wait at 1,000 events a second with all servers: from a request's time to the committed decisions of its event."""

import subprocess
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import json

from fillip.app.operate import create_key
from fillip.app.up import Stack
from fillip.figures import Figure, at_most, expect, note
from tests.bench.cpu import Cost, Costs, compare
from tests.bench.load import TENANT, write_book
from tests.bench.site import Site
from tests.bench.wait_client import Tally
from tests.live.running import running_stack

RATE, WARM, COUNT = 1_000, 3_000, 20_000
P50_MS, P99_MS = 12, 40
QUERY = "?wait=2000"
SENT_WITHIN_S = 120.0


def bench(site: Site) -> list[Figure]:
    """All of them wait; then the same events a second that don't, for what waiting costs."""
    site.tell("starting a running set")
    with running_stack() as stack:
        dsn = stack.settings.postgres_dsn or ""
        write_book(dsn)
        key = str(create_key(dsn, TENANT, "bench").key)
        send(stack, key, WARM, 0, QUERY)
        site.tell(f"{RATE:,} events/s, all of which wait")
        waiting, cpu, ended = measure(stack, key, 1_000_000, QUERY)
        site.tell(f"{RATE:,} events/s, none of which waits")
        plain, plain_cpu, plain_ended = measure(stack, key, 2_000_000, "")
    p50, p99 = (waiting.took_ms[int(COUNT * part)] for part in (0.5, 0.99))
    return [
        at_most(f"decided in the same call at {RATE:,} events/s, p50", P50_MS, round(p50, 1), "ms"),
        at_most("the same, p99", P99_MS, round(p99, 1), "ms"),
        expect("answers with all decisions", COUNT, waiting.statuses.get("200", 0)),
        note("without waiting, p50", round(plain.took_ms[COUNT // 2], 1), "ms"),
        note("without waiting, p99", round(plain.took_ms[int(COUNT * 0.99)], 1), "ms"),
        note(
            "CPU of all servers and the load, waiting and not",
            f"{sum_cpu(cpu):.0f} and {sum_cpu(plain_cpu):.0f}",
            "µs an event",
        ),
        note(
            "transactions of PostgreSQL, waiting and not",
            f"{ended / COUNT:.2f} and {plain_ended / COUNT:.2f}",
            "an event",
        ),
        *(note(name, got, "µs of CPU; switches an event") for name, got in compare(cpu, plain_cpu, COUNT)),
    ]


def measure(stack: Stack, key: str, start: int, query: str) -> tuple[Tally, dict[str, Cost], int]:
    """One run; what each process has cost, and PostgreSQL's transactions."""
    costs = Costs(stack)
    tally = send(stack, key, COUNT, start, query)
    by_process, ended = costs.read()
    return tally, {"the load itself": Cost(tally.cpu_s, 0), **by_process}, ended


def sum_cpu(costs: Mapping[str, Cost]) -> float:
    """Of all, in µs an event."""
    return sum(each.cpu_s for each in costs.values()) / COUNT * 1e6


def send(stack: Stack, key: str, count: int, start: int, query: str) -> Tally:
    """Send events from a process of its own."""
    port = urlsplit(stack.doors.api).port
    command = [sys.executable, "-m", "tests.bench.wait_client", *map(str, (port, key, RATE, count, start, query))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=SENT_WITHIN_S)
    return json.decode(done.stdout, type=Tally)
