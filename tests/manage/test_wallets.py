"""Wallets over HTTP: balances, statement, spending once, refunds, adjustments, currencies."""

import asyncio
import csv
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import asyncpg
import psycopg
import pytest
from httpx import AsyncClient

from fillip.manage.wallet import refund as refunds
from fillip.migrations import role_dsn
from fillip.settle.wallet.due_postgres import PostgresDueWallets
from tests.manage.shop import ANY, CASHBACK, QUEST, draft, open_shop

PURSE = "/v1/users/ada/wallets/POINTS"
LEFT = "SELECT remaining FROM wallet_lot ORDER BY seq"


async def give(client: AsyncClient, amount: int, name: str = "a1", **parts: Any) -> None:
    """Put points into ada's wallet."""
    body = {"adjustment_id": name, "amount": amount, "reason": "a test"} | parts
    made = await client.post(f"{PURSE}/adjustments", json=body)
    assert made.status_code == 201, made.text


async def spend(client: AsyncClient, amount: int, name: str = "order-1") -> int:
    return (await client.post(f"{PURSE}/spends", json={"spend_id": name, "amount": amount})).status_code


def in_(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


async def test_a_wallet_tells_its_balances_and_what_expires_next(acme: AsyncClient) -> None:
    await give(acme, 30)
    soon = in_(3)
    await give(acme, 20, "a2", expires_at=soon)
    await give(acme, 10, "a3", expires_at=in_(9))
    assert await spend(acme, 5) == 201
    purse = (await acme.get(PURSE)).json()
    assert [purse[name] for name in ("pending", "active", "spent", "expired", "reversed")] == [0, 55, 5, 0, 0]
    assert purse["next_expiry"]["amount"] == 15
    assert datetime.fromisoformat(purse["next_expiry"]["at"]) == datetime.fromisoformat(soon)
    assert (await acme.get("/v1/users/ada/wallets")).json()["items"] == [purse]
    assert (await acme.get("/v1/users/eve/wallets")).json()["items"] == []
    assert (await acme.get("/v1/users/eve/wallets/POINTS")).status_code == 404


async def test_a_statement_has_every_transfer_with_the_balance_after_it(acme: AsyncClient) -> None:
    await give(acme, 30)
    await spend(acme, 5)
    await acme.post(f"{PURSE}/spends/order-1/refund")
    first = (await acme.get(f"{PURSE}/transfers?limit=2")).json()
    rest = (await acme.get(f"{PURSE}/transfers?limit=2&cursor={first['next_cursor']}")).json()
    told = [
        [item[name] for name in ("seq", "kind", "debit", "credit", "amount", "source_id", "active_after")]
        for item in first["items"] + rest["items"]
    ]
    assert told == [
        [3, "refund", "spent", "active", 5, "order-1", 30],
        [2, "spend", "active", "spent", 5, "order-1", 25],
        [1, "adjust", "issued", "active", 30, "a1", 30],
    ]
    assert len((await acme.get(f"{PURSE}/transfers?kind=spend")).json()["items"]) == 1


async def test_a_statement_is_of_a_period_and_comes_as_csv_to_who_asks(acme: AsyncClient) -> None:
    for number in (1, 2, 3):
        await give(acme, number, f"a{number}", reason="=goodwill")
    made = [item["made_at"] for item in (await acme.get(f"{PURSE}/transfers")).json()["items"]][::-1]

    async def list_between(**period: str) -> list[int]:
        return [i["amount"] for i in (await acme.get(f"{PURSE}/transfers", params=period)).json()["items"]]

    assert await list_between(**{"from": made[1]}) == [3, 2]
    assert await list_between(to=made[1], kind="adjust") == [1]
    assert await list_between(**{"from": made[1], "to": made[2], "limit": "1"}) == [2]
    lines = await acme.get(f"{PURSE}/transfers?limit=1&to={quote(made[2])}", headers={"Accept": "text/csv"})
    [line] = csv.DictReader(lines.text.splitlines())
    assert (line["amount"], line["reason"], line["other_user_id"]) == ("2", "'=goodwill", "")
    assert f"to={quote(made[2])}&cursor=" in lines.headers["link"]


async def test_a_spend_happens_once_however_often_it_is_asked_for(acme: AsyncClient) -> None:
    await give(acme, 30)
    answers = await asyncio.gather(*[spend(acme, 20) for _ in range(8)])
    assert sorted(answers) == [200] * 7 + [201]
    assert await spend(acme, 21) == 409, "the same id with another amount"
    assert (await acme.get(PURSE)).json()["active"] == 10


async def test_of_spends_at_once_only_what_is_there_is_spent(acme: AsyncClient) -> None:
    await give(acme, 50)
    answers = await asyncio.gather(*[spend(acme, 20, f"order-{number}") for number in range(8)])
    assert sorted(answers) == [201] * 2 + [409] * 6
    refused = await acme.post(f"{PURSE}/spends", json={"spend_id": "more", "amount": 11})
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (409, "not-enough-points")
    assert refused.json()["detail"] == "11 POINTS are asked for, 10 can be spent"


async def test_a_spend_is_refunded_whole_and_once(acme: AsyncClient) -> None:
    await give(acme, 50)
    await spend(acme, 20)
    answers = await asyncio.gather(*[acme.post(f"{PURSE}/spends/order-1/refund") for _ in range(4)])
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert (await acme.get(PURSE)).json()["active"] == 50
    assert (await acme.post(f"{PURSE}/spends/order-2/refund")).status_code == 404
    assert await refund(acme, refund_id="more") == (409, None)


async def refund(client: AsyncClient, **body: Any) -> tuple[int, int | None]:
    """(status, amount) of a refund of order-1."""
    answer = await client.post(f"{PURSE}/spends/order-1/refund", json=body)
    return answer.status_code, answer.json().get("amount")


async def test_a_spend_is_refunded_in_pieces_up_to_its_amount_each_once(acme: AsyncClient) -> None:
    await give(acme, 100)
    await spend(acme, 60)
    assert await refund(acme, amount=20) == (201, 20)
    assert await refund(acme, amount=20) == (200, 20), "the same again"
    assert await refund(acme, amount=10) == (409, None), "two without an id"
    assert await refund(acme, refund_id="r1", amount=41) == (409, None), "more than is left"
    assert await refund(acme, refund_id="r1", amount=15) == (201, 15)
    assert await refund(acme, refund_id="r1", amount=15) == (200, 15)
    assert await refund(acme, refund_id="r1") == (200, 15)
    assert await refund(acme, refund_id="r1", amount=16) == (409, None)
    assert (await acme.get(PURSE)).json()["active"] == 75
    assert await refund(acme) == (201, 25), "the rest"
    assert await refund(acme) == (200, 25)
    assert await refund(acme, refund_id="r2") == (409, None), "nothing is left"
    purse = (await acme.get(PURSE)).json()
    assert (purse["active"], purse["spent"]) == (100, 0)
    statement = (await acme.get(f"{PURSE}/transfers?kind=refund")).json()["items"]
    assert [(item["source_id"], item["reason"], item["amount"]) for item in statement] == [
        ("order-1", "rest", 25),
        ("order-1", "r1", 15),
        ("order-1", "part", 20),
    ]


async def test_of_refunds_at_once_no_more_comes_back_than_was_spent(acme: AsyncClient) -> None:
    await give(acme, 100)
    await spend(acme, 60)
    asked = [refund(acme, refund_id=f"r{number % 8}", amount=11) for number in range(16)]
    statuses = sorted([status for status, _ in await asyncio.gather(*asked)])
    assert statuses == [200] * 5 + [201] * 5 + [409] * 6
    assert (await acme.get(PURSE)).json()["active"] == 95


async def test_a_refund_says_what_is_wrong_with_it(acme: AsyncClient) -> None:
    await give(acme, 100)
    await spend(acme, 60)
    for wrong in ({"amount": 0}, {"amount": "20"}, {"amount": 1.5}, {"refund_id": ""}, {"note": "x"}):
        assert (await refund(acme, **wrong))[0] == 422, wrong
    assert (await acme.get(PURSE)).json()["active"] == 40


async def test_a_spend_of_ever_more_refunds_is_still_refunded_whole(
    acme: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refunds, "MAX_REFUNDS", 2)
    await give(acme, 100)
    await spend(acme, 60)
    assert [await refund(acme, refund_id=f"r{n}", amount=1) for n in range(3)] == [(201, 1), (201, 1), (409, None)]
    assert await refund(acme) == (201, 58)


async def test_points_come_back_with_their_expiry_and_those_that_expire_last_come_first(
    acme: AsyncClient, database: str
) -> None:
    for days in (1, 2, 3):
        await give(acme, 10, f"a{days}", expires_at=in_(days))
    await spend(acme, 25)
    assert await refund(acme, refund_id="r1", amount=8) == (201, 8)
    assert look(database, LEFT) == [(0,), (3,), (10,)]
    assert await refund(acme, refund_id="r2", amount=9) == (201, 9)
    assert look(database, LEFT) == [(2,), (10,), (10,)]


async def test_what_comes_back_past_its_time_is_not_in_the_balance_that_the_answer_tells(
    acme: AsyncClient, database: str
) -> None:
    await give(acme, 110)
    await give(acme, 50, "a2", expires_at=in_(1))
    await spend(acme, 50)
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE wallet_lot SET expires_at = now() WHERE amount = 50")
    for status in (201, 200):
        answer = await acme.post(f"{PURSE}/spends/order-1/refund")
        assert (answer.status_code, answer.json()["amount"], answer.json()["active_after"]) == (status, 50, 110)
    purse = (await acme.get(PURSE)).json()
    assert (purse["active"], purse["expired"]) == (110, 50)


async def test_points_past_their_time_can_neither_be_spent_nor_seen_though_no_sweep_ran(
    acme: AsyncClient, database: str
) -> None:
    await give(acme, 30, expires_at=in_(1))
    await give(acme, 4, "a2", expires_at=in_(1))
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE wallet_lot SET expires_at = now() WHERE amount = 30")
        owner.execute("UPDATE wallet_lot SET available_at = now() WHERE amount = 4")
        owner.execute("UPDATE wallet SET active = 30, pending = 4")
    purse = (await acme.get(PURSE)).json()
    assert [purse[name] for name in ("pending", "active", "expired")] == [0, 4, 30]
    assert await spend(acme, 5) == 409
    assert await spend(acme, 4) == 201
    kinds = [item["kind"] for item in (await acme.get(f"{PURSE}/transfers")).json()["items"]]
    assert kinds[:3] == ["spend", "expire", "activate"]


async def test_an_adjustment_takes_no_more_than_is_there_and_needs_a_reason(acme: AsyncClient) -> None:
    await give(acme, 30)
    path, body = f"{PURSE}/adjustments", {"adjustment_id": "a2", "amount": -31, "reason": "mistake"}
    assert (await acme.post(path, json=body)).status_code == 409
    assert (await acme.post(path, json=body | {"amount": -30})).status_code == 201
    assert (await acme.post(path, json=body | {"amount": -30})).status_code == 200
    assert (await acme.post(path, json=body | {"amount": 30})).status_code == 409
    for wrong in (
        {"amount": 0},
        {"reason": ""},
        {"reason": " "},
        {"adjustment_id": "a3", "amount": -1, "expires_at": in_(1)},
        {"adjustment_id": "a3", "amount": 1, "expires_at": in_(-1)},
        {"adjustment_id": "a3", "amount": -1, "expires_at": in_(1)},
        {"amount": 1.5},
        {"surprise": 1},
    ):
        assert (await acme.post(path, json=body | wrong)).status_code == 422, wrong
    assert (await acme.post("/v1/users/ada/wallets/STARS/adjustments", json=body | {"amount": 1})).status_code == 404
    await give(acme, 8, "a4", expires_at="2036-12-31")
    [lot] = (await acme.get(f"{PURSE}/lots")).json()["items"]
    assert lot["expires_at"] == "2036-12-31T23:00:00Z", "with the end of the day, in Berlin"


async def test_points_by_hand_that_are_good_until_a_day_expire_with_its_end(acme: AsyncClient) -> None:
    """In the tenant's zone, as rewards and opening balances do: Berlin is an hour ahead on New Year's Eve."""
    await give(acme, 30, expires_at="2096-12-31")
    assert [lot["expires_at"] for lot in await list_lots(acme)] == ["2096-12-31T23:00:00Z"]


async def test_nothing_expires_by_itself_in_a_history_tenant(acme: AsyncClient, database: str) -> None:
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE tenant SET clock = 'history' WHERE tenant_id = 'acme'")
    body = {"adjustment_id": "a1", "amount": 3, "reason": "x", "expires_at": in_(1)}
    refused = await acme.post(f"{PURSE}/adjustments", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "/expires_at")
    await give(acme, 3)


async def list_lots(client: AsyncClient, limit: int = 2) -> list[dict[str, Any]]:
    """All lots of ada, read page by page."""
    lots: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await client.get(f"{PURSE}/lots?limit={limit}{cursor and f'&cursor={cursor}'}")).json()
        assert len(page["items"]) <= limit
        lots, cursor = lots + page["items"], page["next_cursor"]
    return lots


async def test_the_lots_say_what_remains_of_what_and_when_it_expires_in_the_order_it_is_spent(
    acme: AsyncClient, database: str
) -> None:
    for name, amount, days in (
        ("old", 9, 1),
        ("a", 10, None),
        ("b", 20, 9),
        ("c", 30, 3),
        ("d", 40, None),
        ("e", 7, 3),
    ):
        await give(acme, amount, name, **({} if days is None else {"expires_at": in_(days)}))
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE wallet_lot SET expires_at = now() WHERE amount = 9")
        owner.execute("UPDATE wallet_lot SET available_at = now() + '1 day' WHERE amount = 20")
        owner.execute("UPDATE wallet SET active = active - 20, pending = 20")
    assert await spend(acme, 12) == 201
    lots = await list_lots(acme)
    assert [(lot["source_id"], lot["kind"], lot["state"], lot["amount"], lot["remaining"]) for lot in lots] == [
        ("c", "adjust", "active", 30, 18),
        ("e", "adjust", "active", 7, 7),
        ("b", "adjust", "pending", 20, 20),
        ("a", "adjust", "active", 10, 10),
        ("d", "adjust", "active", 40, 40),
    ]
    assert [lot["expires_at"] is None for lot in lots] == [False, False, False, True, True]
    assert [lot["available_at"] is None for lot in lots] == [True, True, False, True, True]
    purse = (await acme.get(PURSE)).json()
    assert sum(lot["remaining"] for lot in lots) == purse["pending"] + purse["active"]
    assert purse["next_expiry"] == {"at": lots[0]["expires_at"], "amount": 18}
    assert (await acme.get("/v1/users/eve/wallets/POINTS/lots")).status_code == 404
    assert (await acme.get(f"{PURSE}/lots?cursor=x")).status_code == 422


async def test_lots_that_are_yet_to_give_for_a_large_spend_are_shown_without_what_they_owe(
    acme: AsyncClient, database: str
) -> None:
    await give(acme, 1)
    fill(database, 500)
    assert await spend(acme, 450) == 201
    assert look(database, "SELECT owed FROM wallet") == [(250,)]
    before = await list_lots(acme, 200)
    assert sum(lot["remaining"] for lot in before) == 50
    await sweep_all(database)
    assert await list_lots(acme, 200) == before


def fill(database: str, lots: int) -> None:
    """As many lots of one point, one younger than the other, the first of which expires first."""
    with psycopg.connect(database) as owner:
        owner.execute(
            "INSERT INTO wallet_lot SELECT 'acme', uuidv7(), 'ada', 'POINTS', 1, 1, n, 0, NULL, now() + n * '1 min'::interval"
            " FROM generate_series(2, %s) n",
            [lots],
        )
        owner.execute("UPDATE wallet SET active = %s, last_seq = %s, due_at = now()", [lots, lots])


def look(database: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database) as owner:
        return owner.execute(statement).fetchall()


async def sweep_all(database: str) -> None:
    """The sweep, until nothing is owed."""
    async with (
        asyncpg.create_pool(role_dsn(database, "fillip_sweep"), min_size=1, max_size=1) as finder,
        asyncpg.create_pool(role_dsn(database, "fillip_worker"), min_size=1, max_size=1) as pool,
    ):
        due = PostgresDueWallets(finder, pool)
        while await due.move_due(datetime.now(UTC)):
            pass


async def test_a_spend_of_thousands_of_lots_takes_the_first_at_once_and_the_others_follow(
    acme: AsyncClient, database: str
) -> None:
    await give(acme, 1)
    fill(database, 1_800)
    assert await spend(acme, 1_750) == 201
    assert (await acme.get(PURSE)).json()["active"] == 50
    assert await spend(acme, 51, "order-2") == 409
    assert look(database, "SELECT owed FROM wallet") == [(1_550,)]
    assert await spend(acme, 10, "order-3") == 201
    soonest = (await acme.get(PURSE)).json()["next_expiry"]
    await sweep_all(database)
    assert look(database, "SELECT owed FROM wallet") == [(0,)]
    assert look(database, "SELECT min(seq), count(*) FROM wallet_lot WHERE remaining > 0 AND seq > 1") == [(1_762, 39)]
    assert (await acme.get(PURSE)).json()["next_expiry"] == soonest


async def test_the_refund_of_a_spend_of_thousands_of_lots_comes_in_portions_that_add_up(
    acme: AsyncClient, database: str
) -> None:
    await give(acme, 1)
    fill(database, 1_800)
    assert await spend(acme, 1_750) == 201
    await sweep_all(database)
    first = await acme.post(f"{PURSE}/spends/order-1/refund")
    assert (first.status_code, first.json()["active_after"]) == (201, 1_800)
    again = await acme.post(f"{PURSE}/spends/order-1/refund")
    assert (again.status_code, again.json()) == (200, first.json())
    portions = "SELECT amount FROM wallet_transfer WHERE kind = 'refund' ORDER BY seq"
    assert look(database, portions) == [(150,), *[(200,)] * 8]
    assert look(database, "SELECT count(*) FROM wallet_lot WHERE remaining = 1") == [(1_800,)]


async def test_a_refund_in_pieces_of_thousands_of_lots_leaves_what_a_smaller_spend_would_have(
    acme: AsyncClient, database: str
) -> None:
    await give(acme, 1)
    fill(database, 1_800)
    assert await spend(acme, 1_750) == 201
    assert await refund(acme, refund_id="owed", amount=500) == (201, 500)
    assert look(database, "SELECT owed FROM wallet") == [(1_050,)]
    await sweep_all(database)
    assert await refund(acme, refund_id="r1", amount=310) == (201, 60), "the last of its portions"
    assert await refund(acme, refund_id="r1", amount=310) == (200, 60)
    first = "SELECT count(*) FILTER (WHERE remaining = 0), max(seq) FILTER (WHERE remaining = 0) FROM wallet_lot"
    assert look(database, first) == [(940, 941)]
    assert await refund(acme) == (201, 200)
    assert (await acme.get(PURSE)).json()["active"] == 1_800
    assert look(database, "SELECT count(*) FROM wallet_lot WHERE remaining = 1") == [(1_800,)]


async def test_a_refund_of_what_no_lot_has_given_yet_needs_no_lot(acme: AsyncClient, database: str) -> None:
    await give(acme, 1)
    fill(database, 1_800)
    assert await spend(acme, 600) == 201
    assert await spend(acme, 1_000, "order-2") == 201
    assert (await acme.post(f"{PURSE}/spends/order-2/refund")).json()["active_after"] == 1_200
    assert (await acme.post(f"{PURSE}/spends/order-1/refund")).json()["active_after"] == 1_800
    assert look(database, "SELECT owed, (SELECT sum(remaining)::int FROM wallet_lot) FROM wallet") == [(0, 1_800)]


async def test_a_refund_that_was_cut_off_goes_on_where_it_stopped(acme: AsyncClient, database: str) -> None:
    await give(acme, 1)
    fill(database, 1_800)
    assert await spend(acme, 1_750) == 201
    await sweep_all(database)
    with psycopg.connect(database) as owner:  # the lots of the second portion can't be filled
        owner.execute(
            "ALTER TABLE wallet_lot ADD CONSTRAINT stop CHECK (seq NOT BETWEEN 600 AND 1100 OR remaining = 0) NOT VALID"
        )
    assert (await acme.post(f"{PURSE}/spends/order-1/refund")).status_code == 500
    assert (await acme.get(PURSE)).json()["active"] == 600
    with psycopg.connect(database) as owner:
        owner.execute("ALTER TABLE wallet_lot DROP CONSTRAINT stop")
    assert (await acme.post(f"{PURSE}/spends/order-1/refund")).json()["active_after"] == 1_800
    assert look(database, "SELECT sum(amount)::int FROM wallet_transfer WHERE kind = 'refund'") == [(1_750,)]


async def test_a_currency_of_points_is_defined_before_a_campaign_gives_it(acme: AsyncClient) -> None:
    await open_shop(acme)
    stars = QUEST | {"rewards": [{"kind": "points", "value": 5, "currency": "STARS"}]}
    refused = await acme.post("/v1/campaigns", json={"campaign_id": "q", "definition": stars})
    assert refused.json()["errors"][0]["at"] == "/definition/rewards/0/currency"
    assert (await acme.put("/v1/points/STARS", json={"name": "Stars", "floor": -10})).status_code == 201
    await draft(acme, "q", stars)
    assert (await acme.put("/v1/points/STARS", json={"name": "Stars"})).status_code == 428
    assert (await acme.put("/v1/points/STARS", json={"name": "Stars"}, headers=ANY)).json()["floor"] is None
    assert (await acme.get("/v1/points")).json()["items"] == [(await acme.get("/v1/points/STARS")).json()]
    assert (await acme.get("/v1/points/MOONS")).status_code == 404


async def test_a_currency_that_nothing_uses_can_be_deleted(acme: AsyncClient) -> None:
    await open_shop(acme)
    stars = "/v1/points/STARS"
    for name in ("STARS", "STRAS"):
        assert (await acme.put(f"/v1/points/{name}", json={"name": name})).status_code == 201
    assert (await acme.delete("/v1/points/STRAS")).status_code == 428
    assert (await acme.delete("/v1/points/STRAS", headers=ANY)).status_code == 204
    assert (await acme.delete("/v1/points/STRAS", headers=ANY)).status_code == 404
    await draft(acme, "q", QUEST | {"rewards": [{"kind": "points", "value": 5, "currency": "STARS"}]})
    capped = CASHBACK | {"rewards": [{"kind": "points", "value": 5, "currency": "STARS"}, *CASHBACK["rewards"]]}
    await draft(acme, "c", capped)
    assert (
        await acme.put("/v1/ladders/STARS", json={"span": "year", "levels": [{"name": "low", "from": 0}]})
    ).status_code == 201
    board = {"currency": "STARS", "span": "week"}
    assert (await acme.put("/v1/leaderboards/week", json=board)).status_code == 201
    limit = {"limit_id": "stars", "scope": "tenant", "measure": "value", "span": "day", "cap": 9}
    made = await acme.post("/v1/limits", json=limit | {"reward_kind": "points", "currency": "STARS"})
    assert made.status_code == 201, made.text
    uses = ["campaign c", "campaign q", "limit stars", "leaderboard week", "its ladder"]
    for cure in ("campaigns/c", "campaigns/q", "limits/stars", "leaderboards/week", "ladders/STARS"):
        kept = await acme.delete(stars, headers=ANY)
        assert (kept.status_code, kept.json()["detail"]) == (409, f"currency STARS is used by {', '.join(uses)}")
        assert (await acme.delete(f"/v1/{cure}", headers=ANY)).status_code == 204
        uses.pop(0)
    await acme.put("/v1/points/OTHERS", json={"name": "Others"})
    lines = b"user_id,currency,amount\nada,STARS,5"
    file = await acme.put("/v1/balance-imports/old", content=lines, headers={"Content-Type": "text/csv"})
    assert file.status_code == 202, file.text
    given = {"adjustment_id": "a", "amount": 5, "reason": "welcome"}
    assert (await acme.post("/v1/users/ada/wallets/STARS/adjustments", json=given)).status_code == 201
    kept = await acme.delete(stars, headers=ANY)
    assert kept.json()["detail"] == "currency STARS is used by balance import old, wallets of users"
    assert (await acme.delete("/v1/points/OTHERS", headers=ANY)).status_code == 204


async def test_points_that_could_never_be_spent_are_refused(acme: AsyncClient) -> None:
    await open_shop(acme)
    for reward, at in (
        ({"kind": "points", "value": 5, "pending_for_s": 60, "expires_after_s": 60}, "expires_after_s"),
        ({"kind": "cashback", "value": 5, "pending_for_s": 60}, "pending_for_s"),
    ):
        refused = await acme.post(
            "/v1/campaigns", json={"campaign_id": "q", "definition": QUEST | {"rewards": [reward]}}
        )
        assert refused.json()["errors"][0]["at"] == f"/definition/rewards/0/{at}"


async def test_ids_that_an_erased_user_had_are_told_to_nobody(acme: AsyncClient, database: str) -> None:
    """Given that the rows of who was erased are under a pseudonym by now, and somebody else is called so."""
    await give(acme, 30, "a1")
    spend, gift = {"spend_id": "s1", "amount": 20}, {"gift_id": "g1", "to_user_id": "bob", "amount": 5}
    assert (await acme.post(f"{PURSE}/spends", json=spend)).status_code == 201
    assert (await acme.post(f"{PURSE}/gifts", json=gift)).status_code == 201
    with psycopg.connect(database) as owner:
        for table in ("wallet", "wallet_transfer", "wallet_lot", "wallet_draw"):
            owner.execute(f"UPDATE {table} SET user_id = 'erased' WHERE user_id = 'ada'")
    await give(acme, 30, "a2")
    for path, body in (
        ("spends", spend),
        ("holds", {"hold_id": "s1", "amount": 20}),
        ("spends/s1/refund", {}),
        ("gifts", gift),
        ("adjustments", {"adjustment_id": "a1", "amount": 30, "reason": "goodwill"}),
    ):
        answer = await acme.post(f"{PURSE}/{path}", json=body)
        assert (answer.status_code, "erased" in answer.text) == (409, True), (path, answer.text)
    assert (await acme.get(PURSE)).json()["active"] == 30
