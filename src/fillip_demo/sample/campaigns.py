"""completejourney as a tenant's book: 27 real coupon campaigns, a cashback campaign and a quest.

Documents are the JSON of the control plane's resources; the ids of actions and campaigns stand beside them.
"""

from collections import defaultdict
from collections.abc import Mapping

from fillip_demo.sample.tables import rows

Document = dict[str, object]

TENANT = "grocer"
TENANT_DOCUMENT: Document = {
    "tenant_id": TENANT,
    "name": "Grocer (completejourney sample)",
    "time_zone": "UTC",
    "currency": "USD",
    "clock": "history",
}


def actions() -> dict[str, Document]:
    """JSON Schema of the attributes of each action; money in US cents."""
    text, count = {"type": "string", "maxLength": 64}, {"type": "integer", "minimum": 0}
    purchase = {"basket": text, "store": text, "amount_cents": count, "lines": count, "coupon_discount_cents": count}
    return {
        "PURCHASE": _schema(purchase),
        "ENROLLED": _schema({"campaign": text, "type": text}),
        "REDEEM": _schema({"coupon": text, "campaign": text}),
    }


def campaigns() -> dict[str, Document]:
    """All 29 campaign definitions by campaign id: cj-1 .. cj-27, cashback, three-visits."""
    bound: dict[str, list[str]] = defaultdict(list)
    for coupon, campaign in rows("coupons"):
        bound[campaign].append(coupon)
    coupon_campaigns = {
        f"cj-{number}": _coupon_campaign(number, kind, start, end, bound[number])
        for number, kind, start, end in rows("campaigns")
    }
    return {**coupon_campaigns, "cashback": _cashback(), "three-visits": _three_visits()}


def limits() -> list[Document]:
    """All 28 limits: coupon campaigns once per household and coupon; $100 of cashback a day in all."""
    daily = {"limit_id": "cashback-daily", "scope": "tenant", "measure": "value", "span": "day", "cap": 10_000}
    return [*(_once(f"cj-{row[0]}") for row in rows("campaigns")), {**daily, "reward_kind": "cashback"}]


def cohort_csv(campaign_id: str) -> bytes:
    """User ids of a coupon campaign's cohort (its id is the campaign's, cj-N), one a line, in file order."""
    number = campaign_id.removeprefix("cj-")
    return "".join(f"h{household}\n" for campaign, household in rows("enrolments") if campaign == number).encode()


def users() -> list[str]:
    """Ids of all 2,469 households that occur in any event, in numeric order."""
    seen = {row[1] for row in rows("baskets")} | {row[1] for row in rows("enrolments")}
    seen |= {row[0] for row in rows("redemptions")}
    return [f"h{household}" for household in sorted(seen, key=int)]


def _schema(properties: Mapping[str, object]) -> Document:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _coupon_campaign(number: str, kind: str, start: str, end: str, coupons: list[str]) -> Document:
    listed = ", ".join(f'"{coupon}"' for coupon in coupons)
    return {
        "kind": "SIMPLE",
        "name": f"Coupon campaign {number} ({kind})",
        "action": "REDEEM",
        "rule": f'event.campaign == "{number}" && event.coupon in [{listed}]',
        "cohorts": [f"cj-{number}"],
        "schedule": {"starts_at": f"{start}T00:00:00Z", "ends_at": f"{end}T23:59:59Z"},
        "rewards": [{"kind": "coupon", "payload": {"campaign": number, "type": kind}}],
    }


def _cashback() -> Document:
    return {
        "kind": "SIMPLE",
        "name": "$1 back on baskets of $50 or more",
        "action": "PURCHASE",
        "rule": "event.amount_cents >= 5000",
        "rewards": [{"kind": "cashback", "value": 100}],
    }


def _three_visits() -> Document:
    step = {"name": "visit", "action": "PURCHASE", "rule": "true", "count": 3}
    return {
        "kind": "QUEST",
        "name": "Three visits in a week",
        "quest": {"start": {"at": "first_step"}, "window_s": 604_800, "repeatable": True, "steps": [step]},
        "rewards": [{"kind": "points", "value": 50}],
    }


def _once(campaign_id: str) -> Document:
    return {
        "limit_id": f"{campaign_id}-once",
        "campaign_id": campaign_id,
        "scope": "user_in_campaign",
        "measure": "count",
        "span": "lifetime",
        "cap": 1,
        "key": "event.coupon",
    }
