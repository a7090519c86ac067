"""Gifts over HTTP: points of one user go to another, with the expiry they have."""

import asyncio
from typing import Any

import psycopg
from httpx import AsyncClient

from tests.manage.test_wallets import PURSE, fill, give, in_, look, spend

BOB = "/v1/users/bob/wallets/POINTS"


async def send(
    client: AsyncClient, amount: int, name: str = "g1", to: str = "bob", purse: str = PURSE
) -> tuple[int, Any]:
    """(status, kind of the problem where there is one) of a gift."""
    answer = await client.post(f"{purse}/gifts", json={"gift_id": name, "to_user_id": to, "amount": amount})
    return answer.status_code, answer.json().get("type", "").rpartition("/")[2]


async def tell(client: AsyncClient, purse: str) -> list[tuple[int, str | None]]:
    """What remains of the lots of a wallet, and when it expires."""
    return [(lot["remaining"], lot["expires_at"]) for lot in (await client.get(f"{purse}/lots")).json()["items"]]


async def test_points_that_are_given_expire_when_they_would_have_and_stand_in_both_statements(
    acme: AsyncClient,
) -> None:
    soon, later = in_(1), in_(2)
    for number, (amount, when) in enumerate([(10, soon), (20, later), (5, soon), (40, None)]):
        await give(acme, amount, f"a{number}", **({"expires_at": when} if when else {}))
    assert await send(acme, 50) == (201, "")
    mine, theirs = await tell(acme, PURSE), await tell(acme, BOB)
    assert [remaining for remaining, _ in mine] == [25]
    assert [(remaining, when is None) for remaining, when in theirs] == [(15, False), (20, False), (15, True)]
    ends = look_instants(theirs)
    assert ends == sorted(ends) and len(set(ends)) == 2
    (gone,) = (await acme.get(f"{PURSE}/transfers?kind=give")).json()["items"]
    (came,) = (await acme.get(f"{BOB}/transfers")).json()["items"]
    assert [gone[name] for name in ("debit", "credit", "amount", "source_id", "other_user_id")] == [
        "active",
        "issued",
        50,
        "g1",
        "bob",
    ]
    assert [came[name] for name in ("kind", "debit", "credit", "amount", "other_user_id")] == [
        "receive",
        "issued",
        "active",
        50,
        "ada",
    ]


def look_instants(lots: list[tuple[int, str | None]]) -> list[str]:
    return [when for _, when in lots if when]


async def test_a_gift_is_given_once_and_no_more_than_is_there(acme: AsyncClient) -> None:
    await give(acme, 50)
    answers = await asyncio.gather(*[send(acme, 20) for _ in range(6)])
    assert sorted(answers) == [(200, "")] * 5 + [(201, "")]
    assert await send(acme, 21) == (409, "conflict")
    assert await send(acme, 20, to="eve") == (409, "conflict")
    again = await acme.post(f"{PURSE}/gifts", json={"gift_id": "g1", "to_user_id": "eve", "amount": 20})
    assert again.json()["errors"][0]["at"] == "/gift_id" and "of 20 to 'bob'" in again.text
    assert await send(acme, 31, "g2") == (409, "not-enough-points")
    assert await send(acme, 5, "g2", to="ada") == (422, "invalid")
    assert await send(acme, 5, "g2", purse="/v1/users/nobody/wallets/POINTS") == (404, "not-found")
    assert [(await acme.get(purse)).json()["active"] for purse in (PURSE, BOB)] == [30, 20]


async def test_of_gifts_to_and_fro_at_once_no_point_is_lost(acme: AsyncClient) -> None:
    await give(acme, 50)
    assert await send(acme, 25, "first") == (201, "")
    to_and_fro = [send(acme, 20, f"g{n}", *pair) for n in range(6) for pair in (("bob", PURSE), ("ada", BOB))]
    answers = await asyncio.gather(*to_and_fro, *[send(acme, 1, f"new-{n}", to="new") for n in range(4)])
    assert {status for status, _ in answers} <= {201, 409}, answers
    users = [(await acme.get(f"/v1/users/{user}/wallets")).json()["items"] for user in ("ada", "bob", "new")]
    assert sum(wallet["active"] for wallets in users for wallet in wallets) == 50


async def test_who_is_in_debt_pays_it_with_what_expires_first(acme: AsyncClient, database: str) -> None:
    await give(acme, 10, expires_at=in_(1))
    await give(acme, 20, "a2")
    assert await send(acme, 1, "first") == (201, "")
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE wallet_lot SET remaining = 0 WHERE user_id = 'bob'")
        owner.execute("UPDATE wallet SET active = -4, floor = -4 WHERE user_id = 'bob'")
    assert await send(acme, 25) == (201, "")
    assert [remaining for remaining, _ in await tell(acme, BOB)] == [5, 16]
    assert (await acme.get(BOB)).json()["active"] == 21
    assert await spend(acme, 4) == 201


async def test_a_gift_of_more_lots_than_go_at_once_is_refused_and_says_how_much_does(
    acme: AsyncClient, database: str
) -> None:
    await give(acme, 1)
    fill(database, 500)
    assert await send(acme, 201) == (409, "too-many-lots")
    assert await send(acme, 200) == (201, "")
    assert look(
        database, "SELECT user_id, count(*) FILTER (WHERE remaining > 0) FROM wallet_lot GROUP BY 1 ORDER BY 1"
    ) == [
        ("ada", 300),
        ("bob", 200),
    ]
    assert await spend(acme, 250) == 201
    assert await send(acme, 1, "g2") == (409, "too-many-lots"), "lots are still to give for the spend"
