"""Incentives, and the inbox that tells each user of them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from fillip.core.campaign.reward import RewardKind
from fillip.http.export import CSV_TOO, answer_as_asked
from fillip.http.filters import IdFilter
from fillip.http.page import Page, Pages, TimedPages, answer_page
from fillip.manage.incentive import postgres
from fillip.manage.merge.postgres import list_own_ids
from fillip.manage.request.route import Reading, Route

IncentiveState = Literal["granted", "delivered", "claimed", "reversed", "expired"]
router = APIRouter(tags=["incentives"], route_class=Route)


class IncentiveAnswer(BaseModel):
    """One reward that a user was granted: `value` in minor units of `currency`, in points, or 0."""

    incentive_id: UUID
    decision_id: UUID
    campaign_id: str = Field(examples=["coupon-26"])
    user_id: str = Field(examples=["ada"])
    event_id: str = Field(examples=["order-7"])
    event_source: str = Field(examples=["/shop/till-7"])
    reward_index: int
    kind: RewardKind
    value: int = Field(examples=[100])
    currency: str | None = Field(examples=["EUR"])
    payload: dict[str, Any] | None
    state: IncentiveState
    reversed_value: int = Field(description="What reversals have really taken back of `value` so far")
    coupon_code: str | None = Field(examples=["SPRING-7K2M-Q9RT-XW4D"])
    occurred_at: datetime
    granted_at: datetime
    expires_at: datetime | None
    variant: str | None = Field(description="Of the campaign, where it has variants: the user's")


class InboxAnswer(BaseModel):
    """One message of a user's inbox: numbered 1, 2, 3 … without a gap; `acked_at` when the user's client took it.

    `kind` says what it tells of the incentive, which is shown as it is now.
    """

    seq: int
    kind: Literal["granted", "reversed", "expired"]
    acked_at: datetime | None
    incentive: IncentiveAnswer


@router.get("/incentives", response_model=Page[IncentiveAnswer], responses=CSV_TOO)
async def list_incentives(
    request: Request,
    work: Reading,
    pages: TimedPages,
    user_id: IdFilter = None,
    campaign_id: IdFilter = None,
    state: IncentiveState | None = None,
    kind: RewardKind | None = None,
) -> Page[IncentiveAnswer] | Response:
    """Incentives, the newest first, with `Accept: text/csv` as CSV."""
    page = await postgres.list_incentives(
        work.connection,
        work.caller,
        pages,
        user_ids=await list_own_ids(work.connection, work.caller, user_id),
        campaign_id=campaign_id,
        state=state,
        kind=kind,
    )
    return answer_as_asked(request, IncentiveAnswer, answer_page(IncentiveAnswer, page))


@router.get("/incentives/{incentive_id}")
async def read_incentive(work: Reading, incentive_id: UUID) -> IncentiveAnswer:
    """One incentive."""
    return _describe_incentive(await postgres.find_incentive(work.connection, work.caller, incentive_id))


@router.get("/users/{user_id}/inbox", tags=["users"])
async def list_inbox(work: Reading, user_id: str, pages: Pages) -> Page[InboxAnswer]:
    """A user's inbox in its order; empty for a user who was granted nothing."""
    rows, cursor = await postgres.list_inbox(work.connection, work.caller, user_id, pages)
    items = [
        InboxAnswer(seq=row.seq, kind=row.told, acked_at=row.acked_at, incentive=_describe_incentive(row))
        for row in rows
    ]
    return Page(items=items, next_cursor=cursor)


def _describe_incentive(row: postgres.IncentiveRow) -> IncentiveAnswer:
    return IncentiveAnswer.model_validate(row, from_attributes=True)
