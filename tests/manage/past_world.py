"""A tenant whose events the worker's own stages decide, and the same events as a backtest reads them."""

import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import asyncpg
import psycopg
from msgspec import to_builtins

from fillip.core.backtest.past import PastGrant, build_past_book
from fillip.core.backtest.question import BacktestQuestion, Definitions
from fillip.core.backtest.result import Differences
from fillip.core.backtest.simulation import Decided
from fillip.core.backtest.tally import Tally
from fillip.core.book.book import Book
from fillip.core.event import REVERSAL
from fillip.core.limit import CounterKey, Frame
from fillip.http.history_query import HistoryEvent, HistoryReversal
from fillip.manage.backtest.live_postgres import Comparison, LiveDecisions, load_others_use
from fillip.manage.backtest.past_postgres import PastLedger
from fillip.manage.backtest.recorded_postgres import load_recorded_books
from fillip.manage.backtest.replay import Replay
from fillip.match import Meet
from fillip.match.numbers_postgres import PostgresNumbers
from fillip.match.postgres import PostgresBooks
from fillip.match.users_postgres import PostgresUsers
from fillip.migrations import role_dsn
from fillip.stream.memory import MemoryLog
from tests.oracle.catalogue import AMOUNTS, NOON, PARTS, RECEIVED_AT, SHOP_LISTS
from tests.oracle.said import SHOPS, USERS, write_event, write_reversal
from tests.oracle.shop import Plane, Shop
from tests.oracle.workers import Rumours, Worker

FIRST, UNTIL = NOON - timedelta(days=30), NOON + timedelta(days=30)
Name = tuple[str, str, str]
"""(instance, source, event id)"""
Said = tuple[str, str, list[dict[str, Any]]]
"""(outcome, reason, limits)"""


async def open_past_shop(plane: Plane, clock: str) -> Shop:
    """A shop in New York with a cohort, a list, a badge and a holdout."""
    shop = await plane.open_shop(clock, "America/New_York")
    await shop.enlist("vip", frozenset({"ann"}))
    await shop.describe("ann", {"tier": "gold"}, "Pacific/Kiritimati")
    await shop.call("POST", "/v1/badges", {"badge_id": "early", "name": "Early"})
    await shop.call("PUT", "/v1/points/MILES", {"name": "Miles"})
    await shop.fill("shops", SHOP_LISTS[0])
    await shop.hold_out(50)
    return shop


class Past:
    """The events as analyse would tell them, in pages; and the reversals of them."""

    def __init__(self, received: Sequence[HistoryEvent], most: int = 70) -> None:
        first = {(each.source, each.id): each for each in reversed(received)}
        events = sorted(first.values(), key=lambda each: each.mark)
        self._events = [each for each in events if each.action != REVERSAL]
        self._reversals = [each for each in events if each.action == REVERSAL]
        self._most = most

    async def read(self) -> AsyncIterator[Sequence[HistoryEvent]]:
        for start in range(0, len(self._events), self._most):
            yield self._events[start : start + self._most]

    async def read_reversals(self) -> AsyncIterator[Sequence[HistoryReversal]]:
        owners = {(each.source, each.id): each.user_id for each in self._events}
        for each in self._reversals:
            original = each.data.get("event_source", each.source), each.data["event_id"]
            if owners.get(original) == each.user_id:
                yield [HistoryReversal(*original, each.user_id, each.received_at, 0, each.log_offset, each.data)]


class ToldTally(Tally):
    """Keeps every decision."""

    def __init__(self) -> None:
        super().__init__()
        self.decided: list[Decided] = []

    def add(self, decided: Decided) -> None:
        self.decided.append(decided)
        super().add(decided)


@dataclass
class PastWorld:
    """One shop."""

    plane: Plane
    shop: Shop
    pool: asyncpg.Pool
    owner: psycopg.Connection
    events: list[dict[str, Any]] = field(default_factory=list)
    worker: Worker | None = None
    log: MemoryLog | None = None
    decided: int = 0
    differences: Differences | None = None
    """Of the newest replay, from what the worker has decided."""

    def say(self, count: int, seed: int, taken_back: float = 0) -> None:
        """Events of all kinds; a part of what is said takes back in part or in full what was said or will be, or is said again."""
        chance = random.Random(seed)
        for number in range(len(self.events), len(self.events) + count):
            if chance.random() < taken_back:
                self.events.append(self._take_back(number, chance))
                continue
            hours = chance.choice([-69, -68, 0, 1, 2, 24, 25, 48, 72, 96])
            said = (
                chance.choice(USERS),
                chance.choice(["BUY", "BUY", "BUY", "JOIN"]),
                chance.choice(AMOUNTS),
                chance.choice(SHOPS),
                hours,
            )
            self.events.append(write_event(number, self.shop.tenant_id, said))

    def _take_back(self, number: int, chance: random.Random) -> dict[str, Any]:
        known = [each for each in self.events if each["type"] != REVERSAL]
        if self.events and chance.random() < 0.1:
            return chance.choice(self.events)
        where = chance.choice([-1, -2, -3, *[-chance.randint(1, len(known) + 1)] * 4, 1, 2, 4])
        owner = chance.choice([*[None] * 9, USERS[0]])
        taken = where, owner, chance.choice(PARTS)
        return write_reversal(number, self.shop.tenant_id, taken, known, number + 1, chance.choice(USERS))

    async def live(self) -> None:
        """Let the worker decide those that it has not decided yet, in the order of one partition, under the book as it is."""
        if self.worker is None or self.log is None:
            self.log = MemoryLog(self.shop.tenant_id, 1)
            self.worker = Worker(self.pool, self.log, Rumours(), 40, lambda *told: None)
            await self.worker.source.rewind()
        for event in self.events[self.decided :]:
            self.log.append(0, json.dumps(event).encode(), at_ms=int(RECEIVED_AT.timestamp() * 1000))
        newest = "SELECT book_version FROM tenant WHERE tenant_id = %s"
        [(version,)] = self.owner.execute(newest, (self.shop.tenant_id,)).fetchall()
        self.worker.books.require(self.shop.tenant_id, version)
        while self.decided < len(self.events):
            batch = await anext(self.worker.source)
            assert await self.worker.commit(await self.worker.prepare(batch, self.shop.tenant_id)) == "settled"
            self.decided += len(batch.records)

    async def close(self) -> None:
        """End the worker."""
        if self.worker:
            await self.worker.source.close()

    def list_live(self, campaign_id: str) -> dict[Name, Said]:
        """What the ledger says."""
        rows = self.owner.execute(
            "SELECT instance, event_source, event_id, outcome, reason, limits FROM decision"
            " WHERE tenant_id = %s AND campaign_id = %s",
            (self.shop.tenant_id, campaign_id),
        )
        return {row[:3]: (row[3], row[4], [_strip(use) for use in row[5]]) for row in rows.fetchall()}

    def sum_reversed(self, campaign_id: str) -> dict[tuple[str, str, str | None], int]:
        """What the ledger says was taken back, by day, kind and currency."""
        rows = self.owner.execute(
            "SELECT d.local_day::text, i.kind, i.currency, sum(i.reversed_value)::bigint FROM incentive i"
            " JOIN decision d USING (tenant_id, decision_id) WHERE tenant_id = %s AND i.campaign_id = %s"
            " GROUP BY 1, 2, 3 HAVING sum(i.reversed_value) > 0",
            (self.shop.tenant_id, campaign_id),
        )
        return {row[:3]: row[3] for row in rows.fetchall()}

    def count_reversed(self, campaign_id: str) -> int:
        """Of how many grants the ledger says that something was taken back."""
        [(found,)] = self.owner.execute(
            "SELECT count(DISTINCT decision_id) FROM incentive WHERE tenant_id = %s AND campaign_id = %s"
            " AND (reversed_value > 0 OR state = 'reversed')",
            (self.shop.tenant_id, campaign_id),
        ).fetchall()
        return int(found)

    def list_counters(self) -> dict[tuple[CounterKey, int | None], int]:
        """What is used of all limits; of those by rolling windows by part."""
        rows = self.owner.execute(
            "SELECT c.tenant_id, c.limit_id, c.user_id, c.key, c.window_start, p.part, coalesce(p.used, c.used)"
            " FROM limit_counter c LEFT JOIN limit_part p USING (tenant_id, limit_id, user_id, key, window_start)"
            " WHERE c.tenant_id = %s",
            (self.shop.tenant_id,),
        )
        return {(CounterKey(*row[:5]), row[5]): row[6] for row in rows.fetchall()}

    async def read_own_use(self, campaign_id: str) -> dict[tuple[CounterKey, int | None], int]:
        """What a backtest of a campaign takes for its own of them."""
        book, ledger, used = await self.load(), PastLedger(self.pool, self.shop.tenant_id), self.list_counters()
        live = LiveDecisions(ledger, BacktestQuestion(self.shop.tenant_id, campaign_id, 1, FIRST, UNTIL))
        others = await load_others_use(ledger, live, self.shop.tenant_id, book.limits)
        plain = await others.read_counters({key for key, part in used if part is None})
        parts = await others.read_parts({Frame(key, part, part) for key, part in used if part is not None})
        theirs: dict[tuple[CounterKey, int | None], int] = {(key, None): each.used for key, each in plain.items()}
        theirs |= {(key, part): amount for key, each in parts.items() for part, amount in each.items()}
        return {place: used[place] - amount for place, amount in theirs.items()}

    async def load(self) -> Book:
        """The book as it stands."""
        book = (await PostgresBooks(self.pool).pin([self.shop.tenant_id]))[self.shop.tenant_id]
        assert isinstance(book, Book)
        return book

    async def replay(
        self,
        campaign_id: str,
        granted: Mapping[str, Sequence[PastGrant]] | None = None,
        definitions: Definitions = "current",
    ) -> tuple[Replay, dict[Name, Said]]:
        """Backtest it: what came of it, and each decision."""
        whole, ledger = await self.load(), PastLedger(self.pool, self.shop.tenant_id)
        question = BacktestQuestion(self.shop.tenant_id, campaign_id, 1, FIRST, UNTIL)
        asked, _ = await ledger.read_version(question, whole)
        meet = Meet(PostgresUsers(self.pool), PostgresNumbers(self.pool), lambda refusals: None)
        book = build_past_book(whole, asked, FIRST, UNTIL)
        books = await load_recorded_books(ledger, whole, campaign_id) if definitions == "recorded" else None
        live = LiveDecisions(ledger, question)
        comparison = Comparison(live)
        used = await load_others_use(ledger, live, self.shop.tenant_id, whole.limits)
        replay = Replay(book, whole.campaign_versions, meet, used, datetime.now(UTC), books, comparison)
        replay.tally = told = ToldTally()
        past = [write_past(number, event, granted or {}) for number, event in enumerate(self.events)]
        await replay.play(Past(past), lambda done: None)
        self.differences = await comparison.finish()
        return replay, {_name(each): _tell(each) for each in told.decided}


def write_past(number: int, event: Mapping[str, Any], granted: Mapping[str, Sequence[PastGrant]]) -> HistoryEvent:
    """An event as analyse has it; `granted` by source and id, with a space between."""
    return HistoryEvent(
        source=event["source"],
        id=event["id"],
        user_id=event["subject"],
        action=event["type"],
        occurred_at=datetime.fromisoformat(event["time"]),
        received_at=RECEIVED_AT,
        partition=0,
        log_offset=number,
        data=event["data"],
        granted=granted.get(f"{event['source']} {event['id']}"),
    )


def _name(decided: Decided) -> Name:
    event = decided.request.match.event
    return decided.request.instance, event.source, event.event_id


def _tell(decided: Decided) -> Said:
    decision = decided.decision
    return decision.outcome, decision.reason, [_strip(to_builtins(use)) for use in decision.uses]


def _strip(use: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in use.items() if name != "version"}


World = TypeVar("World", bound=PastWorld)


@asynccontextmanager
async def open_past_world(database: str, clock: str, kind: type[World]) -> AsyncIterator[World]:
    """A shop as open_past_shop makes it, in which nothing has come yet."""
    plane = Plane(database)
    pool = await asyncpg.create_pool(role_dsn(database, "fillip_worker"), min_size=1, max_size=5)
    shop = await open_past_shop(plane, clock)
    with psycopg.connect(database, autocommit=True) as owner:
        world = kind(plane, shop, pool, owner)
        yield world
    await world.close()
    await pool.close()
    await plane.close()
