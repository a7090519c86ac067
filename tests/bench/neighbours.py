"""How long a tenant's events wait beside a tenant whose every event runs the worst rule allowed, and beside large work."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from random import Random
from statistics import median, quantiles
from subprocess import Popen
from typing import Any

import asyncpg
import psycopg
from msgspec import json

from fillip.core.campaign.campaign import CheckedExpression
from fillip.core.pattern import MAX_MATCHED_CHARS
from fillip.core.rule import RuleRefused
from fillip.core.schema.types import EMPTY, derive_type
from fillip.figures import Figure, at_most, note
from fillip.manage.rule.checker import check_rule
from fillip.stream.kafka import KafkaProducer, ensure_topics
from fillip.stream.topics import Topics
from tests.bench.load import ACTION, TENANT, draw_events
from tests.bench.operations import bench_operations
from tests.bench.site import Site

PAIRS, HALF_S, WARM_UP_S = 10, 5.0, 3.0
EVERY_S, NEIGHBOUR_EVERY = 0.005, 10  # 200 events/s, and 20 of the neighbour's
LIST = 256
CALM, DEAR, PATTERNS = "calm", "dear", "patterns"  # neighbours, who take turns
PATTERN_PAIRS = 4
TOPICS = Topics("near.")
LISTED = {"type": "array", "items": {"type": "string"}, "maxItems": LIST}
SCHEMA = {"type": "object", "properties": {"tags": LISTED, "text": {"type": "string"}}}
TEXT = "".join(Random(8).choices("ab", k=MAX_MATCHED_CHARS))
TAGS = [f"tag-{number}" for number in range(LIST)]


def bench(site: Site) -> list[Figure]:
    """Pairs of five seconds: beside a rule that asks nothing much, beside the worst one."""
    source = find_worst_rule()
    with site.database() as dsn:
        for tenant, rule in ((CALM, "size(event.tags) == 1"), (DEAR, source), (PATTERNS, find_worst_patterns())):
            write_neighbour(dsn, tenant, rule)
        with site.process(site.settings(dsn, TOPICS), "fillip.app.cli", "worker") as child:
            events = draw_own_events()
            pairs = asyncio.run(measure_pairs(site, dsn, child, events))
            beside = asyncio.run(measure_pairs(site, dsn, child, events, PATTERNS, PATTERN_PAIRS))
    worse = [round((dear / calm - 1) * 100, 1) for calm, dear in pairs]
    return [
        *report_patterns(beside),
        note("worst rule allowed", source.count("exists"), "times through a list of 256"),
        note("p99 beside a calm neighbour, median", round(median(calm for calm, _ in pairs), 1), "ms"),
        note("p99 beside the worst rule, median", round(median(dear for _, dear in pairs), 1), "ms"),
        at_most(f"p99 is worse by, median of {PAIRS} pairs", 10, round(median(worse), 1), "%"),
        *bench_operations(site),
    ]


def find_worst_rule() -> str:
    """As many searches through a list of 256 as saving lets pass; none is found, so that each event makes them all."""
    shape = derive_type(SCHEMA)
    for searches in range(39, 0, -1):  # 39 lists are 9,984 items: a run stops at 10,000
        source = " || ".join(f'event.tags.exists(t, t == "x{number}")' for number in range(searches))
        try:
            check_rule(source, shape, EMPTY)
        except RuleRefused:
            continue
        return source
    raise AssertionError("no search at all is allowed")


def find_worst_patterns() -> str:
    """As many patterns of many states as saving lets run over a text; none is found."""
    shape = derive_type(SCHEMA)
    for times in range(40, 0, -1):
        source = " || ".join(f'event.text.matches("a[ab]{{20}}{number}")' for number in range(times))
        try:
            check_rule(source, shape, EMPTY)
        except RuleRefused:
            continue
        return source
    raise AssertionError("no pattern at all is allowed")


def report_patterns(pairs: list[tuple[float, float]]) -> list[Figure]:
    """The other tenant's waits beside a tenant whose every event runs these patterns."""
    more_ms = median(patterns - calm for calm, patterns in pairs)
    return [
        note("p99 beside the worst patterns, median", round(median(patterns for _, patterns in pairs), 1), "ms"),
        at_most(f"p99 beside the worst patterns is later by, median of {len(pairs)}", 200, round(more_ms, 1), "ms"),
    ]


def write_neighbour(dsn: str, tenant: str, rule: str) -> None:
    """A tenant with one campaign, as the control plane would have stored it."""
    definition = {"kind": "SIMPLE", "name": "n", "action": ACTION, "rule": rule, "rewards": [{"kind": "badge"}]}
    checked = {"rule": CheckedExpression(check_rule(rule, derive_type(SCHEMA), EMPTY).checked)}
    with psycopg.connect(dsn) as owner:
        owner.execute(
            "INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) VALUES (%s, 'N', 'UTC', 'USD', 'live')",
            [tenant],
        )
        owner.execute(
            "INSERT INTO action (tenant_id, name, schema) VALUES (%s, %s, %s)",
            [tenant, ACTION, json.encode(SCHEMA).decode()],
        )
        owner.execute(
            "INSERT INTO campaign (tenant_id, campaign_id, state, version) VALUES (%s, 'c', 'running', 1)", [tenant]
        )
        owner.execute(
            "INSERT INTO campaign_version (tenant_id, campaign_id, version, definition, checked)"
            " VALUES (%s, 'c', 1, %s, %s)",
            [tenant, json.encode(definition).decode(), json.encode(checked).decode()],
        )


async def measure_pairs(
    site: Site,
    dsn: str,
    child: Popen[bytes],
    events: Iterator[dict[str, Any]],
    dear: str = DEAR,
    number_of_pairs: int = PAIRS,
) -> list[tuple[float, float]]:
    """(p99 beside calm, p99 beside dear) in ms, of each pair; which comes first alternates. An event counts once: none of
    `events` may have been sent before.
    """
    await ensure_topics(site.addresses.kafka_bootstrap, TOPICS)
    producer = KafkaProducer(site.addresses.kafka_bootstrap)
    for neighbour in (CALM, dear):
        await send(producer, events, neighbour, WARM_UP_S)
    pairs = []
    for number in range(number_of_pairs):
        order = (CALM, dear) if number % 2 else (dear, CALM)
        waits = {neighbour: await measure(producer, dsn, events, neighbour) for neighbour in order}
        assert child.poll() is None, "the worker has ended"
        pairs.append((waits[CALM], waits[dear]))
        site.tell(f"pair {number + 1}: {waits[CALM]:.1f} ms beside calm, {waits[dear]:.1f} ms beside {dear}")
    await producer.close()
    return pairs


async def measure(producer: KafkaProducer, dsn: str, events: Iterator[dict[str, Any]], neighbour: str) -> float:
    """p99 in ms from sending to deciding, of the tenant's own events of some seconds."""
    began = datetime.now(UTC)
    sent = await send(producer, events, neighbour, HALF_S)
    ledger = await asyncpg.connect(dsn)
    query = (
        "SELECT extract(epoch FROM decided_at - occurred_at)::float8 * 1000 AS wait_ms"
        " FROM decision WHERE tenant_id = $1 AND occurred_at >= $2"
    )
    try:
        async with asyncio.timeout(30):
            while len(rows := await ledger.fetch(query, TENANT, began)) < sent:
                await asyncio.sleep(0.05)
    finally:
        await ledger.close()
    return quantiles([row["wait_ms"] for row in rows], n=100)[98]


async def send(producer: KafkaProducer, events: Iterator[dict[str, Any]], neighbour: str, seconds: float) -> int:
    """Send at an even pace, each event with the instant of sending as its time; how many of the tenant's own."""
    loop, number = asyncio.get_running_loop(), 0
    began, sending = loop.time(), set()
    for number in range(1, round(seconds / EVERY_S) + 1):
        await asyncio.sleep(began + number * EVERY_S - loop.time())
        batch = [(TENANT, next(events))]
        if number % NEIGHBOUR_EVERY == 0:
            batch.append((neighbour, draw_neighbour_event(next(events))))
        messages = [(TOPICS.received, f"{t}:{e['subject']}".encode(), write(t, e)) for t, e in batch]
        sending.add(asyncio.create_task(producer.send_many(messages)))
    await asyncio.gather(*sending)
    return number


def write(tenant: str, event: dict[str, Any]) -> bytes:
    """As it stands in the log, sent now."""
    return json.encode({**event, "tenantid": tenant, "time": datetime.now(UTC)})


def draw_own_events() -> Iterator[dict[str, Any]]:
    """Purchases without end that are all granted."""
    for start in count(0, 1_000):
        yield from (event for event in draw_events(1_000, start) if str(event["id"]).endswith("0"))


def draw_neighbour_event(event: dict[str, Any]) -> dict[str, Any]:
    """The same with a full list."""
    return {**event, "data": {"tags": TAGS, "text": TEXT}}
