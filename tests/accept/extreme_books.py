"""What the extremes are put into: sound actions, campaigns, limits, events, uploads and orders of every kind."""

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

ACTIONS: dict[str, Any] = {
    "BUY": {
        "type": "object",
        "properties": {
            "amount": {"type": "integer"},
            "price": {"type": "number"},
            "store": {"type": "string"},
            "at": {"type": "string", "format": "date-time"},
            "gift": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 256},
            "lines": {
                "type": "array",
                "maxItems": 64,
                "items": {"type": "object", "properties": {"sku": {"type": "string"}, "n": {"type": "integer"}}},
            },
            "more": {"type": "object"},
        },
        "required": ["amount"],
    },
    "VIEW": {"type": "object", "properties": {"post": {"type": "string"}, "seconds": {"type": "integer"}}},
}
POINTS = {"kind": "points", "value": 10}
CAMPAIGNS: dict[str, Any] = {
    "plain": {"kind": "SIMPLE", "name": "Plain", "action": "BUY", "rewards": [POINTS]},
    "reckoned": {
        "kind": "SIMPLE",
        "name": "Reckoned",
        "action": "BUY",
        "rule": 'event.amount >= 0 && event.store != "nowhere"',
        "rewards": [{"kind": "points", "formula": {"of": "event.amount / 10"}}],
    },
    "timed": {
        "kind": "SIMPLE",
        "name": "Timed",
        "action": "BUY",
        "rule": 'event.at.getHours("America/Chicago") >= 0',
        "rewards": [{"kind": "custom", "payload": {"a": 1}, "expires_after_s": 3600}],
    },
    "later": {
        "kind": "SIMPLE",
        "name": "Later",
        "action": "BUY",
        "rewards": [{"kind": "points", "value": 5, "pending_for_s": 1, "expires_after_s": 316_224_000}],
    },
    "coupon": {"kind": "SIMPLE", "name": "Coupon", "action": "BUY", "rewards": [{"kind": "coupon", "pool": "pool"}]},
    "badge": {"kind": "SIMPLE", "name": "Badge", "action": "VIEW", "rewards": [{"kind": "badge", "badge": "star"}]},
    "streak": {
        "kind": "QUEST",
        "name": "Streak",
        "quest": {
            "repeatable": True,
            "steps": [{"name": "daily", "action": "VIEW", "streak": {"length": 2, "unit": "week", "freeze": 1}}],
        },
        "rewards": [POINTS],
    },
    "sum": {
        "kind": "QUEST",
        "name": "Sum",
        "quest": {
            "window_s": 31_536_000,
            "lateness_s": 86_400,
            "repeatable": True,
            "steps": [{"name": "spend", "action": "BUY", "sum": "event.amount", "at_least": 1_000}],
        },
        "rewards": [POINTS],
    },
    "posts": {
        "kind": "QUEST",
        "name": "Posts",
        "quest": {
            "start": {"at": "event", "action": "VIEW"},
            "instance": {"key": "event.post"},
            "window_s": 86_400,
            "repeatable": True,
            "steps": [{"name": "watch", "action": "VIEW", "rule": "event.post == start.post", "count": 3}],
        },
        "rewards": [POINTS],
    },
}
LIMITS: list[dict[str, Any]] = [
    {"limit_id": "day", "scope": "user", "measure": "count", "span": "day", "cap": 500},
    {"limit_id": "week", "scope": "tenant", "measure": "value", "reward_kind": "points", "span": "week", "cap": 10**12},
    {"limit_id": "store", "scope": "user", "measure": "count", "span": "month", "action": "BUY", "key": "event.store", "cap": 400},
    {"limit_id": "ever", "scope": "campaign", "campaign_id": "plain", "measure": "count", "span": "lifetime", "cap": 10**9},
]  # fmt: skip
NOW = datetime.now(UTC).isoformat()
EVENTS: list[dict[str, Any]] = [
    {
        "specversion": "1.0",
        "id": "e",
        "source": "till",
        "type": "BUY",
        "subject": "ann",
        "time": NOW,
        "data": {
            "amount": 120,
            "price": 1.5,
            "store": "s1",
            "at": NOW,
            "gift": True,
            "tags": ["a", "b"],
            "lines": [{"sku": "x", "n": 1}],
            "more": {"a": {"b": 1}},
        },
    },
    {
        "specversion": "1.0",
        "id": "e",
        "source": "app",
        "type": "VIEW",
        "subject": "ann",
        "time": NOW,
        "datacontenttype": "application/json",
        "data": {"post": "p1", "seconds": 30},
    },
    {
        "specversion": "1.0",
        "id": "e",
        "source": "till",
        "type": "fillip.reversal",
        "subject": "ann",
        "time": NOW,
        "data": {"event_id": "x-1", "reason": "returned", "amount": 10, "of": 120},
    },
]


class Order(Struct, frozen=True):
    """One operation of the API: names for its path, parameters it may be asked with, and a sound body."""

    method: str
    path: str
    names: tuple[str, ...] = ()
    body: object = None
    questions: tuple[str, ...] = ()
    media: str = "application/json"


_PAGE = ("limit", "cursor")
_DEFINITION = CAMPAIGNS["posts"] | {
    "schedule": {"starts_at": "2026-01-01T00:00:00Z", "ends_at": "2027-01-01T00:00:00Z"}
}
_PRICED = CAMPAIGNS["reckoned"] | {"priority": 5, "exclusive": {"group": "g", "pick": "value"}, "cohorts": []}
ORDERS: list[Order] = [
    Order("PUT", "/v1/actions/{}", ("NEW",), {"schema": ACTIONS["BUY"], "compatibility": "none"}),
    Order("PUT", "/v1/actions/{}", ("BUY",), {"schema": ACTIONS["BUY"]}),
    Order("POST", "/v1/campaigns", (), {"campaign_id": "new", "definition": _DEFINITION}),
    Order("POST", "/v1/campaigns", (), {"campaign_id": "new2", "definition": _PRICED}),
    Order("PUT", "/v1/campaigns/{}", ("sum",), {"definition": CAMPAIGNS["sum"]}, ("open_instances",)),
    Order("PUT", "/v1/campaigns/{}", ("later",), {"definition": CAMPAIGNS["later"]}),
    Order("POST", "/v1/campaigns/{}/{}", ("new", "launch")),
    Order("POST", "/v1/campaigns/{}/explain", ("reckoned",), {"event": EVENTS[0]}),
    Order("GET", "/v1/campaigns/{}/explain", ("sum",), None, ("event_id", "event_source")),
    Order("GET", "/v1/campaigns", (), None, ("state", "kind", *_PAGE)),
    Order("POST", "/v1/limits", (), {**LIMITS[2], "limit_id": "new"}),
    Order("PUT", "/v1/limits/{}", ("store",), LIMITS[2]),
    Order("GET", "/v1/limits/{}/usage", ("day",), None, ("user_id", *_PAGE)),
    Order("PUT", "/v1/lists/{}", ("skus",), {"name": "Skus", "items": ["a", "b", 3]}),
    Order("POST", "/v1/cohorts", (), {"cohort_id": "gold", "name": "Gold"}),
    Order("PUT", "/v1/cohorts/{}/members", ("gold",), b"user_id\nann\nbob\n", (), "text/csv"),
    Order("GET", "/v1/cohorts/{}/members", ("gold",), None, _PAGE),
    Order("POST", "/v1/coupon-pools/{}/codes", ("pool",), b"code\nABC-1\nABC-2\n", (), "text/csv"),
    Order("POST", "/v1/coupon-pools/{}/codes", ("pool",), b'{"code": "Q-1"}\n{"code": "Q-2"}\n', (), "application/x-ndjson"),
    Order("POST", "/v1/coupon-pools/{}/generations", ("pool",), {"count": 10, "pattern": "#############"}),
    Order("POST", "/v1/coupon-pools", (), {"pool_id": "p2", "name": "Second"}),
    Order("GET", "/v1/coupons/{}", ("ABC-1",)),
    Order("POST", "/v1/coupons/{}/reservations", ("ABC-1",), {"for_s": 60}),
    Order("POST", "/v1/badges", (), {"badge_id": "b2", "name": "Second", "image_url": "https://example.com/a.png"}),
    Order("PUT", "/v1/users/{}", ("u1",), {"attributes": {"tier": "gold", "n": 1}}),
    Order("PATCH", "/v1/users/{}", ("u1",), {"attributes": {"tier": "silver"}}),
    Order("POST", "/v1/users:bulk", (), {"users": [{"user_id": "u2", "attributes": {"a": 1}}]}),
    Order("GET", "/v1/users", (), None, ("user_id", *_PAGE)),
    Order("GET", "/v1/users/{}/inbox", ("u1",), None, _PAGE),
    Order("GET", "/v1/users/{}/quests", ("u1",), None, ("campaign_id", *_PAGE)),
    Order("GET", "/v1/users/{}/wallets/{}", ("u1", "POINTS")),
    Order("POST", "/v1/users/{}/wallets/{}/spends", ("u1", "POINTS"), {"spend_id": "s1", "amount": 3}),
    Order("POST", "/v1/users/{}/wallets/{}/spends/{}/refund", ("u1", "POINTS", "s1")),
    Order("POST", "/v1/users/{}/wallets/{}/adjustments", ("u1", "POINTS"),
          {"adjustment_id": "a1", "amount": 50, "reason": "kind", "expires_at": "2030-01-01T00:00:00Z"}),
    Order("GET", "/v1/users/{}/wallets/{}/transfers", ("u1", "POINTS"), None, ("kind", *_PAGE)),
    Order("PUT", "/v1/points/{}", ("MILES",), {"name": "Miles", "floor": -100}),
    Order("POST", "/v1/reversals", (), {"reversal_id": "r1", "event_id": "x-2", "event_source": "app", "user_id": "u1", "amount": 5, "of": 120,
                                        "reason": "returned"}),
    Order("GET", "/v1/reversals", (), None, ("state", "event_id", "event_source", "user_id", *_PAGE)),
    Order("GET", "/v1/decisions", (), None, ("user_id", "campaign_id", "event_id", "event_source", "outcome", *_PAGE)),
    Order("GET", "/v1/incentives", (), None, ("user_id", "campaign_id", "state", *_PAGE)),
    Order("GET", "/v1/rejections", (), None, ("reason", "event_id", "event_source", *_PAGE)),
    Order("GET", "/v1/quests/progress", (), None, ("user_id", "campaign_id", *_PAGE)),
    Order("POST", "/v1/keys", (), {"name": "k", "scopes": ["events:write"], "expires_at": "2030-01-01T00:00:00Z"}),
    Order("POST", "/v1/tickets", (), {"user_id": "u1"}),
    Order("PATCH", "/v1/tenant", (), {"name": "Changed", "user_schema": {"type": "object", "properties": {"tier": {"type": "string"}}}}),
    Order("POST", "/v1/tenants", (), {"tenant_id": "t2", "name": "T", "time_zone": "UTC", "currency": "USD", "clock": "live"}),
]  # fmt: skip
