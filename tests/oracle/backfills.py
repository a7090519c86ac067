"""Backfills that can die: the real walk over what was sent, some events at a time, and the real ledger, whose every call is a named point."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.backfill import BackfillOrder
from fillip.core.backtest.past import Mark
from fillip.core.book.book import Book, Unbuilt
from fillip.core.errors import Fenced, Retry
from fillip.core.event import Event, Rejection
from fillip.core.match.candidate import Match
from fillip.core.ports import Caller
from fillip.http.history_query import HistoryEvent
from fillip.manage.backfill.postgres import ask_again, begin_turn, end_turn
from fillip.manage.backfill.told import AllDone, BackfillTold
from fillip.manage.store.postgres import transaction
from fillip.manage.store.tables.past import backfill as table
from fillip.match import Meet, Resolve
from fillip.match.merged_postgres import PostgresMerged
from fillip.match.numbers_postgres import PostgresNumbers
from fillip.match.postgres import PostgresBooks
from fillip.match.users_postgres import PostgresUsers
from fillip.settle.backfill import BackfillWalk, CampaignPaused, Portion, SettlePast
from fillip.settle.backfill.postgres import PostgresBackfill
from fillip.settle.backfill.stage import PastTransaction
from tests.oracle.own_events import GRANT
from tests.oracle.reversal import REVERSAL
from tests.oracle.workers import CALLS, Died, MortalLedger

PAST_CALLS = [name for name, call in vars(PastTransaction).items() if callable(call) and not name.startswith("_")]
PAST_POINTS = [f"{when} {call}" for call in [*PAST_CALLS, *CALLS, "commit"] for when in ("before", "after")]
"""Where the process of a backfill can die."""
LONG_S = 600.0
Document = Mapping[str, Any]


def list_past(
    sent: Sequence[tuple[int, Document]], received_at: datetime, is_refused: Callable[[Document], bool]
) -> list[HistoryEvent]:
    """What analyse would tell of (partition, event) as they were sent: each name at its first receipt, in the order of receipt."""
    ends = [0, 0]
    told: dict[tuple[str, str], tuple[int, int, Document]] = {}
    for partition, event in sent:
        offset, ends[partition] = ends[partition], ends[partition] + 1
        if not is_refused(event):
            told.setdefault((event["source"], event["id"]), (partition, offset, event))
    return [
        HistoryEvent(
            source=event["source"],
            id=event["id"],
            user_id=event["subject"],
            action=event["type"],
            occurred_at=datetime.fromisoformat(event["time"]),
            received_at=received_at,
            partition=partition,
            log_offset=offset,
            data=event["data"],
        )
        for partition, offset, event in sorted(told.values(), key=lambda each: each[:2])
        if event["type"] not in (REVERSAL, GRANT)  # of none of the campaign's actions
    ]


def write_again(past: HistoryEvent, tenant_id: str) -> dict[str, Any]:
    """An event of the past as it was sent."""
    name = {"tenantid": tenant_id, "source": past.source, "id": past.id}
    return name | {
        "type": past.action,
        "subject": past.user_id,
        "time": past.occurred_at.isoformat(),
        "data": past.data,
    }


class ToldInPart(Exception):
    """Analyse has told a page, and nothing behind it."""


class Pages:
    """The past of which analyse tells a few events, and is then asked again."""

    def __init__(self, past: Sequence[HistoryEvent], most: int) -> None:
        self._past, self._most = past, most

    async def read(self, behind: Mark | None = None) -> AsyncIterator[Sequence[HistoryEvent]]:
        """One page. Raises ToldInPart where there is more: the past is not over with it."""
        place = (behind.partition, behind.log_offset) if behind else (-1, -1)
        left = [each for each in self._past if (each.partition, each.log_offset) > place]
        if left:
            yield left[: self._most]
        if len(left) > self._most:
            raise ToldInPart


class NewestBooks:
    """The books as they are: nobody changes one while a portion is being decided. For all turns: to build one takes its time."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._books, self._version = PostgresBooks(pool), 0

    async def pin(self, tenant_ids: Collection[str]) -> Mapping[str, Book | Unbuilt]:
        """See PostgresBooks."""
        for tenant_id in tenant_ids:
            self._books.require(tenant_id, self._version)
        return await self._books.pin(tenant_ids)

    def require(self, version: int) -> None:
        """Have the book no older than this."""
        self._version = version

    async def renew(self) -> None:
        """No change waits for this process."""


class NotedSettle(SettlePast):
    """Remembers which portion of the past is being settled; None: what waits behind it is."""

    portion: Portion | None = None

    async def __call__(self, portion: Portion) -> None:
        """See SettlePast."""
        self.portion = portion
        try:
            await super().__call__(portion)
        finally:
            self.portion = None


Committed = Callable[["Turn", Portion], None]


class Turn:
    """One process that holds a backfill, or did so once."""

    def __init__(
        self, pool: asyncpg.Pool, order: BackfillOrder, topic: str, books: NewestBooks, committed: Committed
    ) -> None:
        """`committed` is told of each portion the moment that its commit is done."""
        self.order = order
        self._committed = committed
        self._backfill = PostgresBackfill(pool, order, topic)
        self.ledger = MortalLedger(self._backfill, lambda spans: self._note())
        self._settle = NotedSettle(self.ledger, order)
        self._resolve = Resolve(PostgresMerged(pool))
        self._match = Meet(PostgresUsers(pool), PostgresNumbers(pool), lambda refusals: None)
        self._books = books

    async def _meet(self, events: Sequence[Event | Rejection]) -> Sequence[Match | Rejection]:
        return await self._match(await self._resolve(events))

    async def read(self) -> None:
        """How far the one before came."""
        progress = await self._backfill.read()
        assert progress.bounds, "a reader is behind"
        self._bounds, self.done, self._mark = progress.bounds, progress.done, progress.mark

    async def decide(self, past: Sequence[HistoryEvent], most: int, version: int, dies_at: str = "") -> str:
        """Up to `most` events under a book no older than `version`: "settled", "fenced", "paused", "retry" or "died"."""
        self.ledger.dies_at = dies_at
        self._books.require(version)
        walk = BackfillWalk(self.order, self._bounds, self._meet, self._settle)
        walk.books = self._books
        try:
            await walk.play(Pages(past, most), self.done, self._mark, LONG_S)
        except ToldInPart:
            return "settled"
        except Fenced:
            return "fenced"
        except CampaignPaused:
            return "paused"
        except Retry:
            return "retry"
        except Died:
            return "died"
        return "settled"

    def _note(self) -> None:
        if portion := self._settle.portion:
            self._committed(self, portion)
            self.done, self._mark = portion.done + portion.events, portion.mark


class Backfill:
    """The backfill of one campaign, whichever process is at it. `past` is what there is to decide."""

    def __init__(
        self, engine: AsyncEngine, campaign_id: str, caller: Caller, past: Sequence[HistoryEvent], books: NewestBooks
    ) -> None:
        self.campaign_id, self.past = campaign_id, past
        self._books = books
        self.turn: Turn | None = None
        self.hanging: list[Turn] = []
        self.is_over = False
        self._engine, self._caller = engine, caller
        self._held_by: UUID | None = None

    def is_held_by(self, turn: Turn) -> bool:
        """Whether nobody has taken it over."""
        return self._held_by == turn.order.run_id

    async def take(self, pool: asyncpg.Pool, topic: str, committed: Committed) -> Turn:
        """Have a process hold it; one that broke down too often is asked for once more, and one that is over too."""
        order = None if self.is_over else await self._begin()
        if order is None:
            async with transaction(self._engine, self._caller) as connection:
                await ask_again(connection, self._caller, self.campaign_id)
            order = await self._begin()
        assert order, "nobody holds it, and it can't be held"
        self._held_by, self.is_over = order.run_id, False
        self.turn = Turn(pool, order, topic, self._books, committed)
        await self.turn.read()
        return self.turn

    async def _begin(self) -> BackfillOrder | None:
        return await begin_turn(self._engine, self._caller.tenant_id, self.campaign_id)

    async def lose(self, *, hangs: bool = False) -> None:
        """Its process is gone, or `hangs`: nobody has told for a minute that it is held."""
        assert self.turn
        self.hanging += [self.turn] if hangs else []
        self.turn = None
        async with transaction(self._engine, self._caller) as connection:
            mine = table.c.campaign_id == self.campaign_id
            await connection.execute(update(table).where(mine).values(held_until=func.now() - timedelta(seconds=1)))

    async def let_go(self, told: BackfillTold) -> None:
        """The process that holds it tells how it ended."""
        assert self.turn
        await end_turn(self._engine, self.turn.order, told)
        self.turn, self._held_by, self.is_over = None, None, isinstance(told, AllDone)
