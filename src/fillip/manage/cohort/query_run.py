"""Runs the queries of cohorts when they are due: what one selects becomes the cohort's list, or the one before stays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from tempfile import TemporaryFile
from time import monotonic
from typing import BinaryIO

import structlog
from prometheus_client import Counter, Histogram

from fillip.core.errors import Retry
from fillip.core.ports import Freshness, UserQueries
from fillip.http.errors import HttpRefused
from fillip.manage.cohort.build_postgres import Progress, tell_build
from fillip.manage.cohort.query_postgres import Run, begin_run, find_due, finish_run, hold_run
from fillip.manage.cohort.upload_postgres import Upload, take_upload
from fillip.manage.cohort.user_lines import SelectedReader
from fillip.manage.store.postgres import Engine
from fillip.manage.turns import hold_while, keep_taking
from fillip.manage.upload.csv_lines import UploadBroken
from fillip.manage.upload.rejections import Rejections

HOLD_EVERY_S = 20.0
RUNS = Counter("fillip_cohort_runs_total", "Runs of cohorts' queries by how they ended", ["outcome"])
RUN_S = Histogram(
    "fillip_cohort_run_seconds", "Duration of runs of cohorts' queries", buckets=(1, 2, 5, 10, 30, 60, 120, 300, 600)
)
LATE_S = Histogram(
    "fillip_cohort_run_late_seconds", "How long after they were due runs began", buckets=(1, 2, 5, 15, 60, 300, 900)
)
log = structlog.get_logger()


class CohortRuns:
    """Runs what is due, one at a time; several share the work, in one process or in many."""

    def __init__(self, finder: Engine, engine: Engine, queries: UserQueries) -> None:
        """`finder` is of role fillip_sweep, which sees all tenants; `engine` of fillip_api, held to the run's tenant."""
        self._finder = finder
        self._engine = engine
        self._queries = queries

    async def keep_running(self) -> None:
        """Look each second, until cancelled; what fails is told in the log and tried again."""
        await keep_taking(self.run_due, waits="cohorts' queries wait", fails="a cohort's query could not be run")

    async def run_due(self) -> bool:
        """Run the query that is next; whether one was due. Raises Retry where that can't be told or stored."""
        due = await find_due(self._finder)
        run = await begin_run(self._engine, *due) if due else None
        if run is None:
            return False
        LATE_S.observe(max(0.0, run.late_s))
        began = monotonic()
        building = asyncio.create_task(self._build(run))
        try:
            await hold_while(building, lambda: hold_run(self._engine, run), HOLD_EVERY_S)
        finally:
            building.cancel()
            await self._finish(run, building)
            RUN_S.observe(monotonic() - began)
        return True

    async def _finish(self, run: Run, building: "asyncio.Task[Freshness]") -> None:
        [ended] = await asyncio.gather(building, return_exceptions=True)
        match ended:
            case Freshness():
                told: Freshness | Progress = ended
            case HttpRefused():
                told = Progress(state="refused", error=str(ended))
            case Retry():
                told = Progress(state="failed", error=str(ended))
            case asyncio.CancelledError():
                told = Progress(state="failed", error="the process that ran it was stopped")
            case _:
                log.error("a cohort's query failed", cohort=run.cohort_id, exc_info=ended)
                told = Progress(state="failed", error=f"it broke down: {type(ended).__name__}")
        RUNS.labels("done" if isinstance(told, Freshness) else told.state).inc()
        await finish_run(self._engine, run, told)

    async def _build(self, run: Run) -> Freshness:
        """Bring what the query selects into force; the build tells how it goes. Raises HttpRefused and Retry."""
        async with self._select(run) as (file, rows, read):
            await tell_build(self._engine, run.caller, run.build_id, Progress(step="matching", lines=rows))
            upload = Upload(run.caller, run.cohort_id, run.build_id, "replace", file, rows, run.check)
            await take_upload(self._engine, nullcontext(), upload)
            return read

    @asynccontextmanager
    async def _select(self, run: Run) -> AsyncIterator[tuple[BinaryIO, int, Freshness]]:
        """The users as a temporary file of COPY rows, and their number."""
        with TemporaryFile() as file:
            rejections = Rejections()
            reader = SelectedReader(file, rejections)
            async with self._queries.select(run.caller.tenant_id, run.sql) as selected:
                async for piece in selected.pieces:
                    reader.feed(piece)
            reader.finish()
            if rejections.first:
                raise UploadBroken(*rejections.first, "; select ids of users alone")
            file.seek(0)
            yield file, reader.rows, selected.read
