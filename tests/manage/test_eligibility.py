"""What a user can earn now: with a cart that was not sent, and before any."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import psycopg
import pytest

from fillip.app.follow import follow
from fillip.match import meet_alone
from fillip.match.keeper_postgres import BookKeeper
from fillip.match.postgres import PostgresBooks
from fillip.migrations import role_dsn
from tests.conftest import run_sql
from tests.manage.conftest import Plane
from tests.manage.ledger_rows import put_counter, put_instance
from tests.manage.shop import ANY, CASHBACK, QUEST, cap, draft, launch, open_cohort, open_shop

BASKET = CASHBACK | {"rule": "event.amount_cents >= 5000"}
POINTS = [{"kind": "points", "value": 5}]


@pytest.fixture
async def checkout(plane: Plane, acme: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
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


async def test_a_cart_earns_nearly_earns_or_earns_nothing(checkout: httpx.AsyncClient) -> None:
    await launch(checkout, "small", BASKET | {"rule": "event.amount_cents >= 1000"})
    await launch(checkout, "big", BASKET)
    await launch(checkout, "gold", CASHBACK | {"rule": 'user.tier == "silver"'})
    await draft(checkout, "draft", BASKET)
    found = await ask(checkout, {"amount_cents": 4280})
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


async def test_a_code_in_the_cart_brings_its_campaign(checkout: httpx.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"code": {"type": "string"}, "cart_cents": {"type": "integer"}}}
    await checkout.put("/v1/actions/fillip.redemption", json={"schema": schema | {"required": ["code"]}})
    await open_cohort(checkout, "vip", "ada")
    spring = {"kind": "SIMPLE", "name": "Spring", "codes": ["SPRING"], "cohorts": ["vip"], "rewards": POINTS}
    await launch(checkout, "spring", spring | {"rule": "event.cart_cents >= 5000"})
    for cart_cents, outcome in ((5000, "earned"), (4280, "nearly")):
        event = {"action": "fillip.redemption", "attributes": {"code": " spring", "cart_cents": cart_cents}}
        told = by_campaign(await ask(checkout, event=event))["spring"]
        assert (told["outcome"], [each["missing"] for each in told["missing"]]) == (
            outcome,
            [720] if outcome == "nearly" else [],
        )


async def test_more_that_a_full_limit_would_refuse_is_not_near(checkout: httpx.AsyncClient, plane: Plane) -> None:
    await launch(checkout, "big", BASKET)
    await cap(checkout, "one-a-day", scope="user", measure="count", span="day", cap=1)
    near = by_campaign(await ask(checkout, {"amount_cents": 4280}))["big"]
    assert (near["outcome"], near["limits"][0]["left"], near["limits"][0]["limit_id"]) == ("nearly", 1, "one-a-day")
    put_counter(plane.dsn, "one-a-day", "ada", "", 1, str(datetime.now(ZoneInfo("Europe/Berlin")).date()))
    refused = by_campaign(await ask(checkout, {"amount_cents": 9000}))["big"]
    assert (refused["outcome"], refused["failed"]["check"], refused["limits"][0]["left"]) == ("not_earned", "limits", 0)
    assert by_campaign(await ask(checkout, {"amount_cents": 4280}))["big"]["outcome"] == "not_earned"


async def test_near_is_told_only_of_what_wins_the_event_with_more(checkout: httpx.AsyncClient) -> None:
    one_of = {"exclusive": {"group": "best", "pick": "priority"}}
    await launch(checkout, "first", BASKET | one_of | {"rule": "event.amount_cents >= 5000", "priority": 2})
    await launch(checkout, "second", BASKET | one_of | {"rule": "event.amount_cents >= 4500", "priority": 1})
    await launch(checkout, "third", BASKET | one_of | {"rule": "event.amount_cents >= 6000"})
    told = by_campaign(await ask(checkout, {"amount_cents": 4000}))
    assert {name: each["outcome"] for name, each in told.items()} == {
        "first": "nearly",
        "second": "nearly",
        "third": "not_earned",
    }
    told = by_campaign(await ask(checkout, {"amount_cents": 9000}))
    assert (told["first"]["outcome"], told["second"]["failed"]["message"]) == (
        "earned",
        "campaign first wins the event instead",
    )


async def test_what_a_limit_leaves_is_shared_by_all_that_the_cart_earns(checkout: httpx.AsyncClient) -> None:
    for name, least in (("a", 1000), ("b", 2000), ("c", 5000)):
        await launch(checkout, name, BASKET | {"rule": f"event.amount_cents >= {least}"})
    await cap(checkout, "two", scope="user", measure="count", span="lifetime", cap=2)
    told = by_campaign(await ask(checkout, {"amount_cents": 4000}))
    assert {name: each["outcome"] for name, each in told.items()} == {"a": "earned", "b": "earned", "c": "not_earned"}


async def test_the_dearest_comes_first_and_then_the_nearest(checkout: httpx.AsyncClient) -> None:
    for name, least, rewards in (
        ("points", 5000, POINTS),
        ("money", 9000, CASHBACK["rewards"]),
        ("nearer", 8000, CASHBACK["rewards"]),
    ):
        await launch(checkout, name, BASKET | {"rule": f"event.amount_cents >= {least}", "rewards": rewards})
    found = await ask(checkout, {"amount_cents": 4000}, limit=2)
    assert [each["campaign_id"] for each in found["campaigns"]] == ["nearer", "money"]
    assert (found["total"], found["counts"]["nearly"]) == (3, 3)


async def test_rewards_are_worth_what_the_amount_that_is_needed_gives(checkout: httpx.AsyncClient) -> None:
    formula = [{"kind": "points", "formula": {"of": "event.amount_cents", "percent": "1", "rounding": "down"}}]
    await launch(checkout, "percent", BASKET | {"rewards": formula})
    near = by_campaign(await ask(checkout, {"amount_cents": 4000}))["percent"]
    assert near["rewards"] == [{"kind": "points", "currency": "POINTS", "value": 50}]


async def test_a_quest_is_told_with_its_bar(checkout: httpx.AsyncClient, plane: Plane) -> None:
    await launch(checkout, "visits", QUEST)
    fresh = by_campaign(await ask(checkout))["visits"]
    assert (fresh["outcome"], fresh["quests"][0]["steps"]) == (
        "open",
        [{"name": "visit", "done": 0, "needed": 3, "given": []}],
    )
    moved = by_campaign(await ask(checkout, {"amount_cents": 1}))["visits"]
    assert (moved["outcome"], moved["quests"][0]["moved"], moved["missing"][0]["missing"]) == ("open_quest", True, 2)
    put_instance(plane.dsn, "visits", "open", 2, started_at=datetime.now(UTC) - timedelta(hours=1))
    standing = by_campaign(await ask(checkout))["visits"]
    assert (standing["outcome"], standing["missing"]) == (
        "open_quest",
        [{"attribute": None, "step": "visit", "have": 2, "need": 3, "missing": 1}],
    )
    earned = by_campaign(await ask(checkout, {"amount_cents": 1}))["visits"]
    assert (earned["outcome"], earned["rewards"][0]["value"]) == ("earned", 50)


async def test_before_any_event_it_is_open_to_whom_schedule_cohort_and_limits_let_in(
    checkout: httpx.AsyncClient, plane: Plane
) -> None:
    await open_cohort(checkout, "vip", "bob")
    await launch(checkout, "all", BASKET)
    await launch(checkout, "vips", BASKET | {"cohorts": ["vip"]})
    await launch(checkout, "later", BASKET | {"schedule": {"starts_at": "2090-01-01T00:00:00Z"}})
    await launch(checkout, "full", BASKET)
    await cap(checkout, "one", scope="user_in_campaign", campaign_id="full", measure="count", span="lifetime", cap=1)
    put_counter(plane.dsn, "one", "ada", "", 1)
    found = await ask(checkout)
    told = by_campaign(found)
    assert found["counts"] == {"earned": 0, "nearly": 0, "open_quest": 0, "open": 1, "not_earned": 3}
    assert (told["all"]["outcome"], told["all"]["actions"]) == ("open", ["PURCHASE"])
    assert {name: each["failed"]["check"] for name, each in told.items() if each["failed"]} == {
        "vips": "cohort",
        "later": "schedule",
        "full": "limits",
    }
    assert told["full"]["failed"]["message"] == "limit one has 0 of 1 left, this grant needs 1"
    assert [(each["limit_id"], each["left"]) for each in told["full"]["limits"]] == [("one", 0)]
    bob = await checkout.post("/v1/eligibility", json={"user_id": "bob"})
    assert by_campaign(bob.json())["vips"]["outcome"] == "open"
    cart = {"action": "PURCHASE", "attributes": {"amount_cents": 4280}}
    bob = await checkout.post("/v1/eligibility", json={"user_id": "bob", "event": cart})
    assert by_campaign(bob.json())["vips"]["missing"][0]["missing"] == 720


async def test_an_event_without_the_key_of_a_limit_is_told_so(checkout: httpx.AsyncClient) -> None:
    """It meets the rule all the same; no limit is full."""
    await launch(checkout, "coupons", BASKET | {"rule": "true"})
    await cap(
        checkout, "once", scope="user", measure="count", span="lifetime", cap=1, action="PURCHASE", key="event.coupon"
    )
    failed = by_campaign(await ask(checkout, {"amount_cents": 1}))["coupons"]["failed"]
    assert (failed["check"], failed["reason"]) == ("limits", "key_error")


async def test_an_empty_pool_and_a_badge_that_is_held_are_no_grants(checkout: httpx.AsyncClient, plane: Plane) -> None:
    assert (await checkout.post("/v1/coupon-pools", json={"pool_id": "ten", "name": "Ten"})).status_code == 201
    await launch(checkout, "code", BASKET | {"rewards": [{"kind": "coupon", "pool": "ten"}]})
    told = by_campaign(await ask(checkout, {"amount_cents": 9000}))["code"]
    assert (told["outcome"], told["failed"]["reason"]) == ("not_earned", "pool_empty")
    assert by_campaign(await ask(checkout, {"amount_cents": 4000}))["code"]["outcome"] == "not_earned"
    run_sql(plane.dsn, "INSERT INTO coupon (tenant_id, code, pool_id) VALUES ('acme', 'A1', 'ten')")
    assert by_campaign(await ask(checkout, {"amount_cents": 9000}))["code"]["outcome"] == "earned"
    assert by_campaign(await ask(checkout, {"amount_cents": 4000}))["code"]["outcome"] == "nearly"


async def test_an_answer_writes_nothing(checkout: httpx.AsyncClient, plane: Plane) -> None:
    await launch(checkout, "big", BASKET)
    await launch(checkout, "visits", QUEST)
    await cap(checkout, "daily", scope="user", measure="count", span="day", cap=1)
    for _ in range(3):
        assert by_campaign(await ask(checkout, {"amount_cents": 9000}))["big"]["outcome"] == "earned"
    tables = ("event_met", "decision", "incentive", "limit_counter", "quest_instance", "inbox")
    with psycopg.connect(plane.dsn) as owner:
        counts = {each: owner.execute(f"SELECT count(*) FROM {each}").fetchone() for each in tables}
    assert set(counts.values()) == {(0,)}


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({}, "/user_id"),
        ({"user_id": "ada", "evnt": {}}, "/evnt"),
        ({"user_id": "ada", "limit": 0}, "/limit"),
        ({"user_id": "ada", "event": {"attributes": {}}}, "/event/action"),
        ({"user_id": "ada", "event": {"action": "SALE"}}, "/event/action"),
        (
            {"user_id": "ada", "event": {"action": "PURCHASE", "attributes": {"amount_cents": "1"}}},
            "/event/attributes/amount_cents",
        ),
        ({"user_id": "ada", "event": {"action": "PURCHASE"}}, "/event/attributes"),
        (
            {
                "user_id": "ada",
                "event": {
                    "action": "PURCHASE",
                    "attributes": {"amount_cents": 1},
                    "occurred_at": "2090-01-01T00:00:00Z",
                },
            },
            "/event/occurred_at",
        ),
    ],
)
async def test_what_is_no_question_is_refused_with_its_place(
    checkout: httpx.AsyncClient, body: dict[str, Any], at: str
) -> None:
    answer = await checkout.post("/v1/eligibility", json=body)
    assert answer.status_code == 422, answer.text
    assert at in [each["at"] for each in answer.json()["errors"]], answer.text


async def test_it_needs_the_scope_to_read_and_tells_of_the_own_tenant_alone(
    checkout: httpx.AsyncClient, plane: Plane, rival: httpx.AsyncClient
) -> None:
    await launch(checkout, "big", BASKET)
    writer = await plane.client(await plane.make_key("acme", "events:write"))
    assert (await writer.post("/v1/eligibility", json={"user_id": "ada"})).status_code == 403
    assert (await rival.post("/v1/eligibility", json={"user_id": "ada"})).json()["total"] == 0


async def test_without_books_it_is_not_told(acme: httpx.AsyncClient) -> None:
    assert (await acme.post("/v1/eligibility", json={"user_id": "ada"})).status_code == 503


async def test_what_is_left_today_is_of_the_users_own_day(checkout: httpx.AsyncClient) -> None:
    await launch(checkout, "big", BASKET)
    await cap(checkout, "own", scope="user", measure="count", span="day", zone="user", cap=3)
    resets = []
    for zone in ("Pacific/Kiritimati", "Etc/GMT+12", None):
        placed = await checkout.patch("/v1/users/ada", json={"time_zone": zone}, headers=ANY)
        assert placed.is_success, placed.text
        for attributes in ({"amount_cents": 9000}, None):
            [limit] = by_campaign(await ask(checkout, attributes))["big"]["limits"]
            resets.append(datetime.fromisoformat(limit["resets_at"]).hour)
    assert resets == [10, 10, 12, 12, *resets[4:]]
    assert resets[4] == resets[5] not in (10, 12), "who has no zone has the tenant's"
