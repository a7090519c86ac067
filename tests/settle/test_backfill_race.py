"""A backfill and two workers at once, on the same users, counters and events: each event is decided once, and every sum agrees."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import psycopg
import pytest

from fillip.core.ports import Caller
from fillip.migrations import role_dsn
from fillip.settle.backfill import walk
from fillip.settle.reversal.postgres import PostgresReversals
from fillip.stream.memory import MemoryLog
from tests.oracle.backfills import Backfill, NewestBooks, list_past
from tests.oracle.catalogue import RECEIVED_AT
from tests.oracle.compare import count_breaches
from tests.oracle.said import USERS, write_event, write_reversal
from tests.oracle.shop import Plane, Shop
from tests.oracle.workers import Rumours, Worker

ROUNDS = 6
PAST, ANEW, AGAIN, BACK = 60, 30, 30, 16
"""In each round: events of before the launch; then new ones, some of the past sent again, and some of it taken back."""
AT_ONCE, PORTION = 4, 5
MOST_LOST = 50
CASHBACK, POINTS = {"kind": "cashback", "value": 100, "currency": "EUR"}, {"kind": "points", "value": 7}
WAITING = "SELECT FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
STANDING = """
SELECT d.event_source || ' ' || d.event_id, count(DISTINCT d.decision_id), count(i.incentive_id) FILTER (WHERE i.state <> 'reversed')
FROM decision d LEFT JOIN incentive i USING (tenant_id, decision_id) WHERE d.campaign_id = %s GROUP BY 1
"""
FILLED = """
SELECT count(DISTINCT b.event_key), count(d.decision_id) FILTER (WHERE d.outcome = 'granted'),
       coalesce(sum((SELECT sum((v ->> 'value')::int) FROM jsonb_array_elements(d.reward_values) AS v))
                FILTER (WHERE d.outcome = 'granted'), 0)
FROM backfill_event b LEFT JOIN decision d USING (tenant_id, campaign_id, event_key) WHERE b.campaign_id = %s
"""
WALLETS_UNLIKE = """
SELECT w.user_id FROM wallet w WHERE w.active <> (
    SELECT coalesce(sum(i.value - i.reversed_value), 0) FROM incentive i
    WHERE i.tenant_id = w.tenant_id AND i.user_id = w.user_id AND i.kind = 'points')
"""


@dataclass
class RacingWorld:
    """A shop with a campaign for large purchases; what is smaller leaves nothing in the ledger until a campaign for all is launched."""

    plane: Plane
    shop: Shop
    pool: asyncpg.Pool
    owner: psycopg.Connection
    log: MemoryLog
    workers: list[Worker]
    sent: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def send(self, partition: int, event: dict[str, Any]) -> None:
        """A producer's message."""
        self.sent.append((partition, event))
        self.log.append(partition, json.dumps(event).encode(), at_ms=int(RECEIVED_AT.timestamp() * 1000))

    def buy(self) -> None:
        """Someone buys something."""
        said = (self.chance.choice(USERS), "BUY", self.chance.choice([50, 200]), "x", self.chance.choice([24, 48]))
        self.send(self.chance.randrange(2), write_event(len(self.sent), self.shop.tenant_id, said))

    def take_back(self, event: dict[str, Any]) -> None:
        """All of an event is taken back."""
        back = write_reversal(len(self.sent), self.shop.tenant_id, (-1, None, {}), [event], 0, event["subject"])
        self.send(self.chance.randrange(2), back)

    async def work(self, worker: Worker) -> None:
        """Settle all that there is of its partition; what is lost to another is tried again, as the belt does."""
        partition, lost = self.log.members.index(worker.source), 0
        await worker.source.rewind()
        while self.read_offset(partition) < len(self.log.partitions[partition]):
            batch = await anext(worker.source)
            if await worker.commit(await worker.prepare(batch, self.shop.tenant_id)) != "settled":
                lost += 1
                assert lost < MOST_LOST
                await worker.source.rewind()

    def read_offset(self, partition: int) -> int:
        """Up to where a partition is settled."""
        query = "SELECT next_offset FROM consumer_position WHERE topic = %s AND partition = %s"
        found = self.rows(query, self.log.topic, partition)
        return int(found[0][0]) if found else 0

    async def launch(self, campaign_id: str) -> Backfill:
        """A campaign for all purchases, with a backfill of what has been sent."""
        definition = {"kind": "SIMPLE", "name": "All", "action": "BUY", "rewards": [CASHBACK, POINTS]}
        await self.shop.launch_past(
            campaign_id, definition, datetime.now(UTC).replace(microsecond=0) - timedelta(days=9)
        )
        for worker in self.workers:
            await worker.books.refresh(self.shop.tenant_id, self.shop.version)
        past = list_past(self.sent, RECEIVED_AT, lambda event: False)
        caller = Caller(None, self.shop.tenant_id, frozenset())
        return Backfill(self.plane.engine, campaign_id, caller, past, NewestBooks(self.pool))

    async def fill(self, backfill: Backfill) -> None:
        """Decide its past, in one turn."""
        turn = await backfill.take(self.pool, self.log.topic, lambda turn, portion: None)
        while turn.done < len(backfill.past):
            assert await turn.decide(backfill.past, PORTION, self.shop.version) == "settled"

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """What the ledger says."""
        return self.owner.execute(query, parameters).fetchall()


@pytest.fixture
async def racing_world(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RacingWorld]:
    """Two workers of one group, with a partition each."""
    monkeypatch.setattr(walk, "LONGEST_REST_S", 0.0)
    plane = Plane(database)
    shop = await plane.open_shop("history", "America/New_York")
    large = {"kind": "SIMPLE", "name": "Large", "action": "BUY", "rule": "event.amount > 100", "rewards": [POINTS]}
    await shop.launch("large", large)
    daily = {"scope": "tenant", "measure": "count", "span": "day"}
    await shop.cap({"limit_id": "daily", "cap": 150, **daily})
    weekly = {"scope": "user", "measure": "value", "span": "week", "reward_kind": "cashback"}
    await shop.cap({"limit_id": "weekly", "cap": 6_050, **weekly})
    log = MemoryLog(shop.tenant_id, 2)
    async with asyncpg.create_pool(role_dsn(database, "fillip_worker"), min_size=3, max_size=9) as pool:
        workers = [Worker(pool, log, Rumours(), AT_ONCE, lambda *told: None) for _ in range(2)]
        with psycopg.connect(database, autocommit=True) as owner:
            yield RacingWorld(plane, shop, pool, owner, log, workers)
        for worker in workers:
            await worker.source.close()
    await plane.close()


async def test_a_backfill_and_two_workers_decide_each_event_once(racing_world: RacingWorld) -> None:
    world, said = racing_world, Counter[str]()
    for number in range(ROUNDS):
        for _ in range(PAST):
            world.buy()
        await asyncio.gather(*[world.work(worker) for worker in world.workers])
        backfill = await world.launch(f"all-{number}")
        past = [event for _, event in world.sent if event["type"] == "BUY"]
        for _ in range(ANEW):
            world.buy()
        for event in world.chance.sample(past[-PAST:], AGAIN):
            world.send(world.chance.randrange(2), event)
        for event in world.chance.sample(past[-PAST:], BACK):
            world.take_back(event)
        await asyncio.gather(*[world.work(worker) for worker in world.workers], world.fill(backfill))
        said += check_round(world, backfill)
    assert said.keys() >= {"events_met", "decided_before", "reversed", "granted", "limit"}, said


def check_round(world: RacingWorld, backfill: Backfill) -> Counter[str]:
    """Each event was decided once for the campaign, unless it was taken back before; sums agree. What came up."""
    bought = {f"{event['source']} {event['id']}" for _, event in world.sent if event["type"] == "BUY"}
    backs = [event["data"] | {"source": event["source"]} for _, event in world.sent if event["type"] != "BUY"]
    back = {f"{data.get('event_source', data['source'])} {data['event_id']}" for data in backs}
    standing = {event: (decisions, stand) for event, decisions, stand in world.rows(STANDING, backfill.campaign_id)}
    assert {decisions for decisions, _ in standing.values()} == {1}
    assert bought - standing.keys() <= back
    assert {event for event, (_, stand) in standing.items() if stand} & back == set()
    breaches = count_breaches(world.owner, world.shop.tenant_id)
    assert not any(breaches.values()), breaches
    assert world.rows(WALLETS_UNLIKE) == []
    [(result,)] = world.rows("SELECT result FROM backfill WHERE campaign_id = %s", backfill.campaign_id)
    spent = sum(each["value"] for each in result["spend"])
    assert world.rows(FILLED, backfill.campaign_id) == [(result["events_met"], result["granted"], spent)]
    assert result["events_met"] == result["granted"] + sum(result["denied"].values())
    assert result["events_met"] + sum(result["passed_over"].values()) == len(backfill.past)
    assert result["passed_over"].keys() <= {"decided_before", "reversed"}
    said = Counter(result["passed_over"]) + Counter(result["denied"])
    return said + Counter({what: result[what] for what in ("events_met", "granted")})


async def test_what_is_taken_back_while_a_portion_waits_for_it_is_passed_over(
    racing_world: RacingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker holds the event for its reversal; the backfill comes, waits for it, and has to see what the worker did."""
    world = racing_world
    world.send(0, write_event(0, world.shop.tenant_id, ("ann", "BUY", 200, "x", 24)))
    await world.work(world.workers[0])
    backfill = await world.launch("all")
    world.send(0, write_reversal(1, world.shop.tenant_id, (-1, None, {}), [world.sent[0][1]], 0, "ann"))
    held, go_on, read = asyncio.Event(), asyncio.Event(), PostgresReversals.read_reversed_so_far

    async def stop(*arguments: Any) -> Any:
        held.set()
        await go_on.wait()
        return await read(*arguments)

    monkeypatch.setattr(PostgresReversals, "read_reversed_so_far", stop)
    taking_back = asyncio.create_task(world.work(world.workers[0]))
    await held.wait()
    filling = asyncio.create_task(world.fill(backfill))
    while not world.rows(WAITING) and not filling.done():
        await asyncio.sleep(0.01)
    go_on.set()
    await asyncio.gather(taking_back, filling)
    assert world.rows("SELECT result -> 'passed_over' FROM backfill") == [({"reversed": 1},)]
    assert world.rows("SELECT DISTINCT campaign_id, state FROM incentive") == [("large", "reversed")]
