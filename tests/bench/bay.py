"""The Analytics Bay: events loaded a second, reports beside it, and a tenant's SQL over 10 million stored events."""

import asyncio
import json
import time
from pathlib import Path
from statistics import median, quantiles

from fillip.analyse import Queries
from fillip.analyse.duckdb.bay import DuckdbBay
from fillip.analyse.event import add_events
from fillip.analyse.facts import Load
from fillip.figures import Figure, at_least, at_most, note
from fillip.stream.belt import Record
from fillip.stream.topics import Topics
from tests.analyse.bay_world import EVERYTHING
from tests.bench.site import Site

LOADED, A_LOAD = 100_000, 5_000
STORED, DAYS, USERS = 10_000_000, 100, 500_000
STORE = """INSERT INTO event_row
SELECT 0, 'grocer', date '2026-01-01' + $1::integer, now(), r + $1 * $2, md5((r + $1 * $2)::varchar)::uuid, '/till',
       'e' || (r + $1 * $2), 'user-' || (hash(r + $1 * $2) % $3), ['PURCHASE', 'VISIT', 'ENROLLED'][1 + r % 3],
       timestamptz '2026-01-01 00:00:00+00' + to_days($1::integer) + to_seconds(r % 86400), now(),
       '{"amount": ' || (r % 10000) || ', "store": "s' || (r % 300) || '", "items": [{"sku": "a", "n": 1}]}'
FROM range($2::bigint) t(r)"""
NAMES = """INSERT INTO event_key SELECT day, event_key, tenant_id, partition, log_offset, received_at FROM event_row"""
USERS_SQL = "SELECT DISTINCT user_id FROM events WHERE action = 'PURCHASE' GROUP BY user_id HAVING count(*) >= 8"
QUERIES = (
    "SELECT action, count(*) AS n FROM events WHERE day BETWEEN '2026-03-01' AND '2026-03-07' GROUP BY ALL",
    "SELECT day, count(DISTINCT user_id) AS users FROM events WHERE day >= '2026-04-01' GROUP BY ALL ORDER BY day",
    "SELECT sum((data->>'$.amount')::bigint) AS total FROM events WHERE day = '2026-02-01' AND action = 'PURCHASE'",
    "SELECT count(*) AS n FROM events",
)
ROUNDS = 6


def bench(site: Site) -> list[Figure]:
    """In a folder of its own, without a broker."""
    return asyncio.run(measure(site))


async def measure(site: Site) -> list[Figure]:
    """The figures."""
    async with DuckdbBay.open(site.folder / "bay.duckdb", Topics()) as bay, Queries.open(bay.day_files) as queries:
        began = time.perf_counter()
        await asyncio.to_thread(store, bay)
        site.tell(f"{STORED:,} events stored")
        while await bay.day_files.write_out():
            pass
        size = sum(file.stat().st_size for file in (site.folder / "bay").rglob("*.parquet"))
        site.tell(f"and in files after {time.perf_counter() - began:.0f} s; loading")
        rate, longest, waits = await measure_loading(bay, spread=False)
        rate_of_all_days, _, _ = await measure_loading(bay, spread=True)
        site.tell("asking")
        users = await measure_users(queries)
        answers = [await measure_answer(queries, sql) for _ in range(ROUNDS) for sql in QUERIES]
    return [
        at_least("raw events loaded a second, of today, beside 10 million stored", 10_000, round(rate)),
        note("the same, of all 100 days in each load", round(rate_of_all_days), "events/s"),
        note("a load of 5,000, longest", round(longest * 1000), "ms"),
        at_most("a report waits behind loads and files, p95", 100, round(quantiles(waits, n=20)[18] * 1000), "ms"),
        note("bytes a stored event", round(size / STORED, 1), "B"),
        at_most("a cohort's SELECT over 10 million events", 10, round(users, 1), "s"),
        note("queries by week, month, day and of all, p95", round(quantiles(answers, n=20)[18], 2), "s"),
        note("the same, median", round(median(answers), 2), "s"),
    ]


def store(bay: DuckdbBay) -> None:
    """Put the events of 100 days where loads would have put them, without the way there."""
    for day in range(DAYS):
        bay._connection.execute(STORE, [day, STORED // DAYS, USERS])
    bay._connection.execute(NAMES)


async def measure_loading(bay: DuckdbBay, *, spread: bool) -> tuple[float, float, list[float]]:
    """Events a second, the longest load, and how long each of many reports waited meanwhile."""
    waits: list[float] = []
    asking = asyncio.create_task(ask_reports(bay, waits))
    filing = asyncio.create_task(file_all(bay))
    took = []
    for first in range(0, LOADED, A_LOAD):
        records = [write_record(first + n, spread=spread) for n in range(A_LOAD)]
        began, load = time.perf_counter(), Load()
        await add_events(load, records, await bay.read_positions())
        await bay.load(load)
        took.append(time.perf_counter() - began)
    for task in (asking, filing):
        task.cancel()
    await asyncio.gather(asking, filing, return_exceptions=True)
    return LOADED / sum(took), max(took), waits


def write_record(number: int, *, spread: bool) -> Record:
    """An event as it stands in the log."""
    day = number % DAYS if spread else 150
    at_s = 1_767_225_600 + day * 86_400 + number % 86_400
    head = {"specversion": "1.0", "id": f"{spread}{number}", "source": "/till", "type": "PURCHASE"}
    head |= {"subject": f"user-{number % USERS}", "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))}
    body = {"tenantid": "grocer", "data": {"amount": number, "store": "s1", "items": [{"sku": "a", "n": 1}]}}
    return Record("event.received", 1, number, json.dumps(head | body).encode(), b"", int(time.time() * 1000))


async def ask_reports(bay: DuckdbBay, waits: list[float]) -> None:
    """A report every 20 ms."""
    while True:
        began = time.perf_counter()
        await bay.report_campaign_days(EVERYTHING)
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)


async def file_all(bay: DuckdbBay) -> None:
    """What the process does beside the loads, without its pauses."""
    while True:
        await bay.day_files.write_out()
        await bay.day_files.merge()
        await asyncio.sleep(0.5)


async def measure_users(queries: Queries) -> float:
    """How long all users of a cohort take to come."""
    began = time.perf_counter()
    async with queries.select_users("grocer", USERS_SQL) as answer:
        assert answer.file.read_bytes().count(b"\n") > 1_000
    return time.perf_counter() - began


async def measure_answer(queries: Queries, sql: str) -> float:
    """How long an answer takes."""
    began = time.perf_counter()
    async with queries.answer("grocer", sql, "json") as answer:
        assert Path(answer.file).stat().st_size
    return time.perf_counter() - began
