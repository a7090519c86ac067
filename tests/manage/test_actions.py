"""Actions: verbs with a schema; each change is a change of the book."""

from httpx import AsyncClient
from sqlalchemy import text

from tests.manage.conftest import Plane
from tests.manage.shop import draft

SCHEMA = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}


async def test_an_action_is_defined_and_changed(acme: AsyncClient, plane: Plane) -> None:
    made = await acme.put("/v1/actions/PURCHASE", json={"schema": SCHEMA})
    assert (made.status_code, made.json()["schema"]) == (201, SCHEMA)
    wider = SCHEMA | {"required": []}
    assert (await acme.put("/v1/actions/PURCHASE", json={"schema": wider})).status_code == 428
    changed = await acme.put("/v1/actions/PURCHASE", json={"schema": wider}, headers={"If-Match": made.headers["ETag"]})
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    assert (await acme.get("/v1/actions/PURCHASE")).json() == changed.json()
    assert [action["name"] for action in (await acme.get("/v1/actions")).json()["items"]] == ["PURCHASE"]

    async with plane.owner.connect() as connection:
        changes = text("SELECT book_version, document, changed_by FROM book_change WHERE kind = 'action' ORDER BY 1")
        rows = (await connection.execute(changes)).all()
    assert [row.book_version for row in rows] == [2, 3]
    assert rows[1].document == {"name": "PURCHASE", "schema": wider}
    assert rows[0].changed_by is not None


async def test_a_schema_that_refuses_what_is_valid_today_needs_a_word(acme: AsyncClient) -> None:
    await acme.put("/v1/actions/PURCHASE", json={"schema": SCHEMA})
    properties = {"amount": {"type": "integer", "minimum": 1}, "shop": {"type": "string"}}
    narrow = {"type": "object", "properties": properties, "required": ["amount", "shop"]}
    refused = await acme.put("/v1/actions/PURCHASE", json={"schema": narrow}, headers={"If-Match": "*"})
    assert refused.status_code == 409
    assert [fault["at"] for fault in refused.json()["errors"]] == [
        "/schema/required",
        "/schema/properties/amount/minimum",
    ]
    meant = {"schema": narrow, "compatibility": "none"}
    assert (await acme.put("/v1/actions/PURCHASE", json=meant, headers={"If-Match": "*"})).status_code == 200


async def test_a_schema_that_cannot_type_rules_is_refused(acme: AsyncClient) -> None:
    answer = await acme.put("/v1/actions/X", json={"schema": {"type": "object", "properties": {"a": {"type": "any"}}}})
    assert answer.status_code == 422
    assert answer.json()["type"].endswith("/schema-unusable")
    assert answer.json()["errors"][0]["at"] == "/properties/a"
    assert (await acme.get("/v1/actions/X")).status_code == 404


async def test_a_schema_that_would_break_a_running_campaign_is_refused(acme: AsyncClient) -> None:
    await acme.put("/v1/actions/PURCHASE", json={"schema": SCHEMA})
    campaign = {
        "kind": "SIMPLE",
        "name": "C",
        "action": "PURCHASE",
        "rule": "event.amount > 3",
        "rewards": [{"kind": "badge"}],
    }
    made = await acme.post("/v1/campaigns", json={"campaign_id": "big", "definition": campaign})
    assert made.status_code == 201, made.text
    launched = await acme.post("/v1/campaigns/big/launch", headers={"If-Match": "*"})
    assert launched.status_code == 200, launched.text
    text_now = {"type": "object", "properties": {"amount": {"type": "string"}}}
    answer = await acme.put("/v1/actions/PURCHASE", json={"schema": text_now}, headers={"If-Match": "*"})
    assert (answer.status_code, "big" in answer.json()["detail"]) == (409, True)
    assert (await acme.get("/v1/actions/PURCHASE")).json()["schema"] == SCHEMA


async def test_the_time_of_events_stays_what_it_is(acme: AsyncClient) -> None:
    timed = {"type": "object", "properties": {"time": {"type": "string", "format": "date-time"}}}
    for name, before, after in (("PURCHASE", SCHEMA, timed), ("VISIT", timed, SCHEMA)):
        await acme.put(f"/v1/actions/{name}", json={"schema": before})
        changed = {"schema": after, "compatibility": "none"}
        answer = await acme.put(f"/v1/actions/{name}", json=changed, headers={"If-Match": "*"})
        assert (answer.status_code, answer.json()["errors"][0]["at"]) == (409, "/schema/properties/time")
        assert "`event.time` reads" in answer.json()["detail"]
        assert (await acme.get(f"/v1/actions/{name}")).json()["schema"] == before


async def test_an_action_goes_once_nothing_names_it_and_never_one_that_was_decided_by(acme: AsyncClient) -> None:
    """Given actions named by an archived campaign, by the step and the start of quests, by a limit's key, by a cohort, and by nothing."""
    any_ = {"If-Match": "*"}
    uses = ("ARCHIVED", "STEP", "START", "KEYED", "COUNTED", "EARLIER", "UNUSED")
    for name in uses:
        await acme.put(f"/v1/actions/{name}", json={"schema": SCHEMA})
    simple = {"kind": "SIMPLE", "name": "C", "rule": "event.amount > 3", "rewards": [{"kind": "points", "value": 1}]}
    await draft(acme, "once", simple | {"action": "EARLIER"})
    changed = await acme.put("/v1/campaigns/once", json=simple | {"action": "ARCHIVED"}, headers=any_)
    assert changed.status_code == 200, changed.text
    for order in ("launch", "end", "archive"):
        moved = await acme.post(f"/v1/campaigns/once/{order}", headers=any_)
        assert moved.status_code == 200, moved.text
    quest = {
        "steps": [{"name": "visit", "action": "STEP", "count": 3}],
        "window_s": 604_800,
        "start": {"at": "event", "action": "START"},
    }
    await draft(acme, "quest", {"kind": "QUEST", "name": "Q", "quest": quest, "rewards": simple["rewards"]})
    limit = {"limit_id": "l", "scope": "tenant", "measure": "count", "span": "day", "cap": 1}
    keyed = limit | {"action": "KEYED", "key": "string(event.amount)"}
    assert (await acme.post("/v1/limits", json=keyed)).status_code == 201
    await acme.post("/v1/cohorts", json={"cohort_id": "often", "name": "Often"})
    counted = await acme.put("/v1/cohorts/often/rule", json={"action": "COUNTED", "window_s": 86_400}, headers=any_)
    assert counted.status_code == 200, counted.text

    told = {}
    for name in uses:
        assert (await acme.delete(f"/v1/actions/{name}")).status_code == 428
        gone = await acme.delete(f"/v1/actions/{name}", headers=any_)
        told[name] = (
            gone.json()["detail"].partition(" is named by ")[2].partition(":")[0] if gone.content else gone.status_code
        )
    assert told == {
        "ARCHIVED": "campaign once",
        "STEP": "campaign quest",
        "START": "campaign quest",
        "KEYED": "limit l",
        "COUNTED": "cohort often",
        "EARLIER": 204,
        "UNUSED": 204,
    }
    assert (await acme.get("/v1/actions/UNUSED")).status_code == 404
    assert (await acme.put("/v1/actions/UNUSED", json={"schema": {"type": "object"}})).status_code == 201
