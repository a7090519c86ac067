"""Variants of a campaign through the API: saved and refused, kept when launched, and told of in explanations."""

from typing import Any

import pytest
from httpx import AsyncClient

from fillip.core.campaign.variant import Variant, choose_variant
from tests.manage.ledger_rows import put_decision, put_event, put_incentive
from tests.manage.shop import ANY, CASHBACK, QUEST, cap, draft, launch, open_shop
from tests.manage.test_campaigns import faults
from tests.manage.test_explain import BIG, attempt, checks

VARIANTS: list[dict[str, Any]] = [
    {"variant_id": name, "percent": percent} for name, percent in (("none", 20), ("small", 40), ("big", 40))
]
REWARDS = [
    {"kind": "cashback", "value": 100, "variants": ["small"]},
    {"kind": "cashback", "value": 300, "variants": ["big"]},
]
SPLIT: dict[str, Any] = CASHBACK | {"rule": "event.amount_cents >= 5000", "variants": VARIANTS, "rewards": REWARDS}


def find_user(variant: str) -> str:
    """A user who is in this variant of campaign c."""
    split = [Variant(**each) for each in VARIANTS]
    return next(user for n in range(40) if choose_variant(split, "acme", "c", user := f"u{n}") == variant)


async def test_variants_are_kept_as_they_were_written(acme: AsyncClient) -> None:
    await open_shop(acme)
    found = (await draft(acme, "c", SPLIT))["definition"]
    assert found["variants"] == VARIANTS
    assert [reward["variants"] for reward in found["rewards"]] == [["small"], ["big"]]


@pytest.mark.parametrize(
    ("parts", "at"),
    [
        ({"variants": VARIANTS[1:]}, "/variants"),
        ({"variants": [VARIANTS[0] | {"percent": 0}, *VARIANTS[1:]]}, "/variants/0/percent"),
        ({"variants": [VARIANTS[0] | {"percent": 33.3}, *VARIANTS[1:]]}, "/variants/0/percent"),
        ({"variants": [VARIANTS[0] | {"rewards": []}, *VARIANTS[1:]]}, "/variants/0/rewards"),
        ({"variants": [{"variant_id": f"v{n}", "percent": 11} for n in range(9)]}, "/variants"),
        ({"rewards": [REWARDS[0] | {"variants": ["tiny"]}]}, "/rewards/0/variants/0"),
    ],
)
async def test_what_shares_nobody_out_is_refused_with_its_place(
    acme: AsyncClient, parts: dict[str, Any], at: str
) -> None:
    await open_shop(acme)
    found = faults(await acme.post("/v1/campaigns", json={"definition": SPLIT | parts}))
    assert at in {place.removeprefix("/definition") for place in found}


async def test_a_launched_campaign_keeps_its_variants_and_may_give_the_winner_to_all(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "c", SPLIT)
    for other in ([], VARIANTS[::-1]):
        plain = [{"kind": "cashback", "value": 100}]
        refused = await acme.put("/v1/campaigns/c", json=SPLIT | {"variants": other, "rewards": plain}, headers=ANY)
        assert "users would change sides" in faults(refused)["/variants"]
    rolled_out = SPLIT | {"rewards": [{"kind": "cashback", "value": 300}]}
    assert (await acme.put("/v1/campaigns/c", json=rolled_out, headers=ANY)).json()["version"] == 2
    back = await acme.put("/v1/campaigns/c", json=SPLIT, headers=ANY)
    assert "variant 'none'" in faults(back)["/rewards"]


async def test_a_trial_says_which_variant_the_user_is_in_and_what_it_gives(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "c", SPLIT)
    await cap(acme, "all", scope="tenant", measure="value", span="lifetime", cap=9000, reward_kind="cashback")
    for variant, value in (("small", 100), ("big", 300)):
        tried = await attempt(acme, BIG | {"user_id": find_user(variant)}, "c")
        by_name = {check["check"]: check for check in tried["checks"]}
        assert (tried["outcome"], by_name["variant"]["variant"]) == ("granted", variant)
        assert [reward["value"] for reward in by_name["reward"]["rewards"]] == [value]
        assert [use["amount"] for use in by_name["limits"]["limits"]] == [value]
        said = f"is in variant {variant} of 3, with 40 % of all users by a hash of tenant, campaign and user"
        assert by_name["variant"]["message"].endswith(said)


async def test_a_trial_says_that_a_control_gets_nothing(acme: AsyncClient) -> None:
    """Denied where the rule is met; a quest too, which a control never begins."""
    await open_shop(acme)
    await launch(acme, "c", SPLIT)
    control = BIG | {"user_id": find_user("none")}
    tried = await attempt(acme, control, "c")
    assert (tried["outcome"], tried["reason"]) == ("denied", "control")
    assert tried["summary"].endswith("a control, which gets nothing.")
    small = await attempt(acme, control | {"attributes": {"amount_cents": 10}}, "c")
    assert small["outcome"] == "no_match"
    halves = [{"variant_id": "none", "percent": 50}, {"variant_id": "some", "percent": 50}]
    points = {"kind": "points", "value": 50, "variants": ["some"]}
    await launch(acme, "q", QUEST | {"variants": halves, "rewards": [points]})
    found = [await attempt(acme, BIG | {"user_id": f"u{number}"}, "q") for number in range(20)]
    assert {(each["outcome"], each["reason"]) for each in found} == {("denied", "control"), ("progress", "quest")}


async def test_a_control_outranks_nobody(acme: AsyncClient) -> None:
    """Given a group of which the campaign with variants comes first."""
    await open_shop(acme)
    alone = {"exclusive": {"group": "one", "pick": "priority"}}
    await launch(acme, "c", SPLIT | alone | {"priority": 5})
    await launch(acme, "other", CASHBACK | alone | {"rule": "true"})
    found = {
        variant: await attempt(acme, BIG | {"user_id": find_user(variant)}, "other") for variant in ("none", "big")
    }
    assert {variant: each["reason"] for variant, each in found.items()} == {"none": "granted", "big": "outranked"}


async def test_decisions_and_incentives_carry_the_variant_and_are_explained_by_it(
    acme: AsyncClient, database: str
) -> None:
    await open_shop(acme)
    await launch(acme, "c", SPLIT)
    control, big = find_user("none"), find_user("big")
    put_event(database, "e1", {"amount_cents": 9000}, control)
    given: dict[str, Any] = {
        "user_id": control,
        "outcome": "denied",
        "reason": "control",
        "reward_values": [],
        "variant": "none",
    }
    denied = put_decision(database, "e1", **given)
    put_event(database, "e2", {"amount_cents": 9000}, big)
    values = [{"kind": "cashback", "value": 300, "currency": "EUR"}]
    granted = put_decision(database, "e2", user_id=big, reward_values=values, variant="big")
    incentive_id = put_incentive(database, granted, "e2", 1, big, "big")
    decisions = (await acme.get("/v1/decisions")).json()["items"]
    assert {each["event_id"]: each["variant"] for each in decisions} == {"e1": "none", "e2": "big"}
    assert (await acme.get(f"/v1/incentives/{incentive_id}")).json()["variant"] == "big"
    told = checks(await acme.get(f"/v1/decisions/{denied}/explain"))
    assert (told["variant"]["reason"], "limits" in told) == ("control", False)
    told = checks(await acme.get(f"/v1/decisions/{granted}/explain"))
    assert (told["variant"]["variant"], [each["value"] for each in told["reward"]["rewards"]]) == ("big", [300])
