"""Wallets of 300,000 lots beside wallets of 30: what each operation takes, and what others wait for it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import msgspec

from fillip.app.operate import create_key, create_tenant
from fillip.core.identity import identify
from fillip.core.ledger.points import PointsReversal, PointsToReverse
from fillip.embedded.ports import choose_free_port
from fillip.figures import Figure, at_most, expect, note
from fillip.migrations import role_dsn
from fillip.settle.wallet import PostgresWallets
from fillip.settle.wallet.due_postgres import PostgresDueWallets
from fillip.stream.kafka import ensure_topics
from fillip.stream.topics import Topics
from tests.bench.http import await_ready
from tests.bench.load import TENANT, draw_events
from tests.bench.site import Site

TOPICS = Topics("bench-wallet.")
SHOP = "shop"
"""The tenant whose wallets these are; the other one sends events."""
USUAL, MANY = 30, 300_000
ROUNDS, GOAL_MS, OTHERS_GOAL_MS = 9, 50, 200
EVERY_S, WARM_UP_S = 0.02, 4.0
PURSES = "/v1/users"
BREACHES = """
SELECT count(*) FROM wallet w
WHERE greatest(w.active, 0) + w.owed <> (
    SELECT coalesce(sum(l.remaining), 0) FROM wallet_lot l
    WHERE l.user_id = w.user_id AND coalesce(l.expires_at > w.expired_to, true))
"""
LATER, LONG_AGO = timedelta(days=30), timedelta(days=60)
FILL = Path(__file__).with_name("wallet.sql").read_text()
Call = Callable[[], Awaitable[object]]


def bench(site: Site) -> list[Figure]:
    """Each operation on both wallets in turns; then what touches all lots, with others at work meanwhile."""
    asyncio.run(ensure_topics(site.addresses.kafka_bootstrap, TOPICS))
    port = choose_free_port()
    with site.database() as dsn, site.process(site.settings(dsn, TOPICS, api_port=port), "fillip.app.cli", "api"):
        shop = {"tenant_id": SHOP, "name": "S", "time_zone": "UTC", "currency": "USD", "clock": "live"}
        keys = str(create_tenant(dsn, **shop)[1].key), str(create_key(dsn, TENANT, "bench").key)
        await_ready(port)
        return asyncio.run(measure(site, dsn, port, *keys))


async def measure(site: Site, dsn: str, port: int, key: str, other_key: str) -> list[Figure]:
    """All of it, on one ledger."""
    async with Hand.open(dsn, port, key, other_key) as hand:
        for user, lots in (("usual", USUAL), ("many", MANY), ("other", MANY)):
            await hand.fill(user, lots, datetime.now(UTC) + LATER)
        figures = await measure_operations(site, hand)
        async with hand.watch() as others:
            await asyncio.sleep(WARM_UP_S)
            before = others.take()
            figures += await measure_whole(site, hand, others, before)
            await hand.fill("due", MANY, datetime.now(UTC) - LONG_AGO)
            await hand.fill("swept", MANY, datetime.now(UTC) - LONG_AGO)
            others.take()
            figures += await measure_due(site, hand, others, before)
        figures.append(expect("accounts that do not add up in the end", 0, await hand.count_breaches()))
    return figures


async def measure_operations(site: Site, hand: "Hand") -> list[Figure]:
    """What is done every day."""
    users = ("usual", "many")
    names = (
        "read",
        "spend of 10 lots",
        "refund of it",
        "adjustment down",
        "adjustment up",
        "reversal",
        "sweep, a portion",
    )
    took: dict[tuple[str, str], list[float]] = {(name, user): [] for name in names for user in users}
    for number in range(ROUNDS):
        for user in users:
            calls = (
                hand.read(user),
                hand.spend(user, f"s{number}", 10),
                hand.refund(user, f"s{number}"),
                hand.adjust(user, f"d{number}", -1),
                hand.adjust(user, f"u{number}", 1),
            )
            times = [await clock(call) for call in calls]
            times.append(await clock(await hand.reverse(user, f"r{number}")))
            times.append(await clock(await hand.sweep(user)))
            for name, took_ms in zip(names, times, strict=True):
                took[name, user].append(took_ms)
    site.tell("the operations of every day are measured")
    figures = []
    for name in names:
        usual, many = (median(took[name, user][1:]) for user in users)
        figures.append(at_most(f"{name}, {MANY:,} lots", GOAL_MS, round(many, 1), "ms"))
        figures.append(note(f"{name}, times as long as with {USUAL} lots", round(many / usual, 2)))
    return figures


async def measure_whole(site: Site, hand: "Hand", others: "Others", before: float) -> list[Figure]:
    """A spend of all 300,000 lots, the sweep that lets them give, a reversal while they do, and the refund."""
    spent = await clock(hand.spend("other", "all", MANY))
    read = await clock(hand.read("other"))
    spending = others.take()
    portions = []
    while True:
        began = time.perf_counter()
        if not await hand.due.move_due(datetime.now(UTC)):
            break
        portions.append((time.perf_counter() - began) * 1000)
    site.tell(f"{len(portions)} portions of the sweep")
    sweeping = others.take()
    refunded = await clock(hand.refund("other", "all"))
    refunding = others.take()
    return [
        at_most(f"spend of all {MANY:,} lots", GOAL_MS, round(spent, 1), "ms"),
        at_most("read while lots owe all of it", GOAL_MS, round(read, 1), "ms"),
        at_most("sweep, a portion of what they owe, median", GOAL_MS, round(median(portions), 1), "ms"),
        note("sweep, until they have given all", round(sum(portions) / 1000, 1), "s"),
        note("refund of all, by portions in one request", round(refunded / 1000, 1), "s"),
        *(
            at_most(f"others' p99 longer during the {name}", OTHERS_GOAL_MS, round(p99 - before, 1), "ms")
            for name, p99 in (("spend", spending), ("sweep", sweeping), ("refund", refunding))
        ),
    ]


async def measure_due(site: Site, hand: "Hand", others: "Others", before: float) -> list[Figure]:
    """All lots that ever expire are due at once, half of the wallet, before any sweep."""
    read = await clock(hand.read("due"))
    spent = await clock(hand.spend("due", "after", 10))
    again = await clock(hand.spend("due", "again", 10))
    swept = await clock(lambda: hand.due.move_due(datetime.now(UTC)))
    site.tell("what was due is moved")
    return [
        at_most(f"read with {MANY // 2:,} lots due", GOAL_MS, round(read, 1), "ms"),
        at_most(f"spend with {MANY // 2:,} lots due", GOAL_MS, round(spent, 1), "ms"),
        note("the next spend", round(again, 1), "ms"),
        at_most(f"sweep, the portion that expires {MANY // 2:,} lots", GOAL_MS, round(swept, 1), "ms"),
        at_most("others' p99 longer meanwhile", OTHERS_GOAL_MS, round(others.take() - before, 1), "ms"),
    ]


async def clock(call: Call) -> float:
    """ms that a call takes."""
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1000


class Others:
    """What others wait for: one's events, another's spends."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def take(self) -> float:
        """Their p99 in ms since the last time."""
        waits, self.waits = self.waits, []
        return quantiles(waits, n=100)[98] if len(waits) > 1 else 0.0


class Hand:
    """Everything that moves points: the API, the ledger's role, the sweep."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        other_key: str,
        owner: "asyncpg.Connection[asyncpg.Record]",
        finder: asyncpg.Pool,
        pool: asyncpg.Pool,
    ) -> None:
        self.client, self.other_key, self.owner, self.pool = client, other_key, owner, pool
        self.due = PostgresDueWallets(finder, pool)

    @classmethod
    @asynccontextmanager
    async def open(cls, dsn: str, port: int, key: str, other_key: str) -> AsyncIterator["Hand"]:
        """With connections of its own."""
        headers, at = {"Authorization": f"Bearer {key}"}, f"http://127.0.0.1:{port}"
        async with (
            httpx.AsyncClient(base_url=at, headers=headers, timeout=900) as client,
            asyncpg.create_pool(role_dsn(dsn, "fillip_sweep"), min_size=1, max_size=1) as finder,
            asyncpg.create_pool(role_dsn(dsn, "fillip_worker"), min_size=1, max_size=2) as pool,
        ):
            owner = await asyncpg.connect(dsn)
            yield cls(client, other_key, owner, finder, pool)
            await owner.close()

    async def fill(self, user: str, lots: int, expires_at: datetime) -> None:
        """A wallet of that many lots."""
        await self.owner.execute(FILL, SHOP, user, lots, expires_at)

    def read(self, user: str) -> Call:
        """Its balances."""
        return lambda: self._ask("GET", f"{PURSES}/{user}/wallets/POINTS", 200)

    def spend(self, user: str, name: str, amount: int) -> Call:
        """A spend of some points, as many lots."""
        body = {"spend_id": name, "amount": amount}
        return lambda: self._ask("POST", f"{PURSES}/{user}/wallets/POINTS/spends", 201, body)

    def refund(self, user: str, name: str) -> Call:
        """That spend undone."""
        return lambda: self._ask("POST", f"{PURSES}/{user}/wallets/POINTS/spends/{name}/refund", 201)

    def adjust(self, user: str, name: str, amount: int) -> Call:
        """Points added or taken by hand."""
        expiry = {"expires_at": (datetime.now(UTC) + LATER).isoformat()} if amount > 0 else {}
        body = {"adjustment_id": name, "amount": amount, "reason": "bench", **expiry}
        return lambda: self._ask("POST", f"{PURSES}/{user}/wallets/POINTS/adjustments", 201, body)

    async def reverse(self, user: str, name: str) -> Call:
        """The points of one incentive taken back, as the worker does."""
        lot = await self._pick(user, "expires_at IS NULL")
        taking = PointsToReverse((SHOP, user, "POINTS"), identify(name), name, lot, 1)

        async def take_back() -> None:
            async with self.pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT set_config('app.tenants', $1, true)", SHOP)
                wallets, now = PostgresWallets(connection), datetime.now(UTC)
                locked = await wallets.lock([taking.wallet])
                terms = await wallets.prepare(locked, [taking], now)
                assert terms.take(locked[taking.wallet], taking, now) == PointsReversal(1)
                await wallets.write(locked.values())

        return take_back

    async def sweep(self, user: str) -> Call:
        """The sweep, with one lot of this wallet due."""
        now = datetime.now(UTC)
        lot = await self._pick(user, "expires_at > now()")
        await self.owner.execute("UPDATE wallet_lot SET expires_at = $1 WHERE lot_id = $2", now, lot)
        await self.owner.execute("UPDATE wallet SET due_at = $1 WHERE user_id = $2", now, user)

        async def move() -> None:
            assert await self.due.move_due(datetime.now(UTC)) == 1

        return move

    async def count_breaches(self) -> int:
        """Wallets whose lots are unlike their balance."""
        return int(await self.owner.fetchval(BREACHES))

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Others]:
        """Somebody else's events and another wallet's spends, one of each every 20 ms."""
        others, numbers = Others(), count()
        events = iter(draw_events(1_000_000))
        headers = {"Authorization": f"Bearer {self.other_key}"}

        async def send() -> None:
            body = msgspec.json.encode(next(events))
            kind = {"Content-Type": "application/json"}
            await self._ask("POST", "/v1/events", 202, headers=headers | kind, content=body)

        async def spend() -> None:
            await self.adjust("near", f"n{next(numbers)}", 1)()

        async def ask(call: Call) -> None:
            while True:
                _, wait_ms = await asyncio.gather(asyncio.sleep(EVERY_S), clock(call))
                others.waits.append(wait_ms)

        asking = [asyncio.create_task(ask(call)) for call in (send, spend)]
        try:
            yield others
        finally:
            for each in asking:
                each.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _pick(self, user: str, which: str) -> UUID:
        query = (
            f"SELECT lot_id FROM wallet_lot WHERE user_id = $1 AND remaining = amount AND {which} ORDER BY seq LIMIT 1"
        )
        found: UUID = await self.owner.fetchval(query, user)
        return found

    async def _ask(self, method: str, path: str, wanted: int, body: object = None, **more: Any) -> None:
        given = more if body is None else {"json": body}
        answer = await self.client.request(method, path, **given)
        assert answer.status_code == wanted, answer.text
