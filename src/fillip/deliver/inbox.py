"""What the gateway needs from the ledger: admission by ticket, each user's inbox, how far the user's quests are, and levels."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, Protocol, TypeAlias

from msgspec import Raw, Struct

from fillip.core.quest.instance import QuestState

InstanceId: TypeAlias = tuple[str, str]
"""(campaign, name of the instance): one quest instance of a user; ("", currency): the user's level on a ladder."""


class User(Struct, frozen=True):
    """One end customer of one tenant."""

    tenant_id: str
    user_id: str

    @property
    def key(self) -> bytes:
        """The key of this user's records on the topics; a tenant id has no colon, so no two users share one."""
        return f"{self.tenant_id}:{self.user_id}".encode()


class Admission(Struct, frozen=True):
    """Who a ticket let in, the newest sequence number of the inbox and the newest that was acked (0: none).

    `sockets` is how many connections the tenant may have.
    """

    user: User
    last_seq: int
    acked_seq: int
    sockets: int


class Incentive(Struct, frozen=True):
    """What a client is shown of an incentive. Instants are RFC 3339 in UTC with microseconds."""

    incentive_id: str
    campaign_id: str
    kind: str
    value: int
    currency: str | None
    payload: Raw
    granted_at: str
    event_id: str
    event_source: str
    coupon_code: str | None = None
    expires_at: str | None = None


class Change(Struct, frozen=True):
    """What became of an incentive after its grant. `value` is what this change took, `reversed_value` what all
    reversals took so far (minor units of currency, or points); `at` is RFC 3339 in UTC with microseconds.
    """

    kind: Literal["reversed", "expired"]
    value: int
    reversed_value: int
    reason: str | None
    at: str


class InboxEntry(Struct, frozen=True):
    """One line of an inbox; `seq` counts 1..n without a gap. Without a change it tells of the grant. `incentive` is None
    where what is stored can't be shown.
    """

    seq: int
    incentive: Incentive | None
    change: Change | None = None


class StepProgress(Struct, frozen=True):
    """How far a step is, of how far it must come: events, the sum, or days or weeks in a row."""

    name: str
    done: int
    needed: int


class Progress(Struct, frozen=True, tag="progress"):
    """How far one go of a user at a quest is; as a frame, all that a client is shown of it.

    `instance` is its name in decisions, `revision` grows with each change: of two states the higher one is newer.
    Instants are RFC 3339 in UTC with microseconds; without `ends_at` it has no end.
    """

    campaign_id: str
    instance: str
    state: QuestState
    steps: tuple[StepProgress, ...]
    started_at: str
    ends_at: str | None
    revision: int

    @property
    def instance_id(self) -> InstanceId:
        """What tells it from the user's other instances."""
        return self.campaign_id, self.instance


LEVEL_NAMES = {"from_level": "from", "to_level": "to", "next_threshold": "next_from"}


class LevelChange(Struct, frozen=True, tag="level", rename=LEVEL_NAMES):
    """That a user's level on the ladder of a currency changed; as a frame, all that a client is shown of it.

    `number` counts the changes of a user and currency, `earned` is what was earned in the window then; without `next_level`
    there is none above. Instants are RFC 3339 in UTC with microseconds; without `falls_at` it does not fall by time alone.
    """

    currency: str
    number: int
    direction: Literal["up", "down", "renamed"]
    from_level: str
    to_level: str
    earned: int
    next_level: str | None
    next_threshold: int | None
    falls_at: str | None
    changed_at: str

    @property
    def instance_id(self) -> InstanceId:
        """What tells it from what else is shown."""
        return "", self.currency

    @property
    def revision(self) -> int:
        """Of two of a currency the higher one is newer."""
        return self.number


State: TypeAlias = Progress | LevelChange
"""Of what is shown as it stands, and only the newest matters."""


class Inbox(Protocol):
    """The inboxes of users, and their quests; every call raises Retry when they can't be reached."""

    async def admit(self, ticket: str) -> Admission | None:
        """Redeem a ticket, once; None when it is unknown, expired or redeemed. After Retry it is not used up."""

    async def find_merged(self, last_s: float) -> Sequence[User]:
        """Users who were merged into others in the last so many seconds."""

    async def read(self, user: User, after_seq: int, count: int) -> Sequence[InboxEntry]:
        """Up to `count` entries with seq > after_seq, in order. One that can't be shown is there, without its incentive."""

    async def ack(self, user: User, after_seq: int, through_seq: int) -> None:
        """Mark the entries in (after_seq, through_seq] as acked; those already acked keep their time."""

    async def read_progress(self, user: User, named: Sequence[InstanceId], count: int) -> Sequence[State]:
        """The instances named, in whatever state, up to `count` of those still open, the newest of them, and the newest change
        of the user's level on each ladder. One that can't be shown is left out.
        """


def write_instant(instant: datetime) -> str:
    """RFC 3339 in UTC with six digits of a second, however the instant came: a live frame equals its replay."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
