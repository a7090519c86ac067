"""Wallets with something due: found across tenants by a role that only reads, moved by the worker's, tenants in turn."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial

import asyncpg

from fillip.core.ledger.points import FEW_LOTS, PAGE_LOTS
from fillip.settle.sweep import Columns, Key, Turns
from fillip.settle.transient_postgres import retry_sweep, retry_transient
from fillip.settle.wallet.postgres import SQL, PostgresWallets

PORTION_WALLETS, OF_A_TENANT = 50, 20


class PostgresDueWallets:
    """See fillip.settle.sweep.Due. A transaction moves a page of lots, or one wallet by sums where it has more."""

    def __init__(
        self, finder: asyncpg.Pool, pool: asyncpg.Pool, page_lots: int = PAGE_LOTS, few_lots: int = FEW_LOTS
    ) -> None:
        """`finder` is of role fillip_sweep, which sees all tenants; `pool` of fillip_worker, held to those it names."""
        self._finder = finder
        self._pool = pool
        self._page_lots = page_lots
        self._few_lots = few_lots
        self._turns = Turns()

    async def move_due(self, at: datetime) -> int:
        """Activate and expire what is due, and let lots pay what draws are owed, in wallets that nobody holds."""
        with retry_sweep("due points were not moved"):
            rows = await self._turns.find(3, PORTION_WALLETS, partial(self._find, at))
            portions, move = self._divide(rows), partial(self._move, at=at)
            return sum([await self._turns.move(portion, move) for portion in portions])

    async def _find(self, at: datetime, after: str, aside: Columns) -> Sequence[asyncpg.Record]:
        few = self._few_lots + 1
        found: Sequence[asyncpg.Record] = await self._finder.fetch(
            SQL["find_due"], at, few, after, OF_A_TENANT, PORTION_WALLETS, *aside
        )
        return found

    def _divide(self, rows: Sequence[asyncpg.Record]) -> Iterator[list[Key]]:
        """Wallets (sorted) that together have no more lots due than a page; one with many is by itself."""
        portion: list[Key] = []
        stock = self._page_lots
        for row in sorted(rows, key=lambda row: (row["tenant_id"], row["user_id"], row["currency"])):
            size = self._page_lots if row["lots"] > self._few_lots else row["lots"]
            if portion and size > stock:
                yield portion
                portion, stock = [], self._page_lots
            portion.append((row["tenant_id"], row["user_id"], row["currency"]))
            stock -= size
        if portion:
            yield portion

    async def _move(self, keys: Sequence[Key], at: datetime) -> int:
        named = [(str(tenant), str(user), str(currency)) for tenant, user, currency in keys]
        with retry_transient():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(SQL["name_tenants"], ",".join(sorted({key[0] for key in named})))
                return await PostgresWallets(connection, self._page_lots, self._few_lots).move_due(named, at)
