"""Saving rewards whose values go by the event: typed with line and column, nothing contradictory, kept as written."""

from typing import Any

import pytest
from httpx import AsyncClient

from tests.manage.shop import ANY, CASHBACK, PURCHASE, QUEST, draft, launch, open_shop
from tests.manage.test_campaigns import faults

HALF = {"of": "event.amount_cents", "percent": "2.5", "rounding": "half_up", "max": 1000}
TIERS: dict[str, Any] = {
    "of": "event.amount_cents",
    "tiers": [{"at_least": 5000, "value": 100}, {"at_least": 10_000, "percent": "5"}],
    "rounding": "down",
}


def giving(formula: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A campaign whose cashback goes by `formula`."""
    return CASHBACK | {"rewards": [{"kind": "cashback", "formula": formula} | more]}


async def test_a_formula_is_kept_as_it_was_written(acme: AsyncClient) -> None:
    await open_shop(acme)
    made = await draft(acme, "c", giving(TIERS))
    found = made["definition"]["rewards"][0]["formula"]
    assert [(t["at_least"], t["value"], t["percent"]) for t in found["tiers"]] == [
        (5000, 100, None),
        (10_000, None, "5"),
    ]
    assert (await acme.post("/v1/campaigns/c/launch", headers=ANY)).status_code == 200
    assert (await acme.put("/v1/campaigns/c", json=giving(HALF), headers=ANY)).json()["version"] == 2


@pytest.mark.parametrize(
    ("formula", "at", "said"),
    [
        ({"of": "event.amnt"}, "", "line 1, column 6: undefined field 'amnt'"),
        ({"of": "event.store"}, "", "the expression must give int, this one gives string"),
        ({"of": "event.amount_cents > 5"}, "", "gives bool"),
    ],
)
async def test_an_expression_of_the_wrong_type_is_refused_with_its_place(
    acme: AsyncClient, formula: dict[str, Any], at: str, said: str
) -> None:
    await open_shop(acme)
    found = faults(await acme.post("/v1/campaigns", json={"definition": giving(formula)}))
    assert said in found["/definition/rewards/0/formula/of"]


@pytest.mark.parametrize(
    ("parts", "at"),
    [
        ({"percent": "2.5"}, "/definition/rewards/0/formula/rounding"),
        ({"rounding": "up"}, "/definition/rewards/0/formula/rounding"),
        ({"percent": "0.0", "rounding": "up"}, "/definition/rewards/0/formula"),
        (
            {"percent": "5", "rounding": "up", "tiers": [{"at_least": 1, "value": 1}]},
            "/definition/rewards/0/formula/percent",
        ),
        ({"tiers": [{"at_least": 1}]}, "/definition/rewards/0/formula/tiers/0"),
        (
            {"tiers": [{"at_least": 2, "value": 2}, {"at_least": 2, "value": 1}]},
            "/definition/rewards/0/formula/tiers/1/at_least",
        ),
    ],
)
async def test_a_formula_that_contradicts_itself_is_refused(acme: AsyncClient, parts: dict[str, Any], at: str) -> None:
    await open_shop(acme)
    formula = {"of": "event.amount_cents"} | parts
    assert at in faults(await acme.post("/v1/campaigns", json={"definition": giving(formula)}))


@pytest.mark.parametrize("percent", ["5%", "-5", "1e3", "05", "1.0000001", 5])
async def test_a_percent_is_a_plain_decimal(acme: AsyncClient, percent: object) -> None:
    await open_shop(acme)
    answer = await acme.post("/v1/campaigns", json={"definition": giving(HALF | {"percent": percent})})
    assert any("percent" in at for at in faults(answer))


async def test_a_reward_has_a_value_or_a_formula(acme: AsyncClient) -> None:
    await open_shop(acme)
    answer = await acme.post("/v1/campaigns", json={"definition": giving(HALF, value=5)})
    assert "/definition/rewards/0/value" in faults(answer)


@pytest.mark.parametrize(
    ("reward", "at"),
    [
        ({"kind": "points"}, "/definition/rewards/0/value"),
        ({"kind": "points", "value": 0}, "/definition/rewards/0/value"),
        ({"kind": "cashback", "payload": {"note": "thanks"}}, "/definition/rewards/0/value"),
        ({"kind": "coupon"}, "/definition/rewards/0/pool"),
        ({"kind": "coupon", "value": 5, "payload": {}}, "/definition/rewards/0/pool"),
    ],
)
async def test_a_reward_of_nothing_is_refused(acme: AsyncClient, reward: dict[str, Any], at: str) -> None:
    await open_shop(acme)
    worthy = {"kind": "points", "value": 1}
    for rewards, place in (([reward], at), ([worthy, reward], at.replace("/0/", "/1/"))):
        answer = await acme.post("/v1/campaigns", json={"definition": CASHBACK | {"rewards": rewards}})
        assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, place), answer.text


@pytest.mark.parametrize(
    "reward", [{"kind": "custom"}, {"kind": "badge"}, {"kind": "coupon", "payload": {"code": "A"}}]
)
async def test_what_has_no_value_needs_none(acme: AsyncClient, reward: dict[str, Any]) -> None:
    await open_shop(acme)
    await draft(acme, "c", CASHBACK | {"rewards": [reward]})


async def test_the_reward_of_a_quest_reads_the_event_that_completes_it(acme: AsyncClient) -> None:
    await open_shop(acme)
    await acme.put("/v1/actions/VISIT", json={"schema": {"type": "object", "properties": {"note": {"type": "string"}}}})
    steps = [{"name": "visit", "action": "VISIT"}, {"name": "buy", "action": "PURCHASE"}]
    reward = {"rewards": [{"kind": "cashback", "formula": HALF}]}
    await launch(acme, "c", QUEST | reward | {"quest": {"steps": steps}})
    backwards = QUEST | reward | {"quest": {"steps": steps[::-1]}}
    found = faults(await acme.post("/v1/campaigns", json={"definition": backwards}))
    assert "undefined field" in found["/definition/rewards/0/formula/of"]
    unordered = QUEST | reward | {"quest": {"steps": steps, "ordered": False}}
    found = faults(await acme.post("/v1/campaigns", json={"definition": unordered}))
    assert "several actions" in found["/definition/rewards/0/formula"]


async def test_a_schema_that_breaks_a_formula_is_refused(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "c", giving(HALF) | {"rule": "true"})
    schema = {**PURCHASE, "properties": {**PURCHASE["properties"], "amount_cents": {"type": "string"}}}
    answer = await acme.put("/v1/actions/PURCHASE", json={"schema": schema}, headers=ANY)
    assert answer.status_code == 409
    assert any(error["at"].endswith("rewards/0/formula/of") for error in answer.json()["errors"])
