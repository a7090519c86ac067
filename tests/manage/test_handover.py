"""Quests that are launched with a backfill: past events, then those that came meanwhile, then live ones, as if all had come in a row."""

import asyncio
import dataclasses
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import psycopg
import pytest

from fillip.core.errors import Retry
from fillip.core.event import Event
from fillip.http.history_query import HistoryEvent
from fillip.manage.analyse_http import open_client
from fillip.manage.backfill.postgres import ask_again, end_turn, find_backfill
from fillip.manage.backfill.told import AllDone
from fillip.manage.cohort.analyse_http import AnalyseUserQueries
from fillip.manage.store.postgres import transaction
from fillip.migrations import role_dsn
from fillip.settle import stage
from fillip.settle.backfill import BackfillWalk, walk
from fillip.settle.backfill import postgres as backfill_postgres
from fillip.settle.postgres import PostgresTransaction
from fillip.stream.memory import MemoryLog
from tests.manage.backfilled_world import BackfilledWorld, Pages
from tests.manage.past_world import open_past_shop, write_past
from tests.oracle.catalogue import CAMPAIGNS, RECEIVED_AT
from tests.oracle.shop import ANY, Plane
from tests.oracle.workers import Rumours, Worker

QUESTS = ("twice", "ladder", "pair", "joined", "summed", "by-shop", "streak", "saved", "echo", "raced")
NOT_GRANTED = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
Between = Callable[[], Awaitable[None]]


class Killed(BaseException):
    """The process is gone, between two transactions."""


class Interrupted(BackfillWalk):
    """One between whose portions something happens."""

    between: Between

    async def _rest(self, took_s: float) -> None:
        await super()._rest(took_s)
        await self.between()


async def nothing() -> None:
    """Happens."""


@dataclass
class HandoverWorld(BackfilledWorld):
    """A shop that is sent `events` one by one, some of them again; analyse tells of the first receipt of each."""

    received: list[HistoryEvent] = field(default_factory=list)
    settled: int = 0

    async def open(self) -> None:
        """Start the worker."""
        self.log = MemoryLog(self.shop.tenant_id, 1)
        self.worker = Worker(self.pool, self.log, Rumours(), 3, lambda *told: None)
        await self.worker.source.rewind()

    async def come(self, count: int, again: Sequence[int] = ()) -> None:
        """Let the next events come, and those of some numbers again; the worker decides them."""
        first = len(self.received)
        for event in [*self.events[first : first + count], *(self.events[number] for number in again)]:
            self.send(event)
        await self.settle()

    def send(self, event: dict[str, Any]) -> None:
        """Append an event to the log."""
        assert self.log
        record = self.log.append(0, json.dumps(event).encode(), at_ms=int(RECEIVED_AT.timestamp() * 1000))
        if (event["source"], event["id"]) not in {(each.source, each.id) for each in self.received}:
            self.received.append(write_past(record.offset, event, {}))

    async def settle(self) -> None:
        """Let the worker decide what came, under the book as it is."""
        assert self.worker and self.log
        newest = "SELECT book_version FROM tenant WHERE tenant_id = %s"
        [(version,)] = self.owner.execute(newest, (self.shop.tenant_id,)).fetchall()
        self.worker.books.require(self.shop.tenant_id, version)
        while self.settled < len(self.log.partitions[0]):
            batch = await anext(self.worker.source)
            assert await self.worker.commit(await self.worker.prepare(batch, self.shop.tenant_id)) == "settled"
            self.settled += len(batch.records)

    async def launch(self, campaigns: Sequence[str]) -> None:
        """Launch some with a backfill, each with a limit of its own."""
        body = {"backfill_from": (datetime.now(UTC) - timedelta(days=30)).isoformat()}
        for campaign_id in campaigns:
            made = {"campaign_id": campaign_id, "definition": CAMPAIGNS[campaign_id]}
            await self.shop.call("POST", "/v1/campaigns", made)
            daily = {"scope": "campaign", "campaign_id": campaign_id, "measure": "count", "span": "day", "cap": 5}
            await self.shop.cap({"limit_id": f"daily-{campaign_id}", **daily})
            launched = await self.shop.client.post(f"/v1/campaigns/{campaign_id}/launch", json=body, headers=ANY)
            assert launched.is_success, launched.text

    async def find_ends(self, *campaigns: str) -> None:
        """Let their backfills find up to where the past goes, and be killed."""
        for campaign_id in campaigns:
            await self.begin_backfill(campaign_id, BackfillWalk)
        self.free_turns()

    async def backfill(self, campaign_id: str, between: Between = nothing) -> None:
        """Run it to its end, by as many processes as are needed."""
        while True:
            order, progress, going = await self.begin_backfill(campaign_id, Interrupted)
            going.between = between
            try:
                assert await going.play(Pages(list(self.received)), progress.done, progress.mark, 600)
                await end_turn(self.plane.engine, order, AllDone())
                return
            except (Killed, Retry):  # the sweep gives it another turn
                self.free_turns()

    async def run_again(self, campaign_id: str) -> Any:
        """Run one that is over once more; how it is then."""
        async with transaction(self.plane.engine, self.caller) as connection:
            await ask_again(connection, self.caller, campaign_id)
        await self.backfill(campaign_id)
        return await self.find(campaign_id)

    async def find(self, campaign_id: str) -> Any:
        """How it is."""
        async with transaction(self.plane.engine, self.caller) as connection:
            return await find_backfill(connection, self.caller, campaign_id)

    async def list_unequal(self, campaigns: Sequence[str]) -> list[str]:
        """The quests whose decisions are not those of a backtest over all events, or that something still waits for."""
        unequal = []
        for campaign_id in campaigns:
            _, decided = await self.replay(campaign_id)
            row = await self.find(campaign_id)
            if decided != self.list_live(campaign_id) or row.waiting or not row.handed_over_at:
                unequal.append(campaign_id)
        return unequal


@pytest.fixture(params=["history"])
async def handover_world(
    request: pytest.FixtureRequest, database: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[HandoverWorld]:
    """A shop in New York with a cohort, a list, a badge and a holdout; portions are small."""
    for name, value in {"FEWEST": 6, "MOST": 6, "BUSY_TRIES": 2, "LONGEST_REST_S": 0.0, "BUSY_PAUSE_S": 0.001}.items():
        monkeypatch.setattr(walk, name, value)
    plane = Plane(database)
    pool = await asyncpg.create_pool(role_dsn(database, "fillip_worker"), min_size=1, max_size=8)
    shop = await open_past_shop(plane, request.param)
    async with open_client("http://127.0.0.1:9", "nobody is asked") as client:
        state = plane.app.state
        state.app_state = dataclasses.replace(state.app_state, user_queries=AnalyseUserQueries(client))
        with psycopg.connect(database, autocommit=True) as owner:
            made = HandoverWorld(plane, shop, pool, owner)
            await made.open()
            yield made
            await made.close()
    await pool.close()
    await plane.close()


async def play(handover_world: HandoverWorld, seed: int) -> list[str]:
    """Any interleaving of what comes, comes again and is killed with three backfills, beside a campaign that waits for nothing."""
    chance = random.Random(seed)
    quests = chance.sample(QUESTS, 2)
    handover_world.say(60, seed=seed)
    await handover_world.come(chance.randrange(10, 30))
    await handover_world.launch([*quests, "any"])

    async def happen() -> None:
        if chance.random() < 0.5:
            again = [chance.randrange(len(handover_world.received)) for _ in range(chance.randrange(3))]
            await handover_world.come(chance.randrange(3), again)
        if chance.random() < 0.15:
            raise Killed

    await handover_world.come(chance.randrange(5), [0])
    await handover_world.find_ends(*quests[: chance.randrange(3)])
    await handover_world.come(chance.randrange(15), [1])
    for campaign_id in [*quests, "any"]:
        await handover_world.backfill(campaign_id, happen)
    await handover_world.come(60, [0, 10, 40])
    assert (
        handover_world.list_live("any").keys() == (await handover_world.replay("any"))[1].keys()
    )  # in another order: it does not wait
    return await handover_world.list_unequal(quests)


@pytest.mark.parametrize(
    ("handover_world", "seed"), [(("history", "live")[n % 2], n) for n in range(6)], indirect=["handover_world"]
)
async def test_all_is_decided_as_if_it_had_come_in_a_row(handover_world: HandoverWorld, seed: int) -> None:
    assert await play(handover_world, seed) == []


async def test_a_batch_that_is_under_way_is_before_the_handover_or_behind_it(
    handover_world: HandoverWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has found that events wait, and is not settled yet: the handover waits for it, and has its events."""
    record, at_work, go_on = PostgresTransaction.record_events, asyncio.Event(), asyncio.Event()

    async def stop(self: PostgresTransaction, *rest: Any) -> Any:
        if not at_work.is_set():
            at_work.set()
            await go_on.wait()
        return await record(self, *rest)

    handover_world.say(40, seed=3)
    await handover_world.come(20)
    await handover_world.launch(["twice"])
    await handover_world.come(10)
    await handover_world.find_ends("twice")
    monkeypatch.setattr(PostgresTransaction, "record_events", stop)
    coming = asyncio.create_task(handover_world.come(10))
    async with asyncio.timeout(30):
        await at_work.wait()
        over = asyncio.create_task(handover_world.backfill("twice"))
        while not over.done() and handover_world.owner.execute(NOT_GRANTED).fetchall() == [(0,)]:
            await asyncio.sleep(0.005)
        go_on.set()
        await asyncio.gather(coming, over)
    assert await handover_world.list_unequal(["twice"]) == []


async def test_live_events_come_all_the_time(handover_world: HandoverWorld) -> None:
    handover_world.say(90, seed=4)
    await handover_world.come(20)
    await handover_world.launch(["by-shop"])

    async def keep_coming() -> None:
        while len(handover_world.received) < 90:
            await handover_world.come(2)

    await asyncio.gather(keep_coming(), handover_world.backfill("by-shop"))
    assert await handover_world.list_unequal(["by-shop"]) == []


async def test_one_that_cannot_be_decided_waits_for_a_later_run_and_keeps_nobody_out(
    handover_world: HandoverWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    handover_world.say(40, seed=5)
    await handover_world.come(10)
    await handover_world.launch(["twice"])
    await handover_world.find_ends("twice")
    await handover_world.come(30)
    [(waits,)] = handover_world.owner.execute("SELECT count(*) FROM backfill_waiting").fetchall()
    odd = next(
        event for event in reversed(handover_world.events) if event["type"] == "BUY" and event["subject"] == "ann"
    )
    read = HistoryEvent.read

    def fail(self: HistoryEvent, *rest: Any) -> Event | None:
        if (self.source, self.id) == (odd["source"], odd["id"]):
            raise ZeroDivisionError
        return read(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(HistoryEvent, "read", fail)
        await handover_world.backfill("twice")
    row = await handover_world.find("twice")
    assert (row.waiting, row.result["passed_over"]["undecidable"], row.handed_over_at is None) == (1, 1, False)
    assert row.result["events_met"] >= waits - 1
    row = await handover_world.run_again("twice")
    assert (row.waiting, row.result["events_met"]) == (0, 1)


def _decide_at_once(patch: pytest.MonkeyPatch) -> None:
    """As before: live events do not wait."""
    patch.setattr(stage, "put_off", lambda matches, backfilling: (matches, ()))


def _number_backwards(patch: pytest.MonkeyPatch) -> None:
    """The last has its turn first."""
    asked = backfill_postgres.SQL["find_waiting"]
    patch.setitem(backfill_postgres.SQL, "find_waiting", asked.replace("ORDER BY number", "ORDER BY number DESC"))
    patch.setitem(
        backfill_postgres.SQL,
        "read_waiting",
        backfill_postgres.SQL["read_waiting"].replace("ORDER BY w.number", "ORDER BY w.number DESC"),
    )


def _hand_over_early(patch: pytest.MonkeyPatch) -> None:
    """While some still wait."""
    asked = backfill_postgres.SQL["keep_waiting"]
    patch.setitem(backfill_postgres.SQL, "keep_waiting", asked.replace("CASE WHEN $5", "CASE WHEN $5 OR true"))


def _keep_turn_of_repeats(patch: pytest.MonkeyPatch) -> None:
    """What came again after the launch has its turn there."""
    asked = backfill_postgres.SQL["read_events"]
    patch.setitem(backfill_postgres.SQL, "read_events", asked.replace("AS waits", "AND false AS waits"))


FAULTS = [_decide_at_once, _number_backwards, _hand_over_early, _keep_turn_of_repeats]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_would_be_seen(
    handover_world: HandoverWorld, fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    handover_world.say(90, seed=3)
    await handover_world.come(25)
    await handover_world.launch(["by-shop", "streak"])
    await handover_world.come(5, range(25))
    await handover_world.find_ends("by-shop", "streak")
    await handover_world.come(20)

    async def happen() -> None:
        await handover_world.come(4)

    for campaign_id in ("by-shop", "streak"):
        await handover_world.backfill(campaign_id, happen)
    await handover_world.come(90)
    assert await handover_world.list_unequal(["by-shop", "streak"])
