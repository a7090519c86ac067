"""Reports over 10 million facts of each kind: points outstanding, uplift, funnels, the way of incentives, use of limits."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from statistics import median, quantiles

from fillip.analyse import Queries
from fillip.analyse.burn import LimitHoursQuestion, ask_burn
from fillip.analyse.duckdb.bay import DuckdbBay
from fillip.analyse.funnel import FunnelQuestion
from fillip.analyse.liability import ExpiryQuestion, LiabilityQuestion, ask_expiries
from fillip.analyse.report import Question
from fillip.analyse.uplift import UpliftQuestion
from fillip.analyse.uplift_http import measure_uplift
from fillip.core.instant import MAX_TIME, MIN_TIME
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
LOTS = """INSERT INTO lot_fact
SELECT partition, false, tenant_id, currency, CASE WHEN amount % 4 > 0 THEN made_at + to_days(365 + (amount % 365)::integer) END,
       CASE kind WHEN 'grant' THEN amount ELSE -amount END, made_at
FROM transfer_fact WHERE kind <> 'expire'
UNION ALL
SELECT r % 8, false, 'grocer', 'POINTS', timestamptz '2027-01-01 00:00:00+00' + to_milliseconds(r * 3157), 1,
       timestamptz '2026-01-01 00:00:00+00' + to_milliseconds(r * 864)
FROM range($1::bigint // 5) t(r)"""
DECISIONS = """INSERT INTO decision_fact
SELECT r % 8, 'grocer', md5(r::varchar)::uuid, 'campaign-' || (hash(r // 7) % $2), date '2026-01-01' + (r * 100 // $1)::integer,
       'user-' || (hash(r) % $3), CASE WHEN hash(r) % $3 % 10 = 0 THEN 'denied' ELSE 'granted' END,
       CASE WHEN hash(r) % $3 % 10 = 0 THEN 'holdout' ELSE 'granted' END,
       CASE WHEN hash(r) % $3 % 10 = 0 THEN [] ELSE [{'kind': 'points', 'currency': 'POINTS', 'value': 5}] END,
       NULL, timestamptz '2026-01-01 00:00:00+00' + to_milliseconds(r * 864), false, false
FROM range($1::bigint) t(r)"""

QUESTS = """INSERT INTO quest_fact
SELECT r % 8, 'grocer', 'quest-' || (hash(r // 7) % $2), 'user-' || (hash(r) % 1000000), md5(r::varchar)::uuid, (1 + r * 3 // $1)::integer,
       ['open', 'completed', 'lapsed'][1 + r % 3], begun, begun + to_days(7), 2,
       [{'name': 'view', 'done': 1, 'needed': 1, 'met_at': begun + to_seconds((hash(r) % 5000)::bigint)},
        {'name': 'buy', 'done': CASE WHEN r % 3 = 1 THEN 2 ELSE r % 2 END, 'needed': 2,
         'met_at': CASE WHEN r % 3 = 1 THEN begun + to_seconds(5000 + (hash(r) % 90000)::bigint) END}]
FROM (SELECT r, timestamptz '2026-01-01 00:00:00+00' + to_milliseconds(r * 864) AS begun FROM range($1::bigint) t(r))"""
GRANTS = """INSERT INTO grant_fact
SELECT r % 8, 'grocer', (begun AT TIME ZONE 'UTC')::date, 'campaign-' || (hash(r // 7) % $2), md5(r::varchar)::uuid,
       begun - to_milliseconds((hash(r) % 60000)::bigint), begun, begun + interval 5 millisecond, begun + interval 8 millisecond, NULL
FROM (SELECT r, timestamptz '2026-01-01 00:00:00+00' + to_milliseconds(r * 864) AS begun FROM range($1::bigint) t(r))"""
ACKS = """INSERT INTO ack_fact
SELECT partition, tenant_id, incentive_id, granted_at + to_milliseconds((hash(incentive_id) % 9000000)::bigint), campaign_id, granted_at
FROM grant_fact"""
CLAIMS = """INSERT INTO claim_fact
SELECT partition, tenant_id, incentive_id, granted_at + to_milliseconds(9000000 + (hash(incentive_id) % 9000000)::bigint),
       campaign_id, granted_at
FROM grant_fact WHERE hash(incentive_id) % 3 = 0"""
LIMITS = """INSERT INTO limit_fact
SELECT 0, 'grocer', 'limit-' || r, r, false, 'tenant', 'value', 'month', false, 1000000 FROM range($1::bigint) t(r)"""
USES = """INSERT INTO use_fact
SELECT r % 8, 'grocer', 'limit-' || (r % $2), '', timestamptz '2026-01-01 00:00:00+00' + to_hours((r // $2)::integer), r % 97
FROM range($1::bigint) t(r)"""
SPLIT = 4_000
"""Limits, each of which was used in 2,500 hours."""


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
        lasting = await measure_reports(lambda: bay.report_liability_expiries(ask_months(chances)))
        asked = UpliftQuestion(
            "grocer", "campaign-3", "PURCHASE", '$."amount"', date(2026, 2, 1), date(2026, 2, 28), 30
        )
        asked_of_standing = await measure_standing(bay, chances)
        uplift, groups = [], 0
        for _ in range(3):
            began = time.perf_counter()
            groups = sum(group.users for group in (await measure_uplift(asked, bay, queries)).groups)
            uplift.append(time.perf_counter() - began)
    return [
        at_most("points outstanding at an instant, of 10 million transfers, p95", 500, held),
        at_most("what moved them between two instants, p95", 500, moved),
        at_most(
            "points outstanding by month of expiry at an instant, of 10 million changes of lots, p95", 500, lasting
        ),
        *asked_of_standing,
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
    bay._connection.execute(LOTS, [FACTS])
    bay._connection.execute(DECISIONS, [FACTS, CAMPAIGNS, events.USERS])
    store_standing(bay)


def store_standing(bay: DuckdbBay) -> None:
    """Quest instances, incentives with their acks and claims, and hours of limits."""
    for statement in (QUESTS, GRANTS):
        bay._connection.execute(statement, [FACTS, CAMPAIGNS])
    for statement in (ACKS, CLAIMS):
        bay._connection.execute(statement)
    bay._connection.execute(LIMITS, [SPLIT])
    bay._connection.execute(USES, [FACTS, SPLIT])


async def measure_standing(bay: DuckdbBay, chances: random.Random) -> list[Figure]:
    """Of a campaign's month; of limits the first page, at the end of what is known."""

    def ask_funnel() -> Awaitable[object]:
        begin = FIRST + timedelta(days=chances.randrange(70))
        end, quest = begin + timedelta(days=30), f"quest-{chances.randrange(CAMPAIGNS)}"
        return bay.report_quest_funnel(FunnelQuestion("grocer", quest, begin, end, end, 51, 0))

    def ask_times() -> Awaitable[object]:
        first = date(2026, 1, 1) + timedelta(days=chances.randrange(70))
        campaign = f"campaign-{chances.randrange(CAMPAIGNS)}"
        asked = Question("grocer", first, first + timedelta(days=30), campaign, 51, (date.min, ""))
        return bay.report_campaign_times(asked)

    def ask_limits() -> Awaitable[object]:
        return bay.report_limit_burn(ask_burn("grocer", "UTC", FIRST + timedelta(hours=2_490), 51, ("", "")))

    def ask_hours() -> Awaitable[object]:
        limit_id = f"limit-{chances.randrange(SPLIT)}"
        return bay.report_limit_hours(LimitHoursQuestion("grocer", limit_id, None, MIN_TIME, MAX_TIME, 501, MIN_TIME))

    return [
        at_most("a quest's month by step, of 10 million instances, p95", 500, await measure_reports(ask_funnel)),
        at_most(
            "a campaign's month from event to claim, of 10 million incentives, p95",
            500,
            await measure_reports(ask_times),
        ),
        at_most("how fast 50 of 4,000 limits go, of 10 million hours, p95", 500, await measure_reports(ask_limits)),
        at_most("one limit's hours, p95", 500, await measure_reports(ask_hours)),
    ]


def ask(chances: random.Random) -> LiabilityQuestion:
    """A question between two random instants."""
    begin, end = sorted(FIRST + timedelta(seconds=chances.uniform(0, 8_640_000)) for _ in range(2))
    return LiabilityQuestion("grocer", max(begin, MIN_TIME), end, 500, "")


def ask_months(chances: random.Random) -> ExpiryQuestion:
    """A question as of a random instant, of a tenant in Berlin."""
    return ask_expiries(
        "grocer", "Europe/Berlin", FIRST + timedelta(seconds=chances.uniform(0, 8_640_000)), 500, ("", "")
    )


async def measure_reports(report: Callable[[], Awaitable[object]]) -> int:
    """The 95th percentile, in ms."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await report()
        took.append(time.perf_counter() - began)
    return round(quantiles(took, n=20)[18] * 1000)
