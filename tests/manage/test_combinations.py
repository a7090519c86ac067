"""Cohorts that follow from others: made anew with each change of these, in one transaction, down to the last."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient, Response

from tests.manage.conftest import Plane
from tests.manage.shop import ANY

CSV = {"Content-Type": "text/csv", "If-Match": "*"}


async def put_list(client: AsyncClient, cohort_id: str, *users: str) -> Response:
    """Make these the users of a cohort, which is made where it is missing."""
    await client.post("/v1/cohorts", json={"cohort_id": cohort_id, "name": cohort_id})
    answer = await client.put(f"/v1/cohorts/{cohort_id}/members", content="\n".join(users), headers=CSV)
    assert answer.status_code == 200, answer.text
    return answer


async def combine(client: AsyncClient, cohort_id: str, **combination: Any) -> Response:
    """Make a cohort that follows from others."""
    return await client.post(
        "/v1/cohorts", json={"cohort_id": cohort_id, "name": cohort_id, "combination": combination}
    )


async def list_members(client: AsyncClient, cohort_id: str) -> set[str]:
    """The users of a cohort."""
    page = (await client.get(f"/v1/cohorts/{cohort_id}/members", params={"limit": 200})).json()
    return {member["user_id"] for member in page["items"]}


@pytest.fixture(autouse=True)
async def lists(acme: AsyncClient) -> None:
    """Given cohorts `gold`, `vip` and `frozen` with a list each."""
    await put_list(acme, "gold", "ada", "grace")
    await put_list(acme, "vip", "grace", "linus", "ken")
    await put_list(acme, "frozen", "ken")


async def test_a_cohort_follows_from_others_and_with_them(acme: AsyncClient) -> None:
    """Given one that follows from lists, and one that follows from it, then a change of a list changes both at once."""
    made = await combine(acme, "good", any_of=["gold", "vip"], none_of=["frozen"])
    assert (made.status_code, made.json()["version"], made.json()["size"]) == (201, 1, 3), made.text
    assert made.json()["combination"] == {"any_of": ["gold", "vip"], "all_of": [], "none_of": ["frozen"]}
    both = await combine(acme, "both", all_of=["good", "gold", "vip"])
    assert both.json()["size"] == 1
    assert await list_members(acme, "good") == {"ada", "grace", "linus"}
    answer = await put_list(acme, "gold", "linus", "zoe")
    assert answer.json()["book_version"] == (await acme.get("/v1/tenant")).json()["book_version"]
    assert await list_members(acme, "good") == {"grace", "linus", "zoe"}
    assert await list_members(acme, "both") == {"linus"}
    await acme.post("/v1/cohorts/frozen/members?change=add", content=b"linus\n", headers={"Content-Type": "text/csv"})
    assert await list_members(acme, "good") == {"grace", "zoe"}
    assert await list_members(acme, "both") == set()


async def test_lists_that_change_at_once_leave_what_follows_from_them_right(acme: AsyncClient) -> None:
    await combine(acme, "good", any_of=["gold", "vip"], none_of=["frozen"])
    await combine(acme, "other", any_of=["vip", "good"])
    csv = {"Content-Type": "text/csv"}

    async def add(cohort_id: str, number: int) -> int:
        path = f"/v1/cohorts/{cohort_id}/members?change=add"
        return (await acme.post(path, content=f"{cohort_id}-{number}\n", headers=csv)).status_code

    changes = [add(cohort_id, number) for number in range(4) for cohort_id in ("gold", "vip", "frozen")]
    assert set(await asyncio.gather(*changes)) == {200}
    gold, vip, frozen = [await list_members(acme, name) for name in ("gold", "vip", "frozen")]
    good = (gold | vip) - frozen
    assert await list_members(acme, "good") == good
    assert await list_members(acme, "other") == vip | good


async def test_one_that_follows_from_a_cohort_without_a_list_has_none_either(acme: AsyncClient) -> None:
    await acme.post("/v1/cohorts", json={"cohort_id": "new", "name": "New"})
    made = await combine(acme, "later", all_of=["gold"], none_of=["new"])
    assert (made.status_code, made.json()["version"], made.json()["built_at"]) == (201, 0, None)
    await put_list(acme, "gold", "ada")
    assert (await acme.get("/v1/cohorts/later")).json()["version"] == 0
    await put_list(acme, "new", "zoe")
    assert (await acme.get("/v1/cohorts/later")).json()["version"] == 1
    assert await list_members(acme, "later") == {"ada"}


async def test_a_combination_is_changed_and_what_follows_from_it_too(acme: AsyncClient, plane: Plane) -> None:
    await combine(acme, "good", any_of=["gold"])
    await combine(acme, "better", any_of=["good"])
    changed = await acme.put("/v1/cohorts/good/combination", json={"all_of": ["gold", "vip"]}, headers=ANY)
    assert (changed.status_code, changed.json()["size"], changed.json()["version"]) == (200, 1, 2), changed.text
    assert await list_members(acme, "better") == {"grace"}
    assert (await acme.put("/v1/cohorts/good/combination", json={"all_of": ["vip"]})).status_code == 428
    assert (await acme.put("/v1/cohorts/gold/combination", json={"all_of": ["vip"]}, headers=ANY)).status_code == 409
    circle = await acme.put("/v1/cohorts/good/combination", json={"all_of": ["better"]}, headers=ANY)
    assert (circle.status_code, "circle" in circle.json()["detail"]) == (422, True)


async def test_what_can_not_be_combined_is_refused_with_its_place(acme: AsyncClient) -> None:
    for combination, at in (
        ({"none_of": ["gold"]}, "/combination"),
        ({"any_of": ["gold", "gone"]}, "/combination/any_of/1"),
        ({"any_of": ["gold"], "but_not": ["vip"]}, "/combination/but_not"),
    ):
        refused = await combine(acme, "x", **combination)
        assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, at), refused.text
    assert (await acme.get("/v1/cohorts/x")).status_code == 404


async def test_a_cohort_that_others_follow_from_stays_and_has_its_own_list_alone(acme: AsyncClient) -> None:
    await combine(acme, "good", any_of=["gold"])
    refused = await acme.delete("/v1/cohorts/gold", headers=ANY)
    assert (refused.status_code, "follow from gold: good" in refused.json()["detail"]) == (409, True)
    refused = await acme.put("/v1/cohorts/good/members", content=b"eve\n", headers=CSV)
    assert (refused.status_code, "follows from others" in refused.json()["detail"]) == (409, True)
    assert await list_members(acme, "good") == {"ada", "grace"}
    assert (await acme.delete("/v1/cohorts/good", headers=ANY)).status_code == 204
    assert (await acme.delete("/v1/cohorts/gold", headers=ANY)).status_code == 204
