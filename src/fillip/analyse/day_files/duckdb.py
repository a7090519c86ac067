"""Rows for SQL, in Parquet files by kind, tenant and day. Written, merged and removed beside the loads, with cursors of their own."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import date, datetime, timedelta
from functools import partial, reduce
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import duckdb

from fillip.analyse.day_files.tenant_files import KINDS, FileGroup, TenantFiles
from fillip.core.errors import Retry
from fillip.core.instant import MIN_TIME

MANY_ROWS, LONGEST_WAIT_S, MOST_GROUPS = 20_000, 60, 32
"""A tenant's day is written out when so many rows wait, or one for so long; so many days at a time."""
MERGED_FROM, MERGED_ROWS = 8, 1_000_000
"""So many files of a tenant's day, of so many rows together, become one."""
KEPT_S = 600
"""A file that another has replaced stays so long: queries read it."""
REPEATS_KEPT_DAYS = 7
PARQUET: dict[str, Any] = {"compression": "zstd", "row_group_size": 50_000, "row_group_size_bytes": "8MB"}
SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
THREADS = 2
"""One for files, one for queries: neither waits for the other."""

Answer = TypeVar("Answer")
Cursor = duckdb.DuckDBPyConnection


class DayFiles:
    """The folder of day files; table day_file says which of them count. Calls raise Retry when disk or memory is short."""

    def __init__(self, connection: Cursor, folder: Path) -> None:
        """`connection` may write below `folder`, and nowhere else."""
        self._connection = connection
        self._folder = folder.absolute()
        self._loans = self._folder / "loans"
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="day-files")

    def close(self) -> None:
        """Wait for what is being done."""
        self._threads.shutdown()
        del self._connection

    async def clean(self) -> None:
        """Remove what a process that ended in between left behind: files that count for nothing, answers."""
        await self._run(self._clean)

    async def write_out(self) -> int:
        """Move rows that are many, or old, from their tables to files: each once. The number of files."""
        return await self._run(self._write_out)

    async def merge(self) -> int:
        """Make one file of many small ones, for some days of tenants. The number of files made."""
        return await self._run(self._merge)

    async def remove(self, keep_days: int) -> None:
        """Remove events that were received more than `keep_days` ago, by whole files, and files that others have replaced."""
        await self._run(self._remove, keep_days)

    @asynccontextmanager
    async def lend(self, tenant_id: str) -> AsyncIterator[TenantFiles]:
        """See FileLender."""
        folder = self._loans / uuid4().hex
        try:
            yield await self._run(self._lend, tenant_id, folder)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def write_found(self, statement: str, asked: Mapping[str, object], file: Path) -> str:
        """Write what a statement of ours finds to `file`, in a folder that is lent."""
        return await self._run(self._write_found, statement, asked, file)

    async def run(self, work: Callable[[Cursor], Answer]) -> Answer:
        """What `work` returns, done with a cursor of its own beside all else. Raises Retry."""
        return await self._run(work)

    async def _run(self, work: Callable[..., Answer], *arguments: object) -> Answer:
        try:
            cursor = self._connection.cursor()
            call = partial(_call, work, cursor, *arguments)
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except (duckdb.Error, OSError) as error:
            raise Retry(f"the day files can't be used now: {error}") from error

    def _write_found(self, cursor: Cursor, statement: str, asked: Mapping[str, object], file: Path) -> str:
        return _copy(cursor.sql(statement, params=asked), file)

    def _clean(self, cursor: Cursor) -> None:
        shutil.rmtree(self._loans, ignore_errors=True)
        known = {path for (path,) in cursor.execute(SQL["all_files"]).fetchall()}
        for file in self._folder.rglob("*.parquet"):
            if str(file.relative_to(self._folder)) not in known:
                file.unlink()

    def _write_out(self, cursor: Cursor) -> int:
        failed: list[Exception] = []
        written = 0
        for kind, table in KINDS.items():
            asked = {"source": table, "many": MANY_ROWS, "wait_s": LONGEST_WAIT_S, "most": MOST_GROUPS}
            for tenant_id, day, _ in cursor.execute(SQL["groups"], asked).fetchall():
                try:
                    self._write_day(cursor, kind, tenant_id, day)
                    written += 1
                except (duckdb.Error, OSError) as error:  # others are written all the same
                    failed.append(error)
        if failed and not written:
            raise failed[0]
        return written

    def _write_day(self, cursor: Cursor, kind: str, tenant_id: str, day: date) -> None:
        asked = {"source": KINDS[kind], "tenant_id": tenant_id, "day": day}
        with transaction(cursor):
            self._write_file(cursor, kind, tenant_id, day, cursor.sql(SQL["rows_of_day"], params=asked))
            cursor.execute(SQL[f"drop_{KINDS[kind]}s"], [tenant_id, day])

    def _merge(self, cursor: Cursor) -> int:
        asked = {"many": MERGED_FROM, "rows": MERGED_ROWS, "most": 1}
        found = cursor.execute(SQL["mergeable"], asked).fetchall()
        for kind, tenant_id, day in found:
            with transaction(cursor):
                files = cursor.execute(SQL["files_of_day"], [kind, tenant_id, day, MERGED_ROWS]).fetchall()
                counting = [self.read(cursor, path, void) for path, void in files]
                rows = reduce(duckdb.DuckDBPyRelation.union, counting)
                if kind == "events" and (counting_only := rows.query("filed", SQL["not_struck"])):
                    rows = counting_only
                self._write_file(cursor, kind, tenant_id, day, rows)
                cursor.executemany(SQL["replace_file"], [[path] for path, _ in files])
        return len(found)

    def read(self, cursor: Cursor, path: str, void: list[int]) -> duckdb.DuckDBPyRelation:
        """The rows of a day file that count."""
        rows = cursor.read_parquet(str(self._folder / path))
        return rows.filter(f"partition NOT IN ({', '.join(map(str, void))})") if void else rows

    def replace(
        self, cursor: Cursor, path: str, kind: str, tenant_id: str, day: date, rows: duckdb.DuckDBPyRelation
    ) -> None:
        """Write a day file that takes the place of another, within a transaction."""
        self._write_file(cursor, kind, tenant_id, day, rows)
        cursor.execute(SQL["replace_file"], [path])

    def _write_file(self, cursor: Cursor, kind: str, tenant_id: str, day: date, rows: duckdb.DuckDBPyRelation) -> None:
        path = f"{kind}/tenant={tenant_id}/day={day}/{uuid4().hex}.parquet"
        file = self._folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            rows.write_parquet(str(file), **PARQUET)
            for each in (file, file.parent):
                _sync(each)
            added = {"path": path, "kind": kind, "tenant_id": tenant_id, "day": day, "file": str(file)}
            cursor.execute(SQL["add_event_file" if kind == "events" else "add_file"], added)
        except BaseException:
            file.unlink(missing_ok=True)
            raise

    def _remove(self, cursor: Cursor, keep_days: int) -> None:
        cursor.execute(SQL["expire_files"], [keep_days])
        for name in ("expire_key", "expire_struck", "expire_rejected"):
            cursor.execute(SQL[name], [keep_days])
        cursor.execute(SQL["expire_repeat"], [REPEATS_KEPT_DAYS])
        gone = [path for (path,) in cursor.execute(SQL["replaced_files"], [KEPT_S]).fetchall()]
        for path in gone:
            (self._folder / path).unlink(missing_ok=True)
            cursor.execute(SQL["forget_file"], [path])

    def _lend(self, cursor: Cursor, tenant_id: str, folder: Path) -> TenantFiles:
        folder.mkdir(parents=True)
        groups: dict[str, list[FileGroup]] = {kind: [] for kind in KINDS}
        with transaction(cursor):
            for kind, paths, void in cursor.execute(SQL["files_of_tenant"], [tenant_id]).fetchall():
                groups[kind].append(FileGroup([str(self._folder / path) for path in paths], void))
            for (kind,) in cursor.execute(SQL["kinds_of_tenant"], [tenant_id]).fetchall():
                asked = {"source": KINDS[kind], "tenant_id": tenant_id}
                file = _copy(cursor.sql(SQL["rows_of_tenant"], params=asked), folder / f"{kind}.parquet")
                groups[kind].append(FileGroup([file]))
            struck = None
            if cursor.execute(SQL["count_struck"], [tenant_id]).fetchall() != [(0,)]:
                struck = _copy(cursor.sql(SQL["struck_of_tenant"], params=[tenant_id]), folder / "struck.parquet")
            [marks] = cursor.execute(SQL["watermarks"], {"tenant_id": tenant_id}).fetchall()
        received_at, committed_at = map(_tell_instant, marks)
        return TenantFiles(folder, groups, struck, received_at, committed_at)


def _call(work: Callable[..., Answer], cursor: Cursor, *arguments: object) -> Answer:
    try:
        return work(cursor, *arguments)
    finally:
        cursor.close()


@contextmanager
def transaction(cursor: Cursor) -> Iterator[None]:
    """All or nothing."""
    cursor.begin()
    try:
        yield
        cursor.commit()
    except BaseException:
        cursor.rollback()
        raise


def _copy(rows: duckdb.DuckDBPyRelation, file: Path) -> str:
    rows.write_parquet(str(file), compression="snappy", row_group_size_bytes="8MB")
    return str(file)


def _sync(file: Path) -> None:
    """Have the disk keep it."""
    opened = os.open(file, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _tell_instant(us: int | None) -> datetime | None:
    return None if us is None else MIN_TIME + timedelta(microseconds=us)
