"""Incentives, and the inbox that tells each user of them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import Row, bindparam, case, func, select

from fillip.core.campaign.reward import RewardKind
from fillip.http.errors import NotFound
from fillip.http.fields import IdFilter
from fillip.http.paging import Page, Pages
from fillip.manage.request.route import Reading, Route
from fillip.manage.store.keyset import read_page, split_filters
from fillip.manage.store.tables import inbox, incentive

IncentiveState = Literal["granted", "delivered", "claimed", "reversed", "expired"]
_first = inbox.alias("first")
_acked_at = (
    select(_first.c.acked_at)
    .where(
        _first.c.tenant_id == incentive.c.tenant_id,
        _first.c.user_id == incentive.c.user_id,
        _first.c.seq == incentive.c.inbox_seq,
    )
    .correlate(incentive)
    .scalar_subquery()
)
"""Looked up for each incentive shown. As EXISTS it might be hashed: all inboxes of all tenants for one page."""
STATE = case(
    (incentive.c.state != "granted", incentive.c.state),
    ((incentive.c.kind != "points") & (incentive.c.expires_at <= func.now()), "expired"),
    (_acked_at.is_not(None), "delivered"),
    else_="granted",
).label("state")
"""The state as of now: expired by the clock, delivered once the user's client has acked it."""
_MOVED = ("claimed", "reversed", "expired")
"""Stored as they are shown, with an index; one that has just expired is stored so a moment later."""
_SHOWN = (*(column for column in incentive.c if column.name != "state"), STATE)
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


class InboxAnswer(BaseModel):
    """One message of a user's inbox: numbered 1, 2, 3 … without a gap; `acked_at` when the user's client took it.

    `kind` says what it tells of the incentive, which is shown as it is now.
    """

    seq: int
    kind: Literal["granted", "reversed", "expired"]
    acked_at: datetime | None
    incentive: IncentiveAnswer


@router.get("/incentives")
async def list_incentives(
    work: Reading,
    pages: Pages,
    user_id: IdFilter = None,
    campaign_id: IdFilter = None,
    state: IncentiveState | None = None,
) -> Page[IncentiveAnswer]:
    """Incentives, the newest first."""
    asked, sift = split_filters(incentive, {"user_id": user_id, "campaign_id": campaign_id})
    statement = select(*_SHOWN).where(incentive.c.tenant_id == work.caller.tenant_id, *asked)
    if state in _MOVED and not asked:
        statement = statement.where(incentive.c.state == bindparam("moved", state, literal_execute=True))
    else:
        sift |= {"state": state}
    order = [incentive.c.granted_at, incentive.c.incentive_id]
    rows, cursor = await read_page(work.connection, statement, order, pages, descending=True, sift=sift)
    return Page(items=[_describe(row) for row in rows], next_cursor=cursor)


@router.get("/incentives/{incentive_id}")
async def read_incentive(work: Reading, incentive_id: UUID) -> IncentiveAnswer:
    """One incentive."""
    statement = select(*_SHOWN).where(
        incentive.c.tenant_id == work.caller.tenant_id, incentive.c.incentive_id == incentive_id
    )
    row = (await work.connection.execute(statement)).one_or_none()
    if row is None:
        raise NotFound(f"there is no incentive {incentive_id}")
    return _describe(row)


@router.get("/users/{user_id}/inbox", tags=["users"])
async def list_inbox(work: Reading, user_id: str, pages: Pages) -> Page[InboxAnswer]:
    """A user's inbox in its order; empty for a user who was granted nothing."""
    same = (incentive.c.tenant_id == inbox.c.tenant_id) & (incentive.c.incentive_id == inbox.c.incentive_id)
    statement = (
        select(inbox.c.seq, inbox.c.kind.label("told"), inbox.c.acked_at, *_SHOWN)
        .join(incentive, same)
        .where(inbox.c.tenant_id == work.caller.tenant_id, inbox.c.user_id == user_id)
    )
    rows, cursor = await read_page(work.connection, statement, [inbox.c.seq], pages)
    items = [InboxAnswer(seq=row.seq, kind=row.told, acked_at=row.acked_at, incentive=_describe(row)) for row in rows]
    return Page(items=items, next_cursor=cursor)


def _describe(row: Row[Any]) -> IncentiveAnswer:
    return IncentiveAnswer.model_validate(row, from_attributes=True)
