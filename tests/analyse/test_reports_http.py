"""Reports over HTTP: whose, which, and what is refused. Keys are real ones in PostgreSQL."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fillip.analyse import Queries, build_app
from fillip.analyse.facts import sift
from fillip.app.valkey import connect_valkey
from fillip.limit.rates_valkey import ValkeyRates
from fillip.manage.api.keys import NewKey
from fillip.manage.api.quotas import QuotasPart
from fillip.manage.api.tenants import NewTenant
from fillip.manage.key.postgres import PostgresKeyRing
from fillip.manage.operator import create_key, create_tenant, set_quotas
from fillip.manage.store.postgres import open_engine
from fillip.migrations import role_dsn
from tests.analyse.bay_world import BayWorld, decision, incentive, instance, level, record, rejection, transfer
from tests.analyse.test_burn import limit, use, zone


class Desk:
    """Three decisions of acme on three days, two of rival, none of newcomer; a key each, and one without the scope."""

    def __init__(self, app: Any, acme: str, rival: str, newcomer: str, scopeless: str) -> None:
        self.acme, self.rival, self.newcomer, self.scopeless = acme, rival, newcomer, scopeless
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bay")

    async def ask(
        self, path: str, key: str | None = None, body: bytes | None = None, **parameters: Any
    ) -> httpx.Response:
        """The answer to a GET below /v1/reports, as acme unless told otherwise."""
        headers = {"Authorization": f"Bearer {self.acme if key is None else key}"}
        return await self._client.request(
            "GET", f"/v1/reports/{path}", params=parameters or None, headers=headers, content=body
        )


@pytest.fixture
async def desk(bay_world: BayWorld, database: str) -> AsyncIterator[Desk]:
    """Facts loaded by hand, and the HTTP application over them."""
    keys = []
    for tenant_id in ("acme", "rival", "newcomer"):
        tenant = NewTenant(tenant_id=tenant_id, name=tenant_id, time_zone="UTC", currency="EUR", clock="live")
        keys.append((await create_tenant(database, tenant, NewKey(name="k", scopes=["reports:read"])))[1].key)
    keys.append((await create_key(database, "acme", NewKey(name="k", scopes=["manage:read"]))).key)
    variants = {2: "a"}
    messages = [decision(n, local_day=f"2026-03-0{n}", campaign_id=f"c{n}", variant=variants.get(n)) for n in (1, 2, 3)]
    messages += [decision(n, tenant_id="rival", campaign_id="canary-rival") for n in (4, 5)]
    records = [record(offset, message, bay_world.topics.decided) for offset, message in enumerate(messages)]
    records += [record(0, rejection(1), bay_world.topics.rejected)]
    lot: dict[str, Any] = {"lots": {"a": 9}, "expiries": ["2026-05-31T22:00:00.000000Z"]}
    transfers = [transfer(1, "grant", "issued", "active", 9, **lot), transfer(2, "spend", "active", "spent", 4)]
    transfers += [transfer(2, "grant", "issued", "active", 1, currency="STARS")]
    transfers += [transfer(1, "grant", "issued", "active", 77, tenant_id="rival", currency="CANARY", **lot)]
    for offset, message in enumerate(transfers):
        message["source"] |= {"commit_lsn": offset, "committed_at_us": 0}
    records += [record(offset, message, bay_world.topics.moved) for offset, message in enumerate(transfers)]
    records += [record(offset, message, topic) for offset, (topic, message) in enumerate(list_standing(bay_world))]
    engine = open_engine(role_dsn(database, "fillip_api"))
    rates = ValkeyRates(connect_valkey("redis://127.0.0.1:1/0"))  # away: each test has buckets of its own
    async with bay_world.bay() as bay:
        await bay.load(sift(records, {}))
        async with Queries.open(bay.day_files) as queries:
            yield Desk(build_app(bay, queries, PostgresKeyRing(engine), rates), *map(str, keys))
    await engine.dispose()


def list_standing(world: BayWorld) -> list[tuple[str, dict[str, Any]]]:
    """Of acme a zone, two limits, two uses of one, two versions of a quest, incentives of two days; of rival a limit."""
    uses = [use("a", 3, 1, 5), use("a", 7, 2, 3), use("canary-rival", 1, 1, 1, tenant_id="rival")]
    told = [zone(), limit("a", 10), limit("b", 10), zone("rival"), limit("canary-rival", 10, tenant_id="rival"), *uses]
    told += [(world.topics.progressed, instance(n, 1, (0, None), campaign_version=n)) for n in (1, 2)]
    days = [f"2026-03-0{n}T10:00:00.000000Z" for n in (1, 2)]
    told += [(world.topics.levels, level(n, "up", ("bronze", "silver"), day)) for n, day in enumerate(days)]
    told += [(world.topics.generated, incentive(n, granted_at=day)) for n, day in enumerate(days)]
    for place, (_, message) in enumerate(told):
        message["source"] |= {"commit_lsn": place, "committed_at_us": 0}
    return [(world.topics.prefix + topic.removeprefix(world.topics.prefix), message) for topic, message in told]


async def test_a_tenant_sees_its_own_lines(desk: Desk) -> None:
    lines = (await desk.ask("campaign-days")).json()["items"]
    assert [line["campaign_id"] for line in lines] == ["c1", "c2", "c3"]
    assert lines[0] == {
        "day": "2026-03-01",
        "campaign_id": "c1",
        "granted": 1,
        "issued": 2,
        "denied": {},
        "spend": [
            {"kind": "cashback", "currency": "EUR", "count": 1, "value": 250, "reversed": 0},
            {"kind": "points", "currency": None, "count": 1, "value": 5, "reversed": 0},
        ],
        "unique_users": 1,
        "shadow_spend": [],
    }
    assert lines[2] | {"denied": {"limit": 1}, "spend": [], "granted": 0, "issued": 0, "unique_users": 0} == lines[2]


async def test_nothing_of_another_tenant_by_any_route(desk: Desk) -> None:
    paths = ["campaign-days", "rejection-days", "watermark", "campaign-days?campaign_id=canary-rival"]
    more = ["campaign-times", "quest-funnel?campaign_id=tour", "limit-burn", "limit-hours?limit_id=canary-rival"]
    for path in [*paths, *more, "liability", "liability-movements", "liability-expiries"]:
        answer = await desk.ask(path)
        assert answer.status_code == 200
        assert "canary" not in answer.text.lower()
    rivals = (await desk.ask("campaign-days", key=desk.rival)).json()["items"]
    assert [(line["campaign_id"], line["granted"]) for line in rivals] == [("canary-rival", 2)]
    assert (await desk.ask("rejection-days", key=desk.rival)).json()["items"] == []


async def test_days_campaign_and_pages(desk: Desk) -> None:
    days: dict[str, Any] = {"from": "2026-03-02", "to": "2026-03-02"}
    found = await desk.ask("campaign-days", **days)
    assert [line["campaign_id"] for line in found.json()["items"]] == ["c2"]
    found = await desk.ask("campaign-days", campaign_id="c3")
    assert [line["campaign_id"] for line in found.json()["items"]] == ["c3"]
    seen, cursor = list[str](), dict[str, Any]()
    while True:
        page = (await desk.ask("campaign-days", limit=1, **cursor)).json()
        seen += [line["campaign_id"] for line in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == ["c1", "c2", "c3"]


async def test_a_campaign_by_variant(desk: Desk) -> None:
    """Over all days; what has no variant, and what is another tenant's, is in no line."""
    items = (await desk.ask("campaign-variants", campaign_id="c1")).json()["items"]
    assert items == []
    tested = (await desk.ask("campaign-variants", campaign_id="c2")).json()
    assert [(line["variant"], line["users"], line["granted"]) for line in tested["items"]] == [("a", 1, 1)]
    assert tested["next_cursor"] is None
    rivals = (await desk.ask("campaign-variants", key=desk.rival, campaign_id="c2")).json()
    assert rivals["items"] == []
    wrong: list[tuple[dict[str, Any], str]] = [({}, "campaign_id"), ({"campaign_id": "c", "limit": "5"}, "limit")]
    for parameters, at in [*wrong, ({"campaign_id": "c", "from": "x"}, "from")]:
        refused = await desk.ask("campaign-variants", **parameters)
        assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, at)


async def test_limits_quests_and_times_page_by_page(desk: Desk) -> None:
    quest: dict[str, Any] = {"campaign_id": "tour"}
    for path, asked, name, expected in (
        ("limit-burn", {}, "limit_id", ["a", "b"]),
        ("quest-funnel", quest, "campaign_version", [1, 2]),
        ("campaign-times", {}, "day", ["2026-03-01", "2026-03-02"]),
        ("level-days", {}, "day", ["2026-03-01", "2026-03-02"]),
    ):
        first = (await desk.ask(path, limit=1, **asked)).json()
        second = (await desk.ask(path, limit=1, cursor=first["next_cursor"], **asked)).json()
        assert [first["items"][0][name], second["items"][0][name]] == expected, path
        assert (len(first["items"]), second["next_cursor"]) == (1, None)
    (hour,) = (await desk.ask("limit-hours", limit_id="a")).json()["items"]
    assert hour == {"hour": "1970-01-01T00:00:00Z", "used": 7}
    newcomer = await desk.ask("limit-burn", key=desk.newcomer)
    assert newcomer.json() == {"items": [], "next_cursor": None}


async def test_rejections(desk: Desk) -> None:
    lines = (await desk.ask("rejection-days")).json()["items"]
    assert lines == [{"day": "2026-03-01", "reason": "unknown_action", "count": 1}]


async def test_levels(desk: Desk) -> None:
    """Of whom nothing is told, and of acme on its own days."""
    (line,) = (await desk.ask("level-days", to="2026-03-01")).json()["items"]
    move = {"direction": "up", "from_level": "bronze", "to_level": "silver", "changes": 1}
    assert line == {"day": "2026-03-01", "currency": "POINTS", "up": 1, "down": 0, "renamed": 0, "moves": [move]}
    assert (await desk.ask("level-days", key=desk.rival)).json()["items"] == []


async def test_points_outstanding(desk: Desk) -> None:
    """At an instant, from one to another, and page by page."""
    held = {"currency": "POINTS", "pending": 0, "active": 9, "held": 0, "outstanding": 9}
    assert (await desk.ask("liability", at="2026-03-02T00:00:00Z")).json() == {"items": [held], "next_cursor": None}
    span: dict[str, Any] = {"from": "2026-03-02T00:00:00Z", "to": "2026-03-03T00:00:00Z"}
    moved = await desk.ask("liability-movements", **span)
    nothing = {"granted": 0, "adjusted": 0, "imported": 0, "refunded": 0, "expired": 0, "reversed": 0}
    points = {"currency": "POINTS", "opening": 9, **nothing, "spent": 4, "closing": 5}
    assert moved.json()["items"][0] == points
    page = (await desk.ask("liability", limit=1)).json()
    assert [line["currency"] for line in page["items"]] == ["POINTS"]
    page = (await desk.ask("liability", limit=1, cursor=page["next_cursor"])).json()
    assert [line["currency"] for line in page["items"]] == ["STARS"]
    assert page["next_cursor"] is None


async def test_points_outstanding_by_month_of_expiry(desk: Desk) -> None:
    """Now, or at an instant, page by page; what no lot stands for is told too."""
    lines = [{"currency": "POINTS", "expires": "2026-05", "outstanding": 9}]
    assert (await desk.ask("liability-expiries", at="2026-03-01T12:00:00Z")).json()["items"] == lines
    asked: dict[str, Any] = {"at": "2026-03-31T00:00:00Z"}
    items = (await desk.ask("liability-expiries", **asked)).json()["items"]
    assert [(line["expires"], line["outstanding"]) for line in items] == [
        ("2026-05", 9),
        ("unsettled", -4),
        ("unsettled", 1),
    ]
    first = (await desk.ask("liability-expiries", limit=1, **asked)).json()
    second = (await desk.ask("liability-expiries", limit=2, cursor=first["next_cursor"], **asked)).json()
    assert [*first["items"], *second["items"]] == items
    assert second["next_cursor"] is None
    assert (await desk.ask("liability-expiries", at="9998-12-31T23:59:59Z")).status_code == 200
    assert (await desk.ask("liability-expiries", key=desk.newcomer)).json()["items"] == []


@pytest.mark.parametrize(
    ("path", "parameters", "at"),
    [
        ("quest-funnel", {}, "campaign_id"),
        ("quest-funnel", {"campaign_id": "c", "cursor": base64.urlsafe_b64encode(b'["1"]').decode()}, "cursor"),
        ("campaign-times", {"from": "2026-03-02T00:00:00Z"}, "from"),
        ("limit-burn", {"limit_id": "a"}, "limit_id"),
        ("limit-hours", {}, "limit_id"),
        (
            "limit-hours",
            {"limit_id": "a", "cursor": base64.urlsafe_b64encode(b'["2026-03-01T00:00:00"]').decode()},
            "cursor",
        ),
        ("liability", {"at": "2026-03-02"}, "at"),
        ("liability", {"from": "2026-03-02T00:00:00Z"}, "from"),
        ("liability", {"cursor": base64.urlsafe_b64encode(b'["2026-03-01","c"]').decode()}, "cursor"),
        ("liability-expiries", {"to": "2026-03-02T00:00:00Z"}, "to"),
        ("liability-expiries", {"cursor": base64.urlsafe_b64encode(b'["POINTS"]').decode()}, "cursor"),
        ("liability-movements", {"from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, "to"),
        ("liability-movements", {"to": "9999-12-31T00:00:00Z"}, "to"),
        ("liability-movements", {"at": "2026-03-02T00:00:00Z"}, "at"),
    ],
)
async def test_a_wrong_question_is_refused_at_its_place(
    desk: Desk, path: str, parameters: dict[str, Any], at: str
) -> None:
    answer = await desk.ask(path, **parameters)
    assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, at)


async def test_the_watermark_is_of_the_tenant_alone(desk: Desk) -> None:
    """acme's newest was committed at second 3, rival's at 5; who has nothing yet has no watermark."""
    told = [(await desk.ask("watermark", key=key)).json() for key in (desk.acme, desk.rival, desk.newcomer)]
    assert told == [
        {"committed_at": "1970-01-01T00:00:03Z"},
        {"committed_at": "1970-01-01T00:00:05Z"},
        {"committed_at": None},
    ]


@pytest.mark.parametrize(
    ("parameters", "at"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-13-01"}, "from"),
        ({"to": "2026-02-30"}, "to"),
        ({"to": ""}, "to"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "to"),
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "1e2"}, "limit"),
        ({"limit": "٣"}, "limit"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": base64.urlsafe_b64encode(b'["2026-03-01"]').decode()}, "cursor"),
        ({"tenant_id": "rival"}, "tenant_id"),
        ({"campaign_id": "x" * 3000}, "campaign_id"),
        ({"campaign_id": ["a", "b"]}, "campaign_id"),
    ],
)
async def test_a_bad_query_is_refused_at_its_place(desk: Desk, parameters: dict[str, Any], at: str) -> None:
    answer = await desk.ask("campaign-days", **parameters)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["errors"][0]["at"] == at
    assert answer.json()["trace_id"] == answer.headers["trace-id"]


async def test_nobody_reads_a_body_or_is_sent_elsewhere(desk: Desk) -> None:
    for path in ("campaign-days", "rejection-days", "watermark"):
        answer = await desk.ask(path, body=b'{"from": "2026-03-01"}')
        assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, "")
        assert (await desk.ask(path, odd="1")).json()["errors"][0]["at"] == "odd"
        assert (await desk.ask(f"{path}?from=%FF")).status_code == 400
        elsewhere = await desk.ask(f"{path}/")
        assert (elsewhere.status_code, "location" in elsewhere.headers) == (404, False)
    assert (await desk.ask("../../openapi.json", odd="1")).status_code == 422


async def test_sql_in_a_parameter_is_text(desk: Desk) -> None:
    answer = await desk.ask("campaign-days", campaign_id="' OR tenant_id = 'rival")
    assert answer.json()["items"] == []


async def test_who_may_not_ask(desk: Desk) -> None:
    for key in ("", "fk_live_forged", desk.acme[:-1] + "~", "x" * 5000, "é"):
        answer = await desk.ask("campaign-days", key=key) if key.isascii() else None
        assert answer is None or (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    for path in ("campaign-days", "rejection-days", "watermark"):
        assert (await desk.ask(path, key=desk.scopeless)).status_code == 403
    assert (await desk.ask("nothing")).status_code == 404


async def test_questions_beyond_the_tenants_rate_are_refused(desk: Desk, database: str) -> None:
    await set_quotas(database, "acme", QuotasPart(requests_per_s=1))
    answers = [await desk.ask("watermark") for _ in range(10)]
    statuses = [answer.status_code for answer in answers]
    assert answers[0].headers["RateLimit"] == '"requests_per_s";r=9'
    refused = await desk.ask("watermark")
    while refused.status_code == 200:  # a second has passed: there is one more
        refused = await desk.ask("watermark")
    assert (set(statuses), refused.status_code) == ({200}, 429)
    assert refused.json()["type"] == "https://fillip.dev/problems/quota-exceeded"
    assert refused.headers["RateLimit-Policy"] == '"requests_per_s";q=10;w=10'
    assert int(refused.headers["Retry-After"]) >= 1
    assert (await desk.ask("watermark", key=desk.rival)).status_code == 200
