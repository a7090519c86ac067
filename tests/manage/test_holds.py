"""Holds over HTTP: points set aside in a checkout, captured, voided, timed out."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import psycopg
from httpx import AsyncClient

from fillip.migrations import role_dsn
from fillip.settle.wallet.due_holds_postgres import PostgresDueHolds
from tests.manage.test_wallets import LEFT, PURSE, fill, give, in_, look, refund, spend, sweep_all

HOLDS = f"{PURSE}/holds"


async def hold(client: AsyncClient, amount: int, name: str = "order-1", **parts: Any) -> int:
    return (await client.post(HOLDS, json={"hold_id": name, "amount": amount} | parts)).status_code


async def end(client: AsyncClient, what: str, name: str = "order-1", **body: Any) -> tuple[int, str, int]:
    """(status, state, captured) of a capture or a void; the state is the kind of the problem where it is refused."""
    answer = await client.post(f"{HOLDS}/{name}/{what}", json=body or None)
    told = answer.json()
    return answer.status_code, told.get("state") or told["type"].rpartition("/")[2], told.get("captured", 0)


async def tell(client: AsyncClient) -> list[int]:
    purse = (await client.get(PURSE)).json()
    return [purse[name] for name in ("active", "held", "spent", "expired")]


async def sweep(database: str) -> int:
    """The sweep of holds, until nothing is due; how many portions it released."""
    async with (
        asyncpg.create_pool(role_dsn(database, "fillip_sweep"), min_size=1, max_size=1) as finder,
        asyncpg.create_pool(role_dsn(database, "fillip_worker"), min_size=1, max_size=1) as pool,
    ):
        due, released = PostgresDueHolds(finder, pool), 0
        while moved := await due.move_due(datetime.now(UTC)):
            released += moved
    return released


def let_time_out(database: str, name: str = "order-1") -> None:
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE wallet_hold SET held_until = now(), due_at = now() WHERE hold_id = %s", [name])


async def test_what_is_held_can_not_be_spent_and_of_it_is_captured_what_is_needed(acme: AsyncClient) -> None:
    await give(acme, 100)
    assert [await hold(acme, 70), await hold(acme, 70), await hold(acme, 71)] == [201, 200, 409]
    assert await tell(acme) == [30, 70, 0, 0]
    assert await spend(acme, 31, "other") == 409
    assert await hold(acme, 31, "order-2") == 409
    assert await end(acme, "capture", amount=71) == (409, "conflict", 0)
    assert [await end(acme, "capture", amount=50) for _ in range(2)] == [(200, "captured", 50)] * 2
    assert await end(acme, "capture") == (200, "captured", 50)
    assert await end(acme, "capture", amount=49) == (409, "conflict", 0)
    assert await end(acme, "void") == (409, "conflict", 0)
    assert await tell(acme) == [50, 0, 50, 0]
    statement = (await acme.get(f"{PURSE}/transfers")).json()["items"]
    assert [(item["kind"], item["debit"], item["credit"], item["amount"]) for item in statement[:3]] == [
        ("release", "held", "active", 20),
        ("capture", "held", "spent", 50),
        ("hold", "active", "held", 70),
    ]
    assert {item["source_id"] for item in statement[:3]} == {"order-1"}


async def test_a_hold_is_voided_once_and_its_points_have_the_expiry_they_had(acme: AsyncClient, database: str) -> None:
    for days in (1, 2):
        await give(acme, 10, f"a{days}", expires_at=in_(days))
    assert await hold(acme, 15) == 201
    assert look(database, LEFT) == [(0,), (5,)]
    assert [await end(acme, "void") for _ in range(2)] == [(200, "voided", 0)] * 2
    assert look(database, LEFT) == [(10,), (10,)]
    assert await end(acme, "capture") == (409, "conflict", 0)
    assert await hold(acme, 15) == 200, "the same id is the same hold, which has ended"
    assert await tell(acme) == [20, 0, 0, 0]


async def test_points_do_not_expire_while_they_are_held_and_do_when_they_are_let_go(
    acme: AsyncClient, database: str
) -> None:
    await give(acme, 40, expires_at=in_(1))
    assert [await hold(acme, 10, name) for name in ("kept", "gone")] == [201, 201]
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE wallet_lot SET expires_at = now()")
    assert await tell(acme) == [0, 20, 0, 20]
    assert await end(acme, "capture", "kept") == (200, "captured", 10)
    assert await end(acme, "void", "gone") == (200, "voided", 0)
    assert await tell(acme) == [0, 0, 10, 30]


async def test_a_hold_times_out_by_the_clock_and_the_sweep_lets_its_points_go(acme: AsyncClient, database: str) -> None:
    await give(acme, 50)
    assert [await hold(acme, 20), await hold(acme, 7, "order-2")] == [201, 201]
    let_time_out(database)
    assert (await acme.get(f"{HOLDS}/order-1")).json()["state"] == "timed_out"
    for state, names in (("timed_out", ["order-1"]), ("held", ["order-2"]), ("captured", [])):
        listed = (await acme.get(f"{HOLDS}?state={state}")).json()["items"]
        assert [item["hold_id"] for item in listed] == names, state
    assert await end(acme, "capture") == (410, "hold-timed-out", 0)
    assert await sweep(database) == 1
    assert await tell(acme) == [43, 7, 0, 0]
    assert await end(acme, "void") == (200, "timed_out", 0)
    let_time_out(database, "order-2")
    assert await end(acme, "void", "order-2") == (200, "timed_out", 0), "before the sweep was there"
    assert await tell(acme) == [50, 0, 0, 0]
    assert await sweep(database) == 0


async def test_of_all_that_end_a_hold_at_once_one_wins(acme: AsyncClient, database: str) -> None:
    await give(acme, 50)
    for number in range(4):
        assert await hold(acme, 20, f"o{number}") == 201
        if number % 2:
            let_time_out(database, f"o{number}")
        ends = [end(acme, what, f"o{number}") for what in ("capture", "void") * 3]
        answers, _ = await asyncio.gather(asyncio.gather(*ends), sweep(database))
        states = {state for status, state, _ in answers if status == 200}
        assert len(states) == 1, answers
        active, held, spent, _ = await tell(acme)
        assert (active + spent, held) == (50, 0)
        if spent:
            assert (await acme.post(f"{PURSE}/spends/o{number}/refund")).status_code == 201
    assert await tell(acme) == [50, 0, 0, 0]


async def test_holds_at_once_hold_no_more_than_is_there(acme: AsyncClient) -> None:
    await give(acme, 50)
    answers = await asyncio.gather(*[hold(acme, 20, f"o{number}") for number in range(8)])
    assert sorted(answers) == [201] * 2 + [409] * 6
    assert await tell(acme) == [10, 40, 0, 0]


async def test_what_was_captured_is_refunded_as_the_spend_of_that_id(acme: AsyncClient) -> None:
    await give(acme, 100)
    await hold(acme, 60)
    assert await refund(acme) == (409, None), "it is held yet"
    assert await spend(acme, 60) == 409, "the id is a hold's"
    await end(acme, "capture", amount=40)
    assert await refund(acme, refund_id="r1", amount=41) == (409, None)
    assert await refund(acme, refund_id="r1", amount=15) == (201, 15)
    assert await refund(acme) == (201, 25)
    assert await tell(acme) == [100, 0, 0, 0]
    await spend(acme, 5, "order-2")
    assert await hold(acme, 5, "order-2") == 409, "the id is a spend's"


async def test_a_hold_of_thousands_of_lots_comes_back_in_portions_that_add_up(acme: AsyncClient, database: str) -> None:
    await give(acme, 1)
    fill(database, 900)
    assert await hold(acme, 850) == 201
    assert look(database, "SELECT owed FROM wallet") == [(650,)]
    assert await end(acme, "capture", amount=130) == (200, "captured", 130)
    assert await tell(acme) == [770, 0, 130, 0]
    first = "SELECT count(*) FILTER (WHERE remaining = 0), max(seq) FILTER (WHERE remaining = 0) FROM wallet_lot"
    assert look(database, first) == [(130, 131)]
    assert look(database, "SELECT due_at, (SELECT owed::int FROM wallet) FROM wallet_hold") == [(None, 0)]


async def test_a_release_that_was_cut_off_is_gone_on_with_by_the_sweep(acme: AsyncClient, database: str) -> None:
    await give(acme, 1)
    fill(database, 500)
    assert await hold(acme, 450) == 201
    await sweep_all(database)
    with psycopg.connect(database) as owner:  # the lots of the second portion that comes back can't be filled
        owner.execute("ALTER TABLE wallet_lot ADD CONSTRAINT stop CHECK (seq > 300 OR remaining = 0) NOT VALID")
    assert (await acme.post(f"{HOLDS}/order-1/void")).status_code == 500
    active, held, *_ = await tell(acme)
    assert held and active + held == 500
    with psycopg.connect(database) as owner:
        owner.execute("ALTER TABLE wallet_lot DROP CONSTRAINT stop")
    assert await sweep(database) >= 1
    assert await tell(acme) == [500, 0, 0, 0]
    assert await end(acme, "void") == (200, "voided", 0)


async def test_holds_are_listed_and_say_what_is_wrong_with_them(acme: AsyncClient) -> None:
    await give(acme, 100)
    for wrong in (
        {"amount": 0},
        {"amount": "20"},
        {"hold_for_s": 0},
        {"hold_for_s": 604_801},
        {"hold_id": ""},
        {"x": 1},
    ):
        answer = await acme.post(HOLDS, json={"hold_id": "w", "amount": 5} | wrong)
        assert answer.status_code == 422, wrong
    await hold(acme, 5, "h")
    await hold(acme, 7, "h2", hold_for_s=60)
    listed = (await acme.get(f"{HOLDS}?limit=1")).json()
    assert [(item["hold_id"], item["amount"], item["state"]) for item in listed["items"]] == [("h2", 7, "held")]
    rest = (await acme.get(f"{HOLDS}?limit=1&cursor={listed['next_cursor']}")).json()
    assert [item["hold_id"] for item in rest["items"]] == ["h"]
    assert (await acme.get(f"{HOLDS}/nobody")).status_code == 404
    assert (await end(acme, "capture", "nobody"))[0] == 404
