"""Named lists: replaced whole, of one kind, kept while a rule reads them, and remembered."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy import text

from fillip.core.named_list import MAX_ITEM_CHARS, MAX_LIST_ITEMS
from tests.manage.conftest import Plane
from tests.manage.ledger_rows import put_decision, put_event
from tests.manage.shop import ANY, CASHBACK, PURCHASE, QUEST, cap, draft, fill_list, launch, open_shop

LISTED = CASHBACK | {"rule": "event.store in lists.stores"}
BUY = {"user_id": "ada", "action": "PURCHASE", "attributes": {"amount_cents": 1, "store": "north"}}


async def test_a_list_is_made_read_replaced_and_deleted(acme: AsyncClient, plane: Plane) -> None:
    body = {"name": "Stores", "items": ["south", "north", "south"]}
    made = await acme.put("/v1/lists/stores", json=body)
    assert (made.status_code, made.headers["ETag"], made.json()["size"]) == (201, '"1"', 2), (
        "one given twice counts once"
    )
    assert "items" not in made.json()
    whole = (await acme.get("/v1/lists/stores")).json()
    assert (whole["items"], whole["kind"], whole["name"]) == (["north", "south"], "string", "Stores")
    assert (await acme.put("/v1/lists/stores", json=body)).status_code == 428
    changed = await acme.put("/v1/lists/stores", json=body | {"items": []}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.json()["size"], changed.json()["kind"]) == (200, 0, "string")
    assert changed.json()["version"] == whole["version"] + 1
    (shown,) = (await acme.get("/v1/lists")).json()["items"]
    assert shown == changed.json()
    assert (await acme.delete("/v1/lists/stores", headers={"If-Match": '"1"'})).status_code == 412
    assert (await acme.delete("/v1/lists/stores", headers=ANY)).status_code == 204
    assert (await acme.get("/v1/lists/stores")).status_code == 404
    async with plane.owner.connect() as connection:
        query = text("SELECT document FROM book_change WHERE kind = 'list' ORDER BY book_version")
        documents = (await connection.execute(query)).scalars().all()
    assert [document.get("size") for document in documents] == [2, 0, None]
    assert "south" not in str(documents), "what is announced does not carry the items"


@pytest.mark.parametrize(
    ("items", "at"),
    [
        ([], "/items"),
        (["a", 1], "/items/1"),
        ([1, "a"], "/items/1"),
        ([1, True], "/items/1"),
        ([1, 2**63], "/items/1"),
        ([True], "/items/0"),
        ([1.5, 7, "a"], "/items/0"),
        ([1.5], "/items/0"),
        ([None], "/items/0"),
        ([[]], "/items/0"),
        ([2**63], "/items/0"),
        (["a", ""], "/items/1"),
        (["a" * (MAX_ITEM_CHARS + 1)], "/items/0"),
        ([*range(MAX_LIST_ITEMS + 1)], "/items"),
        ("a", "/items"),
    ],
)
async def test_items_that_no_list_may_hold_are_named(acme: AsyncClient, items: Any, at: str) -> None:
    answer = await acme.put("/v1/lists/stores", json={"name": "S", "items": items})
    assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, at), answer.text
    assert (await acme.get("/v1/lists/stores")).status_code == 404


@pytest.mark.parametrize("item", [1.0, True, 2**63, None, [], {}])
async def test_an_item_of_no_kind_is_told_both_kinds(acme: AsyncClient, item: object) -> None:
    answer = await acme.put("/v1/lists/stores", json={"name": "S", "items": [item, "a", 1]})
    said = {"at": "/items/0", "message": "must be a string or a whole number of 64 bits"}
    assert answer.json()["errors"][0] == said


async def test_the_longest_list_is_taken_and_its_items_come_in_order(acme: AsyncClient) -> None:
    items = [-(2**63), *range(10, MAX_LIST_ITEMS + 8), 2**63 - 1]
    assert (await fill_list(acme, "numbers", *reversed(items)))["size"] == MAX_LIST_ITEMS
    assert (await acme.get("/v1/lists/numbers")).json()["items"] == items


@pytest.mark.parametrize("list_id", ["in", "true", "Stores", "1st", "a-b", "a.b", "x" * 64])
async def test_an_id_must_be_one_that_a_rule_can_name(acme: AsyncClient, list_id: str) -> None:
    answer = await acme.put(f"/v1/lists/{list_id}", json={"name": "S", "items": ["a"]})
    assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, "list_id")


async def test_a_rule_may_name_only_lists_that_there_are(acme: AsyncClient) -> None:
    await open_shop(acme)
    refused = await acme.post("/v1/campaigns", json={"campaign_id": "c", "definition": LISTED})
    (fault,) = refused.json()["errors"]
    assert fault["at"] == "/definition/rule"
    assert fault["message"].startswith("line 1, column 21: there is no list 'stores': make it first")
    await fill_list(acme, "stores", 1)
    refused = await acme.post("/v1/campaigns", json={"campaign_id": "c", "definition": LISTED})
    assert "'in' applied to" in refused.json()["errors"][0]["message"], "a store is a string, the list has ints"
    await fill_list(acme, "stores", "north")
    made = await draft(acme, "c", LISTED)
    assert made["lookups"] == [
        {"path": "rule", "action": "PURCHASE", "indexed": True, "by": ["event.store"], "why": None}
    ]


async def test_a_list_that_is_read_is_neither_deleted_nor_given_items_of_another_kind(acme: AsyncClient) -> None:
    await open_shop(acme)
    await fill_list(acme, "stores", "north")
    await draft(acme, "drafted", LISTED)
    formula = {"kind": "points", "formula": {"of": "event.store in lists.stores ? 2 : 1"}}
    await launch(acme, "rewarding", CASHBACK | {"rewards": [formula]})
    step = {"name": "visit", "action": "PURCHASE", "rule": "event.store in lists.stores"}
    await launch(acme, "quest", QUEST | {"quest": {"steps": [step]}})
    await launch(acme, "other", CASHBACK)
    limit = {"scope": "tenant", "measure": "count", "span": "day", "cap": 9, "action": "PURCHASE"}
    await cap(acme, "split", **limit, key="event.store in lists.stores ? 'ours' : 'theirs'")
    for request in (
        acme.put("/v1/lists/stores", json={"name": "S", "items": [1]}, headers=ANY),
        acme.delete("/v1/lists/stores", headers=ANY),
    ):
        refused = await request
        assert refused.status_code == 409
        wanted = "read by campaign drafted, campaign quest, campaign rewarding, limit split"
        assert wanted in refused.json()["detail"]
    await fill_list(acme, "stores")  # what is read may be emptied
    for campaign_id in ("quest", "rewarding"):
        await acme.post(f"/v1/campaigns/{campaign_id}/end", headers=ANY)
    for campaign_id in ("drafted", "quest", "rewarding"):
        moved = await acme.post(f"/v1/campaigns/{campaign_id}/archive", headers=ANY)
        assert moved.status_code == 200, moved.text
    assert (await acme.delete("/v1/limits/split", headers=ANY)).status_code == 204
    assert (await acme.delete("/v1/lists/stores", headers=ANY)).status_code == 204


async def test_a_schema_change_keeps_rules_that_read_lists(acme: AsyncClient) -> None:
    await open_shop(acme)
    await fill_list(acme, "stores", "north")
    await launch(acme, "c", LISTED)
    change = {"schema": PURCHASE | {"required": ["amount_cents", "store"]}, "compatibility": "none"}
    assert (await acme.put("/v1/actions/PURCHASE", json=change, headers=ANY)).status_code == 200
    assert (await acme.get("/v1/campaigns/c")).json()["version"] == 2, "compiled anew: store is never absent now"
    assert (await acme.delete("/v1/lists/stores", headers=ANY)).status_code == 409


async def test_a_decision_is_explained_by_the_list_of_then(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    version = (await fill_list(acme, "stores", "north", "south"))["version"]
    await launch(acme, "c", LISTED | {"rewards": [{"kind": "points", "formula": {"of": "size(lists.stores)"}}]})
    put_event(database, "e1", {"amount_cents": 1, "store": "north"})
    decision_id = put_decision(database, "e1")
    newest = (await fill_list(acme, "stores", "west"))["version"]

    then = (await acme.get(f"/v1/decisions/{decision_id}/explain")).json()
    checks = {check["check"]: check for check in then["checks"]}
    assert checks["rule"]["passed"]
    reads = {"event.store": "north", "lists.stores": {"version": version, "size": 2}}
    assert checks["rule"]["rules"][0]["leaves"][0]["reads"] == reads
    assert (checks["reward"]["rewards"][0]["amount"], checks["reward"]["rewards"][0]["reads"]) == (
        2,
        {"lists.stores": {"version": version, "size": 2}},
    )

    now = (await acme.post("/v1/campaigns/c/explain", json={"event_id": "e1"})).json()
    assert now["outcome"] == "no_match"
    said = f'wanted event.store in lists.stores (event.store = "north", lists.stores = version {newest} with 1 items)'
    assert said in now["summary"]


async def test_a_trial_weighs_keys_and_rivals_that_read_lists(acme: AsyncClient) -> None:
    await open_shop(acme)
    await fill_list(acme, "stores", "north")
    await launch(acme, "c", CASHBACK | {"rule": "true", "stackable": False})
    await launch(acme, "first", LISTED | {"priority": 9})
    limit = {"scope": "tenant", "measure": "count", "span": "day", "cap": 9, "action": "PURCHASE"}
    await cap(acme, "split", **limit, key="event.store in lists.stores ? 'ours' : 'theirs'")
    found = (await acme.post("/v1/campaigns/c/explain", json=BUY)).json()
    assert (found["reason"], found["checks"][-1]["limits"][0]["key"]) == ("outranked", "ours")
    elsewhere = BUY | {"attributes": {"amount_cents": 1, "store": "far"}}
    found = (await acme.post("/v1/campaigns/c/explain", json=elsewhere)).json()
    assert (found["outcome"], found["checks"][-1]["limits"][0]["key"]) == ("granted", "theirs")
