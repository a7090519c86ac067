"""POST /v1/events on a real broker: 202 only for what is in the log, and all or nothing."""

import json
import uuid
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette

from fillip.core.book.book import Book, Unbuilt
from fillip.core.errors import Retry
from fillip.core.event import Event
from fillip.core.ports import Caller
from fillip.core.quota import Quotas
from fillip.embedded.addresses import Addresses
from fillip.ingest import Ingest
from fillip.ingest.http import EventsDoor
from fillip.ingest.refused import LOST, WAITING_OF_TENANT, DoorRefusals
from fillip.ingest.seen_events import SeenEvents
from fillip.limit.rates_valkey import ValkeyRates
from fillip.limit.refused_valkey import ValkeyRefusedEvents
from fillip.stream.belt import Record
from fillip.stream.kafka import KafkaProducer, Tail, ensure_topics, read_last
from fillip.stream.topics import Topics
from tests.ingest.world import Books, make_book, make_event

URL = "/v1/events"
NOBODY_WAITS: Any = None
SLOW = f"slow-{uuid.uuid4().hex}"


class Keys:
    """Keys by name: `good`, `other` (of another tenant), `slow` (one event a second), `reader` (may not send); `away` cannot be told."""

    async def authenticate(self, key: str) -> Caller | None:
        if key == "away":
            raise Retry("PostgreSQL does not answer")
        callers = {
            "good": ("acme", "events:write"),
            "other": ("other", "events:write"),
            "reader": ("acme", "manage:read"),
            "slow": (SLOW, "events:write"),
        }
        if key not in callers:
            return None
        tenant_id, scope = callers[key]
        quotas = Quotas(events_per_s=1) if key == "slow" else Quotas()
        return Caller(uuid.uuid4(), tenant_id, frozenset({scope}), quotas)


@dataclass
class Door:
    """The door with its log."""

    bootstrap: str
    topic: str
    client: httpx.AsyncClient
    headers: dict[str, str] = field(default_factory=lambda: {"authorization": "Bearer good"})

    async def send(self, body: Any, query: str = "", **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = (
            {"content-type": "application/json"} | self.headers | {k.replace("_", "-"): v for k, v in headers.items()}
        )
        return await self.client.post(URL + query, content=content, headers=given)

    async def count(self) -> int:
        last = await read_last(self.bootstrap, [self.topic])
        return sum(record.offset + 1 for record in last.values() if record)


@asynccontextmanager
async def open_door(
    bootstrap: str, topic: str, producer: KafkaProducer, books: Books, valkey_url: str = "redis://127.0.0.1:1/0"
) -> AsyncIterator[Door]:
    books.books[SLOW] = make_book(SLOW)
    # not by Fillip's own client, which gives up after 50 ms
    async with Redis.from_url(valkey_url) as valkey:
        refusals = DoorRefusals(ValkeyRefusedEvents(valkey))
        route = EventsDoor(
            Keys(), ValkeyRates(valkey), books, producer, topic, waits=NOBODY_WAITS, refusals=refusals
        ).route
        app = Starlette(routes=[route])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://door") as client:
            yield Door(bootstrap, topic, client)


@pytest.fixture
async def door(servers: Addresses) -> AsyncIterator[Door]:
    topics = Topics(f"{uuid.uuid4().hex[:8]}.")
    await ensure_topics(servers.kafka_bootstrap, topics, 2)
    producer = KafkaProducer(servers.kafka_bootstrap)
    async with open_door(servers.kafka_bootstrap, topics.received, producer, Books(), servers.valkey_url) as made:
        yield made
    await producer.close()


def fresh(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return make_event(**({"id": uuid.uuid4().hex, "time": now, "tenantid": None} | changes))


def assert_problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["type"]) == (status, f"https://fillip.dev/problems/{kind}")
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["instance"] == URL
    assert response.headers["trace-id"] == problem["trace_id"]
    return problem


async def test_what_was_accepted_passes_the_topic_door(door: Door) -> None:
    events = [fresh(subject=f"u{n}") for n in range(150)] + [fresh(tenantid="acme", subject="named")]
    async with Tail(door.bootstrap, [door.topic]) as tail:
        response = await door.send(events, content_type="application/cloudevents-batch+json; charset=utf-8")
        assert (response.status_code, response.json()) == (202, {"accepted": 151})
        assert (await door.send(b"\n " + json.dumps(fresh(subject="one")).encode())).json() == {"accepted": 1}
        records: list[Record] = []
        while len(records) < 152:
            records += await anext(tail)
    taken = await Ingest(Books())(records)
    events_taken = [event for event in taken if isinstance(event, Event)]
    assert len(events_taken) == len(taken)
    assert {(e.tenant_id, e.user_id) for e in events_taken} == {
        ("acme", u) for u in [f"u{n}" for n in range(150)] + ["named", "one"]
    }
    assert {record.key for record in records} == {f"acme:{event.user_id}".encode() for event in events_taken}


async def test_an_empty_batch_is_accepted(door: Door) -> None:
    assert (await door.send([])).json() == {"accepted": 0}


async def test_one_invalid_event_keeps_all_out_and_is_named(door: Door) -> None:
    bad = fresh(data={"amount": "much"})
    problem = assert_problem(await door.send([fresh(), bad, fresh(type="DANCE"), fresh(id="")]), 422, "invalid-events")
    assert [error["at"] for error in problem["errors"]] == ["/1/data/amount", "/2/type", "/3/id"]
    assert "schema_violation" in problem["errors"][0]["message"]
    alone = assert_problem(await door.send(bad), 422, "invalid-events")
    assert [error["at"] for error in alone["errors"]] == ["/data/amount"]
    assert await door.count() == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"amount": 1, "x": "a\0"}},
        {"time": (datetime.now(UTC) + timedelta(hours=1)).isoformat()},
        {"time": "yesterday"},
        {"specversion": "0.3"},
    ],
)
async def test_the_rules_of_the_topic_door_hold_here(door: Door, changes: dict[str, Any]) -> None:
    assert_problem(await door.send(fresh(**changes)), 422, "invalid-events")
    assert await door.count() == 0


async def test_a_date_that_was_never_set_is_named(door: Door) -> None:
    unset = fresh(time="0001-01-01T00:00:00Z")
    several = assert_problem(await door.send([unset, fresh()]), 422, "invalid-events")
    assert [error["at"] for error in several["errors"]] == ["/0/time"]
    assert "1970 and 9998" in several["errors"][0]["message"]
    alone = assert_problem(await door.send(unset), 422, "invalid-events")
    assert [error["at"] for error in alone["errors"]] == ["/time"]
    assert await door.count() == 0


async def test_ids_are_bounded_in_bytes(door: Door) -> None:
    long = [fresh(id="é" * 129), fresh(subject="é" * 129), fresh(subject="é" * 128)]
    problem = assert_problem(await door.send(long), 422, "invalid-events")
    assert [error["at"] for error in problem["errors"]] == ["/0/id", "/1/subject"]
    assert "256 bytes" in problem["errors"][0]["message"]


async def test_while_definitions_can_not_be_read_events_are_put_off(door: Door) -> None:
    books = Books()
    books.books["acme"] = Unbuilt("KeyError: 'rewards'")
    nowhere = KafkaProducer("127.0.0.1:9", give_up_after_s=0.3)
    async with open_door("", "t", nowhere, books) as dark:
        assert "definitions" in assert_problem(await dark.send(fresh()), 503, "unavailable")["detail"]
    await nowhere.close()


async def test_an_event_must_fit_with_its_tenant_written_into_it(door: Door) -> None:
    now = "2026-01-31T09:30:00Z"
    room = 65_536 - len(json.dumps(fresh(time=now, data={"amount": 1, "x": ""})))
    full = fresh(time=now, data={"amount": 1, "x": "y" * room})
    assert "too_large" in assert_problem(await door.send(full), 422, "invalid-events")["errors"][0]["message"]
    assert (await door.send(fresh(time=now, data={"amount": 1, "x": "y" * (room - 18)}))).status_code == 202


async def test_bodies_that_are_no_events(door: Door) -> None:
    assert_problem(await door.send(b"{"), 400, "malformed")
    assert_problem(await door.send(b"\xff\xfe"), 400, "malformed")
    assert_problem(await door.send(b""), 400, "malformed")
    assert_problem(await door.send(b"[" * 100_000), 400, "malformed")
    assert_problem(await door.send(b"7"), 422, "invalid-events")
    assert_problem(await door.send(b" " * (1024 * 1024 + 1)), 413, "too-large")
    assert_problem(await door.send([{}] * 1001), 413, "too-large")
    assert_problem(await door.send(fresh(), content_type="text/plain"), 415, "unsupported-media-type")
    assert (await door.client.get(URL)).status_code == 405
    assert await door.count() == 0


async def test_what_nobody_reads_and_what_is_said_twice_is_refused_at_its_place(door: Door) -> None:
    headers = door.headers | {"content-type": "application/json"}
    asked = await door.client.post(f"{URL}?user=ada", json=fresh(), headers=headers)
    assert [fault["at"] for fault in assert_problem(asked, 422, "invalid")["errors"]] == ["user"]
    assert_problem(await door.client.post(f"{URL}?a=%FF", json=fresh(), headers=headers), 400, "malformed")
    twice = json.dumps([fresh(), fresh()]).replace('"amount"', '"amount": 1, "amount"').encode()
    faults = assert_problem(await door.send(twice), 422, "invalid-events")["errors"]
    assert [fault["at"] for fault in faults] == ["/0/data/amount", "/1/data/amount"]
    broken = json.dumps([fresh(), fresh(source="?")]).replace('"?"', '"\\ud800"').encode()
    assert [fault["at"] for fault in assert_problem(await door.send(broken), 400, "malformed")["errors"]] == [
        "/1/source"
    ]
    endless = json.dumps([fresh(data={"amount": 12321})]).replace("12321", "1e400").encode()
    faults = assert_problem(await door.send(endless), 422, "invalid-events")["errors"]
    assert [fault["at"] for fault in faults] == ["/0/data/amount"]
    assert await door.count() == 0


async def test_a_refusal_is_lost_rather_than_waited_for(door: Door) -> None:
    """Here nobody remembers what waits; another tenant has its own room."""
    lost = LOST._value.get()
    for _ in range(WAITING_OF_TENANT + 3):
        assert_problem(await door.send(fresh(type="NONE")), 422, "invalid-events")
    assert LOST._value.get() == lost + 3
    assert_problem(await door.send(fresh(type="NONE"), authorization="Bearer other"), 422, "invalid-events")
    assert LOST._value.get() == lost + 3


async def test_a_body_without_a_length_is_bounded_too(door: Door) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    headers = door.headers | {"content-type": "application/json"}
    assert_problem(await door.client.post(URL, content=endless(), headers=headers), 413, "too-large")


async def test_only_a_live_key_with_the_scope_may_send_and_only_its_own(door: Door) -> None:
    assert_problem(await door.send(fresh(), authorization=""), 401, "unauthorized")
    refused = await door.send(fresh(), authorization="Bearer stolen")
    assert_problem(refused, 401, "unauthorized")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert_problem(await door.send(fresh(), authorization="Basic good"), 401, "unauthorized")
    assert_problem(await door.send(fresh(), authorization="Bearer reader"), 403, "forbidden")
    assert_problem(await door.send([fresh(), fresh(tenantid="other")]), 403, "forbidden")
    assert await door.count() == 0


async def test_source_and_id_stand_for_one_event(door: Door) -> None:
    event = fresh(id="e1", time="2026-01-31T09:30:00Z")
    assert (await door.send(event)).status_code == 202
    same = fresh(id="e1", time="2026-01-31T10:30:00+01:00")
    assert (await door.send([same, same])).status_code == 202
    other = fresh(id="e1", time="2026-01-31T09:30:00Z", data={"amount": 501})
    problem = assert_problem(await door.send([fresh(), other]), 409, "conflicting-duplicate")
    assert problem["errors"][0]["at"] == "/1/id"
    twins = [fresh(id="e2", data={"amount": 1}), fresh(id="e2", data={"amount": 2})]
    assert_problem(await door.send(twins), 409, "conflicting-duplicate")
    assert (await door.send(other, authorization="Bearer other")).status_code == 202  # another tenant's e1
    tills = [other | {"source": f"/till-{n}", "data": {"amount": n}} for n in (1, 2)]
    assert (await door.send(tills)).status_code == 202  # other sources' e1
    assert await door.count() == 6


@pytest.mark.parametrize(
    ("changes", "at", "told"),
    [
        (
            {"type": "fillip.redemption"},
            "/type",
            "unknown_action: actions that begin with fillip. are Fillip's own: ask for one by POST /v1/redemptions",
        ),
        ({"type": "fillip.redemption", "source": "fillip.redemption"}, "/type", "ask for one by POST /v1/redemptions"),
        ({"type": "fillip.bonus"}, "/type", "use an action of yours"),
        ({"source": "fillip.redemption"}, "/source", "not_an_event: sources that begin with fillip. are Fillip's own"),
    ],
)
async def test_events_of_fillips_own_come_by_its_routes_alone(
    door: Door, changes: dict[str, Any], at: str, told: str
) -> None:
    refused = await door.send(make_event(**changes))
    [error] = refused.json()["errors"]
    assert (refused.status_code, error["at"]) == (422, at)
    assert told in error["message"]
    gone_on = await door.send([make_event(**changes), make_event()], "?on_error=continue")
    assert (gone_on.status_code, gone_on.json()["accepted"], len(gone_on.json()["refused"])) == (202, 1, 1)


def test_the_memory_of_ids_is_bounded() -> None:
    seen = SeenEvents(max_events=10)
    for key in range(100):
        seen.keep({key: -key})
    known = [key for key in range(100) if seen.find(key) is not None]
    assert 99 in known
    assert 5 <= len(known) <= 11
    assert seen.find(99) == -99


async def test_servers_that_are_away_never_get_a_yes(door: Door) -> None:
    class NoBooks(Books):
        async def pin(self, tenant_ids: Collection[str]) -> Mapping[str, Book]:
            raise Retry("PostgreSQL does not answer")

    away = await door.send(fresh(), authorization="Bearer away")
    assert_problem(away, 503, "unavailable")
    assert away.headers["retry-after"]

    nowhere = KafkaProducer("127.0.0.1:9", give_up_after_s=0.3)
    for books in (Books(), NoBooks()):
        async with open_door("", "t", nowhere, books) as dark:
            assert_problem(await dark.send(fresh()), 503, "unavailable")
    await nowhere.close()


async def test_the_callers_trace_comes_back(door: Door) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    traced = await door.send(b"{", traceparent=f"00-{trace_id}-00f067aa0ba902b7-01")
    assert assert_problem(traced, 400, "malformed")["trace_id"] == trace_id


async def test_of_a_batch_that_goes_on_the_good_is_taken_and_the_bad_named_by_index(door: Door) -> None:
    first = fresh()
    other = {**first, "time": "2026-01-01T00:00:00Z"}
    batch = [first, {**fresh(), "subject": ""}, other, {**fresh(), "tenantid": "rival"}, 7, fresh(), first]
    answer = await door.send(batch, "?on_error=continue")
    assert answer.status_code == 202
    told = answer.json()
    assert (told["accepted"], [each["index"] for each in told["refused"]]) == (3, [1, 2, 3, 4])
    assert [each["errors"][0]["at"] for each in told["refused"]] == ["/subject", "/id", "", ""]
    assert "conflicting_duplicate" in told["refused"][1]["errors"][0]["message"]
    assert await door.count() == 3, "nothing of the bad ones is in the log"

    again = (await door.send([other], "?on_error=continue")).json()
    assert (again["accepted"], again["refused"][0]["index"]) == (0, 0), "the name stands for what was taken before"
    assert (await door.send(fresh(), "?on_error=continue")).json() == {"accepted": 1, "refused": []}
    assert_problem(await door.send(b"[", "?on_error=continue"), 400, "malformed")
    wrong = await door.send(fresh(), "?on_error=stop")
    assert assert_problem(wrong, 422, "invalid")["errors"][0]["at"] == "on_error"


async def test_a_request_beyond_the_quota_is_refused_whole_and_told_when_to_come_again(door: Door) -> None:
    """One event a second: ten at once are taken; of ten more none is, and another tenant does not notice."""
    slow = {"authorization": "Bearer slow"}
    taken = await door.send([fresh() for _ in range(10)], **slow)
    assert taken.json() == {"accepted": 10}
    assert (taken.headers["ratelimit-policy"], taken.headers["ratelimit"]) == (
        '"events_per_s";q=10;w=10',
        '"events_per_s";r=0',
    )
    refused = await door.send([fresh() for _ in range(10)], **slow)
    assert "1 events a second" in assert_problem(refused, 429, "quota-exceeded")["detail"]
    assert refused.headers["ratelimit-policy"] == '"events_per_s";q=10;w=10'
    name, left, wait_s = refused.headers["ratelimit"].split(";")
    assert (name, int(left.removeprefix("r=")) < 10) == ('"events_per_s"', True)
    assert 1 <= int(refused.headers["retry-after"]) == int(wait_s.removeprefix("t=")) <= 10
    assert await door.count() == 10
    assert (await door.send([fresh() for _ in range(100)])).status_code == 202


async def test_a_request_that_can_never_fit_is_told_how_much_does(door: Door) -> None:
    refused = await door.send([fresh() for _ in range(11)], authorization="Bearer slow")
    assert "at most 10 at once" in assert_problem(refused, 429, "quota-exceeded")["detail"]


async def test_a_wrong_wait_is_refused_with_place_and_cure_and_nothing_is_taken(door: Door) -> None:
    cures = dict.fromkeys(["?wait=0", "?wait=2001", "?wait=1.5", "?wait=", "?wait=%2B5", "?wait=05"], "from 1 to 2000")
    cures |= {
        "?wait=1&wait=1": "send it once",
        "?wait=5&more=1": "known here: on_error, wait",
        "?Wait=5": "known here: on_error, wait",
    }
    for query, cure in cures.items():
        [error] = assert_problem(await door.send(fresh(), query), 422, "invalid")["errors"]
        assert cure in error["message"], query
        assert error["at"] == ("more" if "more" in query else query[1:5]), query
    assert await door.count() == 0
