"""What Fillip's own processes ask analyse for: a tenant's past events in the order of their receipt, some at a time."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from fillip.core.backtest.past import Mark, PastGrant
from fillip.core.backtest.reversal import PastReversal
from fillip.core.book.book import Book
from fillip.core.errors import Unreadable
from fillip.core.event import Event, Place
from fillip.core.identity import identify_event
from fillip.core.ledger.reversal import read_reversal
from fillip.core.repair import REPAIR, read_repair

PATH = "/internal/history"
MAX_EVENTS = 250_000
"""Most that are sent at once."""

_Instant = Annotated[datetime, Meta(tz=True)]


class HistoryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Events of some actions that happened from `first` until before `until`: how many there are, or up to `limit` behind a
    mark, each with what other campaigns than `campaign_id` were granted for it; or so many reversals of such events by their
    own users, whenever those came.
    """

    tenant_id: Annotated[str, Meta(min_length=1, max_length=63)]
    campaign_id: Annotated[str, Meta(min_length=1, max_length=63)]
    actions: Annotated[Sequence[str], Meta(min_length=1, max_length=100)]
    first: _Instant
    until: _Instant
    want: Literal["count", "events", "reversals"]
    behind: Mark | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_EVENTS)] = MAX_EVENTS


class HistoryCount(Struct, frozen=True):
    """How many events there are."""

    events: int


class _Received(Struct, frozen=True, gc=False):
    """What stands in the log."""

    source: str
    id: str
    user_id: str
    received_at: datetime
    partition: int
    log_offset: int
    data: dict[str, Any]

    @property
    def mark(self) -> Mark:
        """Its own."""
        return Mark(self.received_at, self.partition, self.log_offset)


class HistoryEvent(_Received, frozen=True, gc=False):
    """An event with its mark, and who else was granted for it."""

    action: str
    occurred_at: datetime
    granted: Sequence[PastGrant] | None = None

    def read(self, book: Book, place: Place) -> Event | None:
        """The event under this book, as if it came from that place now; None where the book's schemas refuse it."""
        action = book.actions.get(self.action)
        typed: Mapping[str, object] | None
        try:
            typed = action.read(self.data, self.occurred_at) if action else None
            if self.action == REPAIR and read_repair(self.data):
                typed = {}
        except Unreadable:
            typed = None
        if typed is None:
            return None
        return Event(
            tenant_id=book.tenant.tenant_id,
            source=self.source,
            event_id=self.id,
            user_id=self.user_id,
            action=self.action,
            occurred_at=self.occurred_at,
            received_at=self.received_at,
            attributes=self.data,
            typed=typed,
            place=place,
            taken_at=self.received_at,
            book=book,
        )


class HistoryReversal(_Received, frozen=True, gc=False):
    """A reversal with its mark, of the event that `source` and `id` name and that is its own user's."""

    def read(self, tenant_id: str) -> PastReversal | None:
        """What it takes back; None where it was refused for what it says."""
        try:
            request = read_reversal(self.data)
        except Unreadable:
            return None
        return PastReversal(identify_event(tenant_id, self.source, self.id), self.user_id, request, self.mark)
