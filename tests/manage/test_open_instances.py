"""Changing a running quest: its open instances keep their version or migrate, and the answer says which and how many."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from httpx import AsyncClient, Response

from tests.manage.ledger_rows import put_instance
from tests.manage.shop import ANY, CASHBACK, PURCHASE, QUEST, cap, draft, launch, open_cohort, open_shop

BIG = {"user_id": "ada", "action": "PURCHASE", "attributes": {"amount_cents": 9000}}
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


def with_rule(rule: str, **parts: Any) -> dict[str, Any]:
    """The quest of three visits with this rule for its step, and what `parts` say otherwise."""
    quest: dict[str, Any] = deepcopy(QUEST)
    quest["quest"]["steps"][0]["rule"] = rule
    return quest | parts


async def change(client: AsyncClient, definition: dict[str, Any], policy: str | None, campaign: str = "q") -> Response:
    """Change a campaign by a policy."""
    params = {"open_instances": policy} if policy else {}
    return await client.put(f"/v1/campaigns/{campaign}", json=definition, headers=ANY, params=params)


async def test_the_answer_says_what_becomes_of_how_many_open_instances(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "q", QUEST)
    put_instance(database, "q", "open", 1, 3, YESTERDAY)
    put_instance(database, "q", "completed", 3, 3, YESTERDAY, user_id="bob")
    kept = (await change(acme, with_rule("event.amount_cents > 5"), "keep")).json()
    assert (kept["open_instances"], kept["kept_versions"]) == ({"policy": "keep", "open": 1}, [1])
    migrated = (await change(acme, QUEST, None)).json()
    assert (migrated["open_instances"], migrated["kept_versions"]) == ({"policy": "migrate", "open": 1}, [])
    versions = (await acme.get("/v1/campaigns/q/versions")).json()["items"]
    assert [version["open_instances"] for version in versions] == [None, "keep", "migrate"]


async def test_an_instance_that_is_over_is_not_open_any_more(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "q", QUEST)
    put_instance(database, "q", "open", 1, 3, datetime.now(UTC) - timedelta(days=8))
    assert (await change(acme, QUEST, "keep")).json()["open_instances"] == {"policy": "keep", "open": 0}


@pytest.mark.parametrize("policy", ["keep", "migrate"])
async def test_what_can_have_no_open_instances_takes_no_policy(acme: AsyncClient, policy: str) -> None:
    await open_shop(acme)
    await draft(acme, "q", QUEST)
    await launch(acme, "c", CASHBACK)
    for campaign, definition in (("q", QUEST), ("c", CASHBACK)):
        answer = await change(acme, definition, policy, campaign)
        assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, "open_instances")
        assert "leave open_instances out" in answer.json()["detail"]
        assert (await change(acme, definition, None, campaign)).json()["open_instances"] is None
    assert (await change(acme, QUEST, "drop")).status_code == 422


async def test_so_many_versions_are_kept_and_those_without_instances_make_room(
    acme: AsyncClient, database: str
) -> None:
    await open_shop(acme)
    await launch(acme, "q", QUEST)
    for number in range(8):
        put_instance(database, "q", "open", 1, 3, YESTERDAY, user_id=f"u{number}", campaign_version=number + 1)
        answer = await change(acme, QUEST, "keep")
    assert answer.json()["kept_versions"] == [1, 2, 3, 4, 5, 6, 7, 8]
    refused = await change(acme, QUEST, "keep")
    assert (refused.status_code, "open_instances=migrate, or wait until" in refused.json()["detail"]) == (409, True)
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE quest_instance SET state = 'completed' WHERE campaign_version IN (1, 4)")
    assert (await change(acme, QUEST, "keep")).json()["kept_versions"] == [2, 3, 5, 6, 7, 8, 9]


async def test_pausing_and_ending_leave_each_instance_where_it_stands(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "q", QUEST)
    put_instance(database, "q", "open", 1, 3, YESTERDAY)
    await change(acme, with_rule("event.amount_cents > 5"), "keep")
    for order in ("pause", "resume", "end"):
        moved = (await acme.post(f"/v1/campaigns/q/{order}", headers=ANY)).json()
        assert moved["kept_versions"] == [1], order
    over = await acme.post("/v1/campaigns/q/explain", json=BIG)
    assert (over.json()["campaign_version"], over.json()["reason"]) == (1, "ended"), "the end is the campaign's"


async def test_a_trial_is_told_by_the_version_that_the_instance_goes_on_under(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "q", QUEST)
    put_instance(database, "q", "open", 2, 3, YESTERDAY)
    await change(acme, with_rule("event.amount_cents > 10000", rewards=[{"kind": "badge"}]), "keep")
    found = (await acme.post("/v1/campaigns/q/explain", json=BIG)).json()
    assert (found["campaign_version"], found["outcome"]) == (1, "granted")
    checks = {check["check"]: check for check in found["checks"]}
    assert "completes instance 1 of the quest under version 1" in checks["quest"]["message"]
    assert (checks["quest"]["instances"][0]["campaign_version"], checks["reward"]["rewards"][0]["value"]) == (1, 50)

    other = (await acme.post("/v1/campaigns/q/explain", json=BIG | {"user_id": "bob"})).json()
    assert (other["campaign_version"], other["outcome"], other["reason"]) == (2, "no_match", "rule")


async def test_a_trial_says_under_which_version_an_instance_stands_that_does_not_move(
    acme: AsyncClient, database: str
) -> None:
    await open_shop(acme)
    await launch(acme, "q", with_rule("event.amount_cents > 10000"))
    put_instance(database, "q", "open", 2, 3, YESTERDAY)
    await change(acme, QUEST, "keep")
    found = (await acme.post("/v1/campaigns/q/explain", json=BIG)).json()
    assert (found["campaign_version"], found["reason"]) == (1, "rule"), "it blocks the next one, under its own rule"
    assert "instance 1 goes on under version 1" in str(found["checks"])


async def test_a_schema_change_under_a_kept_version_is_refused_where_it_would_read_otherwise(
    acme: AsyncClient, database: str
) -> None:
    await open_shop(acme)
    await launch(acme, "q", with_rule("event.amount_cents > 5"))
    put_instance(database, "q", "open", 2, 3, YESTERDAY)
    await change(acme, QUEST, "keep")
    schema = {"schema": PURCHASE | {"required": []}}
    refused = await acme.put("/v1/actions/PURCHASE", json=schema, headers=ANY)
    assert (refused.status_code, refused.json()["errors"][0]["at"]) == (409, "campaigns/q/versions/1")
    gone = {"schema": PURCHASE | {"properties": {"cents": {"type": "integer"}}, "required": []}}
    broken = await acme.put("/v1/actions/PURCHASE", json=gone, headers=ANY)
    assert broken.json()["errors"][0]["at"] == "campaigns/q/versions/1/quest/steps/0/rule"
    await change(acme, QUEST, "migrate")
    assert (await acme.put("/v1/actions/PURCHASE", json=schema, headers=ANY)).status_code == 200


async def test_what_a_kept_version_needs_stays(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await open_cohort(acme, "vip", "ada")
    await acme.put("/v1/actions/RETURN", json={"schema": PURCHASE})
    await acme.put("/v1/lists/spring", json={"name": "Spring", "items": ["a"]})
    await launch(acme, "q", with_rule("event.coupon in lists.spring || true", cohorts=["vip"]))
    put_instance(database, "q", "open", 2, 3, YESTERDAY)
    moved = deepcopy(QUEST)
    moved["quest"]["steps"][0]["action"] = "RETURN"
    await change(acme, moved, "keep")
    assert (await acme.delete("/v1/cohorts/vip", headers=ANY)).status_code == 409
    assert (await acme.delete("/v1/lists/spring", headers=ANY)).status_code == 409
    keyed = {"scope": "campaign", "campaign_id": "q", "measure": "count", "span": "day", "cap": 1}
    refused = await acme.post("/v1/limits", json={"limit_id": "l", "key": "event.coupon", **keyed})
    assert "version 1, which open instances are kept under, grants on 'PURCHASE'" in refused.json()["detail"]
    await change(acme, moved, "migrate")
    await cap(acme, "l", key="event.coupon", **keyed)
    assert (await acme.delete("/v1/lists/spring", headers=ANY)).status_code == 204


async def test_values_are_compared_under_the_kept_versions_too(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "q", QUEST)
    put_instance(database, "q", "open", 2, 3, YESTERDAY)
    best = {"exclusive": {"group": "g", "pick": "value"}, "rewards": [{"kind": "cashback", "value": 5}]}
    refused = await change(acme, QUEST | best, "keep")
    assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "/exclusive/pick")
    assert (await change(acme, QUEST | best, "migrate")).status_code == 200
