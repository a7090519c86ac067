"""What Fillip's own processes ask analyse for: a tenant's past events in the order of their receipt, some at a time."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from fillip.core.backtest.past import PastGrant
from fillip.core.book.book import Book
from fillip.core.errors import Unreadable
from fillip.core.event import Event, Place

PATH = "/internal/history"
MAX_EVENTS = 250_000
"""Most that are sent at once."""

_Instant = Annotated[datetime, Meta(tz=True)]


class Mark(Struct, frozen=True, forbid_unknown_fields=True):
    """Where an event stands in the order of receipt."""

    received_at: _Instant
    partition: int
    log_offset: int


class HistoryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Events of some actions that happened from `first` until before `until`: how many there are, or up to `limit` behind a
    mark, each with what other campaigns than `campaign_id` were granted for it.
    """

    tenant_id: Annotated[str, Meta(min_length=1, max_length=63)]
    campaign_id: Annotated[str, Meta(min_length=1, max_length=63)]
    actions: Annotated[Sequence[str], Meta(min_length=1, max_length=100)]
    first: _Instant
    until: _Instant
    want: Literal["count", "events"]
    behind: Mark | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_EVENTS)] = MAX_EVENTS


class HistoryCount(Struct, frozen=True):
    """How many events there are."""

    events: int


class HistoryEvent(Struct, frozen=True, gc=False):
    """An event with its mark, and who else was granted for it."""

    source: str
    id: str
    user_id: str
    action: str
    occurred_at: datetime
    received_at: datetime
    partition: int
    log_offset: int
    data: dict[str, Any]
    granted: Sequence[PastGrant] | None = None

    def read(self, book: Book, place: Place) -> Event | None:
        """The event under this book, as if it came from that place now; None where the book's schemas refuse it."""
        action = book.actions.get(self.action)
        try:
            typed = action.read(self.data) if action else None
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
