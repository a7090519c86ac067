"""A process that merges anon into ada, lot by lot, until it is killed or nothing is left."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection

from fillip.core.ports import Caller
from fillip.manage.merge import postgres
from fillip.manage.merge.portions_postgres import DueMerge, move_portion
from fillip.manage.merge.wallets_postgres import move_wallets
from fillip.manage.store.postgres import open_engine, transaction

ACME = Caller(None, "acme", frozenset())


def run(dsn: str, told: Connection) -> None:
    """Go on where another one stopped, and tell of each portion. `dsn` is of role fillip_api."""
    asyncio.run(_merge(dsn, told))


async def _merge(dsn: str, told: Connection) -> None:
    vars(postgres)["move_wallets"] = partial(move_wallets, most_lots=1)
    engine = open_engine(dsn)
    asked = postgres.MergeRequest("m1", "anon", "ada", None)
    async with transaction(engine, ACME) as connection:
        await postgres.merge_users(connection, ACME, asked, datetime.now(UTC))
    told.send_bytes(b".")
    while await move_portion(engine, DueMerge("acme", "anon"), 1):
        told.send_bytes(b".")
    await engine.dispose()
