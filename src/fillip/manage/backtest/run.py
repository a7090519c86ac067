"""Runs backtests, each in a process of its own; the row of one that runs is held, so that another can take over."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic

import msgspec
import structlog
from prometheus_client import Counter, Histogram

from fillip.manage.backtest.postgres import BacktestRun, begin_run, find_due, finish_run, forget_old, hold_run
from fillip.manage.backtest.told import Failed, Progress, Told, Worked
from fillip.manage.store.postgres import Engine
from fillip.manage.turns import hold_while, keep_taking

HOLD_EVERY_S, FORGET_EVERY_S = 2.0, 600.0
LONGEST_LINE = 16 * 1024 * 1024
RUNS = Counter("fillip_backtests_total", "Runs of backtests by how they ended", ["outcome"])
RUN_S = Histogram(
    "fillip_backtest_seconds", "Duration of runs of backtests", buckets=(1, 5, 15, 30, 60, 300, 900, 3600)
)
_read_told = msgspec.json.Decoder(Told).decode
log = structlog.get_logger()


class BacktestRuns:
    """Runs what waits, one at a time."""

    def __init__(self, finder: Engine, engine: Engine, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """`finder` is of role fillip_sweep, which sees all tenants; `engine` of fillip_api, held to the run's tenant.

        `command` starts the process of a backtest, with nothing but this `environment`.
        """
        self._finder = finder
        self._engine = engine
        self._command = command
        self._environment = environment
        self._forgotten_at = float("-inf")

    async def keep_running(self) -> None:
        """Look each second, until cancelled; what fails is told in the log and tried again."""
        await keep_taking(self._take, waits="backtests wait", fails="a backtest could not be run")

    async def _take(self) -> bool:
        if monotonic() > self._forgotten_at + FORGET_EVERY_S:
            await forget_old(self._finder, self._engine)
            self._forgotten_at = monotonic()
        return await self.run_due()

    async def run_due(self) -> bool:
        """Run the one that is next; whether there was one. Raises Retry where that can't be told or stored."""
        due = await find_due(self._finder)
        run = await begin_run(self._engine, *due) if due else None
        if run is None:
            return False
        began = monotonic()
        ended: Worked | Failed = Failed("the process that ran it was stopped", is_final=False)
        try:
            ended = await self._work(run)
        finally:
            RUNS.labels("done" if isinstance(ended, Worked) else "failed").inc()
            RUN_S.observe(monotonic() - began)
            await finish_run(self._engine, run, ended)
        return True

    async def _work(self, run: BacktestRun) -> Worked | Failed:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, env=dict(self._environment), limit=LONGEST_LINE
        )
        heard: list[Told] = [Progress(0, 0)]
        listening = asyncio.create_task(_listen(process, run, heard))
        try:
            if not await hold_while(
                listening, lambda: hold_run(self._engine, run, _find_progress(heard)), HOLD_EVERY_S
            ):
                return Failed("it was deleted, or another process has taken it over", is_final=False)
            return listening.result()
        finally:
            listening.cancel()
            if process.returncode is None:
                process.kill()
            await process.wait()


def _find_progress(heard: Sequence[Told]) -> Progress:
    newest = heard[-1]
    return newest if isinstance(newest, Progress) else Progress(0, 0)


async def _listen(process: Process, run: BacktestRun, heard: list[Told]) -> Worked | Failed:
    """What the process says at last; on the way `heard` has the newest."""
    assert process.stdin and process.stdout
    with suppress(ConnectionError):  # it has ended already: that is told below
        process.stdin.write(msgspec.json.encode(run.question))
        await process.stdin.drain()
        process.stdin.close()
    async for line in process.stdout:
        told: Told = _read_told(line)
        heard[:] = [told]
        if not isinstance(told, Progress):
            return told
    code = await process.wait()
    if code < 0:
        return Failed("it took more memory or time than it may: ask for a shorter time", is_final=True)
    log.error(
        "a backtest's process failed", tenant=run.question.tenant_id, campaign=run.question.campaign_id, code=code
    )
    return Failed("its process broke down; the log of sweep tells why", is_final=False)


def name_command() -> list[str]:
    """What starts the process of a backtest."""
    return [sys.executable, "-m", "fillip.app.backtest"]
