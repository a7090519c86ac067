"""Reversals: asked for here or by an event of action `fillip.reversal`, and what came of them."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from msgspec import json
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row, select

from fillip.core.errors import Retry, Unreadable
from fillip.core.instance import QuestState
from fillip.core.reversal import REVERSAL, read_reversal
from fillip.manage.decisions import Asked
from fillip.manage.definition import Part
from fillip.manage.naming import OwnId, UserId
from fillip.manage.paging import Page, Pages, read_page, split_filters
from fillip.manage.refusals import Invalid, NotFound
from fillip.manage.route import Reading, Route, Work, begin_once, find_deck
from fillip.manage.tables import event_met, reversal

MAX_AMOUNT = 2**53

Amount = Annotated[int, Field(ge=1, le=MAX_AMOUNT, strict=True)]
router = APIRouter(prefix="/reversals", tags=["reversals"], route_class=Route)


class LinePart(Part):
    """A line of the original, by a name of yours; it can be taken back once."""

    line: OwnId = Field(examples=["sku-1"])
    amount: Amount


class ReversalPart(Part):
    """Take back `event_id`: all that is left, or `amount` or `lines` of `of`, the whole in the same unit."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"reversal_id": "return-7", "event_id": "order-7", "reason": "returned"},
                {"reversal_id": "return-8", "event_id": "order-8", "amount": 500, "of": 2000},
            ]
        }
    )

    reversal_id: OwnId = Field(description="An id of yours, apart from those of events: asked twice, it counts once")
    event_id: OwnId
    user_id: UserId | None = Field(None, description="Whose the original is; needed where it has not come yet")
    amount: Amount | None = None
    lines: list[LinePart] = Field([], max_length=200)
    of: Amount | None = None
    reason: str | None = Field(None, max_length=500)


class AcceptedAnswer(BaseModel):
    """The reversal is in the log; `GET /v1/reversals/{reversal_id}` tells what came of it, a moment later."""

    reversal_id: str
    event_id: str
    user_id: str


class TakenAnswer(BaseModel):
    """What was taken of an incentive: all that was left (`whole`) or a part; `was` is its state before.

    `short`: of points, what the wallet could not pay back.
    """

    incentive_id: UUID
    value: int
    whole: bool
    was: str
    short: int


class ReturnAnswer(BaseModel):
    """What a limit got back in its window, with its use before; `version` counts the counter's changes."""

    limit_id: str
    user_id: str
    key: str
    window_start: date
    version: int
    used_before: int
    amount: int


class StepTakenAnswer(BaseModel):
    """What a step lost: 1, or of a sum the original's term as far as it was taken back."""

    step: str
    amount: int


class UndoneAnswer(BaseModel):
    """A quest instance that the original, or a part of it, was taken out of, with its state before and after."""

    campaign_id: str
    instance: str
    was: QuestState
    state: QuestState
    taken: list[StepTakenAnswer]


class ReversalAnswer(BaseModel):
    """A reversal and what came of it."""

    reversal_id: str
    event_id: str
    user_id: str
    amount: int | None
    lines: list[LinePart]
    of: int | None
    note: str | None = Field(description="The reason that was sent with it")
    state: Literal["waiting", "applied", "nothing", "refused"]
    reason: str = Field(examples=["applied"])
    incentives: list[TakenAnswer]
    limits: list[ReturnAnswer]
    quests: list[UndoneAnswer]
    received_at: datetime
    decided_at: datetime | None


@router.post("", status_code=202)
async def create_reversal(
    work: Annotated[Work, begin_once("events:write")], body: ReversalPart, request: Request
) -> AcceptedAnswer:
    """Take an event back. It goes into the log like an event, behind what was sent before."""
    data = body.model_dump(exclude={"reversal_id", "user_id"}, exclude_none=True)
    try:
        read_reversal(data)
    except Unreadable as error:
        raise Invalid(str(error), at=error.at) from None
    user_id = await _find_user(work, body)
    event_log = find_deck(request).event_log
    if event_log is None:
        raise Retry("this process has no way to the log of events")
    event = {"specversion": "1.0", "id": body.reversal_id, "source": "fillip", "type": REVERSAL, "subject": user_id}
    await event_log.put(work.caller.tenant_id, json.encode(event | {"time": datetime.now(UTC), "data": data}))
    return AcceptedAnswer(reversal_id=body.reversal_id, event_id=body.event_id, user_id=user_id)


@router.get("")
async def list_reversals(
    work: Reading,
    pages: Pages,
    state: Literal["waiting", "applied", "nothing", "refused"] | None = None,
    event_id: Asked = None,
    user_id: Asked = None,
) -> Page[ReversalAnswer]:
    """Reversals, the newest first; `state=waiting` lists those whose original has not come."""
    asked, sift = split_filters(reversal, {"event_id": event_id, "user_id": user_id, "state": state})
    statement = select(reversal).where(reversal.c.tenant_id == work.caller.tenant_id, *asked)
    order = [reversal.c.recorded_at, reversal.c.reversal_id]
    rows, cursor = await read_page(work.connection, statement, order, pages, descending=True, sift=sift)
    return Page(items=[_describe(row) for row in rows], next_cursor=cursor)


@router.get("/{reversal_id}")
async def read_reversal_answer(work: Reading, reversal_id: str) -> ReversalAnswer:
    """What came of a reversal. 404 until a worker has taken it, usually within milliseconds."""
    mine = (reversal.c.tenant_id == work.caller.tenant_id) & (reversal.c.reversal_id == reversal_id)
    row = (await work.connection.execute(select(reversal).where(mine))).one_or_none()
    if row is None:
        raise NotFound(f"there is no reversal '{reversal_id}', or no worker has taken it yet")
    return _describe(row)


async def _find_user(work: Work, body: ReversalPart) -> str:
    event = event_met.c
    mine = (event.tenant_id == work.caller.tenant_id) & (event.event_id == body.event_id)
    statement = select(event.user_id).where(mine, event.fingerprint.is_not(None))
    known: str | None = (await work.connection.execute(statement)).scalar_one_or_none()
    if known is None and body.user_id is None:
        raise Invalid("the original has not come yet, or met no campaign: say whose it is", at="/user_id")
    if known is not None and body.user_id not in (None, known):
        raise Invalid("the original is another user's", at="/user_id")
    return known or body.user_id or ""


def _describe(row: Row[Any]) -> ReversalAnswer:
    request = {"amount": None, "lines": [], "of": None, "reason": None} | row.request
    return ReversalAnswer(
        reversal_id=row.reversal_id,
        event_id=row.event_id,
        user_id=row.user_id,
        amount=request["amount"],
        lines=request["lines"],
        of=request["of"],
        note=request["reason"],
        state=row.state,
        reason=row.reason,
        incentives=row.incentives,
        limits=row.counters,
        quests=row.quests,
        received_at=row.received_at,
        decided_at=row.decided_at,
    )
