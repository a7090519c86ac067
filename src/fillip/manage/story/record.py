"""What is known of one event: what the ledger has recorded of it, and which campaigns look at it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from fillip.core.campaign.campaign import CampaignState
from fillip.core.ledger.decision import DecisionReason, Outcome
from fillip.core.limit import CounterUse
from fillip.manage.explain.postgres import ExplainedEvent


class StoredRejection(Struct, frozen=True):
    """What a worker could not decide, why, and where in the log it stands."""

    rejection_id: UUID
    reason: str
    detail: str
    partition: int
    log_offset: int
    received_at: datetime
    rejected_at: datetime


class EventDecision(Struct, frozen=True):
    """A decision on an event, with the user's attributes where a rule asked for them."""

    decision_id: UUID
    campaign_id: str
    campaign_version: int
    instance: str
    outcome: Outcome
    reason: DecisionReason
    outranked_by: str | None
    limits: Sequence[CounterUse]
    shadow: bool
    decided_at: datetime
    user_attributes: Mapping[str, Any] | None
    user_revision: int | None


class EventName(Struct, frozen=True):
    """What an event is called, and its key."""

    source: str
    event_id: str
    key: UUID


class LedgerEvent(Struct, frozen=True):
    """What the ledger has under a name: the event with its place in the log where it is recorded, rejections, and whether its user was erased."""

    event: ExplainedEvent | None
    place: tuple[int, int] | None
    rejections: Sequence[StoredRejection]
    erased: bool


class Settled(Struct, frozen=True):
    """Whether the event of a place in the log is settled, and under which version of the book it was decided (None: that can't be told)."""

    settled: bool
    book_version: int | None


class StoredVersion(Struct, frozen=True):
    """A version of a campaign, its definition and compiled rules as JSON; `kept` are earlier ones that open instances go on under."""

    campaign_id: str
    version: int
    definition: str
    checked: str
    state: CampaignState
    kept: Sequence[int] | None = None


class LookingCampaigns(Struct, frozen=True):
    """A page of the campaigns that look at an action, the earlier versions that their open instances go on under, and how many there are in all; behind `last`
    the next page begins.
    """

    newest: Sequence[StoredVersion]
    retained: Sequence[StoredVersion]
    total: int
    last: str | None


class QuestTraces(Struct, frozen=True):
    """What an event left in one quest: how much it gave to which step, and how many instances it began."""

    given: Sequence[tuple[str, int]] = ()
    begun: int = 0
