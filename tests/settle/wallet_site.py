"""What the wallets' state machine runs on: a ledger, the API in front, the sweep, and what is told of it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import psycopg
import pytest

from fillip.manage.api.keys import NewKey
from fillip.manage.app import build_app
from fillip.manage.balance_import.run import ImportRuns
from fillip.manage.key.postgres import PostgresKeyRing
from fillip.manage.operator import create_key
from fillip.manage.store.postgres import open_engine
from fillip.manage.wallet import postgres as wallet_postgres
from fillip.migrations import role_dsn
from fillip.rows.wallet.hold_postgres import HoldRows
from fillip.settle.reversal import postgres as reversal_postgres
from fillip.settle.wallet import PostgresWallets
from fillip.settle.wallet.due_holds_postgres import PostgresDueHolds
from fillip.settle.wallet.due_postgres import PostgresDueWallets
from tests.settle.conftest import World
from tests.settle.wallet_told import Told

HERE = Path(__file__).parent
FLOORS = {"FREE": None, "SOME": -15, "FIRM": 0}
PAGE_LOTS, FEW_LOTS = 2, 1
"""Small, so that wallets with more lots than a page occur all the time."""


@contextmanager
def small_pages() -> Iterator[None]:
    """The API and reversals read so few lots at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wallet_postgres, "PAGE_LOTS", PAGE_LOTS)
        patch.setattr(wallet_postgres, "HoldRows", partial(HoldRows, page_lots=PAGE_LOTS, few_lots=FEW_LOTS))
        small = partial(PostgresWallets, page_lots=PAGE_LOTS, few_lots=FEW_LOTS)
        patch.setattr(reversal_postgres, "PostgresWallets", small)
        yield


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
        finder = await asyncpg.create_pool(role_dsn(dsn, "fillip_sweep"), min_size=1, max_size=2)
        self.due = PostgresDueWallets(finder, self.pool, PAGE_LOTS, FEW_LOTS)
        self.due_holds = PostgresDueHolds(finder, self.pool, PAGE_LOTS, FEW_LOTS)
        self.world = World(self.pool, self.owner)
        self.world.add_limit("budget", 2**40, scope="user", measure="value", reward_kind="points")
        self.told = Told(dsn)
        await self.told.open()
        engines = open_engine(role_dsn(dsn, "fillip_api")), open_engine(dsn)
        seeing_all = open_engine(role_dsn(dsn, "fillip_sweep"))
        self.imports = ImportRuns(seeing_all, engines[0])
        app = build_app(*engines, "operator", PostgresKeyRing(engines[0], cache_for_s=600), gateway_url="ws://none")
        key = (await create_key(dsn, "acme", NewKey(name="k", scopes=["manage:read", "manage:write"]))).key
        headers = {"Authorization": f"Bearer {key}"}
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://fillip", headers=headers)
        for currency, floor in FLOORS.items():
            assert (await self.client.put(f"/v1/points/{currency}", json={"name": "x", "floor": floor})).is_success

        async def close() -> None:
            await self.client.aclose()
            await self.told.close()
            await asyncio.gather(
                self.pool.close(), finder.close(), *(each.dispose() for each in (*engines, seeing_all))
            )

        self._close = close

    def close(self) -> None:
        """Give everything back."""
        self.runner.run(self._close())
        self.runner.close()
        self.owner.close()
