"""Ladders over HTTP: defined, refused where they mean nothing, read with where a user stands, deleted."""

from datetime import UTC, datetime
from typing import Any

import pytest
from asyncpg import create_pool
from httpx import AsyncClient

from fillip.manage.balance_import.run import ImportRuns
from fillip.migrations import role_dsn
from fillip.settle.level.postgres import PostgresDueLadders
from tests.manage.conftest import Plane
from tests.manage.shop import ANY, CASHBACK, launch
from tests.manage.test_balance_imports import runs
from tests.manage.test_eligibility import ask, by_campaign, checkout

__all__ = ["checkout", "runs"]

LADDER = "/v1/ladders/POINTS"
METALS = [{"name": "bronze", "from": 0}, {"name": "silver", "from": 500}, {"name": "gold", "from": 2000}]
YEAR = {"span": "year", "levels": METALS}


async def sweep(plane: Plane, runs: ImportRuns) -> None:
    """Post imports, and let users follow their ladders, until nothing is due."""
    while await runs.take_portion():
        pass
    dsns = role_dsn(plane.dsn, "fillip_sweep"), role_dsn(plane.dsn, "fillip_worker")
    async with create_pool(dsns[0], min_size=1) as finder, create_pool(dsns[1], min_size=1) as pool:
        while await PostgresDueLadders(finder, pool).move_due(datetime.now(UTC)):
            pass


async def test_a_ladder_is_made_read_changed_under_its_etag_and_deleted(acme: AsyncClient) -> None:
    made = await acme.put(LADDER, json=YEAR)
    assert made.status_code == 201, made.text
    assert made.json() | YEAR == made.json()
    assert (made.json()["is_following"], made.json()["rolling_s"]) == (True, None)
    assert (await acme.put(LADDER, json=YEAR)).status_code == 428
    rolling = {"span": "rolling", "rolling_s": 365 * 86_400, "levels": METALS[:2]}
    changed = await acme.put(LADDER, json=rolling, headers={"If-Match": made.headers["ETag"]})
    assert changed.status_code == 200, changed.text
    assert (await acme.get(LADDER)).json() == changed.json()
    assert (await acme.get("/v1/ladders")).json()["items"] == [changed.json()]
    assert (await acme.delete(LADDER, headers={"If-Match": made.headers["ETag"]})).status_code == 412
    assert (await acme.delete(LADDER, headers=ANY)).status_code == 204
    assert (await acme.get(LADDER)).status_code == 404
    assert (await acme.get("/v1/ladders")).json()["items"] == []
    assert (await acme.put(LADDER, json=YEAR)).status_code == 409, "the sweep removes what is left of it"


@pytest.mark.parametrize(
    ("ladder", "places"),
    [
        (YEAR | {"levels": [{"name": "silver", "from": 5}]}, ["/levels/0/from"]),
        (YEAR | {"levels": [*METALS[:2], {"name": "silver", "from": 500}]}, ["/levels/2/name", "/levels/2/from"]),
        (YEAR | {"levels": [METALS[0], METALS[2], METALS[1]]}, ["/levels/2/from"]),
        (YEAR | {"rolling_s": 86_400}, ["/rolling_s"]),
        (YEAR | {"span": "rolling"}, ["/rolling_s"]),
        (YEAR | {"span": "rolling", "rolling_s": 100_000}, ["/rolling_s"]),
        (YEAR | {"levels": []}, ["/levels"]),
        (YEAR | {"span": "day"}, ["/span"]),
        (YEAR | {"attribute": "level"}, ["/attribute"]),
        (YEAR | {"attribute": "age"}, ["/attribute"]),
        (YEAR | {"attribute": "tier", "levels": [*METALS, {"name": "unobtainium", "from": 9000}]}, ["/levels/3/name"]),
    ],
)
async def test_a_ladder_that_means_nothing_is_refused_with_its_places(
    acme: AsyncClient, ladder: dict[str, Any], places: list[str]
) -> None:
    refused = await acme.put(LADDER, json=ladder)
    assert refused.status_code == 422, refused.text
    assert [fault["at"] for fault in refused.json()["errors"]] == places
    assert (await acme.put("/v1/ladders/STARS", json=YEAR)).status_code == 404, "there is no such currency"


async def test_a_user_reads_where_they_stand_and_what_is_missing(
    acme: AsyncClient, plane: Plane, runs: ImportRuns
) -> None:
    """Given a ladder with what ada has imported before and after: adjustments and spends move nothing."""
    lines = {"Content-Type": "text/csv"}
    assert (await acme.put("/v1/balance-imports/one", content="user_id,amount\nada,450", headers=lines)).is_success
    assert (await acme.put(LADDER, json=YEAR | {"span": "lifetime"})).status_code == 201
    assert (await read(acme))["is_following"]
    await sweep(plane, runs)
    await acme.post(
        "/v1/users/ada/wallets/POINTS/adjustments", json={"adjustment_id": "a", "amount": 900, "reason": "x"}
    )
    await acme.post("/v1/users/ada/wallets/POINTS/spends", json={"spend_id": "s", "amount": 400})
    wanted = {"currency": "POINTS", "level": "bronze", "from": 0, "earned": 450, "since": None, "next_level": "silver"}
    assert await read(acme) == wanted | {"missing": 50, "falls_at": None, "is_following": False}
    assert (await acme.put("/v1/balance-imports/two", content="user_id,amount\nada,2000", headers=lines)).is_success
    await sweep(plane, runs)
    gold = await read(acme)
    assert (gold["level"], gold["earned"], gold["missing"], gold["next_level"]) == ("gold", 2450, None, None)
    assert gold["since"] is not None
    nobody = (await acme.get("/v1/users/nobody/levels")).json()["items"][0]
    assert (nobody["level"], nobody["earned"], nobody["missing"]) == ("bronze", 0, 500)


async def test_a_rule_reads_the_level_wherever_it_is_asked(
    checkout: AsyncClient, plane: Plane, runs: ImportRuns
) -> None:
    """Given a campaign for who is gold: what an explanation and a cart say is by the ladder, not by what was written of the user."""
    await launch(checkout, "c", CASHBACK)
    await checkout.put("/v1/points/STARS", json={"name": "Stars"})
    assert (await checkout.put(LADDER, json=YEAR | {"attribute": "tier"})).status_code == 201
    assert (await checkout.put("/v1/ladders/STARS", json=YEAR | {"attribute": "tier"})).status_code == 422
    asked = {"user_id": "ada", "action": "PURCHASE", "attributes": {"amount_cents": 9000}}

    async def earns() -> list[bool]:
        explained = (await checkout.post("/v1/campaigns/c/explain", json=asked)).json()
        told = by_campaign(await ask(checkout, {"amount_cents": 9000}))["c"]
        return [all(check["passed"] for check in explained["checks"]), told["outcome"] == "earned"]

    assert await earns() == [False, False], "ada was written to be gold, and has earned nothing"
    lines = {"Content-Type": "text/csv"}
    await checkout.put("/v1/balance-imports/one", content="user_id,amount\nada,2000", headers=lines)
    await sweep(plane, runs)
    assert await earns() == [True, True]


async def read(client: AsyncClient) -> dict[str, Any]:
    """Where ada stands on the one ladder."""
    [level] = (await client.get("/v1/users/ada/levels")).json()["items"]
    return dict(level)
