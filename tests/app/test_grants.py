"""Grants by hand: the rewards of a campaign with a reason, decided by the worker within its limits, told as such everywhere."""

from typing import Any

from fillip.embedded.addresses import Addresses
from tests.app.own_world import World, open_world

PATH = "/v1/grants"
BUY = {"type": "object", "properties": {"cents": {"type": "integer"}, "sku": {"type": "string"}}, "required": ["cents"]}
LATER = {"starts_at": "2040-01-01T00:00:00Z"}


def ask(grant_id: str, campaign: str = "welcome", user: str = "ada", **more: Any) -> dict[str, Any]:
    return {"grant_id": grant_id, "user_id": user, "campaign_id": campaign, "reason": "the parcel came late"} | more


async def open_shop(world: World) -> None:
    assert (await world.client.put("/v1/actions/BUY", json={"schema": BUY})).status_code == 201


async def cap(world: World, limit_id: str, **limit: Any) -> None:
    given = {"scope": "campaign", "measure": "count", "span": "lifetime", "cap": 1, "campaign_id": "welcome"}
    answer = await world.client.post("/v1/limits", json={"limit_id": limit_id} | given | limit)
    assert (answer.status_code, answer.headers["Fillip-In-Force"]) == (201, "true"), answer.text


async def test_a_grant_by_hand_needs_no_rule_keeps_the_limits_and_says_who_and_why(
    database: str, servers: Addresses
) -> None:
    async with open_world(database, servers) as world:
        await open_shop(world)
        await world.launch("welcome", action="BUY", rule="event.cents > 100000")
        await cap(world, "one", action="BUY")
        told = await world.decide(PATH, ask("g1"))
        assert (told["state"], told["incentives"][0]["value"], told["balances"][0]["active"]) == ("granted", 50, 50)
        assert told["limits"][0]["window_start"] is None, "it is for lifetime"
        assert told["message"] == "ada was granted the reward of 'Welcome' by hand."
        assert await world.decide(PATH, ask("g1")) == told, "the same again grants nothing more"
        other = await world.client.post(PATH, json=ask("g1", reason="another"))
        assert (other.status_code, other.json()["errors"][0]["at"]) == (409, "/grant_id")
        full = await world.decide(PATH, ask("g2", user="bob"))
        assert (full["state"], full["reason"], full["limits"][0]["used_before"]) == ("refused", "limit", 1)
        assert world.count("incentive") == 1, "a limit is never exceeded, by hand neither"
        decision = await world.read(f"/v1/decisions/{told['decision_id']}")
        assert (decision["by_hand"]["reason"], decision["event_source"]) == ("the parcel came late", "fillip.grant")
        explained = await world.read(f"/v1/decisions/{told['decision_id']}/explain")
        checks = {each["check"]: each for each in explained["checks"]}
        assert (explained["outcome"], list(checks)[:2]) == ("granted", ["state", "by_hand"])
        assert decision["by_hand"]["key_id"] in checks["by_hand"]["message"]
        story = await world.read("/v1/events/fillip.grant/g1")
        assert story["summary"] == "ada's fillip.grant earned something from welcome."
        [incentive] = (await world.read("/v1/incentives?user_id=ada"))["items"]
        assert (incentive["event_source"], incentive["campaign_id"]) == ("fillip.grant", "welcome")
        taken = await world.reverse("back", "g1", "fillip.grant")
        assert (taken["state"], taken["incentives"][0]["value"]) == ("applied", 50)
        assert (await world.decide(PATH, ask("g3", user="bob")))["state"] == "granted", (
            "a reversal gives the limit back"
        )


async def test_what_can_not_be_granted_by_hand_is_refused_with_the_cure_and_takes_no_id(
    database: str, servers: Addresses
) -> None:
    async with open_world(database, servers) as world:
        await open_shop(world)
        formula = [{"kind": "points", "formula": {"of": "event.cents", "max": 500}}]
        await world.launch("welcome", action="BUY", schedule=LATER, rewards=formula)
        missing = await world.client.post(PATH, json=ask("g1"))
        assert (missing.status_code, missing.json()["errors"][0]["at"]) == (422, "/values")
        for values, at in (
            ([{"reward_index": 1, "value": 5}], "/values/0/reward_index"),
            ([{"reward_index": 0, "value": 501}], "/values/0/value"),
            ([{"reward_index": 0, "value": 5}] * 2, "/values/1/reward_index"),
        ):
            wrong = await world.client.post(PATH, json=ask("g1", values=values))
            assert (wrong.status_code, [each["at"] for each in wrong.json()["errors"]]) == (422, [at])
        given: dict[str, Any] = {"values": [{"reward_index": 0, "value": 120}]}
        assert (await world.decide(PATH, ask("g1", **given)))["incentives"][0]["value"] == 120
        await world.order("welcome", "pause")
        paused = await world.client.post(PATH, json=ask("g2", **given))
        assert (paused.status_code, "resume it first" in paused.text) == (409, True)
        await world.order("welcome", "resume")
        await cap(world, "by-sku", key="event.sku", action="BUY", cap=5)
        keyed = await world.client.post(PATH, json=ask("g2", **given))
        assert (keyed.status_code, "limit by-sku counts by event.sku" in keyed.text) == (409, True)
        assert (await world.client.delete("/v1/limits/by-sku", headers={"If-Match": "*"})).status_code == 204
        assert (await world.decide(PATH, ask("g2", **given)))["state"] == "granted", "what was refused took no id"
        assert (await world.client.post(PATH, json=ask("g3", "nothing"))).status_code == 404
        quest = {"kind": "QUEST", "name": "Q", "quest": {"steps": [{"name": "a", "action": "BUY"}]}}
        definition = quest | {"rewards": [{"kind": "points", "value": 5}]}
        await world.post("/v1/campaigns", {"campaign_id": "quest", "definition": definition}, 201)
        draft = await world.client.post(PATH, json=ask("g3", "quest"))
        assert (draft.status_code, "launch it first" in draft.text) == (409, True)
        await world.order("quest", "launch")
        refused = await world.client.post(PATH, json=ask("g3", "quest"))
        assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "/campaign_id")


async def test_it_counts_by_the_days_of_the_user(database: str, servers: Addresses) -> None:
    async with open_world(database, servers) as world:
        await open_shop(world)
        ada = {"attributes": {}, "time_zone": "Pacific/Kiritimati"}
        assert (await world.client.put("/v1/users/ada", json=ada)).is_success
        await world.launch("welcome", action="BUY", rule="event.cents > 100000")
        await cap(world, "daily", scope="user_in_campaign", span="day", zone="user")
        told = await world.decide(PATH, ask("g1"))
        decision = await world.read(f"/v1/decisions/{told['decision_id']}")
        [use] = decision["limits"]
        assert (use["time_zone"], use["resets_at"][11:16]) == ("Pacific/Kiritimati", "10:00")
