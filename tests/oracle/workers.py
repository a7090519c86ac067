"""Workers that can die: the real stages over the memory belt and the real ledger, whose every call is a named point."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from fillip.core.book.book import Book
from fillip.core.errors import Fenced, Retry
from fillip.core.event import REVERSAL
from fillip.core.limit import CounterKey
from fillip.core.match.candidate import Match
from fillip.ingest import Ingest
from fillip.limit import Hint
from fillip.match import Meet, Resolve
from fillip.match.merged_postgres import PostgresMerged
from fillip.match.numbers_postgres import PostgresNumbers
from fillip.match.postgres import PostgresBooks
from fillip.match.users_postgres import PostgresUsers
from fillip.settle import Settle
from fillip.settle.postgres import PostgresLedger
from fillip.settle.reversal import Reversals
from fillip.settle.stage import LedgerTransaction
from fillip.stream.belt import Batch, Span, Stage
from fillip.stream.memory import MemoryLog, MemorySource

CALLS = [
    name
    for part in (LedgerTransaction, Reversals)
    for name, call in vars(part).items()
    if callable(call) and not name.startswith("_")
]
POINTS = [f"{when} {call}" for call in [*CALLS, "commit"] for when in ("before", "after")]
"""Where a worker can die: around each call of the ledger's transaction, and around the commit itself."""


class Died(BaseException):
    """kill -9, as far as a coroutine can have it: nothing catches it."""


class MortalLedger:
    """The real ledger; dies at the point that `dies_at` names, and tells of every commit the moment it is done."""

    def __init__(self, ledger: PostgresLedger, committed: Callable[[Sequence[Span]], None]) -> None:
        self._ledger = ledger
        self._committed = committed
        self.dies_at = ""
        self.line: Line | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Any]:
        try:
            async with self._ledger.open() as transaction:
                if self.line:
                    self.line.start(self, transaction._connection.get_server_pid())
                mortal = MortalTransaction(transaction, self.reach)
                yield mortal
                await self.reach("before commit")
            self._committed(mortal.spans)
            await self.reach("after commit")
        finally:
            if self.line:
                self.line.leave(self)

    async def reach(self, point: str) -> None:
        """Die here, if that is the plan; in a race stop at the line."""
        if point == self.dies_at:
            raise Died(point)
        if self.line and point == "before write":
            await self.line.stop(self)


class MortalTransaction:
    """Passes every call on."""

    def __init__(self, transaction: Any, reach: Callable[[str], Awaitable[None]]) -> None:
        self._transaction = transaction
        self._reach = reach
        self.spans: Sequence[Span] = ()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._transaction, name)
        if not callable(method):
            return MortalTransaction(method, self._reach)

        async def call(*arguments: Any, **named: Any) -> Any:
            await self._reach(f"before {name}")
            if name == "fence":
                self.spans = arguments[0].spans
            answer = await method(*arguments, **named)
            await self._reach(f"after {name}")
            return answer

        return call


class Line:
    """Where racers stop before they write, until each of the others stops here too, is done, or waits for a lock.

    So whoever is not held up by a lock has read what it needs before the first of them changes it.
    """

    def __init__(self, pool: asyncpg.Pool, racers: Iterable[MortalLedger]) -> None:
        self._pool = pool
        self._running: dict[MortalLedger, int | None] = dict.fromkeys(racers)
        self.waits = 0  # how often racers were seen waiting for a lock

    def start(self, racer: MortalLedger, process: int) -> None:
        """It has a transaction in this process of PostgreSQL."""
        self._running[racer] = process

    def leave(self, racer: MortalLedger) -> None:
        """It need not be waited for."""
        self._running.pop(racer, None)

    async def stop(self, racer: MortalLedger) -> None:
        """Wait for the others."""
        self.leave(racer)
        while self._running and not await self._see_all_waiting():
            pass

    async def _see_all_waiting(self) -> bool:
        running = list(self._running.values())
        query = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid = ANY($1::int[])"
        async with self._pool.acquire() as connection:
            waiting = await connection.fetchval(query, [process for process in running if process])
        self.waits += waiting == len(running)
        return bool(waiting == len(running))


class Rumours:
    """LimitHints as a projection after a flush or a bad failover: it may call anything full, or nothing."""

    def __init__(self) -> None:
        self.all_full = False

    async def find_full(self, wanted: Mapping[CounterKey, tuple[int, int]]) -> frozenset[CounterKey]:
        return frozenset(wanted) if self.all_full else frozenset()


@dataclass
class Prepared:
    """A batch that has passed the stages, with the version of the book that they saw."""

    batch: Batch
    items: Sequence[Any]
    version: int
    book: Any = None
    merged: frozenset[str] = frozenset()
    """Users who were others by then."""

    @property
    def users(self) -> set[str]:
        """Of the events that are settled: those that met something, and reversals."""
        matches = [item for item in self.items if isinstance(item, Match)]
        return {each.event.user_id for each in matches if each.candidates or each.event.action == REVERSAL}


Committed = Callable[[Prepared, Sequence[Span]], None]


class Worker:
    """One worker process: its member of the group, its view of the book, its stages."""

    def __init__(
        self, pool: asyncpg.Pool, log: MemoryLog, rumours: Rumours, max_records: int, committed: Committed
    ) -> None:
        self.books = PostgresBooks(pool)
        self._committed = committed
        self._settling: Prepared | None = None
        ledger = PostgresLedger(pool, "oracle")
        self.ledger = MortalLedger(ledger, self._note)
        self._settle = Settle(self.ledger, lambda *told: None)
        self.source = MemorySource(log, ledger, max_records=max_records)
        self._stages: list[Stage] = [
            Ingest(self.books),
            Resolve(PostgresMerged(pool)),
            Meet(PostgresUsers(pool), PostgresNumbers(pool), lambda refusals: None),
            Hint(rumours, lambda items: None),
        ]

    async def prepare(self, batch: Batch, tenant_id: str) -> Prepared:
        """Take a batch through the stages up to settle."""
        items: Sequence[Any] = batch.records
        for stage in self._stages:
            items = await stage(items)
        book = (await self.books.pin([tenant_id]))[tenant_id]
        assert isinstance(book, Book), book
        return Prepared(batch, items, book.version)

    async def commit(self, prepared: Prepared, dies_at: str = "", line: Line | None = None) -> str:
        """Settle a prepared batch once: "settled", "fenced", "retry" or "died"."""
        self.ledger.dies_at, self.ledger.line, self._settling = dies_at, line, prepared
        try:
            await self._settle(prepared.batch, prepared.items)
        except Fenced:
            return "fenced"
        except Retry:
            return "retry"
        except Died:
            return "died"
        return "settled"

    def _note(self, spans: Sequence[Span]) -> None:
        assert self._settling
        self._committed(self._settling, spans)
