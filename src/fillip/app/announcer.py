"""`fillip publish`: announces what the ledger stored, and sweeps what is due by the clock."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg

from fillip.app.settings import Settings
from fillip.match.roll_postgres import PostgresLeftRolls
from fillip.publish.run import publish
from fillip.settle.coupons.postgres import PostgresDueCodes
from fillip.settle.expiry.postgres import PostgresDueIncentives
from fillip.settle.sweep import sweep
from fillip.settle.wallet.due_postgres import PostgresDueWallets
from fillip.stream.topics import Topics

DUES = (PostgresDueWallets, PostgresDueIncentives, PostgresDueCodes, PostgresLeftRolls)


async def run_publish(settings: Settings, stop: asyncio.Event) -> None:
    """Announce and sweep until `stop`."""
    async with AsyncExitStack() as stack:
        finder, ledger = [
            await stack.enter_async_context(
                asyncpg.create_pool(settings.dsn(role), min_size=0, max_size=1, command_timeout=60)
            )
            for role in ("fillip_publish", "fillip_worker")
        ]
        sweeping = asyncio.create_task(sweep([due(finder, ledger) for due in DUES], stop))
        announcing = asyncio.create_task(
            publish(
                dsn=settings.dsn("fillip_publish"),
                bootstrap=settings.kafka_bootstrap,
                topics=Topics(settings.topic_prefix),
                valkey_url=settings.valkey_url,
                stop=stop,
            )
        )
        await asyncio.wait({announcing, sweeping}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()  # one that ended by an error ends the other
        await asyncio.gather(announcing, sweeping)
