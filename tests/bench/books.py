"""What a change of one of 10,000 campaigns costs a worker: until it is in force, and what other tenants notice of it."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from statistics import median

import asyncpg
import psycopg
from msgspec import json

from fillip.core.book.book import Book
from fillip.core.campaign.campaign import CheckedExpression
from fillip.core.errors import Crash
from fillip.figures import Figure, at_most, note
from fillip.manage.rule.checker import check_rule
from fillip.match.postgres import PostgresBooks
from fillip.migrations import role_dsn
from tests.bench.site import Site
from tests.core.index_book import ACTION, FORMS, USER, make_rules

CAMPAIGNS, CHANGES, TENANT = 10_000, 5, "large"
LOOK_EVERY_S = 0.001


def bench(site: Site) -> list[Figure]:
    """A book of 10,000 mixed campaigns, loaded once and changed some times."""
    with site.database() as dsn:
        site.tell(f"writing {CAMPAIGNS:,} campaigns")
        write_campaigns(dsn)
        return asyncio.run(measure(site, dsn))


def write_campaigns(dsn: str) -> None:
    """As the control plane would have stored them; the rules share the checked forms of their kinds."""
    codes = [check_rule(form, ACTION, USER).checked for _, form in FORMS]
    names = [f"c{number:05}" for number in range(CAMPAIGNS)]
    definitions = [
        json.encode(
            {"kind": "SIMPLE", "name": name, "action": "BUY", "rule": made.source, "rewards": [{"kind": "badge"}]}
        )
        for name, made in zip(names, make_rules(CAMPAIGNS), strict=True)
    ]
    checked = [json.encode({"rule": CheckedExpression(codes[number % len(codes)])}) for number in range(CAMPAIGNS)]
    with psycopg.connect(dsn) as owner:
        owner.execute(
            "INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) VALUES (%s, 'L', 'UTC', 'USD', 'live')",
            [TENANT],
        )
        owner.execute(
            "INSERT INTO campaign (tenant_id, campaign_id, state, version)"
            " SELECT %s, n, 'running', 1 FROM unnest(%s::text[]) AS n",
            [TENANT, names],
        )
        owner.execute(
            "INSERT INTO campaign_version (tenant_id, campaign_id, version, definition, checked)"
            " SELECT %s, n, 1, d::jsonb, c::jsonb FROM unnest(%s::text[], %s::text[], %s::text[]) AS v (n, d, c)",
            [TENANT, names, [d.decode() for d in definitions], [c.decode() for c in checked]],
        )


async def measure(site: Site, dsn: str) -> list[Figure]:
    """The first load, then one campaign paused at a time."""
    async with asyncpg.create_pool(role_dsn(dsn, "fillip_worker"), min_size=1, max_size=2) as pool:
        books = PostgresBooks(pool)
        site.tell("loading them")
        first_s, _ = await watch(books.pin([TENANT]))
        if not await books.pin([TENANT]):
            raise Crash("the large tenant has no book")
        changes = []
        owner = await asyncpg.connect(dsn)
        for number in range(1, CHANGES + 1):
            name = f"c{number:05}"
            await owner.execute(
                "UPDATE campaign SET state = 'paused' WHERE tenant_id = $1 AND campaign_id = $2", TENANT, name
            )
            await owner.execute("UPDATE tenant SET book_version = $2 WHERE tenant_id = $1", TENANT, number)
            changes.append(await watch(books.refresh(TENANT, number)))
            book = (await books.pin([TENANT]))[TENANT]
            assert isinstance(book, Book)
            assert book.campaign_versions[name].state == "paused"
        await owner.close()
    return [
        note("first load of 10,000 campaigns", round(first_s, 2), "s"),
        at_most("a change in force, median", 1, round(median(seconds for seconds, _ in changes), 2), "s"),
        note("the loop waits meanwhile, p99", round(median(p99 for _, p99 in changes), 1), "ms"),
    ]


async def watch(work: Awaitable[object]) -> tuple[float, float]:
    """(seconds it took, p99 in ms of how long the loop let others wait meanwhile)."""
    waits: list[float] = []

    async def look() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(LOOK_EVERY_S)
            waits.append(time.perf_counter() - began - LOOK_EVERY_S)

    looking = asyncio.create_task(look())
    began = time.perf_counter()
    await work
    seconds = time.perf_counter() - began
    looking.cancel()
    return seconds, tell_p99(waits) * 1000


def tell_p99(values: Sequence[float]) -> float:
    """The value that one in a hundred exceeds."""
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0
