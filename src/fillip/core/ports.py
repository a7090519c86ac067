"""What the rooms need from the outside, as protocols; adapters carry the name of their technology."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Annotated, Any, Protocol
from uuid import UUID

from msgspec import Meta, Struct

from fillip.core.book.book import Book, Unbuilt
from fillip.core.event import Event
from fillip.core.hot import HotCampaign, HotTerms, HotUsers
from fillip.core.leaderboard import BoardWindow, Leaderboard, Ranks
from fillip.core.limit import CounterKey
from fillip.core.live import LiveHours, SeenEvents
from fillip.core.match.candidate import Match
from fillip.core.quota import Quotas, RateAnswer, RateName

_Instant = Annotated[datetime, Meta(tz=True)]


class CampaignBook(Protocol):
    """The books of tenants, kept up to date while they are read."""

    async def pin(self, tenant_ids: Collection[str]) -> Mapping[str, Book | Unbuilt]:
        """The newest book of each tenant that exists; unknown tenants are absent. Raises Retry when none can be read.

        Of a tenant whose newest definitions can't be read it is the book before, or Unbuilt where there is none.
        """


class StoredUser(Struct, frozen=True, gc=False):
    """A user's attributes, as JSON, with levels, at one revision (0: levels alone are known), and the time zone of their own, if any."""

    revision: int
    attributes: bytes
    time_zone: str | None = None


class UserAttributes(Protocol):
    """Attributes of end customers as stored now."""

    async def read(self, users: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], StoredUser]:
        """Of (tenant, user) what was committed before the call, or is newer; users without a row are absent.

        Raises Retry and Busy.
        """


class UserNumbers(Protocol):
    """The numbers under which cohorts know users."""

    async def find(
        self, users: Mapping[str, Collection[str]], books: Mapping[str, Book]
    ) -> Mapping[str, Mapping[str, int]]:
        """Tenant -> user -> number, of the users of each tenant; those without one are in none of its book's cohorts.

        Raises Busy or Retry.
        """


class MeetEvent(Protocol):
    """What an event meets, as the worker finds it."""

    def __call__(self, event: Event, stored: StoredUser | None, cohorts: frozenset[str]) -> Match | None:
        """Of a user with this row, in all these cohorts; None where it meets nothing. May be called beside the event loop."""


class LimitHints(Protocol):
    """The projection of limit counters: may be stale or empty, so it only hints."""

    async def find_full(self, wanted: Mapping[CounterKey, tuple[int, int]]) -> frozenset[CounterKey]:
        """The counters for which used + amount > cap, of {counter: (amount, cap)}; empty when it can't be reached."""


class HotCampaigns(Protocol):
    """Which campaigns are hot, as all workers together have counted by `terms`. Both raise Retry when that can't be told."""

    terms: HotTerms

    async def list_hot(self, tenant_id: str) -> Sequence[HotCampaign]:
        """All of a tenant, the longest hot first."""

    async def find_users(self, tenant_id: str, campaign_id: str) -> HotUsers | None:
        """The users of a campaign; None when it is not hot."""


class LiveCounts(Protocol):
    """What campaigns decide hour by hour, as the publisher adds it up."""

    async def read(self, tenant_id: str, campaign_id: str) -> LiveHours:
        """The hours of a campaign; none where it has decided nothing, or where its hours were thrown away.

        Raises Retry when they can't be told: Valkey is away, or they are being added up anew.
        """


class BoardRanks(Protocol):
    """Leaderboards as the publisher has them. Both raise Retry where that can't be told, and TooManyUsers."""

    async def read_top(self, tenant_id: str, board: Leaderboard, window: BoardWindow, first: int, most: int) -> Ranks:
        """At most so many users from a rank (from 0) on."""

    async def read_around(
        self, tenant_id: str, board: Leaderboard, window: BoardWindow, user_id: str, most: int
    ) -> Ranks:
        """A user and so many before and behind; none where the user does not stand there."""


class SeenCounts(Protocol):
    """How many events campaigns have seen."""

    async def read(self, caller: "Caller", campaign_id: str, since: datetime) -> SeenEvents | None:
        """Of those received since a full hour; None where it can't be told. Raises Retry where PostgreSQL is away."""


class Freshness(Struct, frozen=True):
    """How fresh the rows are: the newest event was received, the newest decision committed; null where there is none."""

    received_at: _Instant | None
    committed_at: _Instant | None


class UserPreview(Struct, frozen=True):
    """How many users a query selects, some of them, and how long it took."""

    count: int
    sample: Sequence[str]
    took_s: float


class SelectedUsers(Struct, frozen=True):
    """What a query selects of rows as fresh as `read`: CSV of one column with the header `user_id`, each user once."""

    pieces: AsyncIterator[bytes]
    read: Freshness


class UserQueries(Protocol):
    """SELECTs of users over a tenant's own rows. All raise Refused for a text that is none or takes too much, and Retry."""

    async def check(self, tenant_id: str, sql: str) -> None:
        """Return where it could be run."""

    async def preview(self, tenant_id: str, sql: str) -> UserPreview:
        """Run it, and tell what came of it."""

    def select(self, tenant_id: str, sql: str) -> AbstractAsyncContextManager[SelectedUsers]:
        """Run it; the users may be read within the context."""


class Caller(Struct, frozen=True):
    """Who a credential stands for, and what the tenant may take; without a key it is Fillip itself."""

    key_id: UUID | None
    tenant_id: str
    scopes: frozenset[str]
    quotas: Quotas = Quotas()


class Rates(Protocol):
    """How fast tenants may send."""

    async def take(self, tenant_id: str, name: RateName, per_s: int, count: int) -> RateAnswer:
        """Take `count` of what comes in at `per_s`, all or none; without the shared store by this process alone."""


class KeyRing(Protocol):
    """API keys."""

    async def authenticate(self, key: str) -> Caller | None:
        """The caller of a live key, None for any other. Raises Retry when unknown here and the store is away."""


class ReceivedEvent(Struct, frozen=True):
    """An event as it was sent, and where in the log it stands."""

    source: str
    id: str
    user_id: str
    action: str
    occurred_at: _Instant
    received_at: _Instant
    data: dict[str, Any]
    partition: int
    log_offset: int


class ReceivedEvents(Protocol):
    """Events of the log, whatever came of them but a rejection."""

    async def find(self, tenant_id: str, source: str, event_id: str, since: datetime) -> ReceivedEvent | None:
        """The one of this name that was received since then; None: none was, up to the call. Raises Retry."""


class DoorRefusal(Struct, frozen=True):
    """When and why the HTTP door refused an event: the answer's status and kind of problem, and where in the event."""

    refused_at: _Instant
    status: int
    kind: str
    detail: str
    at: str | None = None


class RefusedEvent(Struct, frozen=True):
    """An event that was refused, by its key; whose it is, as far as it says so."""

    event_key: UUID
    user_id: str | None
    refusal: DoorRefusal


class RefusedEvents(Protocol):
    """What the HTTP door refused: the newest of each tenant, for a day. All raise Retry where it can't be told."""

    async def keep(self, tenant_id: str, refused: Sequence[RefusedEvent]) -> None:
        """Remember these; of one name the last counts."""

    async def find(self, tenant_id: str, event_key: UUID) -> DoorRefusal | None:
        """Why an event was refused the last time."""

    async def forget(self, tenant_id: str, user_id: str) -> None:
        """Forget what was refused of a user."""


class EventLog(Protocol):
    """The log of events, for those that Fillip's own processes put there."""

    async def put(self, tenant_id: str, event: bytes) -> None:
        """Return when the broker has the CloudEvent, which passes the same checks as any.

        Raises Unreadable, also for a `conflicting_duplicate` of what was put a while ago; and Retry.
        """

    async def decide(self, tenant_id: str, event: bytes, within_s: float) -> bool:
        """As `put`; whether the ledger has decided it within so long: else that is still to come, or can't be seen from here."""
