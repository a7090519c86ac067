"""Runs tenants' queries, each in a process of its own that is killed when it takes too long; few at a time, in turn."""

import asyncio
import csv
import os
import socket
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic
from typing import Any, Self, TypeAlias

import msgspec
import structlog
from msgspec import Struct
from prometheus_client import Histogram

from fillip.analyse.day_files.tenant_files import FileLender, TenantFiles
from fillip.analyse.query.task import ANALYSTS, BACKTESTS, COHORTS, Bounds, Form, Outcome, Task
from fillip.core.errors import Busy, Refused, Retry
from fillip.core.ports import UserPreview
from fillip.http.errors import HttpRefused
from fillip.http.users_query import LONGEST_SQL

AT_ONCE, AT_ONCE_OF_TENANT = 2, 1
WAITING, WAITING_OF_TENANT = 16, 3
LONGEST_WAIT_S = 20.0
RETRY_AFTER_S = 5
SAMPLE = 20
QUERY_S = Histogram(
    "fillip_analyse_query_seconds", "Duration of tenants' queries, without their wait", ["outcome"],
    buckets=(0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
)  # fmt: skip

log = structlog.get_logger()


class QueryRefused(Refused):
    """422: the text is not one SELECT over what there is; `at` is line:column."""

    kind = "invalid-query"


class QueryStopped(Refused):
    """422: it ran, and took more time, memory or rows than it may."""

    kind = "query-stopped"


class TooManyQueries(HttpRefused):
    """429: the tenant's other queries are not done."""

    status = 429
    kind = "too-many-queries"

    def __init__(self) -> None:
        super().__init__("your other queries are not done: wait for them")
        self.headers = {"Retry-After": str(RETRY_AFTER_S)}


Give: TypeAlias = Callable[[Path], Awaitable[Mapping[str, str]]]
"""Writes files of ours into a folder: `given` of a Task."""


class Answer(Struct, frozen=True):
    """A file with the rows, until its context ends; what it holds, and how fresh that is."""

    file: Path
    outcome: Outcome
    files: TenantFiles
    took_s: float


class Source(Struct, frozen=True):
    """The process that forks one for each query, and the socket by which it is asked to."""

    process: Process
    control: socket.socket

    async def end(self) -> None:
        """End it, and with it what it forked."""
        self.control.close()
        if self.process.returncode is None:
            await self.process.wait()


class Processes:
    """Processes that run one query each, forked from one that has imported what they need."""

    def __init__(self) -> None:
        self._source: asyncio.Task[Source] | None = None

    async def run(self, task: Task) -> Outcome:
        """Let a process of its own run it, and kill it when its time is over. Raises Retry."""
        with ExitStack() as stack:
            asked, told, failed = (stack.enter_context(TemporaryFile()) for _ in range(3))
            asked.write(msgspec.json.encode(task))
            asked.seek(0)
            code = await self._fork([each.fileno() for each in (asked, told, failed)], task.bounds.within_s)
            told.seek(0)
            failed.seek(0)
            if code is None:
                return Outcome(refused=f"took longer than {task.bounds.within_s} s", stopped=True)
            if code < 0:  # by the kernel, or by a library that found no memory
                return Outcome(refused="took more memory or time than it may", stopped=True)
            if code:
                log.error("a query's process failed", error=failed.read()[-2_000:].decode(errors="replace"))
                raise Retry("the query could not be run now; the server's log tells why")
            return msgspec.json.decode(told.read(), type=Outcome)

    async def close(self) -> None:
        """End all."""
        if self._source is not None:
            await (await self._source).end()

    async def _fork(self, files: list[int], within_s: float) -> int | None:
        """Have a process begin with these as its standard files; how it ended, None where its time was over. Raises Retry."""
        source = await self._reach_source()
        life, others = socket.socketpair()
        life.setblocking(False)
        with life:
            try:
                with others:
                    socket.send_fds(source.control, [b"."], [*files, others.fileno()])
            except OSError as error:
                raise Retry("what runs queries has ended; it begins anew") from error
            ended = asyncio.create_task(asyncio.get_running_loop().sock_recv(life, 4))
            try:
                await asyncio.wait({ended}, timeout=within_s)
                is_over = not ended.done()
            finally:
                if not ended.done():
                    life.shutdown(socket.SHUT_WR)
                    await asyncio.wait({ended})  # its files are not removed under it
            if is_over:
                return None
            if not (code := ended.result()):
                raise Retry("what ran the query has ended; it begins anew")
            return int.from_bytes(code, "big", signed=True)

    async def _reach_source(self) -> Source:
        """The one that there is, or another where it has ended. Raises Retry."""
        if self._source is not None and self._source.done():
            if not self._source.cancelled() and self._source.exception() is None:
                source = self._source.result()
                if source.process.returncode is None:
                    return source
                source.control.close()
            self._source = None
        if self._source is None:
            self._source = asyncio.create_task(_start())
        try:
            return await asyncio.shield(self._source)
        except OSError as error:
            raise Retry("queries can't be run now: no process can be started") from error


class Queries:
    """Read-only SQL over a tenant's own rows. Calls raise QueryRefused, QueryStopped, TooManyQueries, and Retry."""

    def __init__(self, lender: FileLender, processes: Processes) -> None:
        self._lender = lender
        self._processes = processes
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._present: Counter[str] = Counter()
        self._turns: dict[str, asyncio.Semaphore] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, lender: FileLender) -> AsyncIterator[Self]:
        """Over what `lender` lends; ends the processes."""
        processes = Processes()
        try:
            yield cls(lender, processes)
        finally:
            await processes.close()

    @asynccontextmanager
    async def answer(
        self,
        tenant_id: str,
        sql: str,
        form: Form,
        bounds: Bounds = ANALYSTS,
        give: Give | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[Answer]:
        """The answer to one SELECT over the views of `tenant_id`, and what `give` gives beside; one of ours has `parameters`."""
        if len(sql) > LONGEST_SQL:
            raise QueryRefused(f"longer than {LONGEST_SQL} characters")
        async with self._take_turn(tenant_id), self._lender.lend(tenant_id) as files:
            file, began = files.folder / f"answer.{form}", monotonic()
            given = await give(files.folder) if give else {}
            task = Task(sql, files.groups, files.struck, form, str(file), bounds, given, parameters or {})
            outcome = await self._processes.run(task)
            took_s = monotonic() - began
            name = "answered" if outcome.refused is None else "stopped" if outcome.stopped else "refused"
            QUERY_S.labels(name).observe(took_s)
            if outcome.refused is not None:
                raise (QueryStopped if outcome.stopped else QueryRefused)(outcome.refused, at=outcome.at)
            yield Answer(file, outcome, files, took_s)

    def select_users(self, tenant_id: str, sql: str) -> AbstractAsyncContextManager[Answer]:
        """The users that a SELECT of one column names, each once, as CSV with the header `user_id`."""
        return self.answer(tenant_id, sql, "users", COHORTS)

    def read_history(
        self, tenant_id: str, sql: str, parameters: Mapping[str, Any]
    ) -> AbstractAsyncContextManager[Answer]:
        """What a SELECT of ours finds in a tenant's history, as lines of JSON."""
        return self.answer(tenant_id, sql, "history", BACKTESTS, parameters=parameters)

    async def check_users(self, tenant_id: str, sql: str) -> None:
        """Raise what select_users would raise before it ran."""
        async with self.answer(tenant_id, sql, "nothing", COHORTS):
            pass

    async def preview_users(self, tenant_id: str, sql: str) -> UserPreview:
        """What select_users would give."""
        async with self.select_users(tenant_id, sql) as answer:
            sample = await asyncio.to_thread(_read_users, answer.file, SAMPLE)
            return UserPreview(count=answer.outcome.row_count, sample=sample, took_s=answer.took_s)

    @asynccontextmanager
    async def _take_turn(self, tenant_id: str) -> AsyncIterator[None]:
        """Wait for a free place, the tenant's first: who has many waits for itself."""
        if self._present[tenant_id] >= AT_ONCE_OF_TENANT + WAITING_OF_TENANT:
            raise TooManyQueries
        if self._present.total() >= AT_ONCE + WAITING:
            raise Busy("too many queries are waiting: send it again in a moment")
        self._present[tenant_id] += 1
        turn = self._turns.setdefault(tenant_id, asyncio.Semaphore(AT_ONCE_OF_TENANT))
        try:
            async with asyncio.timeout(LONGEST_WAIT_S) as patience, turn, self._slots:
                patience.reschedule(None)
                yield
        except TimeoutError:
            if not patience.expired():
                raise
            raise Busy("other queries are running: send it again in a moment") from None
        finally:
            self._present[tenant_id] -= 1
            if not self._present[tenant_id]:
                del self._present[tenant_id], self._turns[tenant_id]


async def _start() -> Source:
    """Without an environment, and with no open files but its socket and where it tells what went wrong."""
    control, others = socket.socketpair()
    control.setblocking(False)
    with others:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-m", "fillip.analyse.query.forks_duckdb", stdin=others.fileno(), stdout=asyncio.subprocess.DEVNULL,
            env={"LC_ALL": "C.UTF-8"}, cwd=os.sep, start_new_session=True,
        )  # fmt: skip
    if not await asyncio.get_running_loop().sock_recv(control, 1):
        control.close()
        raise OSError("it ended before it was ready")
    return Source(process, control)


def _read_users(file: Path, most: int) -> list[str]:
    with file.open(encoding="utf-8", newline="") as lines:
        return [user_id for (user_id,) in islice(csv.reader(lines), 1, most + 1)]
