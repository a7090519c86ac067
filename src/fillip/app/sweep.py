"""`fillip sweep`: moves what is due by the clock, makes the coupon codes that were ordered, runs the queries of cohorts, and
starts backtests.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

import asyncpg

from fillip.app.health import Health, reach_pool
from fillip.app.settings import Settings
from fillip.manage.backtest.run import BacktestRuns, name_command
from fillip.manage.cohort.analyse_http import AnalyseUserQueries, open_client
from fillip.manage.cohort.query_run import CohortRuns
from fillip.manage.store.postgres import open_engine
from fillip.match.members_postgres import PostgresFormerMembers
from fillip.settle.coupons.postgres import PostgresDueCodes
from fillip.settle.expiry.postgres import PostgresDueIncentives
from fillip.settle.sweep import sweep
from fillip.settle.wallet.due_postgres import PostgresDueWallets

DUES = (PostgresDueWallets, PostgresDueIncentives, PostgresDueCodes, PostgresFormerMembers)

RUNS_AT_ONCE = 2
"""Queries of cohorts: analyse answers so many at once."""


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
        runs = await open_runs(settings, stack)
        running = [asyncio.create_task(each.keep_running()) for each in runs]
        try:
            await sweep([due(finder, ledger) for due in DUES], stop)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def open_runs(settings: Settings, stack: AsyncExitStack) -> Sequence[CohortRuns | BacktestRuns]:
    """What runs the queries of cohorts, and backtests; nothing where there is no key to ask analyse by."""
    if settings.analyse_key is None:
        return ()
    finder, engine = open_engine(settings.dsn("fillip_sweep"), connections=1), open_engine(settings.dsn("fillip_api"))
    stack.push_async_callback(finder.dispose)
    stack.push_async_callback(engine.dispose)
    client = await stack.enter_async_context(open_client(settings.analyse_base, settings.analyse_key))
    cohorts = CohortRuns(finder, engine, AnalyseUserQueries(client))
    backtests = BacktestRuns(finder, engine, name_command(), settings.list_for("backtest"))
    return [*[cohorts] * RUNS_AT_ONCE, backtests]
