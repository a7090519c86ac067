"""Rejections: events that could not be decided, with the bytes as they came."""

from base64 import b64encode
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import Row, select

from fillip.http.errors import NotFound
from fillip.http.fields import IdFilter, SourceFilter
from fillip.http.paging import Page, Pages
from fillip.manage.request.route import Reading, Route
from fillip.manage.store.keyset import read_page, split_filters
from fillip.manage.store.tables import rejection

router = APIRouter(prefix="/rejections", tags=["rejections"], route_class=Route)
_SHORT = [column for column in rejection.c if column.name != "original"]


class RejectionAnswer(BaseModel):
    """Why and where an event was rejected."""

    rejection_id: UUID
    reason: str = Field(examples=["schema_violation"])
    detail: str = Field(examples=["attribute '/amount_cents': expected an integer, found str"])
    event_id: str | None
    event_source: str | None
    topic: str = Field(examples=["event.received"])
    partition: int
    log_offset: int
    received_at: datetime
    rejected_at: datetime


class RejectionWhole(RejectionAnswer):
    """The same with the original bytes, in base64."""

    original: str


@router.get("")
async def list_rejections(
    work: Reading,
    pages: Pages,
    reason: IdFilter = None,
    event_id: IdFilter = None,
    event_source: SourceFilter = None,
) -> Page[RejectionAnswer]:
    """The tenant's rejected events, the newest first. What names no known tenant is the operator's to see."""
    asked, sift = split_filters(rejection, {"event_id": event_id, "reason": reason})
    sift |= {"event_source": event_source}
    statement = select(*_SHORT).where(rejection.c.tenant_id == work.caller.tenant_id, *asked)
    order = [rejection.c.rejected_at, rejection.c.rejection_id]
    rows, cursor = await read_page(work.connection, statement, order, pages, descending=True, sift=sift)
    return Page(items=[RejectionAnswer.model_validate(_read(row)) for row in rows], next_cursor=cursor)


@router.get("/{rejection_id}")
async def read_rejection(work: Reading, rejection_id: UUID) -> RejectionWhole:
    """One rejected event with its original bytes."""
    mine = (rejection.c.tenant_id == work.caller.tenant_id) & (rejection.c.rejection_id == rejection_id)
    row = (await work.connection.execute(select(rejection).where(mine))).one_or_none()
    if row is None:
        raise NotFound(f"there is no rejection {rejection_id}")
    return RejectionWhole.model_validate(_read(row) | {"original": b64encode(row.original).decode()})


def _read(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)
