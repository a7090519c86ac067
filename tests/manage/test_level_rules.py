"""Levels that rules name: those of the ladder, which keeps them as long as campaigns read them."""

from typing import Any

import pytest
from httpx import AsyncClient

from tests.manage.shop import ANY, draft, launch, open_shop
from tests.manage.test_ladders import LADDER, METALS, YEAR

READ = YEAR | {"attribute": "tier"}
UNKNOWN = "is no level of 'user.tier', which are bronze, silver, gold"
BY_LETTERS = "'user.tier' is a level, and would be compared by its letters"

REFUSED = [
    ('user.tier == "golld"', f"line 1, column 14: 'golld' {UNKNOWN}: do you mean 'gold'?"),
    ('"" != user.tier', f"line 1, column 1: '' {UNKNOWN}"),
    ('user.tier in ["gold", "Silver"]', f"column 23: 'Silver' {UNKNOWN}: do you mean 'silver'?"),
    ('user.tier in {"brons": 1}', f"column 15: 'brons' {UNKNOWN}: do you mean 'bronze'?"),
    ('{"gold": 1, "gild": 2}[user.tier] == 2', f"column 13: 'gild' {UNKNOWN}: do you mean 'gold'?"),
    ('user.tier.orValue("") == "none"', f"column 26: 'none' {UNKNOWN}"),
    ('user.tier >= "silver"', f'column 11: {BY_LETTERS}: write `user.tier in ["silver", "gold"]`'),
    ('"silver" > user.tier', f'column 10: {BY_LETTERS}: write `user.tier in ["bronze"]`'),
    ('user.tier > "gold"', f"{BY_LETTERS}, and no level is meant"),
    ("user.tier < event.coupon", f"{BY_LETTERS}: write `user.tier in [...]` with the levels that are meant"),
]


def ask(rule: str, **parts: Any) -> dict[str, Any]:
    """A campaign for purchases with this rule."""
    rewards = [{"kind": "points", "value": 1}]
    return {"kind": "SIMPLE", "name": "n", "action": "PURCHASE", "rule": rule, "rewards": rewards} | parts


@pytest.fixture
async def tiered(acme: AsyncClient) -> AsyncClient:
    """A shop whose rules read the level of a ladder."""
    await open_shop(acme)
    assert (await acme.put(LADDER, json=READ)).status_code == 201
    return acme


async def test_a_rule_that_no_level_can_meet_is_refused_with_its_place(tiered: AsyncClient) -> None:
    for rule, wanted in REFUSED:
        refused = await tiered.post("/v1/campaigns", json={"campaign_id": "c", "definition": ask(rule)})
        assert refused.status_code == 422, refused.text
        [fault] = refused.json()["errors"]
        assert (fault["at"], wanted in fault["message"]) == ("/definition/rule", True), fault


async def test_levels_are_named_wherever_users_are_read(tiered: AsyncClient) -> None:
    """Given formulas and quests: each is held to the ladder, and what it does not know of is let by."""
    formula = {"of": 'user.tier == "god" ? 2 : 1'}
    step = {"name": "s", "action": "PURCHASE", "rule": 'user.tier != "god"'}
    start = {"at": "event", "action": "PURCHASE", "rule": 'user.tier == "god"'}
    quest = {"kind": "QUEST", "name": "n", "quest": {"steps": [step], "start": start}}
    for definition, places in (
        (ask("true", rewards=[{"kind": "points", "formula": formula}]), ["/definition/rewards/0/formula/of"]),
        (
            quest | {"rewards": [{"kind": "points", "value": 1}]},
            ["/definition/quest/start/rule", "/definition/quest/steps/0/rule"],
        ),
    ):
        refused = await tiered.post("/v1/campaigns", json={"campaign_id": "c", "definition": definition})
        assert [fault["at"] for fault in refused.json()["errors"]] == places
    right = 'user.tier in ["gold", "silver"] && user.tier != "bronze" && {"gold": 1}[user.tier] == 1'
    other = 'event.coupon == "golld" && user.tier == event.store && user.age > 17 && event.coupon >= "silver"'
    await draft(tiered, "c", ask(f"{right} || {other}"))


async def test_a_ladder_keeps_what_campaigns_read_of_it(tiered: AsyncClient) -> None:
    """Given a draft that names gold, and a campaign that reads the level alone: only when both are archived may it go."""
    await draft(tiered, "named", ask('user.tier == "gold"'))
    await launch(tiered, "read", ask("user.tier == event.coupon"))
    gone = READ | {"levels": METALS[:2]}
    for changed, faults in (
        (gone, {"campaigns/named/rule": f"line 1, column 14: 'gold' {UNKNOWN[:-6]}"}),
        (
            YEAR,
            dict.fromkeys(
                ("campaigns/named/rule", "campaigns/read/rule"), "it reads 'user.tier', which would be no level"
            ),
        ),
    ):
        refused = await tiered.put(LADDER, json=changed, headers=ANY)
        assert refused.status_code == 409, refused.text
        told = {fault["at"]: fault["message"] for fault in refused.json()["errors"]}
        assert told.keys() == faults.keys()
        assert all(faults[at] in message for at, message in told.items()), told
    assert (await tiered.delete(LADDER, headers=ANY)).status_code == 409
    more = READ | {"levels": [*METALS, {"name": "platinum", "from": 9000}]}
    assert (await tiered.put(LADDER, json=more, headers=ANY)).status_code == 200
    await draft(tiered, "more", ask('user.tier == "platinum"'))
    for campaign_id, orders in (("named", ["archive"]), ("more", ["archive"]), ("read", ["end", "archive"])):
        assert (await tiered.delete(LADDER, headers=ANY)).status_code == 409
        for order in orders:
            await tiered.post(f"/v1/campaigns/{campaign_id}/{order}", headers=ANY)
    assert (await tiered.delete(LADDER, headers=ANY)).status_code == 204


async def test_a_ladder_that_comes_later_has_what_rules_name_already(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "old", ask('user.tier == "platinum" || user.tier > "a"'))
    refused = await acme.put(LADDER, json=READ)
    assert refused.status_code == 409, refused.text
    [fault] = refused.json()["errors"]
    assert (fault["at"], f"'platinum' {UNKNOWN}" in fault["message"]) == ("campaigns/old/rule", True)
    assert (await acme.put(LADDER, json=YEAR)).status_code == 201, "rules do not read it"


async def test_a_user_schema_keeps_the_attribute_of_a_ladder(tiered: AsyncClient) -> None:
    tier = {"type": "string", "maxLength": 10}
    for properties in ({"age": {"type": "integer"}}, {"tier": tier | {"enum": ["bronze", "gold"]}}):
        changed = {"user_schema": {"type": "object", "properties": properties}}
        refused = await tiered.patch("/v1/tenant", json=changed, headers=ANY)
        assert refused.status_code == 409, refused.text
        assert "rules read the level of POINTS in 'tier'" in refused.json()["detail"]
