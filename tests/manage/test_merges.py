"""Merges over HTTP: who was known under two ids is one, and the old id still answers."""

import asyncio
from functools import partial
from typing import Any

import psycopg
import pytest
from httpx import AsyncClient

from fillip.manage.book import in_force
from fillip.manage.merge import postgres
from fillip.manage.merge.run import MergeRuns
from fillip.manage.merge.wallets_postgres import move_wallets
from fillip.manage.store.postgres import open_engine
from fillip.migrations import role_dsn
from tests.manage.conftest import Plane
from tests.manage.ledger_rows import put_counter, put_reversal
from tests.manage.shop import cap, open_shop
from tests.manage.test_wallets import in_

ANON, ADA = "/v1/users/anon", "/v1/users/ada"
PURSE = "wallets/POINTS"


async def join(client: AsyncClient, name: str = "m1", gone: str = "anon", into: str = ADA) -> tuple[int, Any]:
    answer = await client.post(f"{into}/merges", json={"merge_id": name, "from": gone, "reason": "signed up"})
    return answer.status_code, answer.json()


async def adjust(client: AsyncClient, user: str, amount: int, name: str, **parts: Any) -> int:
    body = {"adjustment_id": name, "amount": amount, "reason": "a test"} | parts
    return (await client.post(f"{user}/{PURSE}/adjustments", json=body)).status_code


async def spend(client: AsyncClient, user: str, amount: int, name: str) -> int:
    return (await client.post(f"{user}/{PURSE}/spends", json={"spend_id": name, "amount": amount})).status_code


async def test_an_anonymous_user_becomes_a_known_one(acme: AsyncClient) -> None:
    await acme.put(ANON, json={"attributes": {"tier": "gold", "age": 30}})
    await adjust(acme, ANON, 30, "a1", expires_at=in_(3))
    status, merge = await join(acme)
    assert (status, merge["user_id"], merge["from_user_id"]) == (201, "ada", "anon")
    assert merge["brought"] == {"points": {"POINTS": 30}, "counters": 0, "instances": 0, "badges": 0, "cohorts": 0}
    for asked in (ANON, ADA):
        user = (await acme.get(asked)).json()
        assert (user["user_id"], user["attributes"]) == ("ada", {"tier": "gold", "age": 30})
        assert [each["user_id"] for each in (await acme.get(f"{asked}/wallets")).json()["items"]] == ["ada"]
    [lot] = (await acme.get(f"{ANON}/{PURSE}/lots")).json()["items"]
    assert (lot["remaining"], lot["kind"], lot["expires_at"] is None) == (30, "merge", False)
    assert (await acme.get(f"{ANON}/{PURSE}/transfers")).json()["items"][0]["kind"] == "merge"
    assert await join(acme) == (200, merge)
    assert [each["merge_id"] for each in (await acme.get(f"{ANON}/merges")).json()["items"]] == ["m1"]


async def test_what_the_known_user_says_of_itself_stands(acme: AsyncClient) -> None:
    await acme.put(ANON, json={"attributes": {"tier": "gold", "age": 30}})
    await acme.put(ADA, json={"attributes": {"tier": "silver"}})
    await join(acme)
    assert (await acme.get(ADA)).json()["attributes"] == {"tier": "silver", "age": 30}
    await acme.patch(ANON, json={"attributes": {"age": 31}}, headers={"If-Match": "*"})
    assert (await acme.get(ADA)).json()["attributes"]["age"] == 31


async def test_what_was_asked_under_the_old_id_is_done_once(acme: AsyncClient) -> None:
    await adjust(acme, ANON, 50, "a1")
    await adjust(acme, ADA, 5, "a1")
    assert await spend(acme, ANON, 20, "order-1") == 201
    await join(acme)
    assert [await spend(acme, ANON, 20, "order-1"), await spend(acme, ADA, 20, "order-1")] == [200, 200]
    assert await adjust(acme, ANON, 50, "a1") == 200
    back = await acme.post(f"{ANON}/{PURSE}/spends/order-1/refund", json={"refund_id": "r1", "amount": 15})
    assert back.status_code == 201, back.text
    again = await acme.post(f"{ADA}/{PURSE}/spends/order-1/refund", json={"refund_id": "r1", "amount": 15})
    assert again.status_code == 200, again.text
    purse = (await acme.get(f"{ADA}/{PURSE}")).json()
    assert (purse["active"], purse["spent"]) == (50, 5)


@pytest.mark.parametrize("before", [True, False])
async def test_a_hold_ends_under_its_id_whoever_its_user_is_by_now(acme: AsyncClient, before: bool) -> None:
    await adjust(acme, ANON, 50, "a1")
    for name, user, amount in (("h1", ANON, 10), ("h2", ANON, 20), ("h3", ANON, 5)):
        hold = {"hold_id": name, "amount": amount, "hold_for_s": 600}
        assert (await acme.post(f"{user}/{PURSE}/holds", json=hold)).status_code == 201
    if not before:
        await acme.post(f"{ANON}/{PURSE}/holds/h1/void")
    assert (await join(acme, gone="ada"))[0] == 422
    assert (await join(acme))[1]["brought"]["points"] == {"POINTS": 15 if before else 25}
    assert (await acme.post(f"{ANON}/{PURSE}/holds/h1/void")).json()["state"] == "voided"
    captured = await acme.post(f"{ADA}/{PURSE}/holds/h2/capture", json={"amount": 8})
    assert (captured.json()["state"], captured.json()["captured"]) == ("captured", 8)
    again = await acme.post(f"{ANON}/{PURSE}/holds", json={"hold_id": "h3", "amount": 5, "hold_for_s": 600})
    assert (again.status_code, again.json()["state"]) == (200, "held")
    back = await acme.post(f"{ANON}/{PURSE}/spends/h2/refund", json={"refund_id": "r1", "amount": 3})
    assert back.status_code == 201, back.text
    purse = (await acme.get(f"{ADA}/{PURSE}")).json()
    assert [purse[name] for name in ("active", "held", "spent")] == [40, 5, 5]
    assert (await join(acme, "m2", gone="ada", into=ANON))[0] == 409
    assert (await join(acme, "m1", gone="eve"))[0] == 409


async def test_what_needs_points_that_are_still_to_come_over_brings_them(
    acme: AsyncClient, plane: Plane, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "move_wallets", partial(move_wallets, most_lots=1))
    for n in range(6):
        await adjust(acme, ANON, 10, f"a{n}", expires_at=in_(9 - n))
    assert await spend(acme, ANON, 15, "s1") == 201  # of a5 and a4
    hold = {"hold_id": "h1", "amount": 10, "hold_for_s": 600}
    assert (await acme.post(f"{ANON}/{PURSE}/holds", json=hold)).status_code == 201  # of a4 and a3
    status, told = await join(acme)
    assert (status, told["state"], told["brought"]["points"]) == (201, "merging", {"POINTS": 5})
    assert (await acme.post(f"{ANON}/erasure")).status_code == 409
    assert await spend(acme, ADA, 6, "s2") == 409, "what is there can be spent"
    assert await spend(acme, ADA, 5, "s2") == 201
    back = await acme.post(f"{ADA}/{PURSE}/spends/s1/refund")
    assert back.status_code == 201, back.text
    assert (await acme.post(f"{ADA}/{PURSE}/holds/h1/void")).json()["state"] == "voided"
    finder = open_engine(role_dsn(database, "fillip_sweep"))
    runs = MergeRuns(finder, plane.engine)
    while await runs.take_portion():
        pass
    await finder.dispose()
    [merge] = (await acme.get(f"{ADA}/merges")).json()["items"]
    assert merge["state"] == "merged"
    purse = (await acme.get(f"{ADA}/{PURSE}")).json()
    assert [purse[name] for name in ("active", "held", "spent")] == [55, 0, 5]
    lots = (await acme.get(f"{ADA}/{PURSE}/lots")).json()["items"]
    assert [each["remaining"] for each in lots] == [10, 10, 5, 10, 10, 10], "each with the expiry that it had"
    with psycopg.connect(database) as owner:
        left = owner.execute("SELECT pending, active, held, spent FROM wallet WHERE user_id = 'anon'").fetchone()
    assert left == (0, 0, 0, 0)


async def test_lots_that_were_used_up_before_are_listed_one_by_one_when_they_are_filled_again(
    acme: AsyncClient,
) -> None:
    """Given lots of one date that a spend had emptied, then they come back by one refund."""
    for n in range(3):
        await adjust(acme, ANON, 10, f"a{n}")
    assert await spend(acme, ANON, 30, "s1") == 201
    await join(acme)
    assert (await acme.post(f"{ADA}/{PURSE}/spends/s1/refund")).status_code == 201
    listed, cursor = list[Any](), None
    while True:
        place: dict[str, str | int] = {"limit": 1, **({"cursor": cursor} if cursor else {})}
        page = (await acme.get(f"{ADA}/{PURSE}/lots", params=place)).json()
        listed += page["items"]
        if not (cursor := page["next_cursor"]):
            break
    assert [(each["remaining"], each["kind"]) for each in listed] == [(10, "refund")] * 3
    assert len({each["lot_id"] for each in listed}) == 3


async def test_points_that_come_under_the_old_id_while_it_is_merged_are_not_lost(acme: AsyncClient) -> None:
    given = [adjust(acme, user, 10, f"{user}-{n}") for n in range(8) for user in (ANON, ADA)]
    joining = asyncio.create_task(join(acme))
    answers = await asyncio.gather(*given)
    assert set(answers) == {201}
    assert (await joining)[0] in (201, 503)
    done = len(answers)
    assert (await acme.get(f"{ANON}/{PURSE}")).json()["active"] == 10 * done
    assert (await join(acme))[0] in (200, 201)
    assert (await acme.get(f"{ANON}/{PURSE}")).json()["active"] == 10 * done


async def test_what_was_taken_back_and_used_before_is_told_of_who_the_user_is_now(
    acme: AsyncClient, database: str
) -> None:
    await open_shop(acme)
    await cap(acme, "mine", scope="user", measure="count", span="lifetime", cap=9)
    for user in ("anon", "ada"):
        put_reversal(database, f"of-{user}", f"e-{user}", user_id=user)
        put_counter(database, "mine", user, "", 2)
    await join(acme)
    listed = (await acme.get("/v1/reversals?user_id=ada")).json()["items"]
    assert {(each["reversal_id"], each["user_id"]) for each in listed} == {("of-anon", "anon"), ("of-ada", "ada")}
    for user in ("anon", "ada"):
        used = (await acme.get(f"/v1/limits/mine/usage?user_id={user}")).json()["items"]
        assert [(each["user_id"], each["used"]) for each in used] == [("ada", 4)]


async def test_an_erasure_takes_the_ids_that_were_merged_along(acme: AsyncClient) -> None:
    await adjust(acme, ANON, 50, "a1")
    await join(acme)
    one, other = [(await acme.post(f"{user}/erasure")).json()["erasure_id"] for user in (ANON, ADA)]
    assert one == other
    assert (await join(acme, "m2", gone="eve"))[0] == 409


async def test_nobody_is_merged_before_all_who_decide_ask_for_merged_users(
    acme: AsyncClient, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a worker that lives and has not taken the tenant's newest book; later it has."""
    monkeypatch.setattr(in_force, "FORCE_WITHIN_S", 0.0)
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("INSERT INTO book_reader (reader_id, beat_at) VALUES (gen_random_uuid(), 'infinity')")
        owner.execute(
            "INSERT INTO book_held (reader_id, tenant_id, book_version) SELECT reader_id, 'acme', 1 FROM book_reader"
        )
        for _ in range(2):
            status, problem = await join(acme)
            assert (status, "try again" in problem["detail"]) == (503, True)
        assert owner.execute("SELECT count(*) FROM user_merge").fetchone() == (0,)
        tenant = await acme.get("/v1/tenant")
        assert (tenant.json()["book_version"], tenant.headers["ETag"]) == (2, '"1"')
        owner.execute("UPDATE book_held SET book_version = 2")
    assert (await join(acme))[0] == 201
