"""Cohorts: what is made, named by campaigns, and deleted."""

import json
from typing import Any

import pytest
from httpx import AsyncClient

from tests.manage.conftest import Plane
from tests.manage.ledger_rows import put_instance
from tests.manage.shop import ANY

CSV = {"Content-Type": "text/csv; charset=utf-8", "If-Match": "*"}


@pytest.fixture(autouse=True)
async def vip_of_two(acme: AsyncClient) -> None:
    """Given a cohort `vip` of two."""
    assert (await acme.post("/v1/cohorts", json={"cohort_id": "vip", "name": "VIP"})).status_code == 201
    assert (await acme.put("/v1/cohorts/vip/members", content=b"ada\ngrace\n", headers=CSV)).status_code == 200


async def test_a_cohort_that_a_campaign_names_stays(acme: AsyncClient) -> None:
    await acme.put("/v1/actions/BUY", json={"schema": {"type": "object", "properties": {}}})
    campaign = {"kind": "SIMPLE", "name": "C", "action": "BUY", "cohorts": ["vip"], "rewards": [{"kind": "badge"}]}
    made = await acme.post("/v1/campaigns", json={"campaign_id": "c", "definition": campaign})
    assert made.status_code == 201, made.text
    assert (await acme.delete("/v1/cohorts/vip", headers={"If-Match": "*"})).status_code == 409
    await acme.post("/v1/campaigns/c/archive", headers={"If-Match": "*"})
    assert (await acme.delete("/v1/cohorts/vip", headers={"If-Match": "*"})).status_code == 204
    assert (await acme.get("/v1/cohorts/vip")).status_code == 404


FROZEN = '!("frozen" in cohorts)'
BUYS: dict[str, Any] = {"kind": "SIMPLE", "name": "C", "action": "BUY", "rewards": [{"kind": "cashback", "value": 7}]}
STEP: dict[str, Any] = {"name": "buy", "action": "BUY"}


def quest(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A quest of these steps."""
    return {"kind": "QUEST", "name": "Q", "quest": {"steps": steps, **more}, "rewards": BUYS["rewards"]}


ASKING: dict[str, dict[str, Any]] = {
    "field": BUYS | {"cohorts": ["frozen"]},
    "rule": BUYS | {"rule": FROZEN},
    "step": quest(STEP, STEP | {"name": "more", "rule": FROZEN}),
    "late-step": quest(STEP | {"rule": f"progress.done == 0 && {FROZEN}"}),
    "sum": quest(STEP | {"sum": f"{FROZEN} ? 1 : 0", "at_least": 3}),
    "start": quest(STEP, start={"at": "event", "action": "BUY", "rule": FROZEN}),
    "formula": BUYS | {"rewards": [{"kind": "cashback", "formula": {"of": f"{FROZEN} ? 7 : 0"}}]},
    "any": BUYS | {"rule": 'cohorts.exists(c, c.startsWith("fr"))'},
}


async def open_frozen(client: AsyncClient) -> None:
    """The action BUY and the cohort frozen, with nobody in it."""
    await client.put("/v1/actions/BUY", json={"schema": {"type": "object", "properties": {}}})
    assert (await client.post("/v1/cohorts", json={"cohort_id": "frozen", "name": "Frozen"})).status_code == 201
    assert (await client.put("/v1/cohorts/frozen/members", content=b"", headers=CSV)).status_code == 200


@pytest.mark.parametrize("name", sorted(ASKING))
async def test_a_cohort_that_an_expression_asks_for_stays_until_the_campaign_is_archived(
    acme: AsyncClient, name: str
) -> None:
    await open_frozen(acme)
    assert (await acme.post("/v1/campaigns", json={"campaign_id": name, "definition": ASKING[name]})).status_code == 201
    for order in ("launch", "pause", "end", "archive"):  # first of all as a draft
        refused = await acme.delete("/v1/cohorts/frozen", headers=ANY)
        assert (refused.status_code, f"campaigns: {name}" in refused.json()["detail"]) == (409, True), refused.text
        assert (await acme.post(f"/v1/campaigns/{name}/{order}", headers=ANY)).status_code == 200
    assert (await acme.delete("/v1/cohorts/frozen", headers=ANY)).status_code == 204


async def test_a_cohort_of_a_version_that_is_kept_for_open_instances_stays(acme: AsyncClient, plane: Plane) -> None:
    await open_frozen(acme)
    visit = STEP | {"name": "visit", "count": 3}
    asking = quest(visit | {"rule": FROZEN})
    assert (await acme.post("/v1/campaigns", json={"campaign_id": "q", "definition": asking})).status_code == 201
    assert (await acme.post("/v1/campaigns/q/launch", headers=ANY)).status_code == 200
    put_instance(plane.dsn, "q", "open", 1)
    later = quest(visit)
    changed = await acme.put("/v1/campaigns/q?open_instances=keep", json=later, headers=ANY)
    assert changed.json()["kept_versions"] == [1], changed.text
    assert (await acme.delete("/v1/cohorts/frozen", headers=ANY)).status_code == 409
    changed = await acme.put("/v1/campaigns/q?open_instances=migrate", json=later, headers=ANY)
    assert changed.json()["kept_versions"] == [], changed.text
    assert (await acme.delete("/v1/cohorts/frozen", headers=ANY)).status_code == 204


async def test_a_cohort_that_is_misspelt_is_refused_with_its_place(acme: AsyncClient) -> None:
    await open_frozen(acme)
    for name in sorted(set(ASKING) - {"any", "field"}):
        wrong = json.loads(json.dumps(ASKING[name]).replace("frozen", "frozne"))
        refused = await acme.post("/v1/campaigns", json={"definition": wrong})
        assert refused.status_code == 422, name
        assert "there is no cohort 'frozne': make it first, by POST /v1/cohorts" in refused.text
        assert "line 1, column" in refused.text


@pytest.mark.parametrize("name", sorted(set(ASKING) - {"any"}))
async def test_a_campaign_counts_for_a_cohort_only_once_that_has_a_list(acme: AsyncClient, name: str) -> None:
    """Given a cohort whose list is still to come, then a campaign that asks for it is not launched as if nobody were in it."""
    await acme.put("/v1/actions/BUY", json={"schema": {"type": "object", "properties": {}}})
    await acme.post("/v1/cohorts", json={"cohort_id": "frozen", "name": "Frozen"})
    assert (await acme.post("/v1/campaigns", json={"campaign_id": name, "definition": ASKING[name]})).status_code == 201
    refused = await acme.post(f"/v1/campaigns/{name}/launch", headers=ANY)
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "no list yet has cohort frozen: upload one first; for nobody, an empty one",
    )
    assert (await acme.put("/v1/cohorts/frozen/members", content=b"", headers=CSV)).status_code == 200
    assert (await acme.post(f"/v1/campaigns/{name}/launch", headers=ANY)).status_code == 200


async def test_a_cohort_before_its_first_list_has_no_members(acme: AsyncClient) -> None:
    await acme.post("/v1/cohorts", json={"cohort_id": "new", "name": "New"})
    assert (await acme.get("/v1/cohorts/new/members")).json() == {"items": [], "next_cursor": None}
    assert (await acme.put("/v1/cohorts/new/members", content=b"user_id\n", headers=CSV)).json()["size"] == 0
    assert (await acme.get("/v1/cohorts/new/members")).json() == {"items": [], "next_cursor": None}
    assert (await acme.delete("/v1/cohorts/new", headers=CSV)).status_code == 204
