"""Decisions: what was granted and denied, with the proof of every limit that was weighed."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from fillip.core.by_hand import BY
from fillip.core.campaign.reward import RewardKind
from fillip.core.ledger.decision import DecisionReason
from fillip.http.export import CSV_TOO, answer_as_asked
from fillip.http.fields import give_examples
from fillip.http.filters import IdFilter, SourceFilter
from fillip.http.page import Page, TimedPages
from fillip.manage.decision import postgres
from fillip.manage.limit.answer import UseAnswer
from fillip.manage.merge.postgres import list_own_ids
from fillip.manage.request.route import Reading, Route, UnitOfWork

router = APIRouter(prefix="/decisions", tags=["decisions"], route_class=Route)


class RewardValue(BaseModel):
    """What was given: minor units of `currency`, points, or 0."""

    kind: RewardKind
    value: int
    currency: str | None = None
    wanted: int | None = Field(None, description="What it would have been; set where a limit gave what was left")


class ByHand(BaseModel):
    """Who asked for a grant by hand, or for a repair of a streak, and why."""

    key_id: UUID
    reason: str


class DecisionAnswer(BaseModel):
    """The answer for one event and one campaign that it met. `instance` names the quest instance; it is empty for SIMPLE."""

    model_config = give_examples(
        {
            "decision_id": "6f1c1f6e-4f0a-8d2e-9b7c-0242ac120002",
            "campaign_id": "coupon-26",
            "campaign_version": 1,
            "event_id": "cj-r17",
            "event_source": "/completejourney",
            "user_id": "h1228",
            "instance": "",
            "outcome": "denied",
            "reason": "limit",
            "occurred_at": "2017-12-30T10:04:00Z",
            "local_day": "2017-12-30",
            "rewards": [],
            "limits": [
                {
                    "limit_id": "once-a-coupon",
                    "key": "10000089064",
                    "window_start": None,
                    "version": 1,
                    "used_before": 1,
                    "amount": 1,
                    "cap": 1,
                }
            ],
            "book_version": 31,
            "user_revision": 3,
            "decided_at": "2026-01-31T09:30:00.123456Z",
            "reversals": [],
        }
    )

    decision_id: UUID
    campaign_id: str
    campaign_version: int
    event_id: str
    event_source: str
    user_id: str
    instance: str = Field(description="Of a quest: its occurrence, after key# where it has one")
    outcome: Literal["granted", "denied"]
    reason: str = Field(
        description="granted, paused, holdout, control, late, no_value, value_error, value_too_large, expired, shadow, outranked, limit, pool_empty"
        ", already_held, too_many_open or too_many_grants; of a [repair](#tag/quests) why the day is not counted"
    )
    outranked_by: str | None = Field(None, description="The campaign that won the event instead")
    variant: str | None = Field(
        None, description="The user's, where the campaign has variants and the user isn't held out"
    )
    occurred_at: datetime
    local_day: date
    rewards: list[RewardValue] = Field(description="Of one denied as shadow, what it would have given")
    shadow: bool = Field(False, description="Whether the campaign was in shadow, and so could grant nothing")
    limits: list[UseAnswer]
    book_version: int
    user_revision: int | None = Field(
        None, description="Of the attributes that were read; null where there are none, or no rule asked for them"
    )
    decided_at: datetime
    by_hand: ByHand | None = Field(None, description="Of a grant by hand, or a repair, until its user is erased")
    reversals: list[str] = Field(description="What took the event back since, in full or in part: see /v1/reversals")


@router.get("", response_model=Page[DecisionAnswer], responses=CSV_TOO)
async def list_decisions(
    request: Request,
    work: Reading,
    pages: TimedPages,
    user_id: IdFilter = None,
    campaign_id: IdFilter = None,
    event_id: IdFilter = None,
    event_source: SourceFilter = None,
    outcome: Literal["granted", "denied"] | None = None,
    reason: DecisionReason | None = None,
) -> Page[DecisionAnswer] | Response:
    """Decisions, the newest first, with `Accept: text/csv` as CSV; an `event_id` may be that of events of several sources."""
    rows, cursor = await postgres.list_decisions(
        work.connection,
        work.caller,
        pages,
        user_ids=await list_own_ids(work.connection, work.caller, user_id),
        campaign_id=campaign_id,
        event_id=event_id,
        event_source=event_source,
        outcome=outcome,
        reason=reason,
    )
    page: Page[DecisionAnswer] = Page(items=await _describe_decisions(work, rows), next_cursor=cursor)
    return answer_as_asked(request, DecisionAnswer, page)


@router.get("/{decision_id}")
async def read_decision(work: Reading, decision_id: UUID) -> DecisionAnswer:
    """One decision."""
    row = await postgres.decisions.find(work.connection, work.caller, decision_id)
    return (await _describe_decisions(work, [row]))[0]


async def _describe_decisions(work: UnitOfWork, rows: Sequence[postgres.DecisionRow]) -> list[DecisionAnswer]:
    reversals = await postgres.list_applied(work.connection, work.caller, rows)
    by_hand = await postgres.list_by_hand(work.connection, work.caller, rows)
    return [
        DecisionAnswer(
            rewards=row.reward_values,
            reversals=reversals.get(row.event_key, []),
            by_hand=_describe_order(by_hand[row.event_key]) if row.event_key in by_hand else None,
            **row._mapping,
        )
        for row in rows
    ]


def _describe_order(data: Mapping[str, Any]) -> ByHand:
    return ByHand(key_id=data[BY], reason=data["reason"])
