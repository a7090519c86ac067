"""Reports over 10 million transfers, 10 million decisions and 10 million events: points outstanding, and uplift."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from statistics import median, quantiles

from fillip.analyse import Queries
from fillip.analyse.duckdb import DuckdbBay
from fillip.analyse.liability import LiabilityQuestion
from fillip.analyse.uplift import UpliftQuestion
from fillip.analyse.uplift_http import measure_uplift
from fillip.core.instant import MIN_TIME
from fillip.figures import Figure, at_most, note
from fillip.stream.topics import Topics
from tests.bench import bay as events
from tests.bench.site import Site

FACTS, CAMPAIGNS, ROUNDS = 10_000_000, 20, 30
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
TRANSFERS = """INSERT INTO transfer_fact
SELECT r % 8, 'grocer', ['POINTS', 'STARS', 'MILES'][1 + r % 3], kind,
       CASE kind WHEN 'grant' THEN 'issued' ELSE 'active' END,
       CASE kind WHEN 'grant' THEN 'active' WHEN 'spend' THEN 'spent' ELSE 'expired' END,
       1 + r % 1000, timestamptz '2026-01-01 00:00:00+00' + to_milliseconds(r * 864 + (hash(r) % 5000)::bigint)
FROM (SELECT r, ['grant', 'grant', 'grant', 'spend', 'expire'][1 + r % 5] AS kind FROM range($1::bigint) t(r))"""
DECISIONS = """INSERT INTO decision_fact
SELECT r % 8, 'grocer', md5(r::varchar)::uuid, 'campaign-' || (hash(r // 7) % $2), date '2026-01-01' + (r * 100 // $1)::integer,
       'user-' || (hash(r) % $3), CASE WHEN hash(r) % $3 % 10 = 0 THEN 'denied' ELSE 'granted' END,
       CASE WHEN hash(r) % $3 % 10 = 0 THEN 'holdout' ELSE 'granted' END,
       CASE WHEN hash(r) % $3 % 10 = 0 THEN [] ELSE [{'kind': 'points', 'currency': 'POINTS', 'value': 5}] END,
       NULL, timestamptz '2026-01-01 00:00:00+00' + to_milliseconds(r * 864), false
FROM range($1::bigint) t(r)"""


def bench(site: Site) -> list[Figure]:
    """In a folder of its own, without a broker."""
    return asyncio.run(measure(site))


async def measure(site: Site) -> list[Figure]:
    """The figures."""
    async with DuckdbBay.open(site.folder / "reports.duckdb", Topics()) as bay, Queries.open(bay.day_files) as queries:
        await asyncio.to_thread(store, bay)
        site.tell(f"{FACTS:,} transfers, decisions and events stored")
        while await bay.day_files.write_out():
            pass
        site.tell("and events in files; asking")
        chances = random.Random(61)
        held = await measure_reports(lambda: bay.report_liability(ask(chances)))
        moved = await measure_reports(lambda: bay.report_liability_movements(ask(chances)))
        asked = UpliftQuestion(
            "grocer", "campaign-3", "PURCHASE", '$."amount"', date(2026, 2, 1), date(2026, 2, 28), 30
        )
        uplift, groups = [], 0
        for _ in range(3):
            began = time.perf_counter()
            groups = sum(group.users for group in (await measure_uplift(asked, bay, queries)).groups)
            uplift.append(time.perf_counter() - began)
    return [
        at_most("points outstanding at an instant, of 10 million transfers, p95", 500, held),
        at_most("what moved them between two instants, p95", 500, moved),
        note(
            "uplift of one of 20 campaigns, a month and 30 days, 10 million events, median",
            round(median(uplift), 2),
            "s",
        ),
        note("users compared by it", groups, "users"),
    ]


def store(bay: DuckdbBay) -> None:
    """Put the facts where loads would have put them."""
    events.store(bay)
    bay._connection.execute(TRANSFERS, [FACTS])
    bay._connection.execute(DECISIONS, [FACTS, CAMPAIGNS, events.USERS])


def ask(chances: random.Random) -> LiabilityQuestion:
    """A question between two random instants."""
    begin, end = sorted(FIRST + timedelta(seconds=chances.uniform(0, 8_640_000)) for _ in range(2))
    return LiabilityQuestion("grocer", max(begin, MIN_TIME), end, 500, "")


async def measure_reports(report: Callable[[], Awaitable[object]]) -> int:
    """The 95th percentile, in ms."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await report()
        took.append(time.perf_counter() - began)
    return round(quantiles(took, n=20)[18] * 1000)
