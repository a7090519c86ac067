"""Everything that moves points, one after the other and at once, on a real PostgreSQL with the real API in front."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from psycopg.rows import dict_row

from fillip.core.errors import Fenced, Retry
from fillip.core.identity import identify
from fillip.core.incentive import Reward
from fillip.core.match import Match
from fillip.core.wallet import Taken, Taking
from fillip.manage.app import build_app
from fillip.manage.keys import NewKey
from fillip.manage.operator import create_key
from fillip.manage.postgres import PostgresKeyRing, open_engine
from fillip.migrations import role_dsn
from fillip.settle.wallet import PostgresWallets
from fillip.settle.wallet.due_postgres import PostgresDueWallets

from .conftest import T0, World

HERE = Path(__file__).parent
BREACHES = (HERE / "wallet_breaches.sql").read_text().replace("$1", "%(tenant)s").replace("$2", "%(user)s")
FLOORS = {"FREE": None, "SOME": -15, "FIRM": 0}
DAY_S = 86_400
NEVER = datetime.max.replace(tzinfo=UTC)
TIMES = {
    "wallet": ("activated_to", "expired_to", "due_at"),
    "wallet_lot": ("expires_at", "available_at"),
    "wallet_draw": ("since",),
}
SUMS = ("pending", "active", "spent", "expired", "reversed")

amounts = st.integers(1, 20)
numbers = st.integers(0, 4)
spans = st.none() | st.integers(1, 3)
operations = st.one_of(
    st.tuples(st.just("grant"), amounts),
    st.tuples(st.just("spend"), numbers, amounts),
    st.tuples(st.just("refund"), numbers),
    st.tuples(st.just("reverse"), numbers, numbers, amounts),
    st.tuples(st.just("adjust"), amounts.map(lambda amount: amount - 10).filter(bool)),
    st.tuples(st.just("sweep")),
)


PAGE_LOTS, FEW_LOTS = 2, 1
"""Small, so that wallets with more lots than a page occur all the time."""


class Site:
    """A ledger, the API in this process, the sweep; a user of its own for each example."""

    def __init__(self, dsn: str) -> None:
        self.runner = asyncio.Runner()
        self.users = 0
        self.owner = psycopg.connect(dsn, autocommit=True)
        self.owner.execute((HERE / "world.sql").read_text())
        self.owner.execute("UPDATE tenant SET clock = 'live'")
        self.runner.run(self._open(dsn))

    async def _open(self, dsn: str) -> None:
        self.pool = await asyncpg.create_pool(role_dsn(dsn, "fillip_worker"), min_size=1, max_size=8)
        finder = await asyncpg.create_pool(role_dsn(dsn, "fillip_publish"), min_size=1, max_size=2)
        self.due = PostgresDueWallets(finder, self.pool, PAGE_LOTS, FEW_LOTS)
        self.world = World(self.pool, self.owner)
        engines = open_engine(role_dsn(dsn, "fillip_api")), open_engine(dsn)
        app = build_app(*engines, "operator", PostgresKeyRing(engines[0], cache_for_s=600), gateway_url="ws://none")
        key = (await create_key(dsn, "acme", NewKey(name="k", scopes=["manage:read", "manage:write"]))).key
        headers = {"Authorization": f"Bearer {key}"}
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://fillip", headers=headers)
        for currency, floor in FLOORS.items():
            assert (await self.client.put(f"/v1/points/{currency}", json={"name": "x", "floor": floor})).is_success

        async def close() -> None:
            await self.client.aclose()
            await asyncio.gather(self.pool.close(), finder.close(), *(engine.dispose() for engine in engines))

        self._close = close

    def close(self) -> None:
        """Give everything back."""
        self.runner.run(self._close())
        self.runner.close()
        self.owner.close()


class WalletMachine(RuleBasedStateMachine):
    """Rules that each do one thing and look at what the wallet tells before and after; and storms of them at once."""

    site: Site
    bites: Counter[str]

    @initialize(currency=st.sampled_from(sorted(FLOORS)))
    def open_wallet(self, currency: str) -> None:
        """A user nobody has heard of."""
        self.site.users += 1
        self.user, self.currency, self.made = f"user-{self.site.users}", currency, 0
        self.purse = f"/v1/users/{self.user}/wallets/{currency}"
        for pending, lasts in ((None, 1), (1, None), (None, None), (None, 2), (None, 2), (1, 3)):
            self._run(self._settle(self._earn(5, pending, lasts)))

    @rule(amount=amounts, pending=spans, lasts=spans)
    def grant(self, amount: int, pending: int | None, lasts: int | None) -> None:
        """An event earns points."""
        match = self._earn(amount, pending, None if lasts is None else lasts + (pending or 0))
        self._run(self._settle(match))

    @rule(number=numbers, amount=amounts)
    def spend(self, number: int, amount: int) -> None:
        """A spend, new or again, does what the balance shown before allows."""
        before, known = self._look(), self._find("spend", f"s{number}")
        status = self._run(self._spend(number, amount))
        if known:
            assert status == (200 if known == amount else 409)
        else:
            assert status == (404 if before is None else 201 if before["active"] >= amount else 409)
            self._expect(before, active=-amount, spent=amount) if status == 201 else self._expect(before)

    @rule(number=numbers)
    def refund(self, number: int) -> None:
        """A refund gives a whole spend back, once; what has expired meanwhile is gone."""
        before, known, again = self._look(), self._find("spend", f"s{number}"), self._find("refund", f"s{number}")
        status = self._run(self._refund(number))
        assert status == (404 if not known else 200 if again else 201)
        after = self._look()
        if status == 201 and before and after:
            gone = after["expired"] - before["expired"]
            assert after["active"] == before["active"] + known - gone
            assert after["spent"] == before["spent"] - known

    @rule(number=numbers, name=numbers, amount=amounts)
    def reverse(self, number: int, name: int, amount: int) -> None:
        """A reversal takes what is there, and no more than the floor allows; the same one again takes nothing more."""
        lots, before = self._list_lots(), self._look()
        if not lots:
            return
        lot = lots[number % len(lots)]
        known = self._find("reverse", lot["lot_id"].hex, f"r{name}")
        taken = self._run(self._reverse(lot["lot_id"], name, amount))
        after = self._look()
        assert before and after and taken
        if known:
            assert (taken, after) == (Taken(known), before)
            return
        assert after["reversed"] - before["reversed"] == taken.taken
        assert before["active"] + before["pending"] - after["active"] - after["pending"] == taken.taken
        (now,) = [each for each in self._list_lots() if each["lot_id"] == lot["lot_id"]]
        expired = now["remaining"] if now["is_over"] else 0
        assert taken.taken + taken.short == min(amount, lot["amount"] - expired - lot["reversed"])
        assert not taken.short or after["active"] == min(before["active"], FLOORS[self.currency] or 0)
        self.bites["debts" if after["active"] < 0 else "floors" if taken.short else "plain"] += 1

    @rule(number=numbers, name=numbers)
    def take_back_what_was_spent(self, number: int, name: int) -> None:
        """A reversal when nothing is left."""
        before = self._look()
        if before:
            self._spend_all(before, 1)
        self.reverse(number, name, 20)

    @rule(amount=amounts, up=st.booleans())
    def adjust(self, amount: int, up: bool) -> None:
        """An adjustment adds, or takes at most what is there."""
        before, signed = self._look(), amount if up else -amount
        status = self._run(self._adjust(signed))
        there = before["active"] if before else 0
        assert status == (201 if up or there >= amount else 409 if before else 404)
        self._expect(before or dict.fromkeys(SUMS, 0), active=signed) if status == 201 else self._expect(before)

    @rule(days=st.integers(1, 3), then=st.sampled_from(("sweep", "spend", "nothing")))
    def let_days_pass(self, days: int, then: str) -> None:
        """The clock can't be moved, so the times of the lots are. What is shown needs no sweep, nor does a spend."""
        given = {"ago": timedelta(days=days), "user": self.user}
        for table, times in TIMES.items():
            shift = ", ".join(f"{time} = {time} - %(ago)s" for time in times)
            self.site.owner.execute(f"UPDATE {table} SET {shift} WHERE user_id = %(user)s", given)
        before = self._look()
        if then == "spend" and before:
            self._spend_all(before, 1)
            return
        while then == "sweep" and (moved := self._run(self.site.due.move_due(datetime.now(UTC)))):
            self.bites["swept"] += moved
        self._expect(before)

    @rule(left=st.integers(0, 9), days=st.integers(0, 2), number=numbers, back=st.booleans())
    def let_lots_fall_behind(self, left: int, days: int, number: int, back: bool) -> None:
        """A spend over more lots than a page; lots that owe to it may expire, it may be refunded before they gave."""
        before = self._look()
        amount = max(before["active"], 0) - left if before else 0
        if not before or amount <= 0 or self._find("spend", f"b{number}"):
            return
        lots = [] if self._count_owed() else self._list_lots()
        assert self._run(self._spend(number, amount, "b")) == 201
        self._expect(before, active=-amount, spent=amount)
        owed = self._count_owed()
        if days:
            self.let_days_pass(days, then="nothing")
            assert not lots or self._count_active() == reckon(lots, amount, timedelta(days=days))
            self.bites["late"] += bool(owed)
        if back:
            assert self._run(self._refund(number, "b")) == 201
            after = self._look()
            assert after and after["spent"] == before["spent"]
            assert sum(after.values()) == sum(before.values())
            assert not lots or after["active"] == reckon(lots, 0, timedelta(days=days))
            self.bites["forgiven"] += bool(owed)
        self.bites["behind"] += bool(owed)

    @rule(storm=st.lists(operations, min_size=2, max_size=6))
    def do_at_once(self, storm: list[tuple[Any, ...]]) -> None:
        """Anything may come at once: every one gets an answer, and the invariants hold."""
        self._run(self._storm(storm))
        self.bites["storms"] += 1

    @rule(racers=st.integers(2, 6))
    def race_for_all(self, racers: int) -> None:
        """Several spend the whole balance at once: one wins."""
        before = self._look()
        if before:
            self._spend_all(before, racers)
            self.bites["races"] += 1

    @invariant()
    def nothing_is_wrong(self) -> None:
        """The sums, recounted from the transfers."""
        if self.site.users:
            cursor = self.site.owner.cursor(row_factory=dict_row)
            breaches = cursor.execute(BREACHES, {"tenant": "acme", "user": self.user}).fetchone()
            assert breaches and not any(breaches.values()), breaches

    def teardown(self) -> None:
        """Leave nothing due behind, or the next example would count it."""
        self.site.owner.execute("UPDATE wallet SET due_at = NULL")

    def _spend_all(self, before: dict[str, int], racers: int) -> None:
        """All that can be spent, by each of several at once: one gets it; where there is nothing, nobody does."""
        self.made += 1
        there = max(before["active"], 0)
        bodies = [{"spend_id": f"all-{self.made}-{n}", "amount": there or 1} for n in range(racers)]
        statuses = sorted(self._run(self._post_all("spends", bodies)))
        assert statuses == ([201] if there else [409]) + [409] * (racers - 1)
        self._expect(before, active=-there, spent=there)

    def _earn(self, amount: int, pending: int | None, lasts: int | None, partition: int = 0) -> Match:
        self.made += 1
        spans_s = [None if days is None else days * DAY_S for days in (pending, lasts)]
        reward = Reward("points", amount, self.currency, pending_for_s=spans_s[0], expires_after_s=spans_s[1])
        given = {"rewards": (reward,), "clock": "live", "after": datetime.now(UTC) - T0, "partition": partition}
        return self.site.world.match(f"{self.user}-{self.made}", self.user, **given)

    async def _settle(self, match: Match) -> None:
        while True:
            try:
                return await self.site.world.play(match)
            except Retry as retry:  # another made the wallet first
                assert not isinstance(retry, Fenced)

    async def _spend(self, number: int, amount: int, name: str = "s") -> int:
        return (await self._post("spends", {"spend_id": f"{name}{number}", "amount": amount})).status_code

    async def _refund(self, number: int, name: str = "s") -> int:
        return (await self._post(f"spends/{name}{number}/refund", None)).status_code

    async def _adjust(self, amount: int) -> int:
        self.made += 1
        body = {"adjustment_id": f"a{self.made}", "amount": amount, "reason": "test"}
        return (await self._post("adjustments", body)).status_code

    async def _reverse(self, incentive_id: UUID, name: int, amount: int) -> Taken | None:
        async with self.site.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('app.tenants', 'acme', true)")
            said = f"r{name}"
            taking = Taking(("acme", self.user, self.currency), identify(said), said, incentive_id, amount)
            return (await PostgresWallets(connection, PAGE_LOTS, FEW_LOTS).take_back([taking], datetime.now(UTC))).get(
                incentive_id
            )

    async def _storm(self, storm: list[tuple[Any, ...]]) -> None:
        lots, jobs, partitions = self._list_lots(), [], [0, 1]
        for kind, *given in storm:
            if kind == "grant" and partitions:
                jobs.append(self._settle(self._earn(given[0], None, None, partitions.pop())))
            elif kind == "reverse" and lots:
                jobs.append(self._reverse(lots[given[0] % len(lots)]["lot_id"], *given[1:]))
            elif kind == "sweep":
                jobs.append(self.site.due.move_due(datetime.now(UTC)))
            elif kind in ("spend", "refund", "adjust"):
                jobs.append(getattr(self, f"_{kind}")(*given))
        for answer in await asyncio.gather(*jobs):
            assert not isinstance(answer, int) or answer < 500, answer

    async def _post(self, what: str, body: dict[str, Any] | None) -> httpx.Response:
        return await self.site.client.post(f"{self.purse}/{what}", json=body)

    async def _post_all(self, what: str, bodies: list[dict[str, Any]]) -> list[int]:
        return [answer.status_code for answer in await asyncio.gather(*[self._post(what, body) for body in bodies])]

    def _run(self, work: Any) -> Any:
        return self.site.runner.run(work)

    def _look(self) -> dict[str, int] | None:
        """The balances as the API shows them."""
        answer = self._run(self.site.client.get(self.purse))
        return {name: answer.json()[name] for name in SUMS} if answer.status_code == 200 else None

    def _expect(self, before: dict[str, int] | None, **changes: int) -> None:
        wanted = before and {name: total + changes.get(name, 0) for name, total in before.items()}
        assert self._look() == wanted

    def _find(self, kind: str, source_id: str, reason: str | None = None) -> int:
        """The amount of a transfer, 0 where there is none."""
        query = (
            "SELECT amount FROM wallet_transfer WHERE user_id = %s AND kind = %s AND source_id = %s"
            " AND (%s::text IS NULL OR reason = %s)"
        )
        found = self.site.owner.execute(query, (self.user, kind, source_id, reason, reason)).fetchone()
        return found[0] if found else 0

    def _count_active(self) -> int:
        shown = self._look()
        return shown["active"] if shown else 0

    def _count_owed(self) -> int:
        found = self.site.owner.execute("SELECT owed FROM wallet WHERE user_id = %s", (self.user,)).fetchone()
        return found[0] if found else 0

    def _list_lots(self) -> list[dict[str, Any]]:
        cursor = self.site.owner.cursor(row_factory=dict_row)
        query = (
            "SELECT l.*, coalesce(l.expires_at <= w.expired_to, false) AS is_over FROM wallet_lot l"
            " JOIN wallet w USING (tenant_id, user_id, currency) WHERE user_id = %s ORDER BY seq"
        )
        return cursor.execute(query, (self.user,)).fetchall()


def reckon(lots: list[dict[str, Any]], amount: int, later: timedelta) -> int:
    """What is active `later`, where `amount` is spent now: out of every lot at once, the one that expires first first."""
    now, active = datetime.now(UTC), 0
    for lot in sorted(lots, key=lambda lot: (lot["expires_at"] or NEVER, lot["seq"])):
        usable = (lot["available_at"] or now) <= now < (lot["expires_at"] or NEVER)
        drawn = min(amount, lot["remaining"]) if usable else 0
        amount -= drawn
        if (lot["available_at"] or now) <= now + later < (lot["expires_at"] or NEVER):
            active += lot["remaining"] - drawn
    return active
