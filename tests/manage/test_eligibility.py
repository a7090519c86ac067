"""What a user can earn now: with a cart that was not sent, and before any."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest

from fillip.app.follow import follow
from fillip.match import meet_alone
from fillip.match.keeper_postgres import BookKeeper
from fillip.match.postgres import PostgresBooks
from fillip.migrations import role_dsn
from tests.conftest import run_sql
from tests.manage.conftest import Plane
from tests.manage.shop import CASHBACK, QUEST, cap, draft, launch, open_cohort, open_shop

BASKET = CASHBACK | {"rule": "event.amount_cents >= 5000"}
POINTS = [{"kind": "points", "value": 5}]


@pytest.fixture
async def shop(plane: Plane, acme: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """A client of acme, with the books that the API has; the shop is open."""
    async with asyncpg.create_pool(role_dsn(plane.dsn, "fillip_worker"), min_size=0, max_size=5) as pool:
        books = BookKeeper(PostgresBooks(pool, with_members=False), pool, decides=False)
        async with follow(books):
            state = plane.app.state.app_state
            plane.app.state.app_state = replace(state, books=books, meet=meet_alone)
            await open_shop(acme)
            yield acme


async def ask(client: httpx.AsyncClient, attributes: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    """What ada can earn, with a purchase where its attributes are given."""
    event = {"event": {"action": "PURCHASE", "attributes": attributes}} if attributes is not None else {}
    answer = await client.post("/v1/eligibility", json={"user_id": "ada"} | event | parts)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert sum(found["counts"].values()) == found["total"]
    return found


def by_campaign(found: dict[str, Any]) -> dict[str, Any]:
    """The campaigns told, by id."""
    return {each["campaign_id"]: each for each in found["campaigns"]}


async def test_a_cart_earns_nearly_earns_or_earns_nothing(shop: httpx.AsyncClient) -> None:
    await launch(shop, "small", BASKET | {"rule": "event.amount_cents >= 1000"})
    await launch(shop, "big", BASKET)
    await launch(shop, "gold", CASHBACK | {"rule": 'user.tier == "silver"'})
    await draft(shop, "draft", BASKET)
    found = await ask(shop, {"amount_cents": 4280})
    assert found["counts"] == {"earned": 1, "nearly": 1, "open_quest": 0, "open": 0, "not_earned": 1}
    assert [each["campaign_id"] for each in found["campaigns"]] == ["small", "big", "gold"]
    told = by_campaign(found)
    assert told["small"]["rewards"] == [{"kind": "cashback", "currency": "EUR", "value": 100}]
    missing = {"attribute": "event.amount_cents", "step": None, "have": 4280, "need": 5000, "missing": 720}
    assert told["big"]["missing"] == [missing]
    assert told["gold"]["failed"] == {
        "check": "rule",
        "reason": "rule",
        "message": 'the rule does not hold: wanted user.tier == "silver" (user.tier = "gold")',
    }
