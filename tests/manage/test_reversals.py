"""Asking for a reversal: what goes into the log, what is refused before it does, and what is told of it later."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest
from msgspec import json

from fillip.embedded.addresses import Addresses
from fillip.stream.kafka import read_last
from tests.manage.conftest import Plane
from tests.manage.event_log import open_event_log
from tests.manage.ledger_rows import SOURCE, put_decision, put_event, put_reversal
from tests.manage.shop import PURCHASE, open_shop

E1 = {"event_id": "e1", "event_source": SOURCE}


@pytest.fixture
async def topic(plane: Plane, servers: Addresses) -> AsyncIterator[str]:
    """The topic that the control plane's reversals go to."""
    async with open_event_log(plane.dsn, servers.kafka_bootstrap) as (log, topic):
        plane.app.state.app_state = replace(plane.app.state.app_state, event_log=log)
        yield topic


async def read_sent(servers: Addresses, topic: str) -> dict[str, Any]:
    [record] = (await read_last(servers.kafka_bootstrap, [topic])).values()
    assert record is not None
    return {"key": record.key, **json.decode(record.value or b"")}


async def test_a_reversal_of_a_known_event_goes_into_the_log_behind_its_users_events(
    acme: httpx.AsyncClient, plane: Plane, servers: Addresses, topic: str
) -> None:
    await open_shop(acme)
    put_event(plane.dsn, "e1", {"amount_cents": 6000})
    part = {"reversal_id": "r1", "event_id": "e1", "amount": 500, "of": 2000, "reason": "returned"}
    answer = await acme.post("/v1/reversals", json=part)
    assert (answer.status_code, answer.json()) == (202, {"reversal_id": "r1"} | E1 | {"user_id": "ada"})
    sent = await read_sent(servers, topic)
    assert (sent["key"], sent["id"], sent["type"], sent["subject"]) == (b"acme:ada", "r1", "fillip.reversal", "ada")
    assert sent["data"] == E1 | {"amount": 500, "lines": [], "of": 2000, "reason": "returned"}, (
        "the log names the source"
    )
    assert (await acme.get("/v1/reversals/r1")).status_code == 404  # no worker runs here


async def test_what_a_part_leaves_is_an_event_of_the_original_s_action_and_goes_into_the_log_as_it_is(
    acme: httpx.AsyncClient, plane: Plane, servers: Addresses, topic: str
) -> None:
    await open_shop(acme)
    put_event(plane.dsn, "e1", {"amount_cents": 6000})
    part = {"reversal_id": "r1", "event_id": "e1", "amount": 500, "of": 2000}
    for after, at in (
        ({"amount_cents": "little"}, "/after/amount_cents"),
        ({"amount_cents": None}, "/after/amount_cents"),
    ):
        refused = await acme.post("/v1/reversals", json=part | {"after": after})
        assert (refused.status_code, [fault["at"] for fault in refused.json()["errors"]]) == (422, [at])
    whole = await acme.post("/v1/reversals", json={"reversal_id": "r1", "event_id": "e1", "after": {"amount_cents": 1}})
    assert (whole.status_code, whole.json()["errors"][0]["at"]) == (422, "/after")
    left = {"amount_cents": 4500, "note": None}
    assert (await acme.post("/v1/reversals", json=part | {"after": left})).status_code == 202
    assert (await read_sent(servers, topic))["data"]["after"] == left


async def test_of_an_unknown_event_the_source_and_the_user_are_needed(
    acme: httpx.AsyncClient, plane: Plane, topic: str
) -> None:
    part, source = {"reversal_id": "r1", "event_id": "e9"}, {"event_source": SOURCE}
    for given, missing in (
        ({}, ["/event_source", "/user_id"]),
        (source, ["/user_id"]),
        ({"user_id": "ada"}, ["/event_source"]),
    ):
        refused = await acme.post("/v1/reversals", json=part | given)
        assert (refused.status_code, [fault["at"] for fault in refused.json()["errors"]]) == (422, missing)
    assert (await acme.post("/v1/reversals", json=part | source | {"user_id": "ada"})).json()["user_id"] == "ada"
    put_event(plane.dsn, "e9", {})
    refused = await acme.post("/v1/reversals", json=part | {"user_id": "bob"})
    assert (refused.status_code, refused.json()["detail"]) == (422, "the original is another user's")


async def test_of_two_events_of_one_id_the_source_says_which(
    acme: httpx.AsyncClient, plane: Plane, servers: Addresses, topic: str
) -> None:
    await open_shop(acme)
    put_event(plane.dsn, "1", {"amount_cents": 6000})
    put_event(plane.dsn, "1", {"amount_cents": 7000}, "bob", source="/other")
    refused = await acme.post("/v1/reversals", json={"reversal_id": "r1", "event_id": "1"})
    assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "/event_source")
    assert "'/other', '/till'" in refused.json()["detail"]
    answer = await acme.post("/v1/reversals", json={"reversal_id": "r1", "event_id": "1", "event_source": "/other"})
    assert answer.json() == {"reversal_id": "r1", "event_id": "1", "event_source": "/other", "user_id": "bob"}
    sent = await read_sent(servers, topic)
    assert (sent["subject"], sent["data"]["event_source"]) == ("bob", "/other")


async def test_the_same_reversal_with_another_body_is_refused_at_the_door(
    acme: httpx.AsyncClient, plane: Plane, topic: str
) -> None:
    put_event(plane.dsn, "e1", {})
    first = {"reversal_id": "r1", "event_id": "e1", "amount": 500, "of": 2000}
    for known_by_now in (False, True):
        if known_by_now:  # a worker has taken it
            put_reversal(plane.dsn, "r1", "e1", amount=500, of=2000)
        assert (await acme.post("/v1/reversals", json=first)).status_code == 202
        for other in ({"amount": 600}, {"reason": "broken"}):
            refused = await acme.post("/v1/reversals", json=first | other)
            assert (refused.status_code, refused.json()["errors"][0]["at"]) == (409, "/reversal_id")
    put_event(plane.dsn, "e1", {}, source="/other")
    again = await acme.post("/v1/reversals", json=first)
    assert (again.status_code, again.json()["event_source"]) == (202, SOURCE), "what is known needs no source"
    refused = await acme.post("/v1/reversals", json=first | {"event_source": "/other"})
    assert refused.status_code == 409


async def test_reversals_of_one_id_from_two_sources_are_told_apart(acme: httpx.AsyncClient, plane: Plane) -> None:
    put_reversal(plane.dsn, "r1", "e1")
    put_reversal(plane.dsn, "r1", "e2", source="/desk")
    refused = await acme.get("/v1/reversals/r1")
    assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "reversal_source")
    for source, event_id in (("fillip", "e1"), ("/desk", "e2")):
        found = (await acme.get("/v1/reversals/r1", params={"reversal_source": source})).json()
        assert (found["event_id"], found["reversal_source"]) == (event_id, source)
    assert (await acme.get("/v1/reversals/r1", params={"reversal_source": "/nobody"})).status_code == 404


@pytest.mark.parametrize(
    ("part", "at"),
    [
        ({"amount": 5}, "/of"),
        ({"of": 5}, "/of"),
        ({"amount": 6, "of": 5}, "/of"),
        ({"amount": 0, "of": 5}, "/amount"),
        ({"amount": 1, "lines": [{"line": "a", "amount": 1}], "of": 5}, "/lines"),
        ({"lines": [{"line": "a", "amount": 1}, {"line": "a", "amount": 1}], "of": 5}, "/lines"),
        ({"lines": [{"line": "a", "amount": 3}, {"line": "b", "amount": 3}], "of": 5}, "/of"),
        ({"lines": []}, "/lines"),
        ({"share": 0.5}, "/share"),
    ],
)
async def test_parts_that_make_no_sense_are_refused_where_they_stand(
    acme: httpx.AsyncClient, part: dict[str, Any], at: str
) -> None:
    given = {"reversal_id": "r1", "user_id": "ada"} | E1 | part
    answer = await acme.post("/v1/reversals", json=given)
    assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, at)


async def test_reversals_are_listed_by_state_and_event_and_shown_with_the_decision(
    acme: httpx.AsyncClient, plane: Plane
) -> None:
    put_event(plane.dsn, "e1", {})
    decision_id = put_decision(plane.dsn, "e1")
    put_reversal(plane.dsn, "r1", "e1")
    put_reversal(plane.dsn, "r2", "e2", state="waiting")
    assert (await acme.get("/v1/reversals/r1")).json()["state"] == "applied"
    queries = {"state=waiting": ["r2"], "event_id=e1": ["r1"], "user_id=ada": ["r2", "r1"]}
    queries |= {"event_id=e1&event_source=/till": ["r1"], "event_id=e1&event_source=/other": []}
    for query, wanted in queries.items():
        items = (await acme.get(f"/v1/reversals?{query}")).json()["items"]
        assert [item["reversal_id"] for item in items] == wanted
    assert (await acme.get(f"/v1/decisions/{decision_id}")).json()["reversals"] == ["r1"]


async def test_a_tenant_cannot_define_an_action_of_fillips_own(acme: httpx.AsyncClient) -> None:
    refused = await acme.put("/v1/actions/fillip.reversal", json={"schema": PURCHASE})
    assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "/name")


async def test_a_row_that_only_waits_for_its_event_is_no_event(acme: httpx.AsyncClient, plane: Plane) -> None:
    await open_shop(acme)
    put_event(plane.dsn, "e1", {})
    with psycopg.connect(plane.dsn) as owner:
        owner.execute("UPDATE event_met SET fingerprint = NULL")
    answer = await acme.post("/v1/reversals", json={"reversal_id": "r1", "event_id": "e1"})
    assert [fault["at"] for fault in answer.json()["errors"]] == ["/event_source", "/user_id"]
