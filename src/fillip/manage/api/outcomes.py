"""What came of an event of Fillip's own that was asked for, as the routes that ask for one answer it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from pydantic import BaseModel, Field

from fillip.core.campaign.reward_kind import KINDS
from fillip.core.identity import identify_event
from fillip.core.limit import CounterUse
from fillip.http.fields import give_examples
from fillip.manage.api.explain import explain_decision
from fillip.manage.api.incentives import IncentiveAnswer
from fillip.manage.incentive.postgres import IncentiveRow, list_made
from fillip.manage.limit.answer import UseAnswer
from fillip.manage.merge.postgres import share_user
from fillip.manage.request.own_event import OwnEvent
from fillip.manage.request.route import UnitOfWork
from fillip.manage.story.postgres import list_event_decisions
from fillip.manage.wallet.postgres import find_wallet


class BalanceAnswer(BaseModel):
    """A wallet that something was granted into, as it stands now."""

    currency: str = Field(examples=["POINTS"])
    pending: int
    active: int


class OutcomeAnswer(BaseModel):
    """What came of it: granted with its `incentives`, refused with the `reason`, or `pending`: `see` is where to look a moment later.

    `limits` are those that the grant falls under; `resets_at` is when the window of the one without room is over.
    """

    model_config = give_examples(
        {
            "state": "refused",
            "reason": "limit",
            "message": "ada meets the conditions of 'Spring', but the reward is refused: limit once has no room: 1 of 1 is used.",
            "campaign_id": "spring",
            "decision_id": "0f8fad5b-d9cb-869f-8165-70867728950e",
            "incentives": [],
            "balances": [],
            "limits": [],
            "resets_at": None,
            "see": "/v1/decisions?event_id=r-7&event_source=fillip.redemption",
        }
    )

    state: Literal["granted", "refused", "pending"]
    reason: str = Field(description="Of a decision its own; else the first check that failed, as explanations call it")
    message: str
    campaign_id: str | None
    decision_id: UUID | None = None
    incentives: list[IncentiveAnswer] = []
    balances: list[BalanceAnswer] = []
    limits: list[UseAnswer] = []
    resets_at: datetime | None = None
    see: str


async def find_outcome(work: UnitOfWork, own: OwnEvent) -> OutcomeAnswer | None:
    """What was decided on an own event, a grant before all else; None where it met nothing."""
    key = identify_event(work.caller.tenant_id, own.action, own.own_id)
    found = await list_event_decisions(work.connection, work.caller, key)
    if not found:
        return None
    decision, granted = found[0], found[0].outcome == "granted"
    made = await list_made(work.connection, work.caller, decision.decision_id) if granted else ()
    full = next((use for use in decision.limits if not use.fits), None)
    return OutcomeAnswer(
        state="granted" if granted else "refused",
        reason=decision.reason,
        message=(await explain_decision(work, decision.decision_id)).summary,
        campaign_id=decision.campaign_id,
        decision_id=decision.decision_id,
        incentives=[IncentiveAnswer.model_validate(row, from_attributes=True) for row in made],
        balances=await _read_balances(work, await share_user(work.connection, work.caller, own.user_id), made),
        limits=[_describe_use(use) for use in decision.limits],
        resets_at=full.resets_at if full else None,
        see=point_at(own),
    )


def point_at(own: OwnEvent) -> str:
    """Where its decisions are told."""
    return f"/v1/decisions?{urlencode({'event_id': own.own_id, 'event_source': own.action})}"


def put_off(own: OwnEvent, campaign_id: str | None) -> OutcomeAnswer:
    """What is told as long as nothing is known of it."""
    message = "it is in the log, and will be decided: ask for the same again, or look where `see` says"
    return OutcomeAnswer(state="pending", reason="pending", message=message, campaign_id=campaign_id, see=point_at(own))


async def _read_balances(work: UnitOfWork, user_id: str, made: Sequence[IncentiveRow]) -> list[BalanceAnswer]:
    wallets = {KINDS[row.kind].find_wallet(row.currency) for row in made if row.value}
    balances = []
    for currency in sorted(wallet for wallet in wallets if wallet):
        held = (await find_wallet(work.connection, work.caller, user_id, currency, datetime.now(UTC))).balance
        balances.append(BalanceAnswer(currency=currency, pending=held.pending, active=held.active))
    return balances


def _describe_use(use: CounterUse) -> UseAnswer:
    return UseAnswer.model_validate(msgspec.to_builtins(use))
