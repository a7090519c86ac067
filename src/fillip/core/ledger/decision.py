"""Rewards, what was granted, and ids that are the same however often an event is decided."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from fillip.core.identity import identify
from fillip.core.limit import CounterUse
from fillip.core.repair import RepairRefusal

Outcome = Literal["granted", "denied"]
_GrantReason = Literal[
    "granted",
    "paused",
    "holdout",
    "control",
    "late",
    "no_value",
    "value_error",
    "value_too_large",
    "expired",
    "shadow",
    "outranked",
    "limit",
    "pool_empty",
    "already_held",
    "too_many_open",
    "too_many_grants",
]
DecisionReason = Literal[_GrantReason, RepairRefusal]


class Decision(Struct, frozen=True):
    """The answer for one event and one campaign, with the proof of each limit it touched.

    `outranked_by` names the campaign that won the event instead.
    """

    decision_id: UUID
    outcome: Outcome
    reason: DecisionReason
    uses: Sequence[CounterUse]
    local_day: date
    decided_at: datetime
    outranked_by: str | None = None


def identify_decision(tenant_id: str, campaign_id: str, instance: str, source: str, event_id: str) -> UUID:
    """Id of the decision on (campaign, instance, triggering event); never depends on the campaign's version."""
    return identify("decision", tenant_id, campaign_id, instance, source, event_id)


def identify_incentive(decision_id: UUID, reward_index: int) -> UUID:
    """Id of the reward_index-th incentive of a decision."""
    return identify("incentive", decision_id.hex, str(reward_index))
