"""The time zone of a user: said by the tenant, used by limits and streaks of zone `user`, kept with what it decided."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import AsyncClient

from fillip.core.limit import CounterKey
from tests.manage.past_world import PastWorld, open_past_world
from tests.manage.shop import ANY, QUEST, cap, draft, open_shop
from tests.oracle.catalogue import CAMPAIGNS
from tests.oracle.said import write_event, write_reversal

OWN_DAY: dict[str, Any] = {"scope": "user", "measure": "count", "span": "day", "zone": "user", "cap": 1}
STREAK: dict[str, Any] = QUEST | {
    "quest": {"zone": "user", "steps": [{"name": "come", "action": "PURCHASE", "streak": {"length": 7}}]}
}


async def test_a_time_zone_is_set_kept_and_removed(acme: AsyncClient) -> None:
    made = await acme.put("/v1/users/ada", json={"attributes": {"age": 41}, "time_zone": "America/New_York"})
    assert (made.status_code, made.json()["time_zone"]) == (201, "America/New_York")
    merged = await acme.patch("/v1/users/ada", json={"attributes": {"age": 42}}, headers=ANY)
    assert merged.json()["time_zone"] == "America/New_York", "what is left out of a merge stays"
    moved = await acme.patch("/v1/users/ada", json={"time_zone": "Asia/Beirut"}, headers=ANY)
    assert (moved.json()["time_zone"], moved.json()["attributes"]) == ("Asia/Beirut", {"age": 42})
    assert (await acme.get("/v1/users/ada")).json() == moved.json()
    removed = await acme.patch("/v1/users/ada", json={"time_zone": None}, headers=ANY)
    assert removed.json()["time_zone"] is None
    users = [{"user_id": "ada", "attributes": {}, "time_zone": "UTC"}, {"user_id": "bob", "attributes": {}}]
    assert (await acme.post("/v1/users:bulk", json={"users": users})).json()["stored"] == 2
    told = (await acme.get("/v1/users")).json()["items"]
    assert [(user["user_id"], user["time_zone"]) for user in told] == [("ada", "UTC"), ("bob", None)]
    replaced = await acme.put("/v1/users/ada", json={"attributes": {}}, headers=ANY)
    assert replaced.json()["time_zone"] is None, "a PUT is the whole user"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "+02:00", "Factory", "europe/berlin", 2, "X" * 300])
async def test_what_is_no_time_zone_is_refused_at_its_place(acme: AsyncClient, zone: object) -> None:
    single = await acme.put("/v1/users/ada", json={"attributes": {}, "time_zone": zone})
    bulk = await acme.post("/v1/users:bulk", json={"users": [{"user_id": "a", "attributes": {}, "time_zone": zone}]})
    assert [(each.status_code, each.json()["errors"][0]["at"]) for each in (single, bulk)] == [
        (422, "/time_zone"),
        (422, "/users/0/time_zone"),
    ]


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        (OWN_DAY | {"scope": "tenant"}, "shared by users of all zones"),
        (OWN_DAY | {"scope": "campaign", "campaign_id": "c"}, "shared by users of all zones"),
        (OWN_DAY | {"span": "rolling", "rolling_s": 3600}, "has no days"),
        (OWN_DAY | {"span": "lifetime"}, "has no days"),
        (OWN_DAY | {"zone": "Europe/Berlin"}, "'tenant'"),
    ],
)
async def test_a_limit_that_has_no_users_days_is_refused(acme: AsyncClient, limit: dict[str, Any], why: str) -> None:
    await open_shop(acme)
    await draft(acme, "c", QUEST)
    answer = await acme.post("/v1/limits", json={"limit_id": "l", **limit})
    faults = {error["at"]: error["message"] for error in answer.json()["errors"]}
    assert why in faults["/zone"], answer.text


async def test_whose_days_count_is_said_once(acme: AsyncClient) -> None:
    await open_shop(acme)
    made = await cap(acme, "daily", **OWN_DAY)
    assert made["zone"] == "user"
    changed = await acme.put("/v1/limits/daily", json={"limit_id": "daily", **OWN_DAY, "zone": "tenant"}, headers=ANY)
    assert [error["at"] for error in changed.json()["errors"]] == ["/zone"]
    plain = await acme.post(
        "/v1/campaigns", json={"campaign_id": "n", "definition": QUEST | {"quest": QUEST["quest"] | {"zone": "user"}}}
    )
    assert [error["at"] for error in plain.json()["errors"]] == ["/definition/quest/zone"], "no step goes by days"
    assert (await draft(acme, "q", STREAK))["definition"]["quest"]["zone"] == "user"
    assert (await acme.post("/v1/campaigns/q/launch", headers=ANY)).is_success
    other = STREAK | {"quest": STREAK["quest"] | {"zone": "tenant"}}
    refused = await acme.put("/v1/campaigns/q", json=other, headers=ANY)
    assert [error["at"] for error in refused.json()["errors"]] == ["/quest/zone"]


@pytest.fixture
async def zone_world(database: str) -> AsyncIterator[PastWorld]:
    """A shop in New York, of whose users ann lives on Kiritimati: at 3 o'clock in UTC it is two dates later there."""
    async with open_past_world(database, "live", PastWorld) as world:
        await world.shop.hold_out(0)
        await world.shop.launch("any", CAMPAIGNS["any"])
        await world.shop.launch("own-streak", CAMPAIGNS["own-streak"])
        await world.shop.cap({"limit_id": "own-day", "campaign_id": "any", **OWN_DAY, "scope": "user_in_campaign"})
        yield world


async def buy(world: PastWorld, *hours: int, user: str = "ann") -> None:
    """The worker decides purchases so many hours after 3 o'clock (UTC) of 1 March."""
    for hour in hours:
        world.events.append(write_event(len(world.events), world.shop.tenant_id, (user, "BUY", 250, "x", hour)))
    await world.live()


def list_outcomes(world: PastWorld, campaign_id: str) -> list[str]:
    live = world.list_live(campaign_id)
    names = [(each["source"], each["id"]) for each in world.events]
    return [live[key][0] for key in sorted(live, key=lambda key: names.index(key[1:]))]


def list_used(world: PastWorld) -> dict[tuple[str, str], int]:
    counters = world.list_counters()
    keys = [key for key, _ in counters if isinstance(key, CounterKey)]
    return {(key.user_id, key.window_start.isoformat()): counters[key, None] for key in keys}


async def test_a_worker_counts_by_the_day_where_the_user_lives(zone_world: PastWorld) -> None:
    """Kiritimati's 1 March ends at 10 o'clock in UTC, New York's at 5 o'clock of the 2nd."""
    await buy(zone_world, 0, 6, 8)
    assert list_outcomes(zone_world, "any") == ["granted", "denied", "granted"]
    await buy(zone_world, 0, 1, 3, user="bob")
    assert list_outcomes(zone_world, "any")[3:] == ["granted", "denied", "granted"], "who has no zone has the tenant's"
    assert list_used(zone_world) == {
        ("ann", "2036-03-01"): 1,
        ("ann", "2036-03-02"): 1,
        ("bob", "2036-02-29"): 1,
        ("bob", "2036-03-01"): 1,
    }
    assert list_outcomes(zone_world, "own-streak") == ["granted", "granted"], "two days in a row, each by their own"
    [denied] = (await zone_world.shop.call("GET", "/v1/decisions?user_id=ann&outcome=denied"))["items"]
    [use] = denied["limits"]
    assert (use["time_zone"], use["window_start"], use["resets_at"], denied["local_day"]) == (
        "Pacific/Kiritimati",
        "2036-03-01",
        "2036-03-01T10:00:00Z",
        "2036-03-01",
    )
    [usage, _] = (await zone_world.shop.call("GET", "/v1/limits/own-day/usage?user_id=ann"))["items"]
    assert (usage["window_start"], usage["resets_at"]) == ("2036-03-01", "2036-03-01T10:00:00Z")
    asked = {"user_id": "ann", "action": "BUY", "attributes": {"amount": 250}, "at": "2036-03-01T09:59:59Z"}
    told = await zone_world.shop.call("POST", "/v1/campaigns/any/explain", asked)
    [limits] = [check for check in told["checks"] if check["check"] == "limits"]
    assert "anew from 2036-03-01 10:00:00 UTC, by the user's days in Pacific/Kiritimati" in limits["message"]
    then = await zone_world.shop.call("GET", f"/v1/decisions/{denied['decision_id']}/explain")
    assert "by the user's days in Pacific/Kiritimati" in then["summary"]


async def test_what_was_counted_stays_where_it_was_when_the_user_moves(zone_world: PastWorld) -> None:
    await buy(zone_world, 0)
    await zone_world.shop.describe("ann", {}, "Pacific/Honolulu")
    await buy(zone_world, 1)
    assert list_used(zone_world) == {("ann", "2036-03-01"): 1, ("ann", "2036-02-29"): 1}
    await zone_world.shop.describe("ann", {}, "Pacific/Kiritimati")
    await buy(zone_world, 2)
    assert list_outcomes(zone_world, "any") == ["granted", "granted", "denied"], "no date is had twice"
    await zone_world.shop.describe("ann", {}, "Pacific/Honolulu")
    number = len(zone_world.events)
    back = write_reversal(number, zone_world.shop.tenant_id, (-3, None, {}), zone_world.events, number + 1, "ann")
    zone_world.events.append(back)
    await zone_world.live()
    assert list_used(zone_world) == {("ann", "2036-03-01"): 0, ("ann", "2036-02-29"): 1}, (
        "given back where it was taken"
    )
    usage = (await zone_world.shop.call("GET", "/v1/limits/own-day/usage?user_id=ann"))["items"]
    assert [each["resets_at"] for each in usage] == ["2036-03-01T10:00:00Z", "2036-03-02T10:00:00Z"], (
        "told where she is now"
    )


async def test_an_erased_users_zone_goes_too(zone_world: PastWorld) -> None:
    await buy(zone_world, 0, 6)
    erasures = "SELECT moved > 0 FROM erase_user(%s, 'ann', 'nobody', gen_random_uuid())"
    owner, tenant_id = zone_world.owner, zone_world.shop.tenant_id
    owner.execute("SELECT set_config('app.tenant', %s, false)", [tenant_id])
    assert owner.execute(erasures, [tenant_id]).fetchall() == [(True,)]
    left = "SELECT count(*) FROM decision d WHERE d.limits::text LIKE '%Kiritimati%'"
    kept = "SELECT count(*) FROM end_user WHERE tenant_id = %s AND user_id = 'ann'"
    assert (owner.execute(left).fetchone(), owner.execute(kept, [tenant_id]).fetchone()) == ((0,), (0,))
