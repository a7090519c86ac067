"""Coupon pools and badges by the API: nothing half applied, every code once."""

import asyncio
from uuid import uuid4

import psycopg
import pytest
from httpx import AsyncClient, Response

from fillip.manage.api import coupon_pools
from fillip.manage.upload import staging_postgres
from tests.manage.conftest import Plane
from tests.manage.shop import ANY, CASHBACK, draft, open_shop

CSV = {"Content-Type": "text/csv"}
COUPON = CASHBACK | {"rewards": [{"kind": "coupon", "pool": "spring"}]}


@pytest.fixture(autouse=True)
async def spring(acme: AsyncClient) -> None:
    """Given a pool `spring` and another."""
    for pool in ("spring", "autumn"):
        made = await acme.post("/v1/coupon-pools", json={"pool_id": pool, "name": pool.title()})
        assert made.status_code == 201, made.text


async def add(client: AsyncClient, content: bytes, pool: str = "spring", **headers: str) -> Response:
    """Import codes."""
    return await client.post(f"/v1/coupon-pools/{pool}/codes", content=content, headers=CSV | headers)


async def count(client: AsyncClient, pool: str = "spring") -> tuple[int, int, int]:
    """Free, assigned, redeemed."""
    answer = (await client.get(f"/v1/coupon-pools/{pool}")).json()
    return answer["free"], answer["assigned"], answer["redeemed"]


async def test_codes_are_imported_once(acme: AsyncClient, plane: Plane) -> None:
    assert (await add(acme, b"code\nA\nB\nA\n")).json() == {"added": 2, "duplicates": 1}
    lines = b'{"code": "B"}\n{"code": "C-1"}\n'
    assert (await add(acme, lines, **{"Content-Type": "application/x-ndjson"})).json() == {"added": 1, "duplicates": 1}
    with psycopg.connect(plane.dsn) as owner:
        owner.execute("UPDATE coupon SET incentive_id = %s WHERE code < 'C'", [uuid4()])
        owner.execute("UPDATE coupon SET redeemed_at = now() WHERE code = 'A'")
    assert await count(acme) == (1, 1, 1)


@pytest.mark.parametrize(
    ("content", "media", "line"),
    [
        (b"code\nA\nB C\n", "text/csv", "line 3"),
        (b"A\n\nB\n", "text/csv", "line 2"),
        (b"A\n" + b"x" * 65 + b"\n", "text/csv", "line 2"),
        (b'{"code": "A"}\n{"kode": "B"}\n', "application/x-ndjson", "line 2"),
        (b'{"code": "A"}\nnull\n', "application/x-ndjson", "line 2"),
        (b"code\nA-b\nC\nC\na-B\nc\n", "text/csv", "line 5"),
        (b'{"code": "A"}\n{"code": "B"}\n{"code": "a"}\n', "application/x-ndjson", "line 3"),
    ],
)
async def test_a_broken_line_is_named_and_nothing_is_added(
    acme: AsyncClient, content: bytes, media: str, line: str
) -> None:
    answer = await add(acme, content, **{"Content-Type": media})
    assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, line)
    assert await count(acme) == (0, 0, 0)


async def test_a_code_of_another_pool_refuses_the_whole_file(acme: AsyncClient) -> None:
    await add(acme, b"A\n", "autumn")
    answer = await add(acme, b"B\nA\n")
    assert answer.status_code == 409 and "A is in pool autumn" in answer.json()["detail"]
    assert await count(acme) == (0, 0, 0)
    assert (await add(acme, b"A\n", "winter")).status_code == 404
    assert (await add(acme, b"A\n", **{"Content-Type": "application/json"})).status_code == 415


async def test_a_pool_tells_upper_and_lower_case_apart_only_where_it_says_so(acme: AsyncClient) -> None:
    """Given codes as they were given, then the same in another spelling adds none, but to a pool that is case-sensitive."""
    exact = {"pool_id": "exact", "name": "Exact", "case_sensitive": True}
    assert (await acme.post("/v1/coupon-pools", json=exact)).json()["case_sensitive"] is True
    assert (await acme.get("/v1/coupon-pools/spring")).json()["case_sensitive"] is False
    assert (await add(acme, b"Ab-1\n")).json() == {"added": 1, "duplicates": 0}
    assert (await add(acme, b"aB-1\n")).json() == {"added": 0, "duplicates": 1}
    assert (await add(acme, b"X\nx\n", "exact")).json() == {"added": 2, "duplicates": 0}
    for pool, code, names in (
        ("exact", "ab-1", "Ab-1 is in pool spring"),
        ("autumn", "ab-1", "Ab-1 is in pool spring"),
    ):
        answer = await add(acme, f"free\n{code}\n".encode(), pool)
        assert answer.status_code == 409 and names in answer.json()["detail"], answer.text
        assert f"{code} would be taken for it" in answer.json()["detail"]
    for code in ("X", "x"):
        answer = await add(acme, code.encode())
        assert answer.status_code == 409 and "is in pool exact" in answer.json()["detail"]
    assert [(await count(acme, pool))[0] for pool in ("spring", "exact", "autumn")] == [1, 2, 0]


async def test_of_two_imports_that_clash_by_case_each_code_is_taken_by_one(acme: AsyncClient, plane: Plane) -> None:
    """Given the same codes in two spellings for two pools at once, of which one is case-sensitive, then no two stand for one."""
    await acme.post("/v1/coupon-pools", json={"pool_id": "exact", "name": "Exact", "case_sensitive": True})
    codes = b"".join(b"code-%06d\n" % number for number in range(10_000))
    answers = await asyncio.gather(add(acme, codes.upper()), add(acme, codes, "exact"))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert (await count(acme))[0] + (await count(acme, "exact"))[0] == 10_000
    with psycopg.connect(plane.dsn) as owner:
        assert owner.execute("SELECT count(DISTINCT folded) FROM coupon").fetchone() == (10_000,)


async def test_codes_come_in_portions_and_a_file_again_adds_what_is_missing(
    acme: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given portions of two, and an import that has broken down after some of them."""
    monkeypatch.setattr(staging_postgres, "PORTION_CODES", 2)
    await add(acme, b"C\nA\n")
    assert (await add(acme, b"E\nD\nC\nB\nA\nF\nG\n")).json() == {"added": 5, "duplicates": 2}
    assert await count(acme) == (7, 0, 0)


async def test_more_codes_than_a_file_may_have_are_refused(acme: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coupon_pools, "MAX_IMPORTED", 2)
    assert (await add(acme, b"A\nB\nC\n")).status_code == 413
    assert await count(acme) == (0, 0, 0)


async def test_of_two_imports_of_the_same_codes_one_is_told_of_the_other(acme: AsyncClient) -> None:
    """Given one file sent to two pools at once, then each code is in one of them, and nobody is told that all were added."""
    codes = b"".join(b"%06d\n" % number for number in range(20_000))
    answers = await asyncio.gather(add(acme, codes), add(acme, codes, "autumn"))
    added = [answer.json()["added"] for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert added in ([20_000], [])
    assert (await count(acme))[0] + (await count(acme, "autumn"))[0] == 20_000


async def test_a_generation_is_ordered_and_shown(acme: AsyncClient) -> None:
    path = "/v1/coupon-pools/spring/generations"
    ordered = await acme.post(path, json={"count": 5, "pattern": "S-####-####-####-####"})
    assert ordered.status_code == 202
    shown = (await acme.get(ordered.headers["Location"])).json()
    assert (shown["state"], shown["wanted"], shown["made"]) == ("running", 5, 0)
    assert (await acme.get(path)).json()["items"] == [shown]
    for body in (
        {"count": 5, "pattern": "####"},
        {"count": 1_000_001},
        {"count": 0},
        {"count": 5, "pattern": "a b" + "#" * 13},
    ):
        assert (await acme.post(path, json=body)).status_code == 422, body
    few = (await acme.post(path, json={"count": 5, "pattern": "S-####"})).json()
    assert "has 4 times #, needs at least 13" in few["errors"][0]["message"]


async def test_a_campaign_gives_what_exists_and_fits(acme: AsyncClient) -> None:
    await open_shop(acme)
    await draft(acme, "c", COUPON)
    assert (await acme.post("/v1/badges", json={"badge_id": "regular", "name": "Regular"})).status_code == 201
    await draft(acme, "b", CASHBACK | {"rewards": [{"kind": "badge", "badge": "regular"}]})
    for reward, at in (
        ({"kind": "coupon", "pool": "winter"}, "/definition/rewards/0/pool"),
        ({"kind": "cashback", "value": 1, "pool": "spring"}, "/definition/rewards/0/pool"),
        ({"kind": "badge", "badge": "none"}, "/definition/rewards/0/badge"),
    ):
        answer = await acme.post("/v1/campaigns", json={"definition": CASHBACK | {"rewards": [reward]}})
        assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, at), answer.text
    twice = CASHBACK | {"rewards": [{"kind": "badge", "badge": "regular"}] * 2}
    assert (await acme.post("/v1/campaigns", json={"definition": twice})).status_code == 422


async def test_a_badge_is_changed_and_stands_on_the_shelf(acme: AsyncClient, plane: Plane) -> None:
    made = await acme.post("/v1/badges", json={"badge_id": "regular", "name": "Regular"})
    with psycopg.connect(plane.dsn) as owner:
        owner.execute("INSERT INTO badge_held VALUES ('acme', 'ada', 'regular', %s, now())", [uuid4()])
    named = {"name": "Patron", "image_url": "https://shop.example/p.svg"}
    assert (await acme.put("/v1/badges/regular", json=named)).status_code == 428
    changed = await acme.put("/v1/badges/regular", json=named, headers={"If-Match": made.headers["ETag"]})
    assert changed.status_code == 200
    assert (await acme.put("/v1/badges/none", json=named, headers=ANY)).status_code == 404
    [held] = (await acme.get("/v1/users/ada/badges")).json()["items"]
    assert (held["badge_id"], held["name"], held["image_url"]) == ("regular", "Patron", "https://shop.example/p.svg")
    assert (await acme.get("/v1/users/bob/badges")).json()["items"] == []


async def test_a_pool_that_nobody_gives_from_and_that_never_had_codes_can_be_deleted(acme: AsyncClient) -> None:
    await open_shop(acme)
    await draft(acme, "coupons", COUPON)
    refused = await acme.delete("/v1/coupon-pools/spring")
    assert refused.status_code == 409 and "coupons" in refused.json()["detail"]
    assert (await acme.delete("/v1/campaigns/coupons", headers=ANY)).status_code == 204

    assert (await add(acme, b"A\n")).status_code == 200
    full = await acme.delete("/v1/coupon-pools/spring")
    assert full.status_code == 409 and "has codes" in full.json()["detail"]
    await acme.post("/v1/coupon-pools/autumn/generations", json={"count": 1})
    assert (await acme.delete("/v1/coupon-pools/autumn")).status_code == 409, "codes are on their way"

    await acme.post("/v1/coupon-pools", json={"pool_id": "winter", "name": "Winter"})
    assert (await acme.delete("/v1/coupon-pools/winter")).status_code == 204
    assert (await acme.get("/v1/coupon-pools/winter")).status_code == 404
    assert (await acme.delete("/v1/coupon-pools/winter")).status_code == 404


async def test_a_badge_goes_as_long_as_no_campaign_has_named_it(acme: AsyncClient) -> None:
    await open_shop(acme)
    for badge in ("named", "unused"):
        await acme.post("/v1/badges", json={"badge_id": badge, "name": badge})
    await draft(acme, "c", CASHBACK | {"rewards": [{"kind": "badge", "badge": "named"}]})
    kept = await acme.delete("/v1/badges/named", headers=ANY)
    assert (kept.status_code, "campaign c" in kept.json()["detail"]) == (409, True)
    assert (await acme.delete("/v1/badges/unused", headers=ANY)).status_code == 204
    assert (await acme.get("/v1/badges/unused")).status_code == 404
    assert (await acme.delete("/v1/campaigns/c", headers=ANY)).status_code == 204
    assert (await acme.delete("/v1/badges/named", headers=ANY)).status_code == 204
