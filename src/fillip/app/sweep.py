"""`fillip sweep`: moves what is due by the clock, lets users follow their ladders, makes the coupon codes that were ordered, posts balance imports, runs cohorts'
queries, erases users, and starts backtests and backfills.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from functools import partial

import asyncpg

from fillip.app.erasing import ErasureTopics
from fillip.app.health import Health, reach_pool
from fillip.app.settings import Settings
from fillip.manage.analyse_http import open_client
from fillip.manage.backfill import run as backfills
from fillip.manage.backtest.run import BacktestRuns, name_command
from fillip.manage.balance_import.run import ImportRuns
from fillip.manage.cohort.analyse_http import AnalyseUserQueries
from fillip.manage.cohort.query_run import CohortRuns
from fillip.manage.erasure.analyse_http import AnalyseErasures
from fillip.manage.erasure.run import ErasureRuns
from fillip.manage.merge.run import MergeRuns
from fillip.manage.store.postgres import Engine, open_engine
from fillip.match.members_postgres import PostgresFormerMembers
from fillip.settle.coupons.postgres import PostgresDueCodes
from fillip.settle.expiry.postgres import PostgresDueIncentives
from fillip.settle.level.postgres import PostgresDueLadders, PostgresDueLevels
from fillip.settle.sweep import sweep
from fillip.settle.wallet.due_holds_postgres import PostgresDueHolds
from fillip.settle.wallet.due_postgres import PostgresDueWallets

DUES = (
    PostgresDueWallets,
    PostgresDueHolds,
    PostgresDueIncentives,
    PostgresDueCodes,
    PostgresDueLadders,
    PostgresDueLevels,
    PostgresFormerMembers,
)

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
        running = [asyncio.create_task(run) for run in await open_runs(settings, stack)]
        try:
            await sweep([due(finder, ledger) for due in DUES], stop)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def open_runs(settings: Settings, stack: AsyncExitStack) -> list[Coroutine[None, None, None]]:
    """What posts balance imports, goes on with merges of users, runs the queries of cohorts, erases users, and what starts backtests and backfills."""
    engines: list[Engine] = []
    for role, connections in (("fillip_sweep", 2), ("fillip_api", 10)):
        engines.append(open_engine(settings.dsn(role), connections=connections))
        stack.push_async_callback(engines[-1].dispose)
    finder, engine = engines
    posting = [ImportRuns(finder, engine).keep_running(), MergeRuns(finder, engine).keep_running()]
    if settings.analyse_key is None:
        return [*posting, ErasureRuns(finder, engine, ErasureTopics(settings), None).keep_running()]
    client = await stack.enter_async_context(open_client(settings.analyse_base, settings.analyse_key))
    runs = CohortRuns(finder, engine, AnalyseUserQueries(client))
    erasures = ErasureRuns(finder, engine, ErasureTopics(settings), AnalyseErasures(client))
    backtests = BacktestRuns(finder, engine, name_command(), settings.list_for("backtest"))
    turns = backfills.BackfillTurns(finder, engine, backfills.name_command(), settings.list_for("backfill"))
    others = [*posting, erasures.keep_running(), backtests.keep_running(), turns.keep_running()]
    return [*(runs.keep_running() for _ in range(RUNS_AT_ONCE)), *others]
