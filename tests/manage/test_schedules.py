"""Schedules as the trade says them: days of the tenant's calendar."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from httpx import AsyncClient

from fillip.manage.api.tenants import NewTenant, add_tenant
from fillip.manage.store.postgres import transaction
from tests.manage.conftest import ALL_SCOPES, Plane
from tests.manage.shop import ANY, CASHBACK, PURCHASE, draft

ANYTHING = CASHBACK | {"rule": "true"}


FRIDAYS = {"weekdays": ["friday"], "from": "17:00", "until": "19:00"}


async def open_cafe(plane: Plane, time_zone: str = "Asia/Beirut") -> AsyncClient:
    """A client of a tenant of this zone, with an action."""
    async with transaction(plane.owner) as connection:
        await add_tenant(
            connection, NewTenant(tenant_id="cafe", name="Café", time_zone=time_zone, currency="EUR", clock="history")
        )
    client = await plane.client(await plane.make_key("cafe", *ALL_SCOPES))
    await client.put("/v1/actions/PURCHASE", json={"schema": PURCHASE})
    return client


async def ask(client: AsyncClient, at: str) -> tuple[str, str]:
    """What campaign c says of a purchase at an instant: the reason, and its sentence about the schedule."""
    event = {"user_id": "ada", "action": "PURCHASE", "attributes": {"amount_cents": 1}, "time": at}
    answer = (await client.post("/v1/campaigns/c/explain", json=event)).json()
    return answer["reason"], next(each["message"] for each in answer["checks"] if each["check"] == "schedule")


async def find_schedule(client: AsyncClient) -> dict[str, Any]:
    """Of campaign c, as it shows it."""
    found: dict[str, Any] = (await client.get("/v1/campaigns/c")).json()["definition"]["schedule"]
    return found


async def test_a_day_is_all_of_it_in_the_zone_of_the_tenant(plane: Plane) -> None:
    """Given days in Beirut whose first hour there is not, and whose last hour comes twice."""
    cafe = await open_cafe(plane)
    await draft(cafe, "c", ANYTHING | {"schedule": {"starts_at": "2026-03-29", "ends_at": "2026-10-24"}})
    await cafe.post("/v1/campaigns/c/launch", headers=ANY)
    instants = [
        "2026-03-28T21:59:59.999999Z",
        "2026-03-28T22:00:00Z",
        "2026-10-24T21:59:59.999999Z",
        "2026-10-24T22:00:00Z",
    ]
    assert [(await ask(cafe, at))[0] for at in instants] == ["not_started", "granted", "granted", "ended"]


async def test_it_shows_the_day_that_was_given_until_another_end_is(plane: Plane) -> None:
    cafe = await open_cafe(plane)
    days = {"starts_at": "2026-03-29", "ends_at": "2026-10-24", "recurring": []}
    made = await draft(cafe, "c", ANYTHING | {"schedule": days})
    assert made["definition"]["schedule"] == await find_schedule(cafe) == days
    await cafe.post("/v1/campaigns/c/launch", headers=ANY)
    again = await cafe.put("/v1/campaigns/c", json=made["definition"], headers=ANY)
    assert (again.status_code, await find_schedule(cafe)) == (200, days)
    await cafe.put("/v1/campaigns/c", json=ANYTHING | {"schedule": {"ends_at": "2026-12-31T12:00:00Z"}}, headers=ANY)
    assert await find_schedule(cafe) == days | {"ends_at": "2026-12-31T12:00:00Z"}, "the start stays, as it was given"
    await cafe.put("/v1/campaigns/c", json=ANYTHING | {"schedule": {"ends_at": "2999-12-31"}}, headers=ANY)
    await cafe.post("/v1/campaigns/c/end", headers=ANY)
    assert datetime.fromisoformat((await find_schedule(cafe))["ends_at"]) < datetime.now(UTC)
    shown = (await cafe.get("/v1/campaigns/c/versions")).json()["items"]
    assert [each["definition"]["schedule"]["ends_at"][:10] for each in shown[:4]] == [
        "2026-10-24", "2026-10-24", "2026-12-31", "2999-12-31"
    ]  # fmt: skip


async def test_hours_of_the_week_go_by_the_clocks_of_the_tenant(plane: Plane) -> None:
    """Given a bar in Berlin that is open on saturday nights, on the night on which the clock goes back from 3 to 2."""
    bar = await open_cafe(plane, "Europe/Berlin")
    late = {"weekdays": ["saturday"], "from": "22:00", "until": "02:30"}
    made = await draft(bar, "c", ANYTHING | {"schedule": {"recurring": [late, {"from": "17:00", "until": "19:00"}]}})
    assert made["definition"]["schedule"]["recurring"] == [late, {"weekdays": [], "from": "17:00", "until": "19:00"}]
    assert (await bar.put("/v1/campaigns/c", json=made["definition"], headers=ANY)).status_code == 200
    await bar.post("/v1/campaigns/c/launch", headers=ANY)
    for at, reason in {
        "2026-10-24T19:59:59.999999Z": "outside_hours",
        "2026-10-24T20:00:00Z": "granted",
        "2026-10-25T00:29:59Z": "granted",
        "2026-10-25T00:30:00Z": "outside_hours",
        "2026-10-25T01:00:00Z": "granted",  # it is 2 o'clock once more
        "2026-10-25T01:30:00Z": "outside_hours",
    }.items():
        assert (await ask(bar, at))[0] == reason, at
    assert (await ask(bar, "2026-10-25T01:30:00Z"))[1] == (
        "the event of Sunday, 2026-10-25 02:30:00 in Europe/Berlin lies outside the campaign's hours:"
        " it is next open from Sunday, 2026-10-25 17:00:00 on"
    )


async def test_a_reward_expires_with_a_day_or_with_an_end_of_the_calendar_as_it_was_given(plane: Plane) -> None:
    cafe = await open_cafe(plane)
    dated = {"kind": "points", "value": 5, "available_at": "2026-03-29", "expires_at": "2026-10-24"}
    ending = {
        "kind": "points",
        "value": 5,
        "available": {"end_of": "day", "after": 14, "zone": "tenant"},
        "expires": {"end_of": "year", "after": 1, "zone": "tenant"},
    }
    made = await draft(cafe, "c", ANYTHING | {"rewards": [dated, ending]})
    shown = [{name: value for name, value in each.items() if value} for each in made["definition"]["rewards"]]
    assert shown == [dated | {"currency": "POINTS"}, ending | {"currency": "POINTS"}]
    assert (await cafe.put("/v1/campaigns/c", json=made["definition"], headers=ANY)).status_code == 200
    with psycopg.connect(plane.dsn) as owner:
        stored = "SELECT definition -> 'rewards' -> 0 FROM campaign_version"
        (reward,) = owner.execute(stored).fetchone() or ()
    instants = datetime.fromisoformat(reward["available_at"]), datetime.fromisoformat(reward["expires_at"])
    assert instants == (datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC))


async def test_a_day_decides_what_state_a_campaign_is_in(acme: AsyncClient) -> None:
    await acme.put("/v1/actions/PURCHASE", json={"schema": PURCHASE})
    today = datetime.now(UTC).date()
    for campaign_id, days, state in [
        ("later", {"starts_at": today + timedelta(2), "ends_at": today + timedelta(2)}, "scheduled"),
        ("now", {"starts_at": today - timedelta(2), "ends_at": today + timedelta(2)}, "running"),
        ("over", {"starts_at": today - timedelta(4), "ends_at": today - timedelta(2)}, None),
    ]:
        schedule = {name: str(day) for name, day in days.items()}
        await draft(acme, campaign_id, ANYTHING | {"rule": "true", "schedule": schedule})
        moved = await acme.post(f"/v1/campaigns/{campaign_id}/launch", headers=ANY)
        assert (moved.json().get("state"), moved.status_code) == (state, 200 if state else 409)


async def test_a_day_that_there_is_not_is_refused_with_its_place(acme: AsyncClient) -> None:
    await acme.put("/v1/actions/PURCHASE", json={"schema": PURCHASE})
    for schedule, at in [
        ({"ends_at": "2026-02-29"}, "ends_at"),
        ({"starts_at": "2026-6-19"}, "starts_at"),
        ({"starts_at": "9999-01-01"}, "starts_at"),
        ({"starts_at": "2026-06-20", "ends_at": "2026-06-19"}, "ends_at"),
        ({"starts_on": "2026-06-20"}, "starts_on"),
        ({"recurring": [{"from": "24:00", "until": "02:00"}]}, "recurring/0/from"),
        ({"recurring": [{"from": "17:00"}]}, "recurring/0/until"),
        ({"recurring": [{"from": "17:00", "until": "19:00", "weekdays": ["someday"]}]}, "recurring/0/weekdays/0"),
        ({"starts_at": "2026-06-20", "ends_at": "2026-06-21", "recurring": [FRIDAYS]}, "recurring"),
    ]:
        definition = ANYTHING | {"schedule": schedule}
        answer = await acme.post("/v1/campaigns", json={"campaign_id": "c", "definition": definition})
        assert answer.status_code == 422
        assert [fault["at"].rpartition("/schedule/")[2] for fault in answer.json()["errors"]] == [at], schedule
