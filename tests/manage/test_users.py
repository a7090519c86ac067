"""Users: typed attributes, single and in bulk."""

import pytest
from httpx import AsyncClient

from fillip.manage.store import keyset

ANY = {"If-Match": "*"}


async def test_a_user_is_created_read_replaced_merged_and_deleted(acme: AsyncClient) -> None:
    created = await acme.put("/v1/users/ada", json={"attributes": {"tier": "gold", "age": 41}})
    assert created.status_code == 201
    assert created.headers["ETag"] == '"1"'

    merged = await acme.patch("/v1/users/ada", json={"attributes": {"tier": None, "age": 42}}, headers=ANY)
    assert merged.json()["attributes"] == {"age": 42}

    replaced = await acme.put("/v1/users/ada", json={"attributes": {"tier": "new"}}, headers={"If-Match": '"2"'})
    assert (replaced.status_code, replaced.json()["revision"]) == (200, 3)
    assert (await acme.get("/v1/users/ada")).json() == replaced.json()

    assert (await acme.delete("/v1/users/ada", headers=ANY)).status_code == 204
    assert (await acme.get("/v1/users/ada")).status_code == 404


async def test_a_change_names_the_revision_it_was_made_from(acme: AsyncClient) -> None:
    await acme.put("/v1/users/ada", json={"attributes": {}})
    without = await acme.put("/v1/users/ada", json={"attributes": {}})
    stale = await acme.put("/v1/users/ada", json={"attributes": {}}, headers={"If-Match": '"7", W/"1"'})
    assert (without.status_code, stale.status_code) == (428, 412)
    assert stale.json()["type"] == "https://fillip.dev/problems/stale"


async def test_attributes_must_fit_the_schema(acme: AsyncClient) -> None:
    answer = await acme.put("/v1/users/ada", json={"attributes": {"tier": "much too long", "age": "41"}})
    assert answer.status_code == 422
    assert {error["at"] for error in answer.json()["errors"]} == {"/attributes/tier", "/attributes/age"}
    beyond = await acme.put("/v1/users/ada", json={"attributes": {"age": 2**63}})
    assert beyond.json()["errors"][0]["at"] == "/attributes/age"
    await acme.put("/v1/users/ada", json={"attributes": {"age": 1}})
    merged = await acme.patch("/v1/users/ada", json={"attributes": {"age": 1.5}}, headers=ANY)
    assert merged.status_code == 422
    assert (await acme.get("/v1/users/ada")).json()["attributes"] == {"age": 1}


async def test_bulk_says_which_items_failed_and_stores_the_others(acme: AsyncClient) -> None:
    await acme.put("/v1/users/old", json={"attributes": {"age": 1}})
    users = [
        {"user_id": "old", "attributes": {"age": 2}},
        {"user_id": "bad", "attributes": {"age": "x"}},
        {"user_id": "new/1", "attributes": {}},
        {"user_id": "old", "attributes": {"age": 3}},
    ]
    answer = (await acme.post("/v1/users:bulk", json={"users": users})).json()
    assert [result["status"] for result in answer["results"]] == ["replaced", "failed", "created", "failed"]
    assert answer["results"][1]["errors"][0]["at"] == "/users/1/attributes/age"
    assert (answer["stored"], answer["failed"]) == (2, 2)
    assert (await acme.get("/v1/users/old")).json()["attributes"] == {"age": 2}
    assert (await acme.get("/v1/users/bad")).status_code == 404
    found = (await acme.get("/v1/users", params={"user_id": "new/1"})).json()["items"]
    assert [user["user_id"] for user in found] == ["new/1"]


async def test_bulk_is_bounded(acme: AsyncClient) -> None:
    many = [{"user_id": str(n), "attributes": {}} for n in range(1001)]
    assert (await acme.post("/v1/users:bulk", json={"users": many})).status_code == 422
    assert (await acme.post("/v1/users:bulk", json={"users": many[:1000]})).json()["stored"] == 1000


async def test_users_are_found_by_their_attributes_page_by_page(
    acme: AsyncClient, rival: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given users of whom every third is gold, and pages that look at four users each."""
    monkeypatch.setattr(keyset, "MAX_SIFTED", 4)
    for n in range(9):
        attributes = {"age": 30 + n} | ({"tier": "gold"} if n % 3 == 0 else {})
        await acme.put(f"/v1/users/u{n}", json={"attributes": attributes})
    await rival.put("/v1/users/u9", json={"attributes": {"tier": "gold"}})

    async def find(**asked: str) -> list[str]:
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = await acme.get("/v1/users", params=asked | ({"cursor": cursor} if cursor else {}))
            assert answer.status_code == 200, answer.text
            found += [user["user_id"] for user in answer.json()["items"]]
            cursor = answer.json()["next_cursor"]
        return found

    assert await find(attributes='{"tier": "gold"}') == ["u0", "u3", "u6"]
    assert await find(attributes='{"tier": "gold", "age": 33}') == ["u3"]
    assert await find(attributes='{"tier": "gold"}', prefix="u6") == ["u6"]
    assert await find(attributes='{"age": 1}') == []


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("gold", "is not a JSON object"),
        ("[1]", "must be a JSON object"),
        ("{}", "must be a JSON object"),
        ('{"tier": "gold", "tier": "gold"}', "stands twice"),
        ('{"tier": "\\u0000"}', "NUL"),
        ('{"tier": 5}', "string"),
    ],
)
async def test_attributes_that_no_user_can_have_are_refused(acme: AsyncClient, attributes: str, message: str) -> None:
    answer = await acme.get("/v1/users", params={"attributes": attributes})
    assert answer.status_code == 422 and message in answer.text, answer.text
    assert answer.json()["errors"][0]["at"].startswith("attributes")
