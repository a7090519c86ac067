"""Rewards, what was granted, and ids that are the same however often an event is decided."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from fillip.core.event import Event
from fillip.core.formula import Formula
from fillip.core.identity import identify
from fillip.core.instant import add_span
from fillip.core.limit import Use

RewardKind = Literal["points", "cashback", "coupon", "badge", "custom"]


class Reward(Struct, frozen=True, omit_defaults=True):
    """What a campaign gives: `value` in minor units of `currency` (cashback), in points, or 0; `payload` is free JSON.

    `formula` takes the place of `value` where the event tells how much.

    From the event's time on: points are pending for `pending_for_s` and can't be spent, and it is the user's for
    `expires_after_s` (None: for ever). A coupon with `pool` comes with a code of that pool; `badge` names one that a
    user can hold once.
    """

    kind: RewardKind
    value: int = 0
    currency: str | None = None
    payload: dict[str, object] | None = None
    pending_for_s: int | None = None
    pool: str | None = None
    badge: str | None = None
    expires_after_s: int | None = None
    formula: Formula | None = None

    def expire_at(self, event: Event) -> datetime | None:
        """When what this event earned expires; never in a tenant with the clock `history`."""
        if self.expires_after_s is None or event.book.tenant.clock == "history":
            return None
        return add_span(event.occurred_at, self.expires_after_s)

    def is_over(self, event: Event) -> bool:
        """Whether it had expired when the broker took the event: nobody could ever claim it."""
        expires_at = self.expire_at(event)
        return expires_at is not None and expires_at <= event.received_at


Outcome = Literal["granted", "denied"]
DecisionReason = Literal[
    "granted",
    "paused",
    "late",
    "no_value",
    "value_error",
    "value_too_large",
    "expired",
    "outranked",
    "limit",
    "pool_empty",
    "already_held",
    "too_many_open",
    "too_many_grants",
]


class Decision(Struct, frozen=True):
    """The answer for one event and one campaign, with the proof of each limit it touched.

    `outranked_by` names the campaign that won the event instead.
    """

    decision_id: UUID
    outcome: Outcome
    reason: DecisionReason
    uses: Sequence[Use]
    local_day: date
    decided_at: datetime
    outranked_by: str | None = None


def identify_decision(tenant_id: str, campaign_id: str, instance: str, source: str, event_id: str) -> UUID:
    """Id of the decision on (campaign, instance, triggering event); never depends on the campaign's version."""
    return identify("decision", tenant_id, campaign_id, instance, source, event_id)


def identify_incentive(decision_id: UUID, reward_index: int) -> UUID:
    """Id of the reward_index-th incentive of a decision."""
    return identify("incentive", decision_id.hex, str(reward_index))
