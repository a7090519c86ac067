"""Every list reads its own page by an index, however much there is of others: shown by the plans of all its queries."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
from pyroaring import BitMap
from sqlalchemy import event

import fillip.migrations
from fillip.core.campaign.campaign import CheckedExpression
from fillip.core.schema.types import EMPTY
from fillip.deliver.postgres import SQL as GATEWAY
from fillip.manage.rule.checker import check_rule
from fillip.migrations import role_dsn
from tests.manage.conftest import ALL_SCOPES, OPERATOR_KEY, Plane
from tests.manage.test_openapi import describe_api

TENANT, OTHER = "t07", "t08"
ROWS = 20_000
MAX_COST = 20_000
"""A look at each of 1,000 rows by an index costs 9 to 13 each; reading one of the tables through costs 60,000 and more."""
MAX_SORTED = 10_000
"""A user's rows may be put in order, or an event's; a tenant has 100,000 in each table."""
PERIOD = {"from": "2020-01-01T00:00:00Z", "to": "2040-01-01T00:00:00Z"}
LISTS: dict[str, dict[str, str]] = {
    "/v1/actions": {"prefix": "A"},
    "/v1/backtests": {"campaign_id": "c1", "state": "done"},
    "/v1/badges": {"prefix": "b", "name_prefix": "b"},
    "/v1/balance-imports": {"prefix": "i"},
    "/v1/campaigns": {"state": "running", "kind": "SIMPLE", "prefix": "c1", "name_prefix": "c"},
    "/v1/campaigns/c0/versions": {},
    "/v1/cohorts": {"kind": "sql", "prefix": "c", "name_prefix": "c"},
    "/v1/cohorts/c0/builds": {},
    "/v1/cohorts/c0/members": {},
    "/v1/coupon-pools": {"prefix": "p", "name_prefix": "p"},
    "/v1/coupon-pools/p0/generations": {},
    "/v1/decisions": {
        "user_id": "u1",
        "campaign_id": "c1",
        "event_id": "e57",
        "event_source": "/till",
        "outcome": "granted",
        "reason": "limit",
        **PERIOD,
    },
    "/v1/incentives": {"user_id": "u1", "campaign_id": "c1", "state": "delivered", "kind": "coupon", **PERIOD},
    "/v1/incentives?state=claimed": {},
    "/v1/keys": {},
    "/v1/ladders": {},
    "/v1/ladders/P0/users": {"level": "m"},
    "/v1/ladders/P0/users?level=l": {},
    "/v1/leaderboards": {"prefix": "l"},
    "/v1/limits": {"campaign_id": "c1", "prefix": "l"},
    "/v1/limits/l0/usage": {"user_id": "u1"},
    "/v1/lists": {"prefix": "l", "name_prefix": "l"},
    "/v1/points": {},
    "/v1/quests/progress": {"user_id": "u1", "campaign_id": "c1", "state": "completed"},
    "/v1/rejections": {"reason": "too_deep", "event_id": "e57", "event_source": "/till", **PERIOD},
    "/v1/reversals": {"state": "waiting", "event_id": "e57", "event_source": "/till", "user_id": "u2", **PERIOD},
    "/v1/tenants": {"prefix": "t"},
    "/v1/users": {"user_id": "u1", "prefix": "u1", "attributes": '{"tier": "gold"}'},
    "/v1/users/u1/badges": {},
    "/v1/users/u1/inbox": {},
    "/v1/users/u1/merges": {},
    "/v1/users/u1/quests": {"campaign_id": "c1", "state": "open"},
    "/v1/users/u1/wallets": {},
    "/v1/users/u1/wallets/P0/holds": {"state": "timed_out"},
    "/v1/users/u1/wallets/P1/lots": {},
    "/v1/users/u1/wallets/P0/transfers": {"kind": "spend", **PERIOD},
}
"""Every list of the API, with each of its filters."""
OF_VALKEY = {"/v1/leaderboards/{leaderboard_id}/ranks"}
OF_THE_GATEWAY: dict[str, tuple[object, ...]] = {
    "page": (TENANT, "u1", 2, 100),
    "standing": (TENANT, "u1"),
    "ack": (TENANT, "u1", 1, 3),
    "progress": (TENANT, "u1", ["c1"], ["57"], [1], 20),
    "levels": (TENANT, "u1"),
}
PAGES = Path(fillip.migrations.__file__).parent / "versions" / "0001_pages.sql"


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan and all below it."""
    yield node
    for below in node.get("Plans", ()):
        yield from walk(below)


def find_faults(plan: dict[str, Any]) -> Iterator[str]:
    """Where a plan's cost grows with what is in the tables."""
    if plan["Total Cost"] > MAX_COST:
        yield f"costs {plan['Total Cost']}"
    for node in walk(plan):
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] != "tenant":
            yield f"reads all of {node['Relation Name']}"
        if node["Node Type"] in ("Sort", "Hash", "HashAggregate") and node["Plan Rows"] > MAX_SORTED:
            yield f"gathers {node['Plan Rows']} rows for {node['Node Type']}"


class Planner:
    """Plans of statements, as a role sees the tables of one tenant."""

    def __init__(self, dsn: str, role: str) -> None:
        self._connection = psycopg.connect(role_dsn(dsn, role) if role else dsn, autocommit=True)
        self._connection.execute("SELECT set_config('app.tenant', %s, false)", [TENANT])
        self.used: set[str] = set()

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def find_faults(self, statement: str, parameters: tuple[object, ...]) -> Iterator[str]:
        """Of its plan for these parameters, and of the one for any."""
        for mode in ("force_custom_plan", "force_generic_plan"):
            self._connection.execute(f"SET plan_cache_mode = {mode}")
            self._connection.execute(f"PREPARE planned AS {statement}")
            given = psycopg.sql.SQL(", ").join(map(psycopg.sql.Literal, parameters))
            call: psycopg.sql.SQL | psycopg.sql.Composed = psycopg.sql.SQL("EXPLAIN (FORMAT JSON) EXECUTE planned")
            call = call + psycopg.sql.SQL("({})").format(given) if parameters else call
            [[found]] = self._connection.execute(call).fetchall()
            self._connection.execute("DEALLOCATE planned")
            self.used |= {node["Index Name"] for node in walk(found[0]["Plan"]) if "Index Name" in node}
            yield from (f"{mode}: {fault}: {statement}" for fault in find_faults(found[0]["Plan"]))


def write_many_rows(rows: int) -> str:
    """The statements that fill every list."""
    checked = msgspec.json.encode({"rule": CheckedExpression(check_rule("true", EMPTY, EMPTY).checked)}).decode()
    source = Path(__file__).with_name("many_rows.sql").read_text()
    members = f"\\x{BitMap([0]).serialize().hex()}"
    return source.replace("$ROWS", str(rows)).replace("$CHECKED", checked).replace("$MEMBERS", members)


@pytest.fixture
def crowd(plane: Plane) -> Plane:
    """The plane with fifty tenants that fill every list, as if each table held five million rows."""
    here = Path(__file__)
    with psycopg.connect(plane.dsn, autocommit=True) as owner:
        owner.execute(write_many_rows(ROWS))
        owner.execute(here.with_name("pretend_rows.sql").read_text())
    return plane


def test_every_list_and_every_filter_is_looked_at():
    listed = {}
    for path, item in describe_api()["paths"].items():
        if "servers" in item or path == "/v1/events/{source}/{event_id}":  # whose campaigns are those of a book
            continue
        names = {p["name"] for p in item.get("get", {}).get("parameters", ()) if p["in"] == "query"}
        if "cursor" in names and path not in OF_VALKEY:
            listed[path] = names - {"cursor", "limit"}
    filled = {path.partition("?")[0]: set(filters) for path, filters in LISTS.items() if "?" not in path}
    named = {
        "c0": "{campaign_id}",
        "p0": "{pool_id}",
        "l0": "{limit_id}",
        "u1": "{user_id}",
        "P0": "{currency}",
        "P1": "{currency}",
    }
    written = {
        "/".join(
            "{cohort_id}" if "cohorts" in path and part == "c0" else named.get(part, part) for part in path.split("/")
        ): filters
        for path, filters in filled.items()
    }
    assert written == listed


async def test_a_page_of_any_list_reads_its_own_rows_by_an_index(crowd: Plane) -> None:
    """Each list without a filter, by each filter alone, by all of them, the page behind each, and what the gateway reads."""
    seen: dict[str, tuple[object, ...]] = {}
    owners = set()

    @event.listens_for(crowd.engine.sync_engine, "before_cursor_execute")
    @event.listens_for(crowd.owner.sync_engine, "before_cursor_execute")
    def note(connection: Any, cursor: object, statement: str, parameters: tuple[object, ...], *_: object) -> None:
        if statement.startswith(("SELECT", "DELETE")) and "set_config" not in statement:
            seen.setdefault(statement, tuple(parameters))
            if connection.engine is crowd.owner.sync_engine:
                owners.add(statement)

    tenant, operator = await crowd.client(await crowd.make_key(TENANT, *ALL_SCOPES)), await crowd.client(OPERATOR_KEY)
    pages = 0
    for path, filters in LISTS.items():
        client = operator if path == "/v1/tenants" else tenant
        for asked in [{}, *({name: value} for name, value in filters.items()), filters]:
            pages += await read_two_pages(client, path, asked)
    assert pages > len(LISTS), "there are lists of more than one page"
    assert (await tenant.post("/v1/tickets", json={"user_id": "u1"})).status_code == 201, "it removes old ones"
    listing = {statement: parameters for statement, parameters in seen.items() if "authenticate_key" not in statement}
    assert len(listing) >= 2 * len(LISTS)
    with (
        closing(Planner(crowd.dsn, "fillip_api")) as as_api,
        closing(Planner(crowd.dsn, "")) as as_owner,
        closing(Planner(crowd.dsn, "fillip_gateway")) as as_gateway,
    ):
        planned = [
            (as_owner if statement in owners else as_api, statement, given) for statement, given in listing.items()
        ]
        planned += [(as_gateway, GATEWAY[name], given) for name, given in OF_THE_GATEWAY.items()]
        assert [fault for planner, statement, given in planned for fault in planner.find_faults(statement, given)] == []
        made = re.findall(r"CREATE INDEX (\w+)", PAGES.read_text())
        assert set(made) <= as_api.used | as_gateway.used, "no index without a list that reads it"


async def read_two_pages(client: httpx.AsyncClient, path: str, asked: dict[str, str]) -> int:
    """Read a page, and the next one where there is one; how many there were."""
    first = await client.get(path, params=asked | {"limit": "3"} if "?" not in path else None)
    assert first.status_code == 200, f"{path} {asked}: {first.text}"
    cursor = first.json()["next_cursor"]
    if cursor is None or "?" in path:
        return 1
    second = await client.get(path, params=asked | {"limit": "3", "cursor": cursor})
    assert second.status_code == 200, second.text
    return 2
