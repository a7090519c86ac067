"""Rejections: events that could not be decided, with the bytes as they came."""

from base64 import b64encode
from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from fillip.http.filters import IdFilter, SourceFilter
from fillip.http.page import Page, TimedPages, answer_page
from fillip.manage.rejection import postgres
from fillip.manage.request.route import Reading, Route

router = APIRouter(prefix="/rejections", tags=["rejections"], route_class=Route)


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
    pages: TimedPages,
    reason: IdFilter = None,
    event_id: IdFilter = None,
    event_source: SourceFilter = None,
) -> Page[RejectionAnswer]:
    """The tenant's rejected events, the newest first. What names no known tenant is the operator's to see."""
    page = await postgres.list_rejections(
        work.connection, work.caller, pages, reason=reason, event_id=event_id, event_source=event_source
    )
    return answer_page(RejectionAnswer, page)


@router.get("/{rejection_id}")
async def read_rejection(work: Reading, rejection_id: UUID) -> RejectionWhole:
    """One rejected event with its original bytes."""
    row = await postgres.rejections.find(work.connection, work.caller, rejection_id)
    return RejectionWhole.model_validate({**row._mapping, "original": b64encode(row.original).decode()})
