"""A shop of the past whose campaigns are launched with backfills, by the real walk on the real ledger; analyse is pages in memory."""

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from fillip.core.backfill import BackfillOrder
from fillip.core.backtest.past import Mark
from fillip.core.ports import Caller
from fillip.http.history_query import HistoryEvent
from fillip.manage.backfill.postgres import begin_turn
from fillip.match import Meet
from fillip.match.keeper_postgres import BookKeeper
from fillip.match.numbers_postgres import PostgresNumbers
from fillip.match.postgres import PostgresBooks
from fillip.match.users_postgres import PostgresUsers
from fillip.settle.backfill import BackfillWalk, SettlePast
from fillip.settle.backfill.postgres import PostgresBackfill, Progress
from tests.manage.past_world import PastWorld

Walk = TypeVar("Walk", bound=BackfillWalk)


class Pages:
    """What analyse has."""

    def __init__(self, events: Sequence[HistoryEvent]) -> None:
        self._events = events

    async def read(self, behind: Mark | None = None) -> AsyncIterator[Sequence[HistoryEvent]]:
        left = [each for each in self._events if behind is None or each.log_offset > behind.log_offset]
        for start in range(0, len(left), 60):
            yield left[start : start + 60]


class BackfilledWorld(PastWorld):
    """Begins backfills as the sweep and its process do."""

    @property
    def caller(self) -> Caller:
        """Of the shop."""
        return Caller(None, self.shop.tenant_id, frozenset())

    async def begin_backfill(self, campaign_id: str, kind: type[Walk]) -> tuple[BackfillOrder, Progress, Walk]:
        """Hold a campaign's backfill; how far the one before came, and a walk that may go on there."""
        order = await begin_turn(self.plane.engine, self.shop.tenant_id, campaign_id)
        assert order is not None
        backfill = PostgresBackfill(self.pool, order, self.shop.tenant_id)
        progress = await backfill.read()
        assert progress.bounds
        meet = Meet(PostgresUsers(self.pool), PostgresNumbers(self.pool), lambda refusals: None)
        going = kind(order, progress.bounds, meet, SettlePast(backfill, order))
        going.books = BookKeeper(PostgresBooks(self.pool), self.pool, decides=True)
        return order, progress, going

    def free_turns(self) -> None:
        """Who held a backfill is gone."""
        self.owner.execute("UPDATE backfill SET held_until = now() - interval '1 s' WHERE run_id IS NOT NULL")
