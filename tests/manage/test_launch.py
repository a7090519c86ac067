"""When a campaign begins: when it says, or else the moment it is launched."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from httpx import AsyncClient

from fillip.manage.api.tenants import NewTenant, add_tenant
from fillip.manage.book import in_force
from fillip.manage.store.postgres import transaction
from tests.manage.conftest import ALL_SCOPES, Plane
from tests.manage.shop import ANY, CASHBACK, PURCHASE, QUEST, draft, open_shop

YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
BIG = {"user_id": "ada", "action": "PURCHASE", "attributes": {"amount_cents": 9000}}


async def launch(client: AsyncClient, campaign_id: str, definition: dict[str, Any]) -> dict[str, Any]:
    """Make a campaign and launch it, as it says."""
    await draft(client, campaign_id, definition)
    return await move(client, campaign_id, "launch")


async def move(client: AsyncClient, campaign_id: str, order: str) -> dict[str, Any]:
    """The campaign after an order."""
    answer = await client.post(f"/v1/campaigns/{campaign_id}/{order}", headers=ANY)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def change(client: AsyncClient, definition: dict[str, Any]) -> str | None:
    """When campaign c starts after it was given this definition."""
    answer = await client.put("/v1/campaigns/c", json=definition, headers=ANY)
    assert answer.status_code == 200, answer.text
    found: str | None = answer.json()["definition"]["schedule"]["starts_at"]
    return found


async def test_a_campaign_that_does_not_say_when_it_starts_starts_in_the_second_of_its_launch(
    acme: AsyncClient,
) -> None:
    await open_shop(acme)
    before = datetime.now(UTC).replace(microsecond=0)
    drafted = await draft(acme, "c", CASHBACK)
    assert drafted["definition"]["schedule"]["starts_at"] is None
    launched = await move(acme, "c", "launch")
    starts_at = launched["definition"]["schedule"]["starts_at"]
    assert before <= datetime.fromisoformat(starts_at) <= datetime.now(UTC)
    assert datetime.fromisoformat(starts_at).microsecond == 0, (
        "so that an event that tells whole seconds is not before it"
    )
    assert (launched["state"], launched["version"]) == ("running", 1)

    tried = [await acme.post("/v1/campaigns/c/explain", json=BIG | {"time": at}) for at in (YESTERDAY, starts_at)]
    assert [answer.json()["reason"] for answer in tried] == ["not_started", "granted"]


async def test_the_start_stays_whatever_comes_unless_another_is_given(acme: AsyncClient) -> None:
    await open_shop(acme)
    starts_at = (await launch(acme, "c", CASHBACK))["definition"]["schedule"]["starts_at"]
    for order in ("pause", "resume"):
        assert (await move(acme, "c", order))["definition"]["schedule"]["starts_at"] == starts_at
    assert await change(acme, CASHBACK | {"priority": 5}) == starts_at
    assert await change(acme, CASHBACK | {"schedule": {"starts_at": YESTERDAY}}) == YESTERDAY
    assert await change(acme, CASHBACK) == YESTERDAY
    assert (await move(acme, "c", "end"))["definition"]["schedule"]["starts_at"] == YESTERDAY


async def test_who_wants_to_pay_for_the_past_says_so(acme: AsyncClient) -> None:
    await open_shop(acme)
    launched = await launch(acme, "c", CASHBACK | {"schedule": {"starts_at": YESTERDAY}})
    assert launched["definition"]["schedule"]["starts_at"] == YESTERDAY
    tried = await acme.post("/v1/campaigns/c/explain", json=BIG | {"time": YESTERDAY})
    assert tried.json()["outcome"] == "granted"


async def test_a_draft_that_no_longer_says_when_it_starts_starts_with_its_launch(acme: AsyncClient) -> None:
    await open_shop(acme)
    await draft(acme, "c", CASHBACK | {"schedule": {"starts_at": YESTERDAY}})
    assert await change(acme, CASHBACK) is None
    assert (await move(acme, "c", "launch"))["definition"]["schedule"]["starts_at"] > YESTERDAY


async def test_a_tenant_of_the_past_has_campaigns_without_a_start(plane: Plane) -> None:
    """Given what is sent there on purpose long after it happened."""
    async with transaction(plane.owner) as connection:
        past = {"time_zone": "UTC", "currency": "EUR", "clock": "history"}
        await add_tenant(connection, NewTenant(tenant_id="museum", name="Museum", **past))
    museum = await plane.client(await plane.make_key("museum", *ALL_SCOPES))
    await museum.put("/v1/actions/PURCHASE", json={"schema": PURCHASE})
    launched = await launch(museum, "c", CASHBACK | {"rule": "true"})
    assert launched["definition"]["schedule"]["starts_at"] is None
    assert await change(museum, CASHBACK | {"rule": "true", "priority": 1}) is None

    quest = deepcopy(QUEST)
    quest["quest"]["start"] = {"at": "campaign"}
    refused = await museum.post("/v1/campaigns", json={"definition": quest})
    assert "give schedule.starts_at" in refused.json()["errors"][0]["message"]


async def test_what_a_launch_or_a_change_leaves_too_little_time_for_is_refused(acme: AsyncClient) -> None:
    await open_shop(acme)
    ends_at = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    await draft(acme, "q", QUEST | {"schedule": {"ends_at": ends_at}})
    answer = await acme.post("/v1/campaigns/q/launch", headers=ANY)
    assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, "/quest/window_s")

    await launch(acme, "c", CASHBACK)
    answer = await acme.put("/v1/campaigns/c", json=CASHBACK | {"schedule": {"ends_at": YESTERDAY}}, headers=ANY)
    assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, "/schedule/ends_at")


async def test_a_campaign_says_since_when_it_is_launched_and_whether_all_who_decide_have_it(
    acme: AsyncClient, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a worker that lives and has not taken the tenant's newest book; later it has."""
    await open_shop(acme)
    drafted = await draft(acme, "c", CASHBACK)
    assert (drafted["launched_at"], drafted["active"]) == (None, False)
    launched = await move(acme, "c", "launch")
    assert launched["active"], "no worker runs: one that starts, starts with it"
    instants = launched["definition"]["schedule"]["starts_at"], launched["launched_at"]
    starts_at, launched_at = map(datetime.fromisoformat, instants)
    assert timedelta(0) <= launched_at - starts_at < timedelta(seconds=1)

    monkeypatch.setattr(in_force, "FORCE_WITHIN_S", 0.0)
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("INSERT INTO book_reader (reader_id, beat_at) VALUES (gen_random_uuid(), 'infinity')")
        owner.execute(
            "INSERT INTO book_held (reader_id, tenant_id, book_version) SELECT reader_id, 'acme', 0 FROM book_reader"
        )
        told = [await read(acme), await move(acme, "c", "pause"), *await list_all(acme)]
        assert [each["active"] for each in told] == [False, False, False]
        owner.execute("UPDATE book_held SET book_version = 1000")
    told = [await read(acme), await move(acme, "c", "resume"), *await list_all(acme)]
    assert [each["active"] for each in told] == [True, True, True]
    assert {each["launched_at"] for each in told} == {launched["launched_at"]}


async def read(client: AsyncClient) -> dict[str, Any]:
    """Campaign c as it stands."""
    found: dict[str, Any] = (await client.get("/v1/campaigns/c")).json()
    return found


async def list_all(client: AsyncClient) -> list[dict[str, Any]]:
    """All campaigns."""
    found: list[dict[str, Any]] = (await client.get("/v1/campaigns")).json()["items"]
    return found
