"""Claims by the API: once, by whoever comes first, by the clock of the database."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from httpx import AsyncClient

from tests.manage.conftest import Plane
from tests.manage.ledger_rows import put_decision, put_incentive

CODE = "/v1/coupons/SPRING-1"


@pytest.fixture
def given(plane: Plane) -> UUID:
    """A coupon SPRING-1 that ada was given, and SPRING-2 that nobody was."""
    incentive_id = put_incentive(plane.dsn, put_decision(plane.dsn, "e1"), "e1", 1)
    with psycopg.connect(plane.dsn) as owner:
        owner.execute("UPDATE incentive SET kind = 'coupon', coupon_code = 'SPRING-1'")
        owner.execute("INSERT INTO coupon_pool VALUES ('acme', 'spring', 'Spring')")
        owner.execute("INSERT INTO coupon VALUES ('acme', 'SPRING-1', 'spring', %s)", [incentive_id])
        owner.execute("INSERT INTO coupon VALUES ('acme', 'SPRING-2', 'spring')")
    return incentive_id


def set_incentive(plane: Plane, **columns: Any) -> None:
    """Change the incentive as time or a reversal would."""
    with psycopg.connect(plane.dsn) as owner:
        for name, value in columns.items():
            owner.execute(f"UPDATE incentive SET {name} = %s", [value])


async def test_a_checkout_reserves_confirms_and_may_repeat_each_step(acme: AsyncClient, given: UUID) -> None:
    assert (await acme.get(CODE)).json()["state"] == "granted"
    body = {"reservation_id": "till-7"}
    first = await acme.post(f"{CODE}/reservations", json=body)
    assert (first.status_code, first.json()["state"]) == (201, "reserved")
    assert (await acme.post(f"{CODE}/reservations", json=body)).json() == first.json()
    other = await acme.post(f"{CODE}/reservations", json={"reservation_id": "till-8"})
    assert (other.status_code, other.json()["type"].rpartition("/")[2]) == (409, "reserved")
    assert (await acme.post(f"{CODE}/redeem")).status_code == 409
    done = await acme.post(f"{CODE}/reservations/till-7/confirm")
    assert (done.status_code, done.json()["state"]) == (200, "claimed")
    assert (await acme.post(f"/v1/incentives/{given}/reservations/till-7/confirm")).json() == done.json()
    again = await acme.post(f"{CODE}/redeem")
    assert (again.status_code, again.json()["type"].rpartition("/")[2]) == (409, "already-claimed")
    pool = (await acme.get("/v1/coupon-pools/spring")).json()
    assert (pool["free"], pool["assigned"], pool["redeemed"]) == (1, 0, 1)


async def test_a_release_or_a_time_out_lets_the_next_one_in(acme: AsyncClient, plane: Plane, given: UUID) -> None:
    path = f"/v1/incentives/{given}/reservations"
    for name in ("a", "b"):
        assert (await acme.post(path, json={"reservation_id": name})).status_code == 201
        assert (await acme.post(f"{path}/{name}/release")).json()["state"] == "granted"
        assert (await acme.post(f"{path}/{name}/release")).status_code == 200
    await acme.post(path, json={"reservation_id": "c"})
    with psycopg.connect(plane.dsn) as owner:
        owner.execute("UPDATE incentive SET reserved_until = now() - interval '1 second'")
    late = await acme.post(f"{path}/c/confirm")
    assert (late.status_code, late.json()["type"].rpartition("/")[2]) == (410, "reservation-timed-out")
    assert (await acme.post(f"/v1/incentives/{given}/claim")).json()["state"] == "claimed"


async def test_an_idempotent_claim_gets_its_answer_again(acme: AsyncClient, given: UUID) -> None:
    key = {"Idempotency-Key": "once"}
    first = await acme.post(f"/v1/incentives/{given}/claim", headers=key)
    assert first.status_code == 200
    assert (await acme.post(f"/v1/incentives/{given}/claim", headers=key)).json() == first.json()


async def test_a_code_is_redeemed_in_any_spelling_and_shown_as_it_was_given(acme: AsyncClient, given: UUID) -> None:
    for typed in ("spring-1", "Spring-1", "%20SPRING-1%20"):
        assert (await acme.get(f"/v1/coupons/{typed}")).json()["coupon_code"] == "SPRING-1", typed
    assert (await acme.post("/v1/coupons/sPrInG-1/redeem")).json()["state"] == "claimed"
    assert (await acme.get("/v1/coupons/spring-2")).status_code == 409


async def test_codes_of_a_case_sensitive_pool_are_redeemed_as_they_are_spelt(
    acme: AsyncClient, plane: Plane, given: UUID
) -> None:
    with psycopg.connect(plane.dsn) as owner:
        owner.execute("INSERT INTO coupon_pool VALUES ('acme', 'exact', 'Exact', now(), true)")
        for code, incentive_id in (("aB", given), ("Ab", None)):
            statement = "INSERT INTO coupon (tenant_id, code, pool_id, incentive_id, case_sensitive) VALUES ('acme', %s, 'exact', %s, true)"
            owner.execute(statement, [code, incentive_id])
    assert [(await acme.get(f"/v1/coupons/{typed}")).status_code for typed in ("aB", "Ab", "ab")] == [200, 409, 404]


async def test_many_are_redeemed_in_one_call_each_by_itself(acme: AsyncClient, given: UUID) -> None:
    """Given one that can be redeemed among others that can't, then each has its own outcome, and the call again has the same."""
    body = {"redemptions": [{"code": code} for code in ("SPRING-9", " spring-1", "SPRING-2", "SPRING-1")]}
    key = {"Idempotency-Key": "basket-1"}
    first = (await acme.post("/v1/coupons/redemptions", json=body, headers=key)).json()
    assert (first["redeemed"], [each["index"] for each in first["outcomes"]]) == (1, [0, 1, 2, 3])
    claimed = [each["claimed"] and each["claimed"]["coupon_code"] for each in first["outcomes"]]
    refused = [each["refused"] and each["refused"]["type"].rpartition("/")[2] for each in first["outcomes"]]
    assert claimed == [None, "SPRING-1", None, None]
    assert refused == ["not-found", None, "conflict", "already-claimed"]
    assert (await acme.post("/v1/coupons/redemptions", json=body, headers=key)).json() == first
    again = (await acme.post("/v1/coupons/redemptions", json=body)).json()
    assert (again["redeemed"], again["outcomes"][1]["refused"]["status"]) == (0, 409)
    assert (await acme.get(CODE)).json() == first["outcomes"][1]["claimed"]
    for codes, at in ((["A B"], "/redemptions/0/code"), ([], "/redemptions"), (["A"] * 101, "/redemptions")):
        wrong = await acme.post("/v1/coupons/redemptions", json={"redemptions": [{"code": code} for code in codes]})
        assert (wrong.status_code, wrong.json()["errors"][0]["at"]) == (422, at)


async def test_baskets_that_cross_redeem_each_coupon_once(acme: AsyncClient, plane: Plane, given: UUID) -> None:
    """Given tills that send the same coupons in opposite orders at once, then each is redeemed by one, and nobody waits for ever."""
    codes = ["SPRING-1"]
    with psycopg.connect(plane.dsn) as rows:
        for number in range(20):
            event_id, code = f"many-{number}", f"MANY-{number}"
            incentive_id = put_incentive(plane.dsn, put_decision(plane.dsn, event_id), event_id, number + 2)
            rows.execute(
                "UPDATE incentive SET kind = 'coupon', coupon_code = %s WHERE incentive_id = %s", [code, incentive_id]
            )
            rows.execute("INSERT INTO coupon VALUES ('acme', %s, 'spring', %s)", [code, incentive_id])
            codes.append(code)
    tills = [codes, codes[::-1]] * 2
    bodies = [{"redemptions": [{"code": code} for code in till]} for till in tills]
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(plane.dsn) as owner, psycopg.connect(plane.dsn, autocommit=True) as onlooker:
        with owner.transaction():  # holds one in the middle until all tills have locked what they lock before it
            owner.execute("SELECT FROM incentive ORDER BY incentive_id OFFSET 10 LIMIT 1 FOR UPDATE")
            posting = [asyncio.create_task(acme.post("/v1/coupons/redemptions", json=body)) for body in bodies]
            while onlooker.execute(waiting).fetchone() != (len(tills),) and not any(each.done() for each in posting):
                await asyncio.sleep(0.01)
        answers = await asyncio.gather(*posting)
    assert [answer.status_code for answer in answers] == [200] * 4
    assert sum(answer.json()["redeemed"] for answer in answers) == len(codes)


async def test_what_is_gone_or_was_never_there(acme: AsyncClient, plane: Plane, given: UUID) -> None:
    set_incentive(plane, expires_at="2026-02-01T00:00:00Z")
    expired = await acme.post(f"{CODE}/redeem")
    assert (expired.status_code, expired.json()["type"].rpartition("/")[2]) == (410, "expired")
    assert (await acme.get(CODE)).json()["state"] == "expired"
    assert (await acme.get(f"/v1/incentives/{given}")).json()["state"] == "expired"
    set_incentive(plane, expires_at=None, state="reversed")
    assert (await acme.post(f"{CODE}/redeem")).status_code == 410
    set_incentive(plane, state="granted", kind="points")
    assert (await acme.post(f"/v1/incentives/{given}/claim")).status_code == 422
    assert (await acme.post("/v1/coupons/SPRING-2/redeem")).status_code == 409
    assert (await acme.post("/v1/coupons/SPRING-3/redeem")).status_code == 404
    assert (await acme.post(f"/v1/incentives/{uuid4()}/claim")).status_code == 404


async def test_of_many_at_once_one_wins(acme: AsyncClient, given: UUID) -> None:
    answers = await asyncio.gather(*[acme.post(f"{CODE}/redeem") for _ in range(8)])
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7


async def test_an_ack_shows_as_delivered(acme: AsyncClient, plane: Plane, given: UUID) -> None:
    assert (await acme.get("/v1/incentives", params={"state": "granted"})).json()["items"] != []
    with psycopg.connect(plane.dsn) as owner:
        owner.execute("UPDATE inbox SET acked_at = now()")
    assert (await acme.get(f"/v1/incentives/{given}")).json()["state"] == "delivered"
    assert (await acme.get("/v1/incentives", params={"state": "granted"})).json()["items"] == []
    assert len((await acme.get("/v1/incentives", params={"state": "delivered"})).json()["items"]) == 1


async def test_a_key_for_claims_opens_nothing_else(plane: Plane, given: UUID) -> None:
    till = await plane.client(await plane.make_key("acme", "claims:write"))
    assert (await till.get(CODE)).status_code == 200
    assert (await till.get("/v1/coupon-pools")).status_code == 403
