"""The books of a process that decides by them, and the word it keeps: whoever changes a book learns when it holds.

A reader tells of each tenant which version it decides under, and beats to show that it lives. One that is not heard
of is not waited for; so it decides nothing more until it has beaten, and has the books that are newest then.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import asyncpg
import structlog
from prometheus_client import Counter

from fillip.core.book.book import Book, Unbuilt
from fillip.core.errors import Retry
from fillip.match.postgres import TENANT_ID, Connection, PostgresBooks
from fillip.match.sql import SQL
from fillip.match.transient_postgres import TRANSIENT_ERRORS

BEAT_EVERY_S = 1.0
LIVES_FOR_S = 3.0
"""By the own clock. Others count on 5 s by PostgreSQL's (0001_reader.sql): what has begun ends in the 2 s between."""
ANSWER_WITHIN_S = 2.0
AGAIN_AFTER_S = 0.2
CHANNEL = "book_changed"

FAILED = Counter("fillip_match_following_failed_total", "Times that following the books broke off: alarm on any")
log = structlog.get_logger()


async def _nothing() -> None:
    """For a reader that has nothing under way."""


class BookKeeper:
    """CampaignBook, kept up to date while `run` runs. Every tenant's book comes into force by itself."""

    def __init__(
        self,
        books: PostgresBooks,
        pool: asyncpg.Pool,
        *,
        decides: bool,
        drain: Callable[[], Awaitable[None]] = _nothing,
        spoil: Callable[[], None] = lambda: None,
    ) -> None:
        """`pool` is of role fillip_worker; `run` takes one of its connections for itself.

        Where it `decides`, nothing is pinned while it is not known to live. `drain` returns once what is under way now
        is settled or dropped; `spoil` drops it: nobody waited for it.
        """
        self._books, self._pool, self._decides = books, pool, decides
        self._drain, self._spoil = drain, spoil
        self._reader_id = uuid4()
        self._beaten_at = float("-inf")
        self._beating = asyncio.Lock()
        self._claimed: set[str] = set()
        self._told: dict[str, int] = {}
        self._newest: dict[str, int] = {}
        self._working: dict[str, asyncio.Task[None]] = {}

    @property
    def lives(self) -> bool:
        """Whether changes wait for this reader for sure."""
        return time.monotonic() - self._beaten_at < LIVES_FOR_S

    async def pin(self, tenant_ids: Collection[str]) -> Mapping[str, Book | Unbuilt]:
        """See CampaignBook."""
        while True:
            unclaimed = [t for t in tenant_ids if t not in self._claimed and TENANT_ID.fullmatch(t)]
            if self._decides or unclaimed:
                await self.renew()
            if unclaimed:
                async with self._reach(unclaimed) as connection:
                    rows = await connection.fetch(SQL["claim_books"], self._reader_id, unclaimed)
                self._claimed.update(tenant_id for (tenant_id,) in rows)
            books = await self._books.pin([t for t in tenant_ids if t in self._claimed])
            if untold := {t: b.version for t, b in books.items() if isinstance(b, Book) and t not in self._told}:
                await self._tell(untold)
            elif self.lives or not self._decides:
                return books

    async def run(self) -> None:
        """Follow the changes until cancelled; then take leave."""
        jobs = [asyncio.create_task(job) for job in (self._listen(), self._beat_on())]
        try:
            await asyncio.gather(*jobs)
        finally:
            jobs += self._working.values()
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            await asyncio.shield(self._leave())

    async def beat(self) -> Mapping[str, int]:
        """Show that this reader lives; the newest versions of the books that it holds. Raises Retry."""
        async with self._beating:
            return await self._beat()

    async def renew(self) -> None:
        """Beat, unless changes wait for this reader anyway. Raises Retry."""
        if not self.lives:
            async with self._beating:
                if not self.lives:
                    await self._beat()

    async def _beat(self) -> Mapping[str, int]:
        began_at, claimed = time.monotonic(), sorted(self._claimed)
        async with self._reach(claimed) as connection:
            lived = await connection.fetchval(SQL["beat"], self._reader_id)
            if not lived and claimed:
                held = [self._told.get(tenant_id, -1) for tenant_id in claimed]
                await connection.execute(SQL["hold_books"], self._reader_id, claimed, held)
        async with self._reach(claimed) as connection:  # after the commit: whoever changes a book now waits for us
            rows = await connection.fetch(SQL["newest"], claimed)
            newest = {row["tenant_id"]: row["book_version"] for row in rows}
        if not lived:
            if claimed:
                self._spoil()
            for tenant_id, version in newest.items():
                self._books.require(tenant_id, version)
        self._beaten_at = began_at
        return newest

    async def _beat_on(self) -> None:
        with suppress(Retry):
            async with self._reach(()) as connection:
                await connection.execute(SQL["forget_readers"])
        while True:
            try:
                for tenant_id, version in (await self.beat()).items():
                    self._note(tenant_id, version)
            except Retry as error:
                log.warning("the books stay as they are for now", error=str(error))
            except Exception:  # no row may end the process
                FAILED.inc()
                log.exception("the books can't be followed")
            await asyncio.sleep(BEAT_EVERY_S)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._pool.acquire() as connection:
                    gone = asyncio.Event()
                    connection.add_termination_listener(lambda _, gone=gone: gone.set())
                    await connection.add_listener(CHANNEL, self._hear)
                    try:
                        await gone.wait()
                    finally:
                        if not connection.is_closed():
                            await connection.remove_listener(CHANNEL, self._hear)
            except TRANSIENT_ERRORS as error:
                log.warning("changes of the books can't be heard, PostgreSQL is away", error=str(error))
            except Exception:
                FAILED.inc()
                log.exception("changes of the books can't be heard")
            await asyncio.sleep(AGAIN_AFTER_S)  # what is said meanwhile, the next beat finds

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        tenant_id, _, version = str(payload).partition(" ")
        self._note(tenant_id, int(version))

    def _note(self, tenant_id: str, version: int) -> None:
        if self._told.get(tenant_id, version) < version:  # a tenant that was never pinned is read when it is
            self._newest[tenant_id] = max(version, self._newest.get(tenant_id, 0))
            if tenant_id not in self._working:
                self._working[tenant_id] = asyncio.create_task(self._catch_up(tenant_id))

    async def _catch_up(self, tenant_id: str) -> None:
        """Bring one tenant's book up to date, and tell when nothing is decided under an older one any more."""
        while self._told[tenant_id] < (wanted := self._newest[tenant_id]):
            try:
                await self._books.refresh(tenant_id, wanted)
                version = self._books.versions[tenant_id]
                await self._drain()
                await self._tell({tenant_id: version})
            except Retry as error:
                log.warning("a book stays as it was for now", tenant=tenant_id, error=str(error))
                await asyncio.sleep(AGAIN_AFTER_S)
            except Exception:  # one tenant's book must not end the process
                log.exception("a book can't be read and stays as it was", tenant=tenant_id, version=wanted)
                await asyncio.sleep(BEAT_EVERY_S)
        del self._working[tenant_id]

    async def _tell(self, versions: Mapping[str, int]) -> None:
        async with self._beating, self._reach(versions) as connection:  # a beat tells them all again
            await connection.execute(SQL["hold_books"], self._reader_id, list(versions), list(versions.values()))
            self._told |= versions

    async def _leave(self) -> None:
        with suppress(Retry):
            async with self._reach(()) as connection:
                await connection.execute("DELETE FROM book_reader WHERE reader_id = $1", self._reader_id)

    @asynccontextmanager
    async def _reach(self, tenant_ids: Collection[str]) -> AsyncIterator[Connection]:
        """A transaction that sees these tenants. Raises Retry."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S), self._pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT set_config('app.tenants', $1, true)", ",".join(tenant_ids))
                yield connection
        except TRANSIENT_ERRORS as error:
            raise Retry(f"the books can't be followed, PostgreSQL is away: {error}") from error
