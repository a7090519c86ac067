"""No tenant reaches another's: every operation replayed by a stranger, and the catalogue of the database itself."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
from httpx import AsyncClient
from sqlalchemy import text

from fillip.core.ports import Caller
from fillip.manage.store.postgres import transaction
from tests.manage.conftest import Plane
from tests.manage.ledger_rows import put_counter, put_decision, put_event, put_incentive, put_instance, put_reversal
from tests.manage.shop import ANY, CASHBACK, PURCHASE, QUEST, cap, fill_list, launch, open_cohort, open_shop

LIMIT: dict[str, Any] = {"limit_id": "l", "scope": "tenant", "measure": "count", "span": "lifetime", "cap": 1000}


# Bodies without which an operation would be refused before it looks for its object.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PATCH", "/v1/users/{user_id}"): {"json": {"attributes": {}}},
    ("PUT", "/v1/campaigns/{campaign_id}"): {"json": CASHBACK},
    ("POST", "/v1/campaigns/{campaign_id}/explain"): {"json": {"event_id": "e1"}},
    ("GET", "/v1/campaigns/{campaign_id}/explain"): {"params": {"event_id": "e1"}},
    ("PUT", "/v1/limits/{limit_id}"): {"json": LIMIT},
    ("PUT", "/v1/cohorts/{cohort_id}/members"): {"content": b"eve\n"},
    ("POST", "/v1/cohorts/{cohort_id}/members"): {"content": b"eve\n", "params": {"change": "add"}},
    ("PUT", "/v1/cohorts/{cohort_id}/combination"): {"json": {"any_of": ["vip"]}},
    ("PUT", "/v1/cohorts/{cohort_id}/query"): {"json": {"sql": "SELECT user_id FROM events", "every_minutes": 60}},
    ("PUT", "/v1/cohorts/{cohort_id}/rule"): {"json": {"action": "OWN"}},
    ("GET", "/v1/cohorts/{cohort_id}/overlap"): {"params": {"other": "vip"}},
    ("POST", "/v1/coupon-pools/{pool_id}/codes"): {"content": b"EVE\n"},
    ("POST", "/v1/coupon-pools/{pool_id}/generations"): {"json": {"count": 1}},
    ("PUT", "/v1/badges/{badge_id}"): {"json": {"name": "Eve"}},
    ("POST", "/v1/incentives/{incentive_id}/reservations"): {"json": {"reservation_id": "r"}},
    ("POST", "/v1/coupons/{code}/reservations"): {"json": {"reservation_id": "r"}},
    ("POST", "/v1/users/{user_id}/wallets/{currency}/gifts"): {
        "json": {"gift_id": "g", "to_user_id": "eve", "amount": 1}
    },
    ("POST", "/v1/users/{user_id}/wallets/{currency}/holds"): {"json": {"hold_id": "h2", "amount": 1}},
    ("POST", "/v1/users/{user_id}/wallets/{currency}/spends"): {"json": {"spend_id": "s2", "amount": 1}},
}
CREATING = {  # make rival's own: tested below
    ("PUT", "/v1/users/{user_id}"),
    ("PUT", "/v1/actions/{name}"),
    ("PUT", "/v1/points/{currency}"),
    ("PUT", "/v1/ladders/{currency}"),
    ("PUT", "/v1/lists/{list_id}"),
    ("POST", "/v1/users/{user_id}/wallets/{currency}/adjustments"),
    ("POST", "/v1/users/{user_id}/erasure"),
    ("POST", "/v1/users/{user_id}/merges"),
    ("PUT", "/v1/balance-imports/{import_id}"),
    ("PUT", "/v1/leaderboards/{leaderboard_id}"),
}
NEEDING_VALKEY = {
    "/v1/campaigns/{campaign_id}/live",
    "/v1/leaderboards/{leaderboard_id}/ranks",
    "/v1/leaderboards/{leaderboard_id}/users/{user_id}",
}
"""Here is none: see test_live and test_leaderboards."""
NEEDING_ANALYSE = {"/v1/events/{source}/{event_id}"}
"""To say that there is no such event; here is none: see test_story."""
LISTS = (
    "users",
    "actions",
    "cohorts",
    "lists",
    "campaigns",
    "limits",
    "decisions",
    "incentives",
    "quests/progress",
    "rejections",
    "points",
    "ladders",
    "reversals",
    "backtests",
    "balance-imports",
    "leaderboards",
)


async def make_objects(acme: AsyncClient, dsn: str) -> dict[str, str]:
    """One object of each kind as acme; the values of the parameters that name them."""
    await open_shop(acme)
    await acme.put("/v1/actions/OWN", json={"schema": PURCHASE})
    await open_cohort(acme, "vip", "ada")
    await fill_list(acme, "sweets", "A-1", "A-7")
    await launch(acme, "c", CASHBACK)
    await cap(acme, **LIMIT)
    await fill_wallet(acme, 50)
    put_event(dsn, "e1", {"amount_cents": 6000})
    decision_id = put_decision(dsn, "e1")
    put_counter(dsn, "l", "", "", 1)
    await launch(acme, "q", QUEST)
    put_instance(dsn, "q", "open", 1)
    await acme.post("/v1/coupon-pools", json={"pool_id": "spring", "name": "Spring"})
    ordered = await acme.post("/v1/coupon-pools/spring/generations", json={"count": 1})
    await acme.post("/v1/badges", json={"badge_id": "regular", "name": "Regular"})
    with psycopg.connect(dsn) as owner:
        owner.execute("INSERT INTO badge_held VALUES ('acme', 'ada', 'regular', %s, now())", [uuid4()])
        owner.execute(
            "INSERT INTO cohort_rule (tenant_id, cohort_id, action, definition, rule_checked, cost)"
            """ VALUES ('acme', 'vip', 'OWN', '{"action": "OWN"}', '', 1)"""
        )
    key = await acme.post("/v1/keys", json={"name": "k", "scopes": ["manage:read"]})
    ids = {
        "user_id": "ada",
        "source": "%2Ftill",
        "event_id": "e1",
        "name": "OWN",
        "cohort_id": "vip",
        "list_id": "sweets",
        "campaign_id": "c",
        "limit_id": "l",
        "order": "pause",
        "pool_id": "spring",
        "code": "SPRING-1",
        "reservation_id": "r",
        "badge_id": "regular",
        "currency": "POINTS",
        "spend_id": "s1",
        "hold_id": "h1",
    }
    made = {"key_id": key.json()["key_id"], "decision_id": decision_id, "rejection_id": put_rejection(dsn)}
    made["reversal_id"] = put_reversal(dsn, "r1", "e1")
    made["erasure_id"] = (await acme.post("/v1/users/gone/erasure")).json()["erasure_id"]
    merged = await acme.post("/v1/users/ada/merges", json={"merge_id": "m1", "from": "anon"})
    assert merged.status_code == 201, merged.text
    builds = (await acme.get("/v1/cohorts/vip/builds")).json()["items"]
    made["build_id"] = builds[0]["build_id"]
    with psycopg.connect(dsn) as owner:
        asked = "INSERT INTO backtest (tenant_id, campaign_id, version, first_at, until_at) VALUES ('acme', 'c', 1, %s, now())"
        row = owner.execute(asked + " RETURNING backtest_id", ["2026-01-01T00:00:00Z"]).fetchone()
        made["backtest_id"] = row and row[0]
        owner.execute(
            "INSERT INTO backfill (tenant_id, campaign_id, from_at, book_version) VALUES ('acme', 'c', now(), 1)"
        )
    csv = {"Content-Type": "text/csv"}
    sent = await acme.put("/v1/balance-imports/legacy", content="user_id,amount\nada,1", headers=csv)
    assert sent.status_code == 202, sent.text
    made["import_id"] = "legacy"
    made["leaderboard_id"] = "race"
    board = await acme.put("/v1/leaderboards/race", json={"currency": "POINTS", "span": "day"})
    assert board.status_code == 201, board.text
    made["generation_id"] = ordered.json()["generation_id"]
    made["incentive_id"] = put_incentive(dsn, decision_id, "e1", 1)
    with psycopg.connect(dsn) as owner:
        owner.execute("INSERT INTO coupon VALUES ('acme', 'SPRING-1', 'spring', %s)", [made["incentive_id"]])
    return ids | {name: str(value) for name, value in made.items()}


def list_operations(plane: Plane) -> list[tuple[str, str]]:
    """Every operation that names an object of the tenant."""
    paths = plane.app.openapi()["paths"]
    named = [(method.upper(), path) for path, item in paths.items() for method in item if "{" in path]
    return [o for o in named if o not in CREATING and not o[1].startswith("/v1/tenants/")]


async def test_a_stranger_finds_nothing_and_changes_nothing(
    acme: AsyncClient, rival: AsyncClient, plane: Plane
) -> None:
    ids = await make_objects(acme, plane.dsn)
    await rival.put("/v1/actions/PURCHASE", json={"schema": PURCHASE})  # what acme's definition needs to be looked at
    nobody = await plane.client()
    before = dump(plane.dsn)
    for method, path in list_operations(plane):
        given = BODIES.get((method, path), {})
        headers = ANY | ({"Content-Type": "text/csv"} if "content" in given else {})
        for client, wanted in ((rival, 503 if path in NEEDING_ANALYSE else 404), (nobody, 401)):
            answer = await client.request(method, path.format(**ids), headers=headers, **given)
            nothing = answer.status_code == 200 and answer.json().get("items") == []  # the inbox of anyone
            assert answer.status_code == wanted or (client is rival and nothing), (method, path, answer.text)
    assert dump(plane.dsn) == before


async def test_the_owner_finds_what_a_stranger_does_not(acme: AsyncClient, plane: Plane) -> None:
    """So that the 404 of the story before are due to the tenant, not to a wrong address."""
    ids = await make_objects(acme, plane.dsn)
    for method, path in list_operations(plane):
        if method == "GET":
            answer = await acme.request(method, path.format(**ids), **BODIES.get((method, path), {}))
            wanted = 503 if path in NEEDING_VALKEY else 200
            assert answer.status_code == wanted, (path, answer.text)
            is_csv = answer.headers["Content-Type"].startswith("text/csv")
            assert is_csv or answer.json().get("items") != [], path


async def test_lists_show_the_own_only(acme: AsyncClient, rival: AsyncClient, plane: Plane) -> None:
    await make_objects(acme, plane.dsn)
    nobody = await plane.client()
    for name in LISTS:
        assert (await acme.get(f"/v1/{name}")).json()["items"] != [], name
        assert (await rival.get(f"/v1/{name}")).json()["items"] == [], name
        assert (await nobody.get(f"/v1/{name}")).status_code == 401


async def test_the_same_names_live_side_by_side(acme: AsyncClient, rival: AsyncClient, plane: Plane) -> None:
    await make_objects(acme, plane.dsn)
    assert (await rival.put("/v1/users/ada", json={"attributes": {"tier": "tin"}})).status_code == 201
    assert (await rival.post("/v1/cohorts", json={"cohort_id": "vip", "name": "x"})).status_code == 201
    assert (await acme.get("/v1/users/ada")).json()["attributes"] == {"tier": "gold"}
    await fill_list(rival, "sweets", 7)
    assert (await acme.get("/v1/lists/sweets")).json()["items"] == ["A-1", "A-7"]
    board = await rival.put("/v1/leaderboards/race", json={"currency": "POINTS", "span": "year"})
    assert (board.status_code, (await acme.get("/v1/leaderboards/race")).json()["span"]) == (201, "day")
    await fill_wallet(rival, 7)
    assert (await rival.get("/v1/users/ada/wallets/POINTS")).json()["active"] == 5
    assert (await acme.get("/v1/users/ada/wallets/POINTS")).json()["active"] == 48
    cursor = (await acme.get("/v1/keys", params={"limit": 1})).json()["next_cursor"]
    keys = (await rival.get("/v1/keys", params={"cursor": cursor})).json()["items"]
    assert len(keys) <= 1


async def test_the_setting_is_gone_after_the_transaction(plane: Plane) -> None:
    caller = Caller(uuid4(), "acme", frozenset())
    async with transaction(plane.engine, caller) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM tenant"))).scalar_one() == 1
    async with plane.engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM tenant"))).scalar_one() == 0


def test_every_table_has_row_level_security_forced(database: str) -> None:
    with psycopg.connect(database) as connection:
        loose = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT (relrowsecurity AND relforcerowsecurity) AND relname <> 'alembic_version'"
        ).fetchall()
        strong = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'fillip\\_%' AND (rolsuper OR rolbypassrls)"
        ).fetchall()
        owned = connection.execute("SELECT tablename FROM pg_tables WHERE tableowner LIKE 'fillip\\_%'").fetchall()
    assert (loose, strong, owned) == ([], [], [])


async def fill_wallet(client: AsyncClient, amount: int) -> None:
    """Points for ada, of which she spends one."""
    await client.put("/v1/points/POINTS", json={"name": "Points"})
    levels = [{"name": "bronze", "from": 0}, {"name": "silver", "from": 500}]
    await client.put("/v1/ladders/POINTS", json={"span": "year", "levels": levels})
    purse = "/v1/users/ada/wallets/POINTS"
    body = {"adjustment_id": "a", "amount": amount, "reason": "x"}
    assert (await client.post(f"{purse}/adjustments", json=body)).status_code == 201
    assert (await client.post(f"{purse}/spends", json={"spend_id": "s1", "amount": 1})).status_code == 201
    assert (await client.post(f"{purse}/holds", json={"hold_id": "h1", "amount": 1})).status_code == 201


def put_rejection(dsn: str) -> UUID:
    """A rejection of acme's."""
    rejection_id = uuid4()
    with psycopg.connect(dsn) as owner:
        owner.execute(
            "INSERT INTO rejection VALUES (%s, 'acme', 'event.received', 0, 1, 'unknown_action', 'x', 'e9', '/till', '', now())",
            [rejection_id],
        )
    return rejection_id


def dump(dsn: str) -> list[object]:
    """Everything that acme has."""
    tables = (
        "tenant",
        "end_user",
        "action",
        "campaign",
        "spending_limit",
        "cohort",
        "cohort_chunk",
        "cohort_build",
        "user_number",
        "user_numbering",
        "erasure",
        "named_list",
        "named_list_version",
        "api_key",
        "book_change",
        "coupon_pool",
        "coupon",
        "incentive",
        "coupon_generation",
        "badge",
        "points_currency",
        "wallet",
        "wallet_lot",
        "wallet_transfer",
        "wallet_hold",
        "ladder",
        "leaderboard",
    )
    with psycopg.connect(dsn) as owner:
        return [
            owner.execute(f"SELECT t::text FROM {name} t WHERE tenant_id = 'acme' ORDER BY 1").fetchall()
            for name in tables
        ]
