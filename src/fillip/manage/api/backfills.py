"""Backfills: what a campaign that was launched as of a date grants for what was received before its launch."""

from datetime import date, datetime
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from fillip.core.backfill import PassedOver
from fillip.core.ledger.decision import DecisionReason
from fillip.http.fields import ObjectId
from fillip.manage.backfill import postgres
from fillip.manage.request.route import Posting, Reading, Route

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=Route)


class BackfillSpendAnswer(BaseModel):
    """Rewards of one kind and currency: how many, and their value in all, in minor units or points."""

    kind: str
    currency: str | None
    rewards: int
    value: int


class BackfillDayAnswer(BaseModel):
    """A day of the tenant's calendar, by the events' time."""

    day: date
    granted: int
    denied: int


class BackfillResultAnswer(BaseModel):
    """What a run has come to so far. `events_met` met the campaign and are decided, or moved a quest on; `passed_over` are others, by reason."""

    events_met: int = 0
    granted: int = 0
    spend: list[BackfillSpendAnswer] = []
    denied: dict[DecisionReason, int] = {}
    days: list[BackfillDayAnswer] = []
    passed_over: dict[PassedOver, int] = {}


class BackfillAnswer(BaseModel):
    """A backfill, and how far its newest run is: `events_done` of `events`. `error` is why it failed, or what it waits for.

    Of a quest, events that come after the launch wait behind the past: `waiting` are those that wait now. Workers decide what
    comes since `handed_over_at`; of a campaign that is no quest, since its launch.
    """

    campaign_id: ObjectId
    from_at: datetime = Field(serialization_alias="from")
    launched_at: datetime
    run: int
    state: Literal["waiting", "running", "done", "failed"]
    begun_at: datetime | None
    ended_at: datetime | None
    handed_over_at: datetime | None
    waiting: int
    events_done: int
    events: int | None
    result: BackfillResultAnswer
    error: str | None


@router.get("/{campaign_id}/backfill")
async def read_backfill(work: Reading, campaign_id: ObjectId) -> BackfillAnswer:
    """How far the backfill of a campaign is, and what it has granted."""
    row = await postgres.find_backfill(work.connection, work.caller, campaign_id)
    return BackfillAnswer.model_validate(row, from_attributes=True)


@router.post("/{campaign_id}/backfill", status_code=202)
async def run_backfill(work: Posting, campaign_id: ObjectId, response: Response) -> BackfillAnswer:
    """Run a backfill that has ended once more. What is decided stays: an event is decided once, however often it runs."""
    response.headers["Location"] = f"/v1/campaigns/{campaign_id}/backfill"
    row = await postgres.ask_again(work.connection, work.caller, campaign_id)
    return BackfillAnswer.model_validate(row, from_attributes=True)
