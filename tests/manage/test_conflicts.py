"""Saving campaigns that stand against each other: contradictions are refused with their places."""

from typing import Any

import pytest
from httpx import AsyncClient

from tests.manage.shop import ANY, CASHBACK, draft, launch, open_shop
from tests.manage.test_campaigns import faults

BY_VALUE = CASHBACK | {"exclusive": {"group": "best", "pick": "value"}}
BY_PRIORITY = CASHBACK | {"exclusive": {"group": "best", "pick": "priority"}}
POINTS = [{"kind": "points", "value": 5}]


async def test_a_group_is_kept_as_it_was_written(acme: AsyncClient) -> None:
    await open_shop(acme)
    made = await launch(acme, "c", BY_VALUE | {"priority": 3})
    assert (made["definition"]["exclusive"], made["definition"]["stackable"]) == (BY_VALUE["exclusive"], True)


@pytest.mark.parametrize(
    ("parts", "at"),
    [
        ({"exclusive": {"group": "best", "pick": "first"}}, "/exclusive/pick"),
        ({"exclusive": {"group": "best"}}, "/exclusive/pick"),
        ({"stackable": False, **BY_PRIORITY}, "/exclusive"),
        ({**BY_VALUE, "rewards": [*CASHBACK["rewards"], *POINTS]}, "/exclusive/pick"),
        ({**BY_VALUE, "rewards": [{"kind": "badge"}]}, "/exclusive/pick"),
    ],
)
async def test_a_contradiction_is_refused(acme: AsyncClient, parts: dict[str, Any], at: str) -> None:
    await open_shop(acme)
    found = faults(await acme.post("/v1/campaigns", json={"definition": CASHBACK | parts}))
    assert any(place.endswith(at) for place in found), found


async def test_all_campaigns_of_a_group_pick_alike(acme: AsyncClient, rival: AsyncClient) -> None:
    await open_shop(acme)
    await draft(acme, "one", BY_VALUE)
    found = faults(await acme.post("/v1/campaigns", json={"definition": BY_PRIORITY}))
    assert "campaign 'one' of group 'best' picks by value" in found["/definition/exclusive/pick"]
    found = faults(await acme.post("/v1/campaigns", json={"definition": BY_VALUE | {"rewards": POINTS}}))
    assert "another kind" in found["/definition/exclusive/group"]
    await draft(acme, "two", BY_VALUE)
    assert "/exclusive/pick" in faults(await acme.put("/v1/campaigns/two", json=BY_PRIORITY, headers=ANY))
    assert (await acme.post("/v1/campaigns/one/archive", headers=ANY)).status_code == 200
    assert (await acme.put("/v1/campaigns/two", json=BY_PRIORITY, headers=ANY)).status_code == 200
    await open_shop(rival)
    await draft(rival, "one", BY_VALUE)
