"""Users by level: listed page by page, each user once, and counted."""

from typing import Any

from httpx import AsyncClient

from fillip.manage.balance_import.run import ImportRuns
from tests.manage.conftest import Plane
from tests.manage.test_balance_imports import runs
from tests.manage.test_ladders import LADDER, METALS, YEAR, sweep

__all__ = ["runs"]

GOLD, SILVER, BRONZE = ["u0", "u3", "u6"], ["u1", "u4", "u7"], ["u2", "u5", "u8", "u9"]


async def give(client: AsyncClient, name: str, points: dict[str, int]) -> None:
    """Import points that were earned."""
    lines = "\n".join(f"{user_id},{amount}" for user_id, amount in points.items())
    taken = await client.put(
        f"/v1/balance-imports/{name}", content=f"user_id,amount\n{lines}", headers={"Content-Type": "text/csv"}
    )
    assert taken.is_success, taken.text


async def read_all(client: AsyncClient, **asked: Any) -> list[dict[str, Any]]:
    """All users of a list, two a page."""
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await client.get(f"{LADDER}/users", params=asked | cursor | {"limit": 2})
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        if (following := answer.json()["next_cursor"]) is None:
            return items
        cursor = {"cursor": following}


async def count(client: AsyncClient) -> dict[str, int]:
    """The users of each level."""
    return {each["name"]: each["users"] for each in (await client.get(f"{LADDER}/levels")).json()["items"]}


async def test_users_are_listed_and_counted_by_level(acme: AsyncClient, plane: Plane, runs: ImportRuns) -> None:
    """Given ten users on three levels, one of whom is merged into another, and one who falls to the lowest."""
    assert (await acme.put(LADDER, json=YEAR)).status_code == 201
    await give(acme, "one", {f"u{n}": [2000, 500, 499][n % 3] if n < 9 else 1 for n in range(10)})
    await sweep(plane, runs)
    for level, users in (("gold", GOLD), ("silver", SILVER), ("bronze", BRONZE)):
        assert [each["user_id"] for each in await read_all(acme, level=level)] == users
    everybody = await read_all(acme)
    assert [each["user_id"] for each in everybody] == sorted(GOLD + SILVER + BRONZE)
    [first, second, third] = everybody[:3]
    assert (first["level"], first["earned"], first["since"] is not None) == ("gold", 2000, True)
    assert (second["level"], second["earned"], second["falls_at"] is not None) == ("silver", 500, True)
    assert third == {"user_id": "u2", "level": "bronze", "earned": 499, "since": None, "falls_at": None}
    assert await count(acme) == {"bronze": 4, "silver": 3, "gold": 3}

    merged = await acme.post("/v1/users/u2/merges", json={"merge_id": "m", "from": "u5"})
    assert merged.status_code == 201, merged.text
    assert await count(acme) == {"bronze": 2, "silver": 4, "gold": 3}
    assert [each["user_id"] for each in await read_all(acme, level="bronze")] == ["u8", "u9"]
    assert [(each["user_id"], each["earned"]) for each in await read_all(acme, level="silver")][1] == ("u2", 998)

    higher = YEAR | {"levels": [METALS[0], METALS[1] | {"from": 900}]}
    assert (await acme.put(LADDER, json=higher, headers={"If-Match": "*"})).status_code == 200
    await sweep(plane, runs)
    assert await count(acme) == {"bronze": 5, "silver": 4}
    fallen = await read_all(acme, level="bronze")
    assert [each["user_id"] for each in fallen] == ["u1", "u4", "u7", "u8", "u9"]
    assert [each["since"] is not None for each in fallen] == [True, True, True, False, False]


async def test_a_level_that_there_is_not_is_refused(acme: AsyncClient) -> None:
    assert (await acme.get(f"{LADDER}/users")).status_code == 404
    assert (await acme.get(f"{LADDER}/levels")).status_code == 404
    assert (await acme.put(LADDER, json=YEAR)).status_code == 201
    refused = await acme.get(f"{LADDER}/users", params={"level": "golld"})
    assert refused.status_code == 422
    assert "there are bronze, silver, gold" in refused.json()["detail"]
    assert (await read_all(acme), await count(acme)) == ([], {"bronze": 0, "silver": 0, "gold": 0})
