"""What the heaviest events do to their worker: one that completes 100 instances of each of 100 quests, and some that meet
5,000 campaigns.
"""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import psycopg
import uvloop
from msgspec import json

from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.campaign.vocabulary import TypeContext
from fillip.core.ledger.settlement import MAX_GRANTS
from fillip.core.schema.types import derive_type
from fillip.figures import Figure, at_most, expect, note
from fillip.ingest import Ingest
from fillip.manage.campaign.expressions import check_expression
from fillip.match import Meet
from fillip.match.numbers_postgres import PostgresNumbers
from fillip.match.postgres import PostgresBooks
from fillip.match.users_postgres import PostgresUsers
from fillip.migrations import role_dsn
from fillip.settle import Settle
from fillip.settle.postgres import PostgresLedger
from fillip.stream.belt import Batch, Record, Span
from tests.bench.books import watch
from tests.bench.site import Site

TOPIC = "bench.heavy"
QUESTS, INSTANCES, CAMPAIGNS, EVENTS = 100, 100, 5_000, 10
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
REWARDS = [{"kind": "points", "value": 5}, {"kind": "cashback", "value": 5, "currency": "USD"}]
QUEST = {
    "kind": "QUEST",
    "name": "q",
    "quest": {
        "steps": [{"name": "buy", "action": "BUY"}],
        "start": {"at": "event", "action": "OFFER"},
        "instance": "event",
    },
    "rewards": REWARDS,
}
SIMPLE = {"kind": "SIMPLE", "name": "s", "action": "BUY", "rule": "true", "rewards": REWARDS}
MOST_MS = 200.0
"""So long may the events of others wait more than without."""


def bench(site: Site) -> list[Figure]:
    """Each on a fresh ledger, the loop looked at meanwhile."""
    figures: list[Figure] = []
    for name, tenant, count, definition, events in (
        (f"1 event that completes {QUESTS * INSTANCES:,} instances", "quests", QUESTS, QUEST, 1),
        (f"{EVENTS} events that meet {CAMPAIGNS:,} campaigns each", "simple", CAMPAIGNS, SIMPLE, EVENTS),
    ):
        with site.database() as dsn:
            write_book(dsn, tenant, count, definition)
            figures += uvloop.run(measure(dsn, site, name, tenant, events))
    return figures


def write_book(dsn: str, tenant: str, count: int, definition: dict[str, Any]) -> None:
    """A tenant with so many campaigns of a kind, and one user whose instances wait for one event each."""
    campaign = json.decode(json.encode(definition), type=Campaign)
    shapes = dict.fromkeys(("BUY", "OFFER"), derive_type(SCHEMA))
    checked: dict[str, CheckedExpression] = {
        each.path: check_expression(each, TypeContext(shapes)) for each in campaign.expressions
    }
    names = [f"c{number:04}" for number in range(count)]
    with psycopg.connect(dsn) as owner:
        owner.execute("INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) VALUES (%s, 'H', 'UTC', 'USD', 'live')", [tenant])  # fmt: skip
        owner.execute(
            "INSERT INTO action (tenant_id, name, schema) SELECT %s, n, %s FROM unnest(%s::text[]) AS n",
            [tenant, json.encode(SCHEMA).decode(), list(shapes)],
        )
        owner.execute("INSERT INTO campaign (tenant_id, campaign_id, state, version) SELECT %s, n, 'running', 1 FROM unnest(%s::text[]) AS n", [tenant, names])  # fmt: skip
        owner.execute(
            "INSERT INTO campaign_version (tenant_id, campaign_id, version, definition, checked)"
            " SELECT %s, n, 1, %s, %s FROM unnest(%s::text[]) AS n",
            [tenant, json.encode(definition).decode(), json.encode(checked).decode(), names],
        )
        if campaign.quest:
            owner.execute(
                "INSERT INTO quest_instance (tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version,"
                " state, started_at, start_event_key, start_event_id, start_event_source, start_offset, steps) SELECT %s, c, 'u', 'o' || n, 1, 1, 'open',"
                " now() - interval '1 day', gen_random_uuid(), 'o' || n, '/till', n, %s FROM unnest(%s::text[]) AS c, generate_series(1, %s) AS n",
                [tenant, '[{"name": "buy", "done": 0, "needed": 1}]', names, INSTANCES],
            )


async def measure(dsn: str, site: Site, name: str, tenant: str, events: int) -> list[Figure]:
    """How long it takes to settle them, and p99 of how long the loop let others wait."""
    told: list[Any] = []
    async with asyncpg.create_pool(role_dsn(dsn, "fillip_worker"), min_size=1, max_size=2) as pool:
        await PostgresLedger(pool, "bench").claim(TOPIC, 0, 0, "")
        ingest, meet = (
            Ingest(PostgresBooks(pool)),
            Meet(PostgresUsers(pool), PostgresNumbers(pool), lambda refusals: None),
        )
        settle = Settle(PostgresLedger(pool, "bench"), lambda settled, *others: told.extend(settled))
        now = datetime.now(UTC)
        records = [Record(TOPIC, 0, n, write(tenant, n, now), b"k", int(now.timestamp() * 1000)) for n in range(events)]
        batch = Batch(records, [Span(TOPIC, 0, 0, events)], now)
        items = await meet(await ingest(batch.records))
        seconds, waited_ms = await watch(settle(batch, items))
    granted = sum(each.decision.outcome == "granted" for each in told)
    site.tell(f"{name}: {len(told):,} decisions, {granted:,} granted in {seconds:.1f} s")
    return [
        note(name, round(seconds, 2), "s"),
        expect("granted, at most so many an event", MAX_GRANTS * events, granted),
        at_most("the loop waits meanwhile, p99", MOST_MS, round(waited_ms, 1), "ms"),
    ]


def write(tenant: str, number: int, now: datetime) -> bytes:
    """A purchase of the one user."""
    event = {"specversion": "1.0", "id": f"b{number}", "source": "bench", "type": "BUY", "subject": "u", "time": now}
    return json.encode({**event, "tenantid": tenant, "data": {"n": number}})
