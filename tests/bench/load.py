"""The load of all benches: a tenant with 20 campaigns on one action, and purchases of which every tenth is granted."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import psycopg
from msgspec import json

from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.rule import Rule, compile_rule
from fillip.core.schema.coerce import build_coercer
from fillip.core.schema.types import EMPTY, derive_type
from fillip.manage.rule.checker import check_rule

TENANT, ACTION, USERS = "bench", "PURCHASE", 2_000
GRANT_EVERY = 10  # an event is granted exactly when the number in its id is a multiple of this

_DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=30)
_KINDS = ("book", "food", "game", "shoe", "tool", "toy", "tea", "wine")
_STORES = ("north", "south", "east", "west", "web", "app")
_TAGS = ("new", "gift", "sale", "bulk", "express", "refill")
_PROPERTIES = {
    "amount": {"type": "integer", "minimum": 0},
    "rating": {"type": "number"},
    "category": {"type": "string"},
    "store": {"type": "string"},
    "member": {"type": "boolean"},
    "tags": {"type": "array", "items": {"type": "string"}},
}
SCHEMA: dict[str, Any] = {"type": "object", "required": list(_PROPERTIES), "properties": _PROPERTIES}
RULES = (
    *(f'event.category == "{kind}" && event.amount >= 950' for kind in _KINDS),
    'event.store == "web" && event.rating > 4.9 && event.member',
    'event.store == "app" && event.amount < 20 && !event.member',
    'event.store in ["north", "south"] && event.rating < 0.05',
    'event.store != "web" && event.amount == 500',
    '"express" in event.tags && event.category in ["tea", "wine"] && event.rating >= 4.8',
    '"bulk" in event.tags && event.amount > 900 && event.store == "east"',
    'event.tags.exists(tag, tag.startsWith("gi")) && event.amount % 100 == 7',
    "size(event.tags) == 3 && event.rating > 4.95",
    'event.member && event.category == "shoe" && event.amount >= 300 && event.amount < 330',
    '(event.store == "west" || event.category == "game") && event.rating > 2.5 && event.rating < 2.55',
    'event.category.endsWith("l") && event.amount * 2 > 1900',
    '!event.member && "refill" in event.tags && event.amount <= 30',
)
LIMITS = (  # with room for all, so that every event that meets a rule is granted
    ("one-user", "user", "count", "day", None, ACTION, 1_000_000),
    ("all-points", "tenant", "value", "lifetime", "points", None, 1_000_000_000),
)


def name_campaign(number: int) -> str:
    """Id of a campaign."""
    return f"campaign-{number:02}"


def write_book(dsn: str) -> None:
    """The tenant as the control plane would have stored it; `dsn` is the owner's."""
    with psycopg.connect(dsn) as owner:
        owner.execute("INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) VALUES (%s, 'Bench', 'UTC', 'USD', 'live')", [TENANT])  # fmt: skip
        owner.execute(
            "INSERT INTO action (tenant_id, name, schema) VALUES (%s, %s, %s)", [TENANT, ACTION, _write(SCHEMA)]
        )
        for number, rule in enumerate(RULES):
            definition, checked = _define(rule)
            owner.execute("INSERT INTO campaign (tenant_id, campaign_id, state, version) VALUES (%s, %s, 'running', 1)", [TENANT, name_campaign(number)])  # fmt: skip
            owner.execute(
                "INSERT INTO campaign_version (tenant_id, campaign_id, version, definition, checked)"
                " VALUES (%s, %s, 1, %s, %s)",
                [TENANT, name_campaign(number), _write(definition), _write(checked)],
            )
        owner.cursor().executemany(
            "INSERT INTO spending_limit (tenant_id, limit_id, scope, measure, span, reward_kind, action, cap)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [(TENANT, *limit) for limit in LIMITS],
        )


def write_events(count: int, start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of `count` purchases as they stand in the log; the same for the same `start`."""
    for event in draw_events(count, start):
        yield f"{TENANT}:{event['subject']}".encode(), json.encode({**event, "tenantid": TENANT})


def draw_events(count: int, start: int = 0, grant_every: int = GRANT_EVERY) -> Iterator[dict[str, Any]]:
    """`count` purchases of 2,000 users as CloudEvents: each tenth meets exactly one rule, the others none."""
    dice = random.Random(start)
    began = datetime.now(UTC) - timedelta(hours=1)
    meeting, missing = _draw_data(dice, True), _draw_data(dice, False)
    for number in range(start, start + count):
        yield {
            "specversion": "1.0",
            "id": f"e{number:08}",
            "source": "bench",
            "type": ACTION,
            "subject": f"u{dice.randrange(USERS)}",
            "time": began + timedelta(milliseconds=number % 1_000_000),
            "data": next(missing if number % grant_every else meeting),
        }


def _draw_data(dice: random.Random, met: bool) -> Iterator[dict[str, Any]]:
    while True:
        data = {
            "amount": dice.randrange(1_000),
            "rating": round(dice.random() * 5, 3),
            "category": dice.choice(_KINDS),
            "store": dice.choice(_STORES),
            "member": dice.random() < 0.5,
            "tags": dice.sample(_TAGS, dice.randrange(4)),
        }
        typed = _coerce(data)
        if sum(bool(rule(typed, {}, frozenset())) for rule in _compile_all()) == met:
            yield data


@cache
def _compile_all() -> list[Rule]:
    return [compile_rule(check_rule(rule, derive_type(SCHEMA), EMPTY).checked) for rule in RULES]


_coerce = build_coercer(derive_type(SCHEMA))


def _define(rule: str) -> tuple[dict[str, Any], dict[str, CheckedExpression]]:
    definition = {
        "kind": "SIMPLE",
        "name": rule,
        "action": ACTION,
        "rule": rule,
        "schedule": {"starts_at": _DAY, "ends_at": _DAY + timedelta(days=60)},
        "rewards": [{"kind": "points", "value": 5}],
    }
    json.decode(json.encode(definition), type=Campaign)  # as strict as the control plane
    found = check_rule(rule, derive_type(SCHEMA), EMPTY)
    return definition, {"rule": CheckedExpression(found.checked, found.uses_user, found.uses_cohorts)}


def _write(value: object) -> str:
    return json.encode(value).decode()
