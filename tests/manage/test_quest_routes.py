"""Keyed quests at saving: a step that does not ask for the key is told, and what open instances are found by stays."""

from typing import Any

from httpx import AsyncClient

from tests.manage.shop import ANY, PURCHASE, draft, launch, open_shop


def keyed(*rules: str, key: str = "event.store", **quest: Any) -> dict[str, Any]:
    """A quest for each store with these rules of its steps."""
    steps = [{"name": f"s{n}", "action": "PURCHASE", "rule": rule, "count": 2} for n, rule in enumerate(rules)]
    rewards = [{"kind": "points", "value": 5}]
    return {
        "kind": "QUEST",
        "name": "q",
        "quest": {"steps": steps, "instance": {"key": key}} | quest,
        "rewards": rewards,
    }


async def test_a_step_of_a_keyed_quest_that_does_not_ask_for_the_key_is_told(acme: AsyncClient) -> None:
    await open_shop(acme)
    asking = "event.amount_cents > 5 && start.store == event.store"
    made = await draft(acme, "q", keyed(asking, "event.amount_cents > 5"))
    assert [warning["at"] for warning in made["warnings"]] == ["/quest/steps/1/rule"]
    assert "'event.store == start.store'" in made["warnings"][0]["message"]
    assert (await acme.get("/v1/campaigns/q")).json()["warnings"] == made["warnings"]
    changed = await acme.put("/v1/campaigns/q", json=keyed(asking, asking), headers=ANY)
    assert changed.json()["warnings"] == []


async def test_a_launched_quest_goes_on_to_ask_for_what_its_instances_are_found_by(acme: AsyncClient) -> None:
    await open_shop(acme)
    by_store = keyed("event.store == start.store", "event.store == start.store && event.amount_cents > 5")
    await launch(acme, "q", keyed("true", "true"))
    assert (await acme.put("/v1/campaigns/q", json=by_store, headers=ANY)).status_code == 200, "it may begin to"
    for rules in (("event.store == start.store", "true"), ("event.coupon == start.coupon",) * 2):
        refused = await acme.put("/v1/campaigns/q", json=keyed(*rules), headers=ANY)
        assert refused.status_code == 422, refused.text
        assert "goes on to ask for start.store" in refused.json()["errors"][0]["message"]
    wider = keyed("event.store == start.store && event.amount_cents > 1", "start.store == event.coupon")
    assert (await acme.put("/v1/campaigns/q", json=wider, headers=ANY)).status_code == 200


async def test_a_schema_under_which_instances_would_not_be_found_is_refused(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "q", keyed("event.store == start.store"))
    store = {"type": "string", "format": "date-time"}
    schema = PURCHASE | {"properties": PURCHASE["properties"] | {"store": store}}
    body = {"schema": schema, "compatibility": "none"}
    refused = await acme.put("/v1/actions/PURCHASE", json=body, headers=ANY)
    assert refused.status_code == 409, refused.text
    assert "campaigns/q" in refused.json()["detail"]


async def test_a_trial_finds_the_instance_that_the_event_asks_for(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "q", keyed("event.store == start.store"))
    event = {"user_id": "ada", "action": "PURCHASE", "attributes": {"amount_cents": 9, "store": "north"}}
    told = (await acme.post("/v1/campaigns/q/explain", json=event)).json()
    assert (told["outcome"], told["checks"][-4]["check"]) == ("progress", "quest"), told
