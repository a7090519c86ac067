"""Repairs of streaks: a missed day counts once for each instance, decided by the worker in the order of the log, told as such everywhere."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fillip.embedded.addresses import Addresses
from tests.app.own_world import World, open_world

PATH = "/v1/quest-repairs"
ZONE = ZoneInfo("Europe/Berlin")
POINTS = [{"kind": "points", "value": 50}]
VISIT = {"name": "come", "action": "VISIT", "rule": "true", "streak": {"length": 5}}


def ago(days: int) -> date:
    return datetime.now(ZONE).date() - timedelta(days=days)


def ask(repair_id: str, days: int, campaign: str = "five", **more: Any) -> dict[str, Any]:
    asked = {
        "repair_id": repair_id,
        "user_id": "ada",
        "campaign_id": campaign,
        "step": "come",
        "reason": "we were down",
    }
    return asked | {"day": ago(days).isoformat()} | more


async def open_quest(world: World, campaign: str = "five", rewards: Any = POINTS, **quest: Any) -> None:
    schema = {"type": "object", "properties": {"cents": {"type": "integer"}}}
    assert (await world.client.put("/v1/actions/VISIT", json={"schema": schema})).status_code in (200, 201, 412, 428)
    schedule = {"starts_at": (datetime.now(UTC) - timedelta(days=30)).isoformat()}
    await world.launch(campaign, kind="QUEST", rewards=rewards, schedule=schedule, quest={"steps": [VISIT]} | quest)


async def visit(world: World, *days: int, user: str = "ada") -> None:
    for each in days:
        at = datetime.combine(ago(each), time(12), ZONE).astimezone(UTC).isoformat()
        event = {"specversion": "1.0", "id": f"{user}-{each}", "source": "/app", "type": "VISIT", "subject": user}
        told = await world.post("/v1/events?wait=2000", event | {"time": at, "data": {"cents": 7}})
        assert told["events"][0]["quests"], told


async def tell(world: World, campaign: str = "five") -> tuple[str, int, dict[str, Any] | None]:
    [mine] = (await world.read(f"/v1/users/ada/quests?campaign_id={campaign}"))["items"]
    return mine["state"], mine["steps"][0]["done"], mine["repair"]


async def test_a_repair_joins_a_broken_streak_once_and_is_told_everywhere(database: str, servers: Addresses) -> None:
    async with open_world(database, servers) as world:
        await open_quest(world)
        await visit(world, 5, 4, 2)
        assert await tell(world) == ("open", 1, None)
        for days, reason in ((0, "day_not_over"), (4, "already_counted"), (6, "outside_window")):
            refused = await world.decide(PATH, ask(f"no-{days}", days))
            assert (refused["state"], refused["reason"]) == ("refused", reason)
        told = await world.decide(PATH, ask("r1", 3))
        assert (told["state"], told["outcome"], told["progress"]["steps"][0]["done"]) == ("repaired", None, 4)
        assert await world.decide(PATH, ask("r1", 3)) == told, "the same again repairs nothing more"
        other = await world.client.post(PATH, json=ask("r1", 3, reason="another"))
        assert (other.status_code, other.json()["errors"][0]["at"]) == (409, "/repair_id")
        second = await world.decide(PATH, ask("r2", 1))
        assert (second["state"], second["reason"]) == ("refused", "already_repaired")
        why = "a streak of the instance was repaired before: once for each instance"
        assert second["message"] == f"no day of ada's streak in 'Five' is repaired: {why}."
        state, done, repaired = await tell(world)
        assert repaired
        assert (state, done, repaired["reason"], repaired["day"]) == ("open", 4, "we were down", ago(3).isoformat())
        story = await world.read("/v1/events/fillip.repair/r1")
        assert story["summary"] == f"ada's fillip.repair counted {ago(3)} for step come of five: we were down."
        explained = await world.read("/v1/campaigns/five/explain?event_id=r1&event_source=fillip.repair")
        checks = {each["check"]: each["message"] for each in explained["checks"]}
        assert (explained["outcome"], "we were down" in checks["repair"]) == ("progress", True)
        assert checks["quest"] == "the repair counted for instance 1 of the quest, which is now: come 4 of 5"
        await visit(world, 1)
        assert (await tell(world))[:2] == ("completed", 5)
        await world.reverse("back", "r1", "fillip.repair")
        assert await tell(world) == ("open", 2, None), "with the repair its day is gone, and the reward"
        again = await world.decide(PATH, ask("r3", 3))
        assert (again["progress"]["state"], again["outcome"]["state"]) == ("completed", "granted")
        decision = await world.read(f"/v1/decisions/{again['outcome']['decision_id']}")
        assert (decision["by_hand"]["reason"], decision["event_source"]) == ("we were down", "fillip.repair")
        explained = await world.read(f"/v1/decisions/{again['outcome']['decision_id']}/explain")
        assert [each["check"] for each in explained["checks"]][:2] == ["state", "repair"]
        tried = await world.read("/v1/decisions?event_source=fillip.repair&event_id=r2")
        assert [(each["outcome"], each["reason"]) for each in tried["items"]] == [("denied", "already_repaired")]


async def test_what_can_not_be_repaired_is_refused_with_the_cure(database: str, servers: Addresses) -> None:
    async with open_world(database, servers) as world:
        await open_quest(world)
        await world.launch("simple", action="VISIT", rule="true")
        for body, status, at in (
            (ask("r1", 3, "simple"), 422, "/campaign_id"),
            (ask("r1", 3, step="other"), 422, "/step"),
            (ask("r1", 3, "nothing"), 404, None),
            (ask("r1", 3) | {"day": "9999-12-31"}, 422, "/day"),
        ):
            wrong = await world.client.post(PATH, json=body)
            assert (wrong.status_code, at is None or wrong.json()["errors"][0]["at"] == at) == (status, True), (
                wrong.text
            )
        assert (await world.decide(PATH, ask("r1", 3)))["reason"] == "no_instance"
        formula = [{"kind": "points", "formula": {"of": "event.cents"}}]
        await open_quest(world, "formula", formula)
        await visit(world, 5, 4, 2, 1)
        assert (await world.decide(PATH, ask("r2", 3, "formula")))["reason"] == "no_value", (
            "no event says what it is worth"
        )
        assert (await tell(world, "formula"))[:2] == ("open", 2)
        await world.order("five", "pause")
        paused = await world.client.post(PATH, json=ask("r3", 3))
        assert (paused.status_code, "resume it first" in paused.text) == (409, True)
        await world.order("five", "resume")
        limit = {
            "limit_id": "by",
            "scope": "campaign",
            "campaign_id": "five",
            "measure": "count",
            "span": "day",
            "cap": 9,
        }
        keyed = await world.client.post("/v1/limits", json=limit | {"action": "VISIT", "key": "string(event.cents)"})
        assert keyed.status_code == 201, keyed.text
        refused = await world.client.post(PATH, json=ask("r3", 3))
        assert (refused.status_code, "limit by counts by" in refused.text) == (409, True)
        await _go_by_own_days(world)


async def _go_by_own_days(world: World) -> None:
    """What is asked for goes by the user's own days, grants by hand too, and a reward keeps the end that it was granted with."""
    await open_quest(world, "own", zone="user")
    answer = await world.client.put("/v1/users/eve", json={"attributes": {}, "time_zone": "Pacific/Kiritimati"})
    assert answer.status_code in (200, 201), answer.text
    until = {"end_of": "day", "zone": "user"}
    cashback = [{"kind": "cashback", "value": 100, "currency": "EUR", "expires": until}]
    await world.launch("given", action="VISIT", rule="false", rewards=cashback)
    limit = {"limit_id": "own", "scope": "user", "measure": "count", "span": "day", "cap": 2, "zone": "user"}
    assert (await world.client.post("/v1/limits", json=limit)).status_code == 201
    grant = {"grant_id": "g1", "user_id": "eve", "campaign_id": "given", "reason": "asked"}
    told = await world.decide("/v1/grants", grant)
    assert told["limits"][0]["time_zone"] == "Pacific/Kiritimati"
    [given] = told["incentives"]
    island = ZoneInfo("Pacific/Kiritimati")
    day = datetime.fromisoformat(given["occurred_at"]).astimezone(island).date()
    ends_at = datetime.combine(day + timedelta(days=1), time(), island)
    assert datetime.fromisoformat(given["expires_at"]) == ends_at
    await world.client.put(
        "/v1/users/eve", json={"attributes": {}, "time_zone": "Pacific/Honolulu"}, headers={"If-Match": "*"}
    )
    assert (await world.decide("/v1/grants", grant))["incentives"] == [given], (
        "it stays where it is when the user moves"
    )
    await world.client.put(
        "/v1/users/eve", json={"attributes": {}, "time_zone": "Pacific/Kiritimati"}, headers={"If-Match": "*"}
    )
    await visit(world, 4, 2, user="eve")
    there = datetime.now(island).date()
    today = await world.decide(PATH, ask("own-1", 0, "own", user_id="eve") | {"day": there.isoformat()})
    assert today["reason"] == "day_not_over"
    between = await world.decide(PATH, ask("own-2", 2, "own", user_id="eve"))
    assert between["progress"]["steps"][0]["done"] == 3, "noon in Berlin is the next day there: 3 and 1 days ago"
