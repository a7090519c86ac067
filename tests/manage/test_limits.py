"""Limits: what goes together, keys, caps that change, and use."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from httpx import AsyncClient

from tests.manage.ledger_rows import put_counter
from tests.manage.shop import ANY, CASHBACK, PURCHASE, QUEST, cap, draft, launch, open_shop

ONCE: dict[str, Any] = {
    "scope": "user_in_campaign",
    "campaign_id": "c",
    "measure": "count",
    "span": "lifetime",
    "cap": 1,
}
DAILY: dict[str, Any] = {"scope": "tenant", "measure": "value", "span": "day", "cap": 10_000, "reward_kind": "cashback"}
DAILY_CAP = DAILY | {"limit_id": "daily", "cap": 7}


async def open_with_campaign(client: AsyncClient) -> None:
    """A shop with the draft c."""
    await open_shop(client)
    await draft(client, "c", CASHBACK)


async def test_a_limit_is_made_read_listed_and_announced(acme: AsyncClient, database: str) -> None:
    await open_with_campaign(acme)
    made = await cap(acme, "once", **ONCE, key="event.coupon")
    assert (made["action"], made["key"]) == ("PURCHASE", "event.coupon"), "the key's action is filled in"
    await cap(acme, "daily", **DAILY)
    assert (await acme.get("/v1/limits/once")).json() == made
    assert [limit["limit_id"] for limit in (await acme.get("/v1/limits")).json()["items"]] == ["daily", "once"]
    assert [limit["limit_id"] for limit in (await acme.get("/v1/limits?campaign_id=c")).json()["items"]] == ["once"]
    with psycopg.connect(database) as owner:
        found = owner.execute("SELECT document FROM book_change WHERE kind = 'limit' ORDER BY book_version").fetchall()
    assert [(d["limit_id"], d["cap"], d["key_checked"] is not None) for (d,) in found] == [
        ("once", 1, True),
        ("daily", 10_000, False),
    ]


@pytest.mark.parametrize(
    ("limit", "at"),
    [
        (ONCE | {"campaign_id": None}, "/campaign_id"),
        (ONCE | {"pool": "none"}, "/pool"),
        (ONCE | {"pool": "spring", "reward_kind": "badge"}, "/pool"),
        (DAILY | {"pool": "spring", "currency": "EUR"}, "/pool"),
        (ONCE | {"campaign_id": "nothing"}, "/campaign_id"),
        (DAILY | {"campaign_id": "c"}, "/campaign_id"),
        (DAILY | {"reward_kind": None}, "/reward_kind"),
        (DAILY | {"action": "RETURN"}, "/action"),
        (DAILY | {"key": "event.coupon"}, "/action"),
        (ONCE | {"key": "event.coupn"}, "/key"),
        (ONCE | {"key": "event.coupon == 'x'"}, "/key"),
        (ONCE | {"key": "user.tier"}, "/key"),
        (ONCE | {"cap": -1}, "/cap"),
        (ONCE | {"cap": 1.5}, "/cap"),
        (ONCE | {"span": "decade"}, "/span"),
        (ONCE | {"week_starts_on": "sunday"}, "/week_starts_on"),
        (DAILY | {"span": "week", "week_starts_on": "Sunday"}, "/week_starts_on"),
        (ONCE | {"over": "partial"}, "/over"),
        (DAILY | {"over": "partial", "reward_kind": "custom"}, "/over"),
        (DAILY | {"over": "whatever"}, "/over"),
        (DAILY | {"span": "rolling"}, "/rolling_s"),
        (DAILY | {"rolling_s": 3600}, "/rolling_s"),
        (DAILY | {"span": "rolling", "rolling_s": 59}, "/rolling_s"),
        (DAILY | {"span": "rolling", "rolling_s": 31_622_401}, "/rolling_s"),
        (DAILY | {"span": "rolling", "rolling_s": 3600, "week_starts_on": "sunday"}, "/week_starts_on"),
        (DAILY | {"span": "rolling", "rolling_s": 3600, "time_zone": "UTC"}, "/time_zone"),
        (ONCE | {"currency": "POINTS"}, "/currency"),
        (DAILY | {"currency": "CHF"}, "/currency"),
        (DAILY | {"reward_kind": "custom", "currency": "EUR"}, "/currency"),
        (DAILY | {"reward_kind": "points", "currency": "EUR"}, "/currency"),
        (DAILY | {"reward_kind": "points", "currency": "points"}, "/currency"),
    ],
)
async def test_a_limit_that_means_nothing_is_refused(acme: AsyncClient, limit: dict[str, Any], at: str) -> None:
    await open_with_campaign(acme)
    answer = await acme.post("/v1/limits", json={"limit_id": "l", **limit})
    assert answer.status_code == 422, answer.text
    assert at in [error["at"] for error in answer.json()["errors"]]


async def test_a_key_on_a_quest_reads_the_event_that_ends_it(acme: AsyncClient) -> None:
    await open_shop(acme)
    visit = {"type": "object", "properties": {"place": {"type": "string"}}}
    await acme.put("/v1/actions/VISIT", json={"schema": visit})
    steps = [{"name": "buy", "action": "PURCHASE"}, {"name": "come", "action": "VISIT"}]
    await draft(acme, "c", QUEST | {"quest": {"steps": steps}})
    await draft(acme, "loose", QUEST | {"quest": {"steps": steps, "ordered": False}})
    assert (await cap(acme, "l", **ONCE, key="event.place"))["action"] == "VISIT"
    loose = await acme.post("/v1/limits", json={"limit_id": "m", **ONCE, "campaign_id": "loose", "key": "event.place"})
    assert "unordered" in loose.json()["detail"]


async def test_only_the_cap_of_a_limit_changes(acme: AsyncClient) -> None:
    await open_with_campaign(acme)
    await cap(acme, "once", **ONCE, key="event.coupon")
    body = {"limit_id": "once", **ONCE, "key": "event.coupon"}
    changed = await acme.put("/v1/limits/once", json=body | {"cap": 5}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.json()["cap"], changed.headers["ETag"]) == (200, 5, '"2"')
    refused = await acme.put("/v1/limits/once", json=body | {"span": "day", "key": "event.store"}, headers=ANY)
    assert {error["at"] for error in refused.json()["errors"]} == {"/span", "/key"}
    assert (await acme.put("/v1/limits/once", json=body)).status_code == 428


async def test_a_used_limit_shows_its_use_and_is_not_deleted(acme: AsyncClient, database: str) -> None:
    await open_with_campaign(acme)
    await cap(acme, "once", **ONCE, key="event.coupon")
    await cap(acme, "daily", **DAILY)
    for user_id in ("ada", "bob"):
        put_counter(database, "once", user_id, "K1", 1)
    used = (await acme.get("/v1/limits/once/usage?user_id=ada")).json()["items"]
    one = {"user_id": "ada", "key": "K1", "used": 1, "cap": 1, "currency": None, "changes": 1}
    assert used == [one | {"window_start": None, "resets_at": None}]
    first = (await acme.get("/v1/limits/once/usage?limit=1")).json()
    rest = (await acme.get(f"/v1/limits/once/usage?limit=1&cursor={first['next_cursor']}")).json()
    assert [item["user_id"] for item in first["items"] + rest["items"]] == ["ada", "bob"]
    refused = await acme.delete("/v1/limits/once", headers=ANY)
    assert (refused.status_code, "raise its cap" in refused.json()["detail"]) == (409, True)
    assert (await acme.get("/v1/limits/once")).status_code == 200
    assert (await acme.delete("/v1/limits/daily", headers=ANY)).status_code == 204
    assert (await acme.get("/v1/limits/daily")).status_code == 404


async def test_use_says_when_its_window_is_over_in_the_tenants_zone(acme: AsyncClient, database: str) -> None:
    await open_with_campaign(acme)
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE tenant SET time_zone = 'Europe/Berlin'")
    told = {}
    for name, window in {
        "day": ({"span": "day"}, "2026-03-29"),
        "sundays": ({"span": "week", "week_starts_on": "sunday"}, "2026-03-29"),
        "year": ({"span": "year"}, "1970-01-01"),
    }.items():
        made = await cap(acme, name, **DAILY | window[0])
        assert made["week_starts_on"] == window[0].get("week_starts_on")
        put_counter(database, name, "", "", 5, window_start=window[1])
        [use] = (await acme.get(f"/v1/limits/{name}/usage")).json()["items"]
        told[name] = (use["window_start"], use["resets_at"])
    assert told == {
        "day": ("2026-03-29", "2026-03-29T22:00:00Z"),
        "sundays": ("2026-03-29", "2026-04-04T22:00:00Z"),
        "year": ("1970-01-01", "1970-12-31T23:00:00Z"),
    }


async def test_use_of_a_rolling_limit_is_of_the_window_that_ends_now(acme: AsyncClient, database: str) -> None:
    await open_with_campaign(acme)
    made = await cap(acme, "hourly", **ONCE | {"span": "rolling", "rolling_s": 3600, "cap": 9})
    assert made["rolling_s"] == 3600
    now = int(datetime.now(UTC).timestamp()) // 10  # parts of 10 s
    for user_id, parts in {"ada": {-400: 5, -300: 2, -30: 1}, "bob": {-900: 1}}.items():
        put_counter(database, "hourly", user_id, "", sum(parts.values()))
        with psycopg.connect(database) as owner:
            for part, used in parts.items():
                values = "('acme', 'hourly', %s, '', '1970-01-01', %s, %s)"
                owner.execute(f"INSERT INTO limit_part VALUES {values}", [user_id, now + part, used])
    told = (await acme.get("/v1/limits/hourly/usage")).json()["items"]
    assert [(use["user_id"], use["used"], use["window_start"]) for use in told] == [("ada", 3, None), ("bob", 0, None)]
    ends_at = datetime.fromtimestamp((now - 300 + 361) * 10, UTC)
    assert [use["resets_at"] for use in told] == [ends_at.isoformat().replace("+00:00", "Z"), None]
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE tenant SET clock = 'history'")
    told = (await acme.get("/v1/limits/hourly/usage")).json()["items"]
    assert [use["used"] for use in told] == [3, 1], "of a tenant whose events are of the past, up to the newest use"


async def test_a_limit_by_value_names_the_currency_that_it_adds_up(acme: AsyncClient, database: str) -> None:
    await open_with_campaign(acme)
    points = DAILY | {"reward_kind": "points"}
    assert (await cap(acme, "money", **DAILY))["currency"] == "EUR"
    assert (await cap(acme, "points", **points))["currency"] == "POINTS", "there is no other"
    assert (await acme.put("/v1/points/MILES", json={"name": "Miles"})).status_code == 201
    refused = await acme.post("/v1/limits", json={"limit_id": "any", **points})
    assert refused.json()["errors"][0]["at"] == "/currency"
    assert "one of MILES, POINTS" in refused.json()["detail"]
    assert (await cap(acme, "miles", **points, currency="MILES"))["currency"] == "MILES"
    put_counter(database, "miles", "", "", 600)
    assert [use["currency"] for use in (await acme.get("/v1/limits/miles/usage")).json()["items"]] == ["MILES"]
    same = {"limit_id": "points", **points, "cap": 5}
    assert (await acme.put("/v1/limits/points", json=same, headers=ANY)).json()["currency"] == "POINTS"
    other = await acme.put("/v1/limits/points", json=same | {"currency": "MILES"}, headers=ANY)
    assert [error["at"] for error in other.json()["errors"]] == ["/currency"]


async def test_a_schema_change_keeps_keys_readable(acme: AsyncClient) -> None:
    await open_with_campaign(acme)
    await cap(acme, "once", **ONCE, key="event.coupon")
    change = {"schema": PURCHASE | {"required": ["amount_cents", "coupon"]}, "compatibility": "none"}
    assert (await acme.put("/v1/actions/PURCHASE", json=change, headers=ANY)).status_code == 200
    assert (await acme.get("/v1/limits/once")).json()["revision"] == 2, "compiled anew: coupon is never absent now"


async def test_another_tenant_sees_no_limit(acme: AsyncClient, rival: AsyncClient) -> None:
    await open_with_campaign(acme)
    await cap(acme, "once", **ONCE)
    for method, path in (("GET", "once"), ("GET", "once/usage"), ("DELETE", "once")):
        assert (await rival.request(method, f"/v1/limits/{path}", headers=ANY)).status_code == 404
    assert (await rival.post("/v1/limits", json={"limit_id": "x", **ONCE})).status_code == 422, "c is not theirs"


async def test_a_change_that_gets_no_turn_is_503_and_lets_other_changes_by(acme: AsyncClient, database: str) -> None:
    """A batch that does not end holds the limits: the cap can't change, but a campaign can be paused meanwhile."""
    await open_with_campaign(acme)
    await launch(acme, "d", CASHBACK)
    daily = await cap(acme, "daily", **DAILY)
    with psycopg.connect(database) as batch:
        batch.execute("SELECT share_limits('{acme}')")
        changing = asyncio.create_task(acme.put("/v1/limits/daily", json=DAILY_CAP, headers={"If-Match": "*"}))
        with psycopg.connect(database) as other:
            while other.execute("SELECT 1 FROM pg_locks WHERE classid = 7070 AND NOT granted").fetchone() is None:
                await asyncio.sleep(0.005)
        assert (await acme.post("/v1/campaigns/d/pause", headers={"If-Match": "*"})).status_code == 200
        assert not changing.done()
        refused = await changing
        assert (refused.status_code, refused.json()["type"]) == (503, "https://fillip.dev/problems/unavailable")
        assert int(refused.headers["Retry-After"]) > 0
    assert (await acme.get("/v1/limits/daily")).json() == daily
    changed = await acme.put("/v1/limits/daily", json=DAILY_CAP, headers={"If-Match": "*"})
    assert (changed.status_code, changed.json()["cap"]) == (200, 7)
