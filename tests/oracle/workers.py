"""Workers that can die: the real stages over the memory belt and the real ledger, whose every call is a named point."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from fillip.core.errors import Fenced, Retry
from fillip.core.limit import CounterKey
from fillip.ingest import Ingest
from fillip.ingest.schema import build_reader
from fillip.limit import Hint
from fillip.match import Meet
from fillip.match.postgres import PostgresBooks, PostgresUsers
from fillip.settle import Settle
from fillip.settle.postgres import PostgresLedger
from fillip.settle.stage import LedgerTransaction
from fillip.stream.belt import Batch, Span, Stage
from fillip.stream.memory import MemoryLog, MemorySource

CALLS = [name for name, call in vars(LedgerTransaction).items() if callable(call) and not name.startswith("_")]
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

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Any]:
        async with self._ledger.open() as transaction:
            mortal = MortalTransaction(transaction, self.reach)
            yield mortal
            self.reach("before commit")
        self._committed(mortal.spans)
        self.reach("after commit")

    def reach(self, point: str) -> None:
        """Die here, if that is the plan."""
        if point == self.dies_at:
            raise Died(point)


class MortalTransaction:
    """Passes every call on."""

    def __init__(self, transaction: Any, reach: Callable[[str], None]) -> None:
        self._transaction = transaction
        self._reach = reach
        self.spans: Sequence[Span] = ()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._transaction, name)
        if not callable(method):
            return MortalTransaction(method, self._reach)

        async def call(*arguments: Any) -> Any:
            self._reach(f"before {name}")
            if name == "fence":
                self.spans = arguments[0].spans
            answer = await method(*arguments)
            self._reach(f"after {name}")
            return answer

        return call


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


Committed = Callable[[Prepared, Sequence[Span]], None]


class Worker:
    """One worker process: its member of the group, its view of the book, its stages."""

    def __init__(
        self, pool: asyncpg.Pool, log: MemoryLog, rumours: Rumours, max_records: int, committed: Committed
    ) -> None:
        self.books = PostgresBooks(pool, build_reader)
        self._committed = committed
        self._settling: Prepared | None = None
        ledger = PostgresLedger(pool, "oracle")
        self._ledger = MortalLedger(ledger, self._note)
        self._settle = Settle(self._ledger, lambda *told: None)
        self.source = MemorySource(log, ledger, max_records=max_records)
        self._stages: list[Stage] = [
            Ingest(self.books),
            Meet(PostgresUsers(pool), lambda refusals: None),
            Hint(rumours),
        ]

    async def prepare(self, batch: Batch, tenant_id: str) -> Prepared:
        """Take a batch through the stages up to settle."""
        items: Sequence[Any] = batch.records
        for stage in self._stages:
            items = await stage(items)
        return Prepared(batch, items, (await self.books.pin([tenant_id]))[tenant_id].version)

    async def commit(self, prepared: Prepared, dies_at: str = "") -> str:
        """Settle a prepared batch once: "settled", "fenced", "retry" or "died"."""
        self._ledger.dies_at, self._settling = dies_at, prepared
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
