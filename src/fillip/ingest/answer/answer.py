"""What is told of an event, in the nouns of GET /v1/decisions, /v1/incentives and /v1/quests/progress.

Of decisions and incentives only what never changes is told, so that a request that is sent again is told the same.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from fillip.core.problem import Fault

State = Literal["decided", "rejected", "pending"]
Payload = Annotated[Raw, Meta(extra_json_schema={"type": ["object", "null"]})]


class IncentiveTold(Struct, frozen=True, gc=False):
    """One reward that the event brought: `value` in minor units of `currency`, in points, or 0."""

    incentive_id: UUID
    reward_index: int
    kind: str
    value: int
    currency: str | None
    payload: Payload
    coupon_code: str | None
    expires_at: datetime | None


class RewardTold(Struct, frozen=True, gc=False):
    """What a reward was worth; `wanted` is what it would have been, where a limit gave what was left."""

    kind: str
    value: int
    currency: str | None = None
    wanted: int | None = None


class UseTold(Struct, frozen=True, gc=False):
    """A limit as it stood before the grant: what was used of its cap, and what the grant asked for; see GET /v1/decisions."""

    limit_id: str
    key: str
    window_start: str | None
    version: int
    used_before: int
    amount: int
    cap: int
    wanted: int | None = None
    time_zone: str | None = None
    resets_at: str | None = None


class DecisionTold(Struct, frozen=True):
    """The answer of one campaign; `rewards` and `limits` are as the ledger has them."""

    decision_id: UUID
    campaign_id: str
    campaign_version: int
    instance: str
    outcome: str
    reason: str
    outranked_by: str | None
    variant: str | None
    local_day: date
    rewards: Sequence[RewardTold]
    shadow: bool
    limits: Sequence[UseTold]
    book_version: int
    decided_at: datetime
    incentives: Sequence[IncentiveTold] = ()


class BalanceTold(Struct, frozen=True, gc=False):
    """A wallet as the event's last grant into it left it."""

    currency: str
    pending: int
    active: int


class StepTold(Struct, frozen=True, gc=False):
    """How far a step is, of how far it must come."""

    name: str
    done: int
    needed: int


class QuestTold(Struct, frozen=True):
    """A quest instance that the event began or counted for, as it stands when it is told."""

    campaign_id: str
    campaign_version: int
    instance: str
    state: str
    started_at: datetime
    ends_at: datetime | None
    steps: Sequence[StepTold]
    revision: int


class RejectionTold(Struct, frozen=True, gc=False):
    """Why the event could not be decided."""

    rejection_id: UUID
    reason: str
    detail: str


class ReversalTold(Struct, frozen=True, gc=False):
    """Of an event that takes another one back: what came of it so far."""

    state: str
    reason: str


class EventAnswer(Struct, frozen=True, omit_defaults=True):
    """What came of one event. `see` is where to look: of one that is pending, or of which not all decisions are told."""

    event_id: str
    event_source: str
    state: State
    decisions: Sequence[DecisionTold] | None = None
    balances: Sequence[BalanceTold] | None = None
    quests: Sequence[QuestTold] | None = None
    reversal: ReversalTold | None = None
    rejection: RejectionTold | None = None
    see: str | None = None


class RefusedEvent(Struct, frozen=True):
    """An event of a request that was not taken, by its index in it from 0 on, and why; places are within the event."""

    index: int
    errors: Sequence[Fault]


class EventsAnswer(Struct, frozen=True):
    """What came of a request: how many of its events were taken. `events` are these, in their order, for who waits; `refused` the others, for who goes on."""

    accepted: int
    events: Sequence[EventAnswer] | UnsetType = UNSET
    refused: Sequence[RefusedEvent] | UnsetType = UNSET
