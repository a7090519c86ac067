"""`fillip sweep`: moves what is due by the clock, and makes the coupon codes that were ordered."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import asyncpg

from fillip.app.health import Health, reach_pool
from fillip.app.settings import Settings
from fillip.match.members_postgres import PostgresFormerMembers
from fillip.settle.coupons.postgres import PostgresDueCodes
from fillip.settle.expiry.postgres import PostgresDueIncentives
from fillip.settle.sweep import sweep
from fillip.settle.wallet.due_postgres import PostgresDueWallets

DUES = (PostgresDueWallets, PostgresDueIncentives, PostgresDueCodes, PostgresFormerMembers)


async def run_sweep(settings: Settings, stop: asyncio.Event, health: Health) -> None:
    """Sweep until `stop`. A process of its own: whatever it has to move, no decision and no push waits for it."""
    async with AsyncExitStack() as stack:
        finder, ledger, probe = [
            await stack.enter_async_context(
                asyncpg.create_pool(settings.dsn(role), min_size=0, max_size=1, command_timeout=60)
            )
            for role in ("fillip_sweep", "fillip_worker", "fillip_sweep")
        ]
        health.watch("PostgreSQL", partial(reach_pool, probe))  # of its own: the others may be at work for long
        await sweep([due(finder, ledger) for due in DUES], stop)
