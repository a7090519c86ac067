"""Quotas: each refused exactly at its bound, for its tenant alone, and never passed by two at once."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
from httpx import AsyncClient
from redis.asyncio import Redis

from fillip.app.operate import set_quotas
from fillip.core.errors import Refused
from fillip.core.quota import Quotas
from fillip.embedded.addresses import Addresses
from fillip.limit.rates_valkey import ValkeyRates
from fillip.manage.api.keys import NewKey
from fillip.manage.api.quotas import QuotasPart
from fillip.manage.api.tenants import NewTenant
from fillip.manage.operator import create_tenant
from tests.manage.conftest import ALL_SCOPES, Plane
from tests.manage.shop import ANY, CASHBACK, cap, draft, fill_list, launch, open_shop

CSV = {"Content-Type": "text/csv"}


async def bound(plane: Plane, **quotas: int) -> AsyncClient:
    """A client of acme with these quotas: its key is new, so that nothing of it is remembered."""
    operator = await plane.client("operator-key-of-this-test")
    answer = await operator.patch("/v1/tenants/acme/quotas", json=quotas)
    assert answer.status_code == 200, answer.text
    return await plane.client(await plane.make_key("acme", *ALL_SCOPES))


def assert_full(answer: httpx.Response, name: str, quota: int, left: int = 0) -> None:
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (429, "https://fillip.dev/problems/quota-exceeded"), answer.text
    assert [fault["at"] for fault in problem["errors"]] == [name]
    assert answer.headers["RateLimit-Policy"] == f'"{name}";q={quota}'
    assert answer.headers["RateLimit"] == f'"{name}";r={left}'
    assert "Retry-After" not in answer.headers, "waiting does not help"


def tally(answers: list[httpx.Response]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


async def test_the_operator_shows_sets_and_resets_quotas_and_the_tenant_sees_them(plane: Plane, acme: AsyncClient):
    operator = await plane.client("operator-key-of-this-test")
    shown = (await operator.get("/v1/tenants/acme/quotas")).json()["quotas"]
    assert {name: each["quota"] for name, each in shown.items()} == {
        name: getattr(Quotas(), name) for name in Quotas.__struct_fields__
    }
    changed = await operator.patch("/v1/tenants/acme/quotas", json={"lists": 3, "sockets": 5})
    assert changed.json()["quotas"]["lists"] == {"quota": 3, "default": 100, "used": 0}
    await operator.patch("/v1/tenants/acme/quotas", json={"sockets": None})
    await fill_list(acme, "one", "a")
    own = (await acme.get("/v1/tenant/quotas")).json()["quotas"]
    assert (own["lists"], own["sockets"]["quota"]) == ({"quota": 3, "default": 100, "used": 1}, 10_000)


@pytest.mark.parametrize("part", [{"events_per_s": 0}, {"lists": 101}, {"lists": "3"}, {"events": 5}, {"cohorts": -1}])
async def test_a_quota_that_means_nothing_is_refused(plane: Plane, part: Mapping[str, Any]):
    operator = await plane.client("operator-key-of-this-test")
    assert (await operator.patch("/v1/tenants/acme/quotas", json=part)).status_code == 422


async def test_only_the_operator_sets_them_and_only_of_tenants_that_there_are(plane: Plane, acme: AsyncClient):
    operator = await plane.client("operator-key-of-this-test")
    assert (await acme.patch("/v1/tenants/acme/quotas", json={"lists": 3})).status_code == 403
    assert (await operator.patch("/v1/tenants/nobody/quotas", json={"lists": 3})).status_code == 404
    assert (await operator.get("/v1/tenants/nobody/quotas")).status_code == 404


def test_the_command_line_sets_them_too(database: str):
    tenant = NewTenant(tenant_id="acme", name="Acme", time_zone="UTC", currency="EUR")
    asyncio.run(create_tenant(database, tenant, NewKey(name="k", scopes=["manage:read"])))
    shown = set_quotas(database, "acme", ["events_per_s=5", "cohorts=7"]).quotas
    assert (shown["events_per_s"].quota, shown["cohorts"].quota) == (5, 7)
    assert set_quotas(database, "acme", ["cohorts=default"]).quotas["cohorts"].quota == 1_000
    assert set_quotas(database, "acme", []).quotas["events_per_s"].quota == 5
    for wrong in ("events_per_s", "events_per_s=many", "event=5", "lists=-1"):
        with pytest.raises(Refused, match=wrong.partition("=")[0]):
            set_quotas(database, "acme", [wrong])


def test_each_quota_can_be_set():
    assert set(QuotasPart.model_fields) == set(Quotas.__struct_fields__)


async def test_requests_beyond_the_rate_are_refused_of_that_tenant_alone(plane: Plane, servers: Addresses):
    """One request a second: ten at once, of thirty; whatever the others got is not begun."""
    # not by Fillip's own client, which gives up after 50 ms
    async with Redis.from_url(servers.valkey_url) as valkey:
        plane.app.state.app_state = replace(plane.app.state.app_state, rates=ValkeyRates(valkey))
        name = f"t{plane.dsn.rpartition('_')[2]}"  # a bucket of this test's own
        operator = await plane.client("operator-key-of-this-test")
        new = {"tenant_id": name, "name": "T", "time_zone": "UTC", "currency": "EUR"}
        assert (await operator.post("/v1/tenants", json=new)).status_code == 201
        assert (await operator.patch(f"/v1/tenants/{name}/quotas", json={"requests_per_s": 1})).status_code == 200
        client = await plane.client(await plane.make_key(name, *ALL_SCOPES))
        answers = await asyncio.gather(*(client.get("/v1/lists") for _ in range(30)))
        refused = [answer for answer in answers if answer.status_code == 429]
        assert 10 <= len(answers) - len(refused) <= 20, "ten, and one for each second that this took"
        room = [answer.headers["RateLimit"] for answer in answers if answer.status_code == 200]
        assert set(room) == {f'"requests_per_s";r={left}' for left in range(10)}, "each is told what is left"
        assert refused[0].json()["type"] == "https://fillip.dev/problems/quota-exceeded"
        assert refused[0].headers["RateLimit-Policy"] == '"requests_per_s";q=10;w=10'
        assert int(refused[0].headers["Retry-After"]) >= 1
        acme = await plane.client(plane.keys["acme"])
        assert (await acme.get("/v1/lists")).status_code == 200
        assert (await operator.get(f"/v1/tenants/{name}/quotas")).status_code == 200


async def test_campaigns(plane: Plane, rival: AsyncClient):
    acme = await bound(plane, campaigns=2)
    await open_shop(acme)
    made = await asyncio.gather(
        *(acme.post("/v1/campaigns", json={"campaign_id": f"c{n}", "definition": CASHBACK}) for n in range(4))
    )
    assert tally(made) == [201, 201, 429, 429]
    assert_full(next(answer for answer in made if answer.status_code == 429), "campaigns", 2)
    await open_shop(rival)
    await draft(rival, "c", CASHBACK)


async def test_the_steps_of_an_event_in_all_campaigns_that_it_may_meet(plane: Plane):
    acme = await bound(plane)
    await open_shop(acme)
    await launch(acme, "first", CASHBACK)
    used = (await acme.get("/v1/tenant/quotas")).json()["quotas"]["rule_steps"]["used"]
    assert used > 0
    acme = await bound(plane, rule_steps=2 * used)
    await launch(acme, "second", CASHBACK)
    await draft(acme, "third", CASHBACK)
    assert_full(await acme.post("/v1/campaigns/third/launch", headers=ANY), "rule_steps", 2 * used)
    assert (await acme.get("/v1/campaigns/third")).json()["state"] == "draft", (
        "a draft meets nothing, and costs nothing"
    )
    dearer = CASHBACK | {"rule": f"({CASHBACK['rule']}) && event.amount_cents < 1000000"}
    assert_full(await acme.put("/v1/campaigns/first", json=dearer, headers=ANY), "rule_steps", 2 * used, used)
    assert (await acme.put("/v1/campaigns/first", json=CASHBACK | {"rule": "true"}, headers=ANY)).status_code == 200
    for order in ("end", "archive"):
        assert (await acme.post(f"/v1/campaigns/second/{order}", headers=ANY)).status_code == 200
    assert (await acme.post("/v1/campaigns/third/launch", headers=ANY)).status_code == 200


async def test_cohorts(plane: Plane, rival: AsyncClient):
    acme = await bound(plane, cohorts=2)
    made = await asyncio.gather(*(acme.post("/v1/cohorts", json={"cohort_id": f"c{n}", "name": "C"}) for n in range(4)))
    assert tally(made) == [201, 201, 429, 429]
    assert_full(next(answer for answer in made if answer.status_code == 429), "cohorts", 2)
    assert (await rival.post("/v1/cohorts", json={"cohort_id": "c", "name": "C"})).status_code == 201


async def test_the_size_of_a_cohort(plane: Plane):
    acme = await bound(plane, cohort_size=2)
    assert (await acme.post("/v1/cohorts", json={"cohort_id": "c", "name": "C"})).status_code == 201
    url, headers = "/v1/cohorts/c/members", ANY | CSV
    assert (await acme.put(url, content="ada\nbob\nada\n", headers=headers)).json()["size"] == 2
    assert_full(await acme.put(url, content="ada\nbob\ncid\n", headers=headers), "cohort_size", 2, 2)
    assert [each["user_id"] for each in (await acme.get(url)).json()["items"]] == ["ada", "bob"], (
        "the list in force stays"
    )


async def test_lists_and_their_size(plane: Plane):
    acme = await bound(plane, lists=2, list_size=3)
    made = await asyncio.gather(
        *(acme.put(f"/v1/lists/l{n}", json={"name": "L", "items": ["a", "b", "b", "c"]}) for n in range(4))
    )
    assert tally(made) == [201, 201, 429, 429]
    assert_full(next(answer for answer in made if answer.status_code == 429), "lists", 2)
    [one, _] = (await acme.get("/v1/lists")).json()["items"]
    longer = await acme.put(f"/v1/lists/{one['list_id']}", json={"name": "L", "items": list("abcd")}, headers=ANY)
    assert_full(longer, "list_size", 3, 3)


async def test_coupon_codes_imported_and_ordered(plane: Plane, rival: AsyncClient):
    acme = await bound(plane, coupon_codes=10)
    for client in (acme, rival):
        for pool in ("one", "two"):
            assert (await client.post("/v1/coupon-pools", json={"pool_id": pool, "name": "P"})).status_code == 201
    first = await acme.post("/v1/coupon-pools/one/codes", content="A\nB\nC\nD\nA\n", headers=CSV)
    assert first.json() == {"added": 4, "duplicates": 1}
    assert (await acme.post("/v1/coupon-pools/one/codes", content="A\nB\nC\nD\n", headers=CSV)).json()["added"] == 0
    both = await asyncio.gather(
        acme.post("/v1/coupon-pools/one/codes", content="E\nF\nG\nH\n", headers=CSV),
        acme.post("/v1/coupon-pools/two/generations", json={"count": 4}),
    )
    assert 429 in tally(list(both)), "eight more do not fit beside four"
    assert_full(next(answer for answer in both if answer.status_code == 429), "coupon_codes", 10, 2)
    assert (await acme.post("/v1/coupon-pools/two/generations", json={"count": 2})).status_code == 202
    assert_full(await acme.post("/v1/coupon-pools/two/codes", content="Z\n", headers=CSV), "coupon_codes", 10)
    assert (await rival.post("/v1/coupon-pools/one/codes", content="A\nB\n", headers=CSV)).json()["added"] == 2


async def test_stored_bytes_of_users(plane: Plane):
    """What a user's attributes take is counted as JSON, what is freed can be used again."""
    acme = await bound(plane, stored_bytes=80)
    user: dict[str, Any] = {"attributes": {"tier": "gold"}}  # {"tier": "gold"} is 16 bytes
    assert (await acme.put("/v1/users/ada", json=user)).status_code == 201
    bulk = {"users": [user | {"user_id": f"u{n}"} for n in range(4)]}
    assert (await acme.post("/v1/users:bulk", json=bulk)).json()["stored"] == 4
    assert (await acme.get("/v1/tenant/quotas")).json()["quotas"]["stored_bytes"]["used"] == 80
    assert_full(await acme.put("/v1/users/bob", json=user), "stored_bytes", 80)
    assert_full(await acme.patch("/v1/users/ada", json={"attributes": {"age": 7}}, headers=ANY), "stored_bytes", 80)
    assert (await acme.put("/v1/users/ada", json=user, headers=ANY)).status_code == 200, "as long as before"
    assert (await acme.delete("/v1/users/ada", headers=ANY)).status_code == 204
    both = await asyncio.gather(*(acme.put(f"/v1/users/{name}", json=user) for name in ("bob", "cid")))
    assert tally(list(both)) == [201, 429]


async def test_stored_bytes_of_the_book_never_keep_a_campaign_from_being_stopped(plane: Plane, acme: AsyncClient):
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    await cap(acme, "l", scope="tenant", measure="count", span="day", cap=1)
    await fill_list(acme, "names", *(f"name-{number}" for number in range(100)))
    used = (await acme.get("/v1/tenant/quotas")).json()["quotas"]["stored_bytes"]["used"]
    assert used > 2_000
    full = await bound(plane, stored_bytes=used)
    assert_full(
        await full.post("/v1/campaigns", json={"campaign_id": "d", "definition": CASHBACK}), "stored_bytes", used
    )
    assert_full(
        await full.put("/v1/lists/names", json={"name": "L", "items": ["a"]}, headers=ANY), "stored_bytes", used
    )
    for order in ("pause", "resume", "end"):
        assert (await full.post(f"/v1/campaigns/c/{order}", headers=ANY)).status_code == 200
    assert (await full.delete("/v1/limits/l", headers=ANY)).status_code == 204
    assert (await full.delete("/v1/lists/names", headers=ANY)).status_code == 204
