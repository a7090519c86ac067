"""Limit counters in Valkey: how many bytes each takes, and how long a neighbour's counter is on its way while Valkey is full."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import date
from statistics import quantiles

from redis.asyncio import Redis

from fillip.core.limit import CounterKey
from fillip.core.projection import name_counter
from fillip.figures import Figure, at_most, expect, note
from fillip.publish import metrics
from fillip.publish.valkey import TENANT_COUNTERS, ValkeyProjection
from tests.bench.site import Site
from tests.publish.rows import count

COUNTERS, PORTION, MOVES = 100_000, 5_000, 200
LONGEST = "\U0001f300" * 256
LIFETIME = date(1970, 1, 1)


class NoStore:
    """A ledger without counters: what is mirrored is noted."""

    async def list_tenants(self) -> set[str]:
        """Two."""
        return {"crowd", "neighbour"}

    async def read(self, tenants: Collection[str]) -> AsyncGenerator[dict[CounterKey, tuple[int, int]], None]:
        """Nothing."""
        for _ in ():
            yield {}


def bench(site: Site) -> list[Figure]:
    """A server of this bench; what it holds at the end is thrown away."""
    return asyncio.run(measure(site.addresses.valkey_url))


async def measure(url: str) -> list[Figure]:
    """The figures."""
    failures = metrics.projection_failures._value.get()
    async with Redis.from_url(url, decode_responses=True) as client, projecting(url) as projection:
        plain = await measure_size(client, projection, "user-{}")
        longest = await measure_size(client, projection, LONGEST[:-6] + "{:06}")
        calm = await measure_moves(client, projection, 1)
        used = (await client.info("memory"))["used_memory"]
        await client.config_set("maxmemory", used)
        over = asyncio.create_task(flood(projection))
        full = await measure_moves(client, projection, 1 + MOVES)
        over.cancel()
        evicted = (await client.info("stats"))["evicted_keys"]
        await client.config_set("maxmemory-policy", "noeviction")
        await client.config_set("maxmemory", 1)
        refused = await measure_refusals(projection)
        await client.config_set("maxmemory", "256mb")
        await client.config_set("maxmemory-policy", "volatile-lru")
        last = await measure_moves(client, projection, 1 + 2 * MOVES)
    return [
        at_most("a counter, ids of some ten characters", 120, round(plain), "B"),
        at_most("a counter, the longest ids", 120, round(longest), "B"),
        note("most counters of a tenant a day", TENANT_COUNTERS),
        note("a neighbour's counter is mirrored after, p99, calm", round(calm, 1), "ms"),
        at_most("the same while Valkey is full and a crowd writes on, p99 more", 200, round(full - calm, 1), "ms"),
        note("counters used longest ago that made room", evicted),
        note("1,000 counters that Valkey takes none of, passed over in", round(refused, 1), "ms"),
        note("a neighbour's counter with room again, p99", round(last, 1), "ms"),
        expect("times that the projection had to wait", 0, metrics.projection_failures._value.get() - failures),
    ]


@asynccontextmanager
async def projecting(url: str) -> AsyncIterator[ValkeyProjection]:
    """A projection that runs."""
    projection = ValkeyProjection(url, NoStore(), "bench")
    running = asyncio.create_task(projection.run())
    await asyncio.sleep(1)
    yield projection
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def measure_size(client: Redis, projection: ValkeyProjection, user: str) -> float:
    """Bytes of memory a counter more."""
    before = (await client.info("memory"))["used_memory"]
    for start in range(0, COUNTERS // 2, PORTION):
        keys = [CounterKey("crowd", "once-a-day", user.format(n), "", LIFETIME) for n in range(start, start + PORTION)]
        projection.note(count(keys, 3))
        await await_mirrored(client, keys[-1], "3 3")
    return ((await client.info("memory"))["used_memory"] - before) / (COUNTERS // 2)


async def measure_moves(client: Redis, projection: ValkeyProjection, first: int) -> float:
    """p99 in ms from noted to mirrored, of one counter that moves on."""
    key, waits = CounterKey("neighbour", "budget", "", "", LIFETIME), []
    for version in range(first, first + MOVES):
        began = time.perf_counter()
        projection.note(count([key], version))
        await await_mirrored(client, key, f"{version} {version}")
        waits.append((time.perf_counter() - began) * 1000)
    return quantiles(waits, n=100)[98]


async def flood(projection: ValkeyProjection) -> None:
    """New counters without end, 25,000 a second at most."""
    number = 10_000_000
    while True:
        keys = [CounterKey("crowd", "once-a-day", f"user-{n}", "", LIFETIME) for n in range(number, number + 500)]
        projection.note(count(keys, 1))
        number += 500
        await asyncio.sleep(0.02)


async def measure_refusals(projection: ValkeyProjection) -> float:
    """How long 1,000 counters take that Valkey refuses."""
    dropped, began = metrics.dropped_counters.labels("valkey_full")._value.get(), time.perf_counter()
    projection.note(count([CounterKey("crowd", "x", str(n), "", LIFETIME) for n in range(1000)], 1))
    while metrics.dropped_counters.labels("valkey_full")._value.get() < dropped + 1000:
        await asyncio.sleep(0.001)
    return (time.perf_counter() - began) * 1000


async def await_mirrored(client: Redis, key: CounterKey, state: str) -> None:
    """Return when Valkey shows it."""
    async with asyncio.timeout(30):
        while await client.get(name_counter(key)) != state:
            await asyncio.sleep(0.001)
