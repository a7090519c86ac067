"""Attributes of users kept in the worker, beside reading them for every batch: speed, freshness, memory, and what writes cost."""

import random
import time
import tracemalloc
from collections.abc import Awaitable, Collection, Mapping
from datetime import UTC, datetime
from itertools import count
from statistics import median
from typing import Any

import asyncpg
import psycopg
import uvloop
from msgspec import json

from fillip.core.campaign.campaign import CheckedExpression
from fillip.core.ports import StoredUser
from fillip.core.schema.types import derive_type
from fillip.figures import Figure, at_least, at_most, expect, note
from fillip.ingest import Ingest
from fillip.manage.rule.checker import check_rule
from fillip.match import Meet
from fillip.match.kept_users import KeptUsers, UserKey
from fillip.match.numbers_postgres import PostgresNumbers
from fillip.match.postgres import PostgresBooks
from fillip.match.users_postgres import PostgresUsers
from fillip.migrations import role_dsn
from fillip.settle import Settle
from fillip.settle.postgres import PostgresLedger
from fillip.stream.belt import Batch, Record, Span
from tests.bench.books import tell_p99
from tests.bench.load import ACTION, SCHEMA, TENANT, draw_events
from tests.bench.site import Site

TOPIC = "bench.users"
STORED, ACTIVE = 100_000, 20_000
ROUNDS = {10: 300, 5_000: 15}
"""Events a batch -> how many batches of each way are timed."""
CHANGED = 10
"""Users that change before each batch, where some do."""
LOOKS, BULKS, BULK = 500, 15, 1_000
RULE = 'user.tier == "gold" && event.amount >= 990'
USER = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("tier", "city", "segment", "channel", "language", "since")}
    | {"orders": {"type": "integer"}, "spent_cents": {"type": "integer"}},
}


class ReadEachTime(PostgresUsers):
    """As it was before users were kept: a transaction that reads them all."""

    async def read(self, users: Collection[UserKey]) -> Mapping[UserKey, StoredUser]:
        """See UserAttributes."""
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            await connection.execute("SELECT set_config('app.tenants', $1, true)", TENANT)
            return await self.fetch(connection, users)


def bench(site: Site) -> list[Figure]:
    """All on one database, the ways in turns."""
    with site.database() as dsn:
        site.tell(f"writing {STORED:,} users")
        write_users(dsn)
        return uvloop.run(measure(dsn, site))


def write_users(dsn: str) -> None:
    """The users, and a campaign that reads them."""
    found = check_rule(RULE, derive_type(SCHEMA), derive_type(USER))
    checked = {"rule": CheckedExpression(found.checked, found.uses_user, found.uses_cohorts)}
    campaign = {
        "kind": "SIMPLE",
        "name": "g",
        "action": ACTION,
        "rule": RULE,
        "rewards": [{"kind": "points", "value": 1}],
    }
    with psycopg.connect(dsn) as owner:
        owner.execute("UPDATE tenant SET user_schema = %s", [json.encode(USER).decode()])
        owner.execute(
            "INSERT INTO campaign (tenant_id, campaign_id, state, version) VALUES (%s, 'gold', 'running', 1)", [TENANT]
        )
        owner.execute(
            "INSERT INTO campaign_version (tenant_id, campaign_id, version, definition, checked)"
            " VALUES (%s, 'gold', 1, %s, %s)",
            [TENANT, json.encode(campaign).decode(), json.encode(checked).decode()],
        )
        owner.execute(
            "INSERT INTO end_user (tenant_id, user_id, attributes) SELECT %s, 'u' || n, jsonb_build_object("
            " 'tier', CASE n %% 4 WHEN 0 THEN 'gold' ELSE 'blue' END, 'city', 'city-' || n %% 900, 'segment', 'segment-' || n %% 30,"
            " 'channel', 'app', 'language', 'de', 'since', '2024-05-17', 'orders', n %% 70, 'spent_cents', n * 7)"
            " FROM generate_series(0, %s - 1) AS n",
            [TENANT, STORED],
        )
        owner.execute("ANALYZE end_user")


async def measure(dsn: str, site: Site) -> list[Figure]:
    """The figures, one kind after the other."""
    async with asyncpg.create_pool(role_dsn(dsn, "fillip_worker"), min_size=1, max_size=2) as pool:
        owner = await asyncpg.connect(dsn)
        try:
            return [
                *await compare(pool, owner, site),
                *await look(pool, owner),
                *await weigh(pool),
                *await write(owner),
            ]
        finally:
            await owner.close()


class Way:
    """A worker's stages around one way to get attributes, on a partition of its own; its times are ms a batch."""

    def __init__(self, pool: asyncpg.Pool, users: PostgresUsers, partition: int, changes: bool = False) -> None:
        self._ingest, self._meet = (
            Ingest(PostgresBooks(pool)),
            Meet(users, PostgresNumbers(pool), lambda refusals: None),
        )
        self._ledger = PostgresLedger(pool, "bench")
        self._settle = Settle(self._ledger, lambda *told: None)
        self._partition, self._offset = partition, 0
        self.changes = changes
        self.whole_ms: list[float] = []
        self.meet_ms: list[float] = []

    async def claim(self) -> None:
        """Begin the partition."""
        await self._ledger.claim(TOPIC, self._partition, 0, "")

    async def play(self, events: list[dict[str, Any]]) -> None:
        """One batch, from records to the commit."""
        batch = self._make_batch(events)
        began = time.perf_counter()
        read = await self._ingest(batch.records)
        met_at = time.perf_counter()
        met = await self._meet(read)
        settled_at = time.perf_counter()
        await self._settle(batch, met)
        self.meet_ms.append((settled_at - met_at) * 1000)
        self.whole_ms.append((time.perf_counter() - began) * 1000)

    def _make_batch(self, events: list[dict[str, Any]]) -> Batch:
        now, start = datetime.now(UTC), self._offset
        self._offset += len(events)
        records = [
            Record(TOPIC, self._partition, start + index, json.encode(event), None, int(now.timestamp() * 1000))
            for index, event in enumerate(events)
        ]
        return Batch(records, [Span(TOPIC, self._partition, start, self._offset)], now)


async def compare(pool: asyncpg.Pool, owner: asyncpg.Connection, site: Site) -> list[Figure]:
    """Batches of both sizes, in turns."""
    dice, numbers, figures = random.Random(1), count(), list[Figure]()
    kept = PostgresUsers(pool)
    for start in range(0, ACTIVE, 5_000):
        await kept.read([(TENANT, f"u{n}") for n in range(start, start + 5_000)])
    for size, rounds in ROUNDS.items():
        first = 3 * list(ROUNDS).index(size)
        ways = [
            Way(pool, kept, first),
            Way(pool, ReadEachTime(pool), first + 1),
            Way(pool, kept, first + 2, changes=True),
        ]
        for way in ways:
            await way.claim()
        for _ in range(rounds + 1):
            for way in ways:
                events = [
                    {**event, "tenantid": TENANT, "subject": f"u{dice.randrange(ACTIVE)}"}
                    for event in draw_events(size, next(numbers) * 5_000)
                ]
                if way.changes:
                    await change(owner, dice.sample(range(ACTIVE), CHANGED))
                await way.play(events)
        figures += report(size, ways)
        site.tell(f"{size:,} events a batch: {', '.join(f'{median(way.whole_ms[1:]):.2f} ms' for way in ways)}")
    return figures


def report(size: int, ways: list[Way]) -> list[Figure]:
    """Medians of one size, and ratios of rates."""
    kept, read, changing = (median(way.whole_ms[1:]) for way in ways)
    met = [round(median(way.meet_ms[1:]), 2) for way in ways]
    name = f"{size:,} events a batch"
    return [
        note(f"{name}: kept, ingest to commit", round(kept, 2), "ms"),
        note(f"{name}: read each time, ingest to commit", round(read, 2), "ms"),
        at_least(f"{name}: rate kept : rate read each time", 1 if size > 1_000 else 0.9, round(read / kept, 2)),
        at_least(f"{name}: the same, {CHANGED} users change before each", 0.85, round(read / changing, 2)),
        note(f"{name}: match alone, kept / read / changing", " / ".join(map(str, met)), "ms"),
    ]


async def change(owner: asyncpg.Connection, numbers: list[int]) -> None:
    """Write these users."""
    await owner.execute(
        "UPDATE end_user SET revision = revision + 1 WHERE tenant_id = $1 AND user_id = ANY ($2::text[])",
        TENANT,
        [f"u{number}" for number in numbers],
    )


async def look(pool: asyncpg.Pool, owner: asyncpg.Connection) -> list[Figure]:
    """A change, and how long after its commit the attributes are there."""
    users, dice, stale = PostgresUsers(pool), random.Random(2), 0
    batch = [(TENANT, f"u{number}") for number in range(100)]
    await users.read(batch)
    waits, idle = [], []
    for _ in range(LOOKS):
        number = dice.randrange(100)
        before = (await users.read(batch))[batch[number]].revision
        idle.append(await clock(users.read(batch)))
        await change(owner, [number])
        began = time.perf_counter()
        stale += (await users.read(batch))[batch[number]].revision != before + 1
        waits.append((time.perf_counter() - began) * 1000)
    return [
        expect(f"of {LOOKS} changes, not seen by the batch after the commit", 0, stale),
        at_most("a change is seen after its commit, p99", 1_000, round(tell_p99(waits), 2), "ms"),
        note("to ask whether something has changed, median", round(median(idle), 2), "ms"),
    ]


async def weigh(pool: asyncpg.Pool) -> list[Figure]:
    """What 100,000 users take, and what is counted for them."""
    kept = KeptUsers()
    users = PostgresUsers(pool, kept)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for start in range(0, STORED, 5_000):
            await users.read([(TENANT, f"u{number}") for number in range(start, start + 5_000)])
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    return [
        at_most(f"memory of {STORED:,} users kept", 64, round(taken / 1024 / 1024, 1), "MB"),
        at_most("memory taken : memory counted", 1, round(taken / kept.bytes, 3)),
    ]


async def write(owner: asyncpg.Connection) -> list[Figure]:
    """Bulks and single users with and without numbering their changes, in turns."""
    spent: dict[tuple[int, str], list[float]] = {}
    for number in range(BULKS):
        for state in ("ENABLE", "DISABLE"):
            await owner.execute(f"ALTER TABLE end_user {state} TRIGGER USER")
            for size in (BULK, 1):
                done = clock(change(owner, list(range(number * BULK, number * BULK + size))))
                spent.setdefault((size, state), []).append(await done)
    await owner.execute("ALTER TABLE end_user ENABLE TRIGGER USER")
    cost = {key: median(times) for key, times in spent.items()}
    return [
        note(
            f"{size:,} users written, numbered / not", f"{cost[size, 'ENABLE']:.2f} / {cost[size, 'DISABLE']:.2f}", "ms"
        )
        for size in (BULK, 1)
    ]


async def clock(work: Awaitable[object]) -> float:
    """The ms that it took."""
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1000
