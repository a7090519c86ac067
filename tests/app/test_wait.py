"""A request that waits is told what the ledger has committed of its events, or where to look; and never hangs."""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import msgspec
from msgspec.structs import replace
from redis.asyncio import Redis
from starlette.applications import Starlette

from fillip.app.follow import follow
from fillip.core.limit import CounterUse
from fillip.core.ports import Caller
from fillip.core.quota import Quotas
from fillip.core.tenant import LIFETIME
from fillip.embedded.addresses import Addresses
from fillip.ingest.answer import wait
from fillip.ingest.answer.postgres import PostgresAnswers
from fillip.ingest.answer.wait import Waits
from fillip.ingest.http import EventsDoor
from fillip.ingest.refused import DoorRefusals
from fillip.limit.rates_valkey import ValkeyRates
from fillip.limit.refused_valkey import ValkeyRefusedEvents
from fillip.match.postgres import PostgresBooks
from fillip.migrations import role_dsn
from fillip.stream.kafka import KafkaProducer
from fillip.stream.topics import Topics
from tests.app.worker_world import WITHIN_S, Worker, running_worker
from tests.match.conftest import Shop, book_shop
from tests.own_topics import own_topics

__all__ = ["book_shop"]

SOURCE = "till"


class Keys:
    """Each key is the name of its tenant."""

    async def authenticate(self, key: str) -> Caller | None:
        return Caller(uuid.uuid4(), key, frozenset({"events:write"}), Quotas())


@dataclass
class Door:
    """The door as the API has it."""

    client: httpx.AsyncClient
    waits: Waits

    async def send(self, body: Any, query: str = "?wait=2000", tenant: str = "acme") -> httpx.Response:
        headers = {"authorization": f"Bearer {tenant}", "content-type": "application/json"}
        content = body if isinstance(body, bytes) else json.dumps(body)
        return await self.client.post(f"/v1/events{query}", content=content, headers=headers)

    async def decide(self, *events: bytes) -> list[dict[str, Any]]:
        """What is told of these, once all of them are decided."""
        async with asyncio.timeout(WITHIN_S):
            while (answer := await self.send(b"[%s]" % b",".join(events))).status_code in (202, 503):
                pass  # the worker has yet to begin, or a server is slow: every client sends it again
        told: list[dict[str, Any]] = answer.json()["events"]
        assert (answer.status_code, answer.json()["accepted"]) == (200, len(told) or len(events))
        return told


@asynccontextmanager
async def open_door(shop: Shop, database: str, servers: Addresses, topics: Topics) -> AsyncIterator[Door]:
    producer = KafkaProducer(servers.kafka_bootstrap)
    async with (
        asyncpg.create_pool(role_dsn(database, "fillip_worker"), min_size=0, max_size=2) as pool,
        Redis.from_url(servers.valkey_url) as valkey,
    ):
        waits = Waits(PostgresAnswers(pool, topics.received))
        books = PostgresBooks(shop.pool)
        rates, refusals = ValkeyRates(valkey), DoorRefusals(ValkeyRefusedEvents(valkey))
        route = EventsDoor(Keys(), rates, books, producer, topics.received, waits=waits, refusals=refusals).route
        transport = httpx.ASGITransport(Starlette(routes=[route]))
        async with follow(waits), httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            async with asyncio.timeout(WITHIN_S):
                while not await _sees(waits):
                    await asyncio.sleep(0.01)
            yield Door(client, waits)
    await producer.close()


async def _sees(waits: Waits) -> bool:
    """Whether who begins to wait would be let in."""
    with waits.begin("nobody", 0) as begun:
        return begun is not None


@asynccontextmanager
async def open_both(shop: Shop, database: str, servers: Addresses) -> AsyncIterator[tuple[Door, Worker]]:
    """A door, and a worker that has begun."""
    async with (
        running_worker(shop, database, servers) as worker,
        open_door(shop, database, servers, worker.topics) as door,
    ):
        await door.decide(worker.write("first"))
        yield door, worker


@asynccontextmanager
async def open_alone(shop: Shop, database: str, servers: Addresses) -> AsyncIterator[tuple[Door, Topics]]:
    """A door whose events nobody decides."""
    topics = Topics(f"{uuid.uuid4().hex[:8]}.")
    async with (
        own_topics(servers.kafka_bootstrap, topics, 1),
        open_door(shop, database, servers, topics) as door,
    ):
        yield door, topics


def write(event_id: str, amount: int = 5) -> bytes:
    return Worker.write(None, event_id, amount=amount)  # type: ignore[arg-type]  # it needs nothing of a worker


async def test_a_batch_is_answered_in_its_order_with_what_the_ledger_has(
    book_shop: Shop, database: str, servers: Addresses
) -> None:
    book_shop.launch("five", "event.amount == 5")
    book_shop.launch("five-too", "event.amount == 5", rewards=[{"kind": "points", "value": 3}])
    async with open_both(book_shop, database, servers) as (door, _):
        events = [write(f"e{n}", amount=5 if n % 3 else 1) for n in range(20)]
        told = await door.decide(*events, events[1])
        assert [each["event_id"] for each in told] == [f"e{n}" for n in range(20)] + ["e1"]
        assert told[-1] == told[1]
        assert [len(each["decisions"]) for each in told[:20]] == [2 if n % 3 else 0 for n in range(20)]
        rows = book_shop.owner.execute(
            "SELECT d.event_id, d.campaign_id, d.decision_id::text, d.outcome, i.incentive_id::text, i.kind, i.value"
            " FROM decision d JOIN incentive i USING (tenant_id, decision_id)"
        )
        assert sorted(rows.fetchall()) == sorted(
            (
                each["event_id"],
                made["campaign_id"],
                made["decision_id"],
                made["outcome"],
                *(made["incentives"][0][name] for name in ("incentive_id", "kind", "value")),
            )
            for each in told[:20]
            for made in each["decisions"]
        )
        assert told[1]["balances"] == [{"currency": "POINTS", "pending": 0, "active": 3}]


async def test_who_waits_and_goes_on_is_told_of_the_good_and_of_the_bad(
    book_shop: Shop, database: str, servers: Addresses
) -> None:
    book_shop.launch("five", "event.amount == 5")
    async with open_both(book_shop, database, servers) as (door, _):
        answer = await door.send(b'[{"id": "no event"},%s]' % write("e1", amount=5), "?on_error=continue&wait=2000")
        told = answer.json()
        assert (answer.status_code, told["accepted"]) == (200, 1)
        assert [(each["event_id"], each["state"], len(each["decisions"])) for each in told["events"]] == [
            ("e1", "decided", 1)
        ]
        assert [each["index"] for each in told["refused"]] == [0]
        none = await door.send(b'[{"id": "no event"}]', "?on_error=continue&wait=2000")
        assert (none.status_code, none.json()["events"], len(none.json()["refused"])) == (200, [], 1)


async def test_what_is_sent_again_gets_the_same_answer_and_has_no_effect(
    book_shop: Shop, database: str, servers: Addresses
) -> None:
    book_shop.launch("all", rewards=[{"kind": "points", "value": 3}])
    async with open_both(book_shop, database, servers) as (door, worker):
        event = write("e1")
        first = await door.decide(event)
        second = json.loads(event) | {"id": "e2"}
        await door.decide(json.dumps(second).encode())  # the wallet moves on
        assert await door.decide(event) == first
        async with open_door(book_shop, database, servers, worker.topics) as other:  # it remembers nothing
            assert await other.decide(event) == first
        async with open_door(book_shop, database, servers, worker.topics) as other:
            [changed] = await other.decide(json.dumps(json.loads(event) | {"data": {"amount": 6}}).encode())
        assert (changed["state"], changed["rejection"]["reason"]) == ("rejected", "conflicting_duplicate")
        assert "decisions" not in changed
        granted = book_shop.owner.execute("SELECT event_id FROM incentive WHERE event_id <> 'first'").fetchall()
        assert sorted(granted) == [("e1",), ("e2",)]


async def test_of_an_erased_user_nothing_is_told(book_shop: Shop, database: str, servers: Addresses) -> None:
    book_shop.launch("all")
    async with open_both(book_shop, database, servers) as (door, _):
        event = write("e1")
        assert [len(each["decisions"]) for each in await door.decide(event)] == [1]
        book_shop.owner.execute("UPDATE decision SET user_id = 'pseudonym'")  # as an erasure leaves it
        assert [each["decisions"] for each in await door.decide(event)] == [[]]


async def test_a_window_that_begins_on_no_day_tells_none(book_shop: Shop, database: str, servers: Addresses) -> None:
    book_shop.launch("all")
    async with open_both(book_shop, database, servers) as (door, _):
        event = write("e1")
        await door.decide(event)
        use = CounterUse("once", "", LIFETIME, 0, 0, 1, 1)
        year = replace(use, limit_id="yearly", resets_at=datetime(1971, 1, 1, tzinfo=UTC))
        uses = [use, replace(year, limit_id="rolling", part=7), year]
        book_shop.owner.execute(
            "UPDATE decision SET limits = %s", [msgspec.json.encode(uses).decode()]
        )  # as settle writes them
        [told] = await door.decide(event)
        found = {each["limit_id"]: each["window_start"] for each in told["decisions"][0]["limits"]}
        assert found == {"once": None, "rolling": None, "yearly": "1970-01-01"}


async def test_what_waits_for_a_backfill_is_pending(book_shop: Shop, database: str, servers: Addresses) -> None:
    book_shop.launch("all")
    async with open_both(book_shop, database, servers) as (door, _):
        event = write("e1")
        await door.decide(event)
        book_shop.owner.execute(
            "INSERT INTO backfill (tenant_id, campaign_id, from_at, book_version) VALUES ('acme', 'all', now(), 1)"
        )
        book_shop.owner.execute(
            "INSERT INTO backfill_waiting (tenant_id, campaign_id, event_key)"
            " SELECT tenant_id, 'all', event_key FROM event_met WHERE event_id = 'e1'"
        )
        assert (await door.send(event)).json()["events"][0]["state"] == "pending"
        book_shop.owner.execute("UPDATE backfill SET handed_over_at = now()")
        assert [each["state"] for each in await door.decide(event)] == ["decided"]


async def test_while_nobody_decides_the_answer_is_202_with_where_to_look(
    book_shop: Shop, database: str, servers: Addresses
) -> None:
    async with open_alone(book_shop, database, servers) as (door, _):
        answer = await door.send(write("a b&c"), "?wait=1")
    see = "/v1/events/till/a%20b%26c"
    pending = {"event_id": "a b&c", "event_source": SOURCE, "state": "pending", "see": see}
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "events": [pending]})


async def test_a_position_of_another_log_decides_nothing(book_shop: Shop, database: str, servers: Addresses) -> None:
    """As after the topic was made anew, or an older copy of the broker came back."""
    async with open_alone(book_shop, database, servers) as (door, topics):
        book_shop.owner.execute(
            "INSERT INTO consumer_position (topic, partition, next_offset, owner) VALUES (%s, 0, 1000, 'before')",
            [topics.received],
        )
        await asyncio.sleep(wait.IDLE_LOOK_S + 0.1)  # it looks once more meanwhile
        answer = await door.send(write("e1"))
        assert (answer.status_code, answer.json()["events"][0]["state"]) == (202, "pending")


async def test_more_than_there_is_room_for_is_answered_at_once_and_all_goes_into_the_log(
    book_shop: Shop, database: str, servers: Addresses
) -> None:
    async with open_alone(book_shop, database, servers) as (door, _):
        waiting = [asyncio.create_task(door.send(write(f"e{n}"))) for n in range(wait.MOST_REQUESTS_OF_TENANT + 1)]
        done, _rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1
        with door.waits.begin("other", 1) as begun:
            assert begun is not None  # a tenant's many leave room for others
        answers = await asyncio.gather(*waiting)
        assert Counter(each.status_code for each in answers) == {202: len(waiting)}
        with door.waits.begin("acme", wait.MOST_EVENTS_OF_TENANT) as begun:
            assert begun is not None  # all of the room is there again
        with door.waits.begin("acme", wait.MOST_EVENTS_OF_TENANT + 1) as begun:
            assert begun is None


async def test_a_lost_connection_is_made_anew(book_shop: Shop, database: str, servers: Addresses) -> None:
    book_shop.launch("all")
    async with open_both(book_shop, database, servers) as (door, _):
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%newest log%' AND pid <> pg_backend_pid()"
        async with asyncio.timeout(WITHIN_S):
            while not book_shop.owner.execute(cut).fetchall():
                await asyncio.sleep(0.05)  # it looks twice a second
        answer = await door.send(write("meanwhile"))
        assert answer.status_code in (200, 202, 503)
        [told] = await door.decide(write("then"))
        assert [each["campaign_id"] for each in told["decisions"]] == ["all"]
