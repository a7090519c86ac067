"""A campaign in shadow: how it gets there and back, what changing it makes, and what is explained of it."""

from datetime import UTC, datetime
from typing import Any

from httpx import AsyncClient

from tests.manage.ledger_rows import put_instance
from tests.manage.shop import ANY, CASHBACK, QUEST, cap, draft, launch, open_shop
from tests.manage.test_launch import YESTERDAY, move

BIG = {"user_id": "ada", "action": "PURCHASE", "attributes": {"amount_cents": 9000}}
SMALL = BIG | {"attributes": {"amount_cents": 1}}


async def explain(client: AsyncClient, event: dict[str, Any], campaign_id: str = "c") -> tuple[str, str, str]:
    """(outcome, reason, summary) of an event before a campaign as it stands."""
    answer = await client.post(f"/v1/campaigns/{campaign_id}/explain", json=event)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return found["outcome"], found["reason"], found["summary"]


async def test_a_draft_goes_into_shadow_and_from_there_is_launched_as_its_next_version(acme: AsyncClient) -> None:
    await open_shop(acme)
    await draft(acme, "c", CASHBACK)
    in_shadow = await move(acme, "c", "shadow")
    assert (in_shadow["state"], in_shadow["version"]) == ("shadow", 1)
    assert in_shadow["definition"]["schedule"]["starts_at"] is None, "it is its launch that it starts with"
    assert [row["campaign_id"] for row in (await acme.get("/v1/campaigns?state=shadow")).json()["items"]] == ["c"]
    launched = await move(acme, "c", "launch")
    assert (launched["state"], launched["version"]) == ("running", 2)
    assert launched["definition"]["schedule"]["starts_at"] > YESTERDAY
    again = await acme.post("/v1/campaigns/c/shadow", headers=ANY)
    assert (again.status_code, "'shadow' is not possible" in again.json()["detail"]) == (409, True)


async def test_it_is_checked_as_for_a_launch(acme: AsyncClient) -> None:
    """Given one that is for a cohort without a list, and one that is over by its schedule."""
    await open_shop(acme)
    await acme.post("/v1/cohorts", json={"cohort_id": "empty", "name": "Empty"})
    await draft(acme, "c", CASHBACK | {"cohorts": ["empty"]})
    await draft(acme, "d", CASHBACK | {"schedule": {"ends_at": YESTERDAY}})
    for campaign_id, why in (("c", "no list yet has cohort empty"), ("d", "ended on")):
        answer = await acme.post(f"/v1/campaigns/{campaign_id}/shadow", headers=ANY)
        assert (answer.status_code, why in answer.json()["detail"]) == (409, True)


async def test_what_was_decided_in_shadow_keeps_its_version_whatever_is_changed_then(acme: AsyncClient) -> None:
    """Also the kind may change: nothing was granted."""
    await open_shop(acme)
    await draft(acme, "c", CASHBACK)
    await move(acme, "c", "shadow")
    changed = (await acme.put("/v1/campaigns/c", json=QUEST, headers=ANY)).json()
    assert (changed["state"], changed["version"], changed["open_instances"]) == ("shadow", 2, None)
    withdrawn = await move(acme, "c", "withdraw")
    assert (withdrawn["state"], withdrawn["version"]) == ("draft", 3)
    await acme.put("/v1/campaigns/c", json=QUEST | {"priority": 7}, headers=ANY)
    versions = (await acme.get("/v1/campaigns/c/versions")).json()["items"]
    told = [(row["version"], row["definition"]["kind"], row["definition"]["priority"]) for row in versions]
    assert told == [(1, "SIMPLE", 0), (2, "QUEST", 0), (3, "QUEST", 7)]
    assert (await move(acme, "c", "archive"))["state"] == "archived"


async def test_it_is_explained_by_what_it_would_give_or_by_what_denies_it_anyway(acme: AsyncClient) -> None:
    """Given a limit that is full and a campaign that would win the event, which it does not ask."""
    await open_shop(acme)
    await launch(acme, "first", CASHBACK | {"stackable": False, "priority": 9})
    await draft(acme, "c", CASHBACK)
    await cap(
        acme, "none", campaign_id="c", scope="campaign", measure="value", span="lifetime", cap=1, reward_kind="cashback"
    )
    await move(acme, "c", "shadow")
    outcome, reason, summary = await explain(acme, BIG)
    assert (outcome, reason) == ("denied", "shadow")
    assert "the campaign is in shadow" in summary
    assert (await explain(acme, SMALL))[:2] == ("no_match", "rule")
    assert (await explain(acme, BIG, "first"))[:2] == ("granted", "granted")


async def test_it_stands_in_nobodys_way(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    await draft(acme, "alone", CASHBACK | {"stackable": False, "priority": 9})
    await move(acme, "alone", "shadow")
    assert (await explain(acme, BIG))[:2] == ("granted", "granted")
    await move(acme, "alone", "launch")
    assert (await explain(acme, BIG | {"time": datetime.now(UTC).isoformat()}))[1] == "outranked"


async def test_a_quest_is_explained_by_the_instances_of_its_shadow_which_nobody_else_is_shown(
    acme: AsyncClient, database: str
) -> None:
    await open_shop(acme)
    await draft(acme, "q", QUEST)
    await move(acme, "q", "shadow")
    put_instance(database, "q~1", "open", 2, 3, datetime.now(UTC))
    event = BIG | {"time": datetime.now(UTC).isoformat()}
    assert (await explain(acme, event, "q"))[:2] == ("denied", "shadow")
    assert (await acme.get("/v1/users/ada/quests")).json()["items"] == []
    await move(acme, "q", "launch")
    event = BIG | {"time": datetime.now(UTC).isoformat()}
    outcome, _, summary = await explain(acme, event, "q")
    assert (outcome, "visit 1 of 3" in summary) == ("progress", True)
