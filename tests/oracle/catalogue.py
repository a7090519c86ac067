"""What the state machine chooses from: campaigns, limits and instants that lie on every edge."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

DAY_S = 86_400
NOON = datetime(2036, 3, 1, 3, tzinfo=UTC)
"""3 o'clock in UTC is still the day before in New York; eight days later its clocks change."""
RECEIVED_AT = NOON + timedelta(hours=100)
LONG_AGO = -12 * 366 * 24
"""Hours after NOON, before any campaign was launched, whenever this runs."""
HOURS = [LONG_AGO, -69, -68, 0, 0, 1, 24, 24, 25, 48]
"""Event times after NOON, many of them a window of a day apart; of a live tenant, what is before -68 hours is late.

The day of hour 24 was over 74 hours before what is received; that of hour 0 was 98 hours before."""
OWN_ZONES = [None, "Pacific/Kiritimati", "Pacific/Honolulu", "Asia/Kolkata"]
"""Of users: at NOON it is the day after, the same or the same day there, a day apart from New York's or not."""
AMOUNTS = [0, 99, 100, 101, 200, 250]
LEFT: list[dict[str, Any]] = [
    {"amount": 1, "of": 4, "after": {"amount": 200, "shop": "x"}},
    {"amount": 1, "of": 6, "after": {"amount": 150, "shop": "x"}},
    {"amount": 1, "of": 4, "after": {"amount": 99, "shop": None}},
    {"amount": 1, "of": 2, "after": {"shop": "y"}},
]
"""What reversals of a part say of it, and of what is left; the last leaves no purchase."""
PARTS: list[dict[str, Any]] = [
    {},
    {},
    {},
    {"amount": 1, "of": 2},
    {"amount": 2, "of": 3},
    {"lines": [{"line": "a", "amount": 1}], "of": 4},
    {"lines": [{"line": "a", "amount": 2, "of": 3}], "of": 4},
    {"lines": [{"line": "a", "amount": 1, "of": 3}, {"line": "b", "amount": 1}], "of": 4},
    {"lines": [{"line": "a", "amount": 2, "of": 2}], "of": 4},
    *LEFT,
]
"""What reversals say besides the event."""


def _simple(name: str, rule: str = "true", value: int = 100, **more: Any) -> dict[str, Any]:
    rewards = more.pop("rewards", [{"kind": "cashback", "value": value, "currency": "EUR"}])
    return {"kind": "SIMPLE", "name": name, "action": "BUY", "rule": rule, "rewards": rewards, **more}


def _coded(name: str, codes: list[str], **more: Any) -> dict[str, Any]:
    return {"kind": "SIMPLE", "name": name, "codes": codes, "rewards": [{"kind": "points", "value": 12}], **more}


def _quest(name: str, steps: list[dict[str, Any]], **quest: Any) -> dict[str, Any]:
    rewards = [{"kind": "points", "value": 50}]
    return {"kind": "QUEST", "name": name, "quest": {"steps": steps, **quest}, "rewards": rewards}


def _at(hours: int) -> str:
    return (NOON + timedelta(hours=hours)).isoformat()


BUY = {"name": "buy", "action": "BUY", "rule": "event.amount >= 100"}
DATED = {"kind": "cashback", "value": 60, "currency": "EUR", "expires_after_s": 76 * 3600}
"""Over when an event of a live tenant comes that occurred 24 hours after NOON or before, and not an hour later."""
THREE = [{"variant_id": name, "percent": percent} for name, percent in (("none", 30), ("some", 30), ("most", 40))]
OWN = {"name": "each", "scope": "user_in_campaign", "measure": "count", "span": "week"}
OWN_BUDGET = {"name": "all", "scope": "campaign", "measure": "value", "reward_kind": "cashback", "currency": "EUR",
    "span": "lifetime", "cap": 100, "over": "partial"}  # fmt: skip
ONCE = {"name": "once", "scope": "user_in_campaign", "measure": "count", "span": "lifetime", "cap": 1}
THRICE = {"name": "all", "scope": "campaign", "measure": "count", "span": "lifetime", "cap": 3}
CAMPAIGNS: dict[str, dict[str, Any]] = {
    "any": _simple("Any purchase"),
    "big": _simple("Big baskets", "event.amount > 100", 70, priority=5),
    "gold": _simple("Gold users", 'user.tier == "gold" && event.amount / (event.amount - 99) >= 0', 30),
    "vips": _simple("A cohort, in a schedule", cohorts=["vip"], schedule={"starts_at": _at(0), "ends_at": _at(24)}),
    "nights": _simple("In some hours, until a day", value=35, schedule={"ends_at": "2036-03-01", "recurring": [
        {"weekdays": ["friday"], "from": "22:00", "until": "23:00"}, {"weekdays": ["saturday"], "from": "23:00", "until": "22:00"},
        {"weekdays": ["tuesday"], "from": "22:30", "until": "01:30"}]}),
    "ending": _simple("A reward that ends with a day", rewards=[
        {"kind": "cashback", "value": 15, "currency": "EUR", "expires": {"end_of": "day", "after": 3}}]),
    "own-ending": _simple("A reward that ends with the user's day", rewards=[
        {"kind": "cashback", "value": 25, "currency": "EUR", "expires": {"end_of": "day", "after": 3, "zone": "user"}}]),
    "two": _simple("Three rewards", '"vip" in cohorts || event.rate > 1.0', rewards=[
        {"kind": "cashback", "value": 60, "currency": "EUR"}, {"kind": "points", "value": 30},
        {"kind": "points", "value": 40, "currency": "MILES"}]),
    "listed": _simple("Shops of a list", "event.shop in lists.shops", 45),
    "twice": _quest("Two purchases in a day", [BUY | {"count": 2}], window_s=DAY_S, repeatable=True),
    "ladder": _quest("A purchase, then a bigger one, for a reward with a date",
        [BUY, BUY | {"name": "more", "rule": "event.amount > 100"}]) | {"rewards": [DATED]},
    "pair": _quest("In any order", [BUY, {"name": "join", "action": "JOIN"}], ordered=False, window_s=2 * DAY_S),
    "joined": _quest("After joining", [BUY], start={"at": "event", "action": "JOIN"}, window_s=DAY_S, repeatable=True),
    "summed": _quest("A sum for each opening", [{"name": "spend", "action": "BUY", "sum": "event.amount - 50",
        "at_least": 150}], start={"at": "event", "action": "BUY", "rule": "event.amount == 101"}, instance="event",
        window_s=DAY_S, lateness_s=3600),
    "by-shop": _quest("Two in a shop", [BUY | {"count": 2}], instance={"key": "event.shop"}, repeatable=True),
    "shops": _quest("Two shops, then another purchase", [BUY | {"distinct": "event.shop", "count": 2},
        {"name": "then", "action": "BUY", "rule": "event.amount == 101"}], repeatable=True),
    "streak": _quest("Two days in a row", [{"name": "day", "action": "BUY", "streak": {"length": 2}}],
        lateness_s=75 * 3600),
    "own-streak": _quest("Two days in a row where the user lives", [
        {"name": "day", "action": "BUY", "streak": {"length": 2}}], lateness_s=75 * 3600, zone="user", repeatable=True),
    "most": _simple("The best of two", value=90, exclusive={"group": "one", "pick": "value"}),
    "least": _simple("The other", "event.amount > 99", 20, priority=9, exclusive={"group": "one", "pick": "value"}),
    "share": _simple("A part of each basket", rewards=[{"kind": "cashback", "currency": "EUR",
        "formula": {"of": "event.amount", "percent": "2.5", "rounding": "half_even", "max": 6}}]),
    "tiers": _simple("More for more", rewards=[{"kind": "points", "formula": {"of": "10000 / (event.amount - 99)",
        "tiers": [{"at_least": 80, "value": 9}, {"at_least": 100, "percent": "7.5"}], "rounding": "half_up"}}]),
    "early": _simple("A badge", rewards=[{"kind": "badge", "badge": "early"}, {"kind": "points", "value": 5}]),
    "reckoned": _simple("What is big twice, up to a bound", rewards=[{"kind": "points", "formula": {"of":
        "sum([event.amount, 99, event.amount].filter(n, n > 99)) / 2 + math.least(event.amount, 150)"}}]),
    "capped": _simple("Capped by its own definition", value=30, limits=[OWN | {"cap": 2}, OWN_BUDGET]),
    "night": _simple("After eleven at night, and on Sundays", 'event.time.getHours("America/New_York") == 23 || '
        'event.time.getDayOfWeek("America/New_York") == 0', 15),
    "soon": _quest("Soon after joining", [BUY | {"rule": 'event.amount > 99 && event.time - start.time < duration("2h")'}],
        start={"at": "event", "action": "JOIN"}, instance="event", window_s=2 * DAY_S),
    "kept": _simple("Used for good, with a date", rewards=[DATED, {"kind": "points", "value": 5}], give_back=False),
    "saved": _quest("A sum", [{"name": "spend", "action": "BUY", "sum": "event.amount - 50", "more_than": 200}],
        repeatable=True),
    "echo": _quest("For each of some purchases, two more in its shop, then any", [
        BUY | {"rule": "event.amount != 99 && event.shop == start.shop", "count": 2},
        BUY | {"name": "more", "rule": 'start.shop == "x" && event.amount > 99'}],
        start={"at": "event", "action": "BUY", "rule": "event.amount >= 200"}, instance="event", window_s=DAY_S),
    "alone": _simple("Alone or not at all", "event.amount >= 200", 80, priority=3, stackable=False),
    "split": _simple("One reward, two, or none", "event.amount > 99", variants=THREE, rewards=[
        {"kind": "points", "value": 20, "variants": ["most"]},
        {"kind": "cashback", "value": 35, "currency": "EUR", "variants": ["some", "most"]}]),
    "month": _simple("Until the month is over", value=25, rewards=[
        {"kind": "cashback", "value": 25, "currency": "EUR", "expires": {"end_of": "month"}}]),
    "later": _simple("Points of a year from the next month on, and of two months", rewards=[
        {"kind": "points", "value": 12, "available": {"end_of": "month"}, "expires": {"end_of": "year", "after": 1}},
        {"kind": "points", "value": 6, "currency": "MILES", "expires": {"end_of": "month", "after": 1}}]),
    "codes": _simple("Codes beside amounts", "event.amount > 99", rewards=[
        {"kind": "coupon", "pool": "spring", "on_partial": "reevaluate"}, {"kind": "cashback", "value": 30, "currency": "EUR"},
        {"kind": "coupon", "pool": "spring"}, {"kind": "cashback", "value": 20, "currency": "EUR"}]),
    "returned": _simple("What is left is asked again", 'event.amount > 99 && (user.tier == "gold" || event.shop in lists.shops)', rewards=[
        {"kind": "points", "on_partial": "reevaluate", "formula": {"of": "event.amount", "tiers": [
            {"at_least": 100, "value": 20}, {"at_least": 151, "percent": "25"}], "rounding": "down"}},
        {"kind": "points", "value": 7, "currency": "MILES", "on_partial": "keep"}]),
    "spoilt": _simple("All or nothing of what is left", "event.amount >= 100", rewards=[
        {"kind": "badge", "badge": "early", "on_partial": "reevaluate"},
        {"kind": "cashback", "value": 25, "currency": "EUR", "on_partial": "reevaluate"}]),
    "raced": _quest("Two purchases, for one thing or another or nothing", [BUY | {"count": 2}], window_s=DAY_S,
        repeatable=True) | {"variants": THREE, "rewards": [{"kind": "points", "value": 15, "variants": ["some"]},
        {"kind": "cashback", "currency": "EUR", "formula": {"of": "event.amount", "percent": "50", "rounding": "down"},
            "variants": ["most"]}]},
}  # fmt: skip
CODED: dict[str, dict[str, Any]] = {
    "spring": _coded("Once a user, three in all", ["SPRING", "Lenz-1"], limits=[ONCE, THRICE]),
    "cart": _coded("A part of the cart, by the exact spelling", ["Cart"], rule='event.code == "Cart" && event.amount > 99', priority=4,
        rewards=[{"kind": "points", "formula": {"of": "event.amount", "percent": "10", "rounding": "half_even", "max": 22}}, DATED]),
}  # fmt: skip
"""Campaigns of public codes."""
LEVELED: dict[str, dict[str, Any]] = {
    "earns": _simple("Points by the amount, and miles", rewards=[{"kind": "points", "formula": {"of": "event.amount"}},
        {"kind": "points", "value": 40, "currency": "MILES"}]),
    "silver": _simple("For silver and gold", 'user.level in ["silver", "gold"]', 30),
    "by-level": _simple("More for gold", rewards=[{"kind": "cashback", "currency": "EUR", "formula": {
        "of": 'user.level == "gold" ? event.amount / 5 : event.amount / 10'}}]),
    "golden": _simple("Points for gold", 'user.level == "gold"', rewards=[{"kind": "points", "value": 15}]),
    "as-silver": _quest("Two purchases with a level", [BUY | {"rule": 'event.amount >= 100 && user.level in ["silver", "gold"]',
        "count": 2}], repeatable=True),
}  # fmt: skip
"""Campaigns that give what levels go by, or read levels."""
DEFINITIONS = CAMPAIGNS | CODED | LEVELED
STARTING = {"vips"}
"""They say when they start, and can't be launched as of another date."""
CHANGED: dict[str, list[dict[str, Any]]] = {
    "any": [_simple("Any purchase", value=40, give_back=False)],
    "big": [_simple("Big baskets", "event.amount >= 100", 70, priority=-5)],
    "twice": [
        _quest("Two in a day, small ones too", [BUY | {"rule": "event.amount >= 99", "count": 2}],
            window_s=DAY_S, repeatable=True),
        _quest("Three big ones of a cohort", [BUY | {"count": 3, "rule": "event.amount > 100"}], window_s=2 * DAY_S)
            | {"cohorts": ["vip"], "rewards": [{"kind": "cashback", "value": 70, "currency": "EUR"}]},
        _quest("One is enough", [BUY], window_s=2 * DAY_S, repeatable=True),
    ],
    "ladder": [
        _quest("Two, one behind the other", [BUY, BUY | {"name": "more"}]),
        _quest("Bigger ones", [BUY | {"rule": "event.amount > 100"}, BUY | {"name": "more", "rule": "event.amount > 99"}],
            repeatable=True),
    ],
    "pair": [
        _quest("Any purchase, and joining", [BUY | {"rule": "true"}, {"name": "join", "action": "JOIN"}],
            ordered=False, window_s=2 * DAY_S),
    ],
    "capped": [
        _simple("With room for one more", value=30, limits=[OWN | {"cap": 3}, OWN_BUDGET]),
        _simple("With less than there was", value=20, limits=[OWN | {"cap": 1}, OWN_BUDGET | {"cap": 500}]),
    ],
    "spring": [_coded("Another code, and smaller", ["spring", "MAY"], rewards=[{"kind": "points", "value": 6}],
        limits=[ONCE | {"cap": 2}, THRICE])],
    "split": [
        _simple("The other way round, and a badge", variants=THREE, rewards=[
            {"kind": "badge", "badge": "early", "variants": ["most"]},
            {"kind": "cashback", "value": 25, "currency": "EUR", "variants": ["some"]},
            {"kind": "points", "value": 10, "variants": ["some", "most"]}]),
    ],
    "returned": [
        _simple("What is left is asked again, otherwise", "event.amount >= 200", rewards=[
            {"kind": "points", "on_partial": "reevaluate", "formula": {"of": "event.amount"}}]),
    ],
    "raced": [
        _quest("One is enough, and the winner is given to both", [BUY], window_s=DAY_S, repeatable=True)
            | {"variants": THREE, "rewards": [{"kind": "points", "value": 30, "variants": ["some", "most"]}]},
    ],
    "joined": [
        _quest("Twice after joining", [BUY | {"count": 2}], start={"at": "event", "action": "JOIN"}, window_s=DAY_S,
            lateness_s=3600, repeatable=True),
    ],
    "summed": [
        _quest("A higher sum, in time", [{"name": "spend", "action": "BUY", "sum": "event.amount - 50",
            "more_than": 250}], start={"at": "event", "action": "JOIN"}, instance="event", window_s=DAY_S),
    ],
    "by-shop": [
        _quest("Two in a shop, small ones too", [BUY | {"rule": "event.amount >= 99", "count": 2}],
            instance={"key": "event.shop"}, repeatable=True),
        _quest("Three in a shop", [BUY | {"count": 3}], instance={"key": "event.shop"}) | {"priority": 7,
            "rewards": [{"kind": "points", "formula": {"of": "event.amount - 99", "percent": "50", "rounding": "up"}}]},
    ],
    "echo": [
        _quest("For each of some purchases, one more in its shop", [
            BUY | {"rule": "event.shop == start.shop"},
            BUY | {"name": "more", "rule": 'event.amount > 100 && event.shop == start.shop'}],
            start={"at": "event", "action": "BUY", "rule": "event.amount >= 100"}, instance="event", ordered=False),
    ],
    "shops": [
        _quest("In any order, small purchases too", [BUY | {"rule": "true", "distinct": "event.shop", "count": 2},
            {"name": "then", "action": "BUY"}], ordered=False, window_s=2 * DAY_S),
    ],
    "streak": [
        _quest("Three days in a row", [{"name": "day", "action": "BUY", "streak": {"length": 3}}], lateness_s=75 * 3600),
        _quest("Three days, one missed", [{"name": "day", "action": "BUY", "streak": {"length": 3, "freeze": 1}}],
            repeatable=True),
    ],
}  # fmt: skip
MOST_KEPT = 8

SHOP_LISTS: list[tuple[str, ...]] = [("x",), ("y",), ("y", "x"), ()]

LIMITS: dict[str, dict[str, Any]] = {
    "budget": {
        "scope": "tenant",
        "measure": "value",
        "span": "lifetime",
        "reward_kind": "cashback",
        "over": "partial",
    },
    "daily": {"scope": "tenant", "measure": "count", "span": "day"},
    "each-day": {"scope": "user", "measure": "count", "span": "day"},
    "own-day": {"scope": "user", "measure": "count", "span": "day", "zone": "user"},
    "each-week": {
        "scope": "user",
        "measure": "value",
        "span": "week",
        "week_starts_on": "sunday",
        "reward_kind": "cashback",
    },
    "points": {
        "scope": "tenant",
        "measure": "value",
        "span": "lifetime",
        "reward_kind": "points",
        "currency": "POINTS",
    },
    "miles": {"scope": "user", "measure": "value", "span": "year", "reward_kind": "points", "currency": "MILES"},
    "rolling": {"scope": "user", "measure": "count", "span": "rolling", "rolling_s": 2 * 86_400},
    "codes": {"scope": "user", "measure": "count", "span": "lifetime", "pool": "spring"},
    "purchases": {"scope": "user", "measure": "count", "span": "lifetime", "action": "BUY"},
    "shops": {
        "scope": "tenant",
        "measure": "count",
        "span": "month",
        "action": "BUY",
        "key": "event.shop.upperAscii()",
    },
}
CAPS = {
    "codes": [1, 2, 4, 4, 50],
    "budget": [100, 170, 400, 5000, 5000],
    "points": [50, 90, 130, 5000],
    "miles": [40, 79, 80, 5000],
    "each-week": [100, 140, 170, 300],
}
USUAL_CAPS = [0, 1, 3, 9, 50, 50]


def list_caps(limit_id: str) -> st.SearchStrategy[int]:
    """Caps of a limit that bind soon."""
    return st.sampled_from(CAPS.get(limit_id, USUAL_CAPS))
