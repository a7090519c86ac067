"""What a user can earn, over HTTP: with a cart, and before any, among 10,000 campaigns with limits, groups and quests."""

import asyncio
import http.client
import random
from collections import Counter
from collections.abc import Iterator
from statistics import quantiles
from typing import Any

import psycopg
from msgspec import json

from fillip.app.operate import create_key
from fillip.core.campaign.campaign import CheckedExpression
from fillip.embedded.ports import choose_free_port
from fillip.figures import Figure, at_least, at_most, note
from fillip.manage.rule.checker import check_rule
from fillip.stream.kafka import ensure_topics
from fillip.stream.topics import Topics
from tests.bench.explain import send
from tests.bench.http import await_ready
from tests.bench.site import Site, read_cpu_s
from tests.core.index_book import ACTION, TIERS, USER, draw_attributes, make_rules

TOPICS = Topics("bench-eligibility.")
TENANT, CAMPAIGNS, USERS = "large", 10_000, 200
WARM_UP, ASKED, ASKED_BEFORE = 200, 1_000, 100
TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
SCHEMA = {
    "type": "object",
    "required": ["sku", "store", "category", "amount", "rating", "member", "tags"],
    "properties": {
        "sku": TEXT,
        "store": TEXT,
        "category": TEXT,
        "amount": WHOLE,
        "rating": {"type": "number"},
        "member": {"type": "boolean"},
        "tags": {"type": "array", "items": TEXT},
        "coupon": TEXT,
    },
}
USER_SCHEMA = {"type": "object", "properties": {"tier": TEXT, "age": WHOLE}}


def bench(site: Site) -> list[Figure]:
    """One request after the other on one connection, of users and carts in turns; each answer tells 50 campaigns."""
    port = choose_free_port()
    asyncio.run(ensure_topics(site.addresses.kafka_bootstrap, TOPICS))
    with site.database() as dsn:
        site.tell(f"writing {CAMPAIGNS:,} campaigns")
        write_campaigns(dsn)
        with site.process(site.settings(dsn, TOPICS, api_port=port), "fillip.app.cli", "api") as api:
            key = str(create_key(dsn, TENANT, "bench").key)
            await_ready(port)
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            site.tell(f"asking for {WARM_UP + ASKED} carts")
            ask(line, key, draw_bodies(WARM_UP, seed=1))
            before_s = read_cpu_s(api.pid)
            taken_ms, counts = ask(line, key, draw_bodies(ASKED, seed=2))
            cpu_ms = (read_cpu_s(api.pid) - before_s) * 1000 / ASKED
            users = ({"user_id": f"u{number % USERS}"} for number in range(ASKED_BEFORE))
            before_ms, before = ask(line, key, users)
    cuts, first = quantiles(taken_ms, n=100), quantiles(before_ms, n=100)
    return [
        at_most("eligibility at 10,000 campaigns, p99", 10, round(cuts[98], 2), "ms"),
        note("eligibility at 10,000 campaigns, p50", round(cuts[49], 2), "ms"),
        note("CPU of the API for one", round(cpu_ms, 2), "ms"),
        at_least("campaigns nearly earned, mean of a cart", 10, round(counts["nearly"] / ASKED, 1), "campaigns"),
        note("campaigns earned, mean of a cart", round(counts["earned"] / ASKED, 1), "campaigns"),
        note("before any event, p50", round(first[49], 2), "ms"),
        note("before any event, p99", round(first[98], 2), "ms"),
        note("campaigns open before any event, mean", round(before["open"] / ASKED_BEFORE), "campaigns"),
    ]


def ask(
    line: http.client.HTTPConnection, key: str, bodies: Iterator[dict[str, Any]]
) -> tuple[list[float], Counter[str]]:
    """(ms of each, how many campaigns of each outcome in all)."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    taken_ms, counts = [], Counter[str]()
    for body in bodies:
        text, took_ms = send(line, "POST", "/v1/eligibility", json.encode(body), headers)
        taken_ms.append(took_ms)
        found = json.decode(text)
        assert found["total"] == CAMPAIGNS and len(found["campaigns"]) == 50, text[:500]
        counts.update(found["counts"])
    return taken_ms, counts


def draw_bodies(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Carts as index_book has events."""
    dice = random.Random(seed)
    for _ in range(count):
        attributes = {name: value for name, value in draw_attributes(dice).items() if value is not None}
        yield {"user_id": f"u{dice.randrange(USERS)}", "event": {"action": "BUY", "attributes": attributes}}


def write_campaigns(dsn: str) -> None:
    """As the control plane would have stored them: mixed rules, each tenth in a group, each fifth with a limit of its own, each
    hundredth a quest of three such purchases; one limit a user and day for all, with room.
    """
    dice = random.Random(7)
    rows = [_define(number, made.source, dice) for number, made in enumerate(make_rules(CAMPAIGNS))]
    users = [
        (TENANT, f"u{number}", _write({"tier": dice.choice(TIERS), "age": 20 + number % 60})) for number in range(USERS)
    ]
    limits: list[tuple[str, str, str | None, int]] = [("one-user", "user", None, 1_000_000)]
    limits += [(f"l{number:05}", "user_in_campaign", f"c{number:05}", 1) for number in range(0, CAMPAIGNS, 5)]
    with psycopg.connect(dsn) as owner, owner.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tenant (tenant_id, name, time_zone, currency, clock, user_schema) VALUES (%s, 'L', 'UTC', 'USD', 'live', %s)",
            [TENANT, _write(USER_SCHEMA)],
        )
        cursor.execute("INSERT INTO action (tenant_id, name, schema) VALUES (%s, 'BUY', %s)", [TENANT, _write(SCHEMA)])
        cursor.execute(
            "INSERT INTO campaign (tenant_id, campaign_id, state, version) SELECT %s, n, 'running', 1 FROM unnest(%s::text[]) AS n",
            [TENANT, [name for name, _, _ in rows]],
        )
        cursor.execute(
            "INSERT INTO campaign_version (tenant_id, campaign_id, version, definition, checked)"
            " SELECT %s, n, 1, d::jsonb, c::jsonb FROM unnest(%s::text[], %s::text[], %s::text[]) AS v (n, d, c)",
            [TENANT, *map(list, zip(*rows, strict=True))],
        )
        cursor.executemany("INSERT INTO end_user (tenant_id, user_id, attributes) VALUES (%s, %s, %s)", users)
        cursor.executemany(
            "INSERT INTO spending_limit (tenant_id, limit_id, scope, measure, span, campaign_id, cap)"
            " VALUES (%s, %s, %s, 'count', 'day', %s, %s)",
            [(TENANT, *limit) for limit in limits],
        )


def _define(number: int, rule: str, dice: random.Random) -> tuple[str, str, str]:
    """(id, definition, checked expressions)."""
    name, found = f"c{number:05}", check_rule(rule, ACTION, USER)
    value = dice.randrange(1, 50) * 100
    reward = (
        {"kind": "points", "value": value} if number % 2 else {"kind": "cashback", "value": value, "currency": "USD"}
    )
    definition: dict[str, Any] = {
        "kind": "SIMPLE",
        "name": rule[:100],
        "action": "BUY",
        "rule": rule,
        "rewards": [reward],
    }
    path = "rule"
    if number % 100 == 50:
        quest = {"steps": [{"name": "buy", "action": "BUY", "rule": rule, "count": 3}], "window_s": 604_800}
        definition = {"kind": "QUEST", "name": rule[:100], "quest": quest, "rewards": [reward]}
        path = "quest.steps.0.rule"
    elif number % 10 == 3:
        definition["exclusive"] = {"group": f"g{number % 50}", "pick": "priority"}
    return (
        name,
        _write(definition),
        _write({path: CheckedExpression(found.checked, found.uses_user, found.uses_cohorts)}),
    )


def _write(value: object) -> str:
    return json.encode(value).decode()
