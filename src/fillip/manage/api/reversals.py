"""Reversals: asked for here or by an event of action `fillip.reversal`, and what came of them."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from msgspec import convert, json
from msgspec.structs import replace
from pydantic import BaseModel, Field

from fillip.core.errors import Retry, Unreadable
from fillip.core.event import REVERSAL
from fillip.core.ledger.reversal import ReversalRequest, read_reversal
from fillip.core.problem import Fault
from fillip.core.quest.instance import QuestState
from fillip.core.schema.reader import find_faults
from fillip.http.errors import Conflict, Invalid, NotFound
from fillip.http.fields import OwnId, Part, Source, UserId, give_examples
from fillip.http.filters import IdFilter, SourceFilter
from fillip.http.page import Page, TimedPages
from fillip.manage.action.postgres import actions
from fillip.manage.event.postgres import find_recorded
from fillip.manage.merge.postgres import are_same, list_own_ids
from fillip.manage.request.route import Reading, Route, UnitOfWork, begin_once, find_app_state
from fillip.manage.reversal import postgres

MAX_AMOUNT = 2**53
OWN_SOURCE = "fillip"
"""The source of reversals that are asked for here: their ids are apart from those of all other sources."""

Amount = Annotated[int, Field(ge=1, le=MAX_AMOUNT, strict=True)]
ReversalSource = Annotated[str | None, Query(min_length=1, max_length=1024, examples=[OWN_SOURCE])]
_MISSING = {"event_source": "the source of the original", "user_id": "whose the original is"}
router = APIRouter(prefix="/reversals", tags=["reversals"], route_class=Route)


class LinePart(Part):
    """A piece of a line of the original, by a name of yours.

    `of` is the whole of the line, in the unit of all amounts: pieces may come to so much of it, and no more. Where none has
    told it, they may come to the whole of the original.
    """

    line: OwnId = Field(examples=["sku-1"])
    amount: Amount
    of: Amount | None = None


class ReversalPart(Part):
    """Take back `event_id`: all that is left, or `amount` or `lines` of `of`, the whole in the same unit.

    `event_source` is needed where the original has not come yet, or where several sources have an event of this id.
    """

    model_config = give_examples(
        {"reversal_id": "return-7", "event_id": "order-7", "reason": "returned"},
        {"reversal_id": "return-8", "event_id": "order-8", "amount": 500, "of": 2000},
        {"reversal_id": "return-9", "event_id": "1", "event_source": "/shop/till-7"},
        {
            "reversal_id": "return-10",
            "event_id": "order-9",
            "lines": [{"line": "sku-1", "amount": 500, "of": 1000}],
            "of": 2000,
        },
        {"reversal_id": "return-11", "event_id": "order-9", "amount": 500, "of": 2000, "after": {"amount_cents": 1500}},
    )

    reversal_id: OwnId = Field(description="An id of yours, apart from those of events: asked twice, it counts once")
    event_id: OwnId
    event_source: Source | None = None
    user_id: UserId | None = Field(None, description="Whose the original is; needed where it has not come yet")
    amount: Amount | None = None
    lines: list[LinePart] = Field([], max_length=200)
    of: Amount | None = None
    after: dict[str, Any] | None = Field(
        None,
        description="With a part: all attributes of the original as they are when it is gone, by the schema of its action. Rewards that are"
        " `reevaluate` on returns in part go by it",
    )
    reason: str | None = Field(None, max_length=500)


class AcceptedAnswer(BaseModel):
    """The reversal is in the log; `GET /v1/reversals/{reversal_id}` tells what came of it, a moment later."""

    reversal_id: str
    event_id: str
    event_source: str
    user_id: str


class TakenAnswer(BaseModel):
    """What was taken of an incentive: `value`, and whether nothing is left of it (`whole`); `was` is its state before.

    `short`: of points, what was to be taken too and could not be: it had expired, or the currency's floor kept it back.
    """

    incentive_id: UUID
    value: int
    whole: bool
    was: str
    short: int


class ReturnAnswer(BaseModel):
    """What a limit got back in its window, with its use before; `version` counts the counter's changes.

    `window_start` is 1970-01-01 where the limit is for lifetime or by rolling windows.
    """

    limit_id: str
    user_id: str
    key: str
    window_start: date
    version: int
    used_before: int
    amount: int


class StepTakenAnswer(BaseModel):
    """A step that fell, or that the original had given to: how far it `was`, and is `done`.

    `amount` was taken of what the original gave to it: 1, or of its term; 0 where the step fell with one before it.
    """

    step: str
    amount: int
    was: int
    done: int


class ReevaluationAnswer(BaseModel):
    """What asking again for an incentive came to: whether the campaign's rule was `met` by what is left of the event, and what the
    reward would be `worth` for that; null where the reversal did not tell what is left.

    `taken` is what this reversal and those before it were to take of the incentive, `whole`: nothing is left of it.
    """

    incentive_id: UUID
    met: bool | None
    worth: int | None
    taken: int
    whole: bool


class UndoneAnswer(BaseModel):
    """A quest instance that the original, or a part of it, was taken out of, with its state before and after."""

    campaign_id: str
    instance: str
    was: QuestState
    state: QuestState
    taken: list[StepTakenAnswer]


class ReversalAnswer(BaseModel):
    """A reversal and what came of it. `reversal_source` is `fillip`, or the source of the event that asked for it."""

    reversal_id: str
    reversal_source: str
    event_id: str
    event_source: str
    user_id: str
    amount: int | None
    lines: list[LinePart]
    of: int | None
    after: dict[str, Any] | None
    note: str | None = Field(description="The reason that was sent with it")
    state: Literal["waiting", "applied", "nothing", "refused"]
    reason: str = Field(examples=["applied"])
    incentives: list[TakenAnswer]
    reevaluations: list[ReevaluationAnswer]
    limits: list[ReturnAnswer]
    quests: list[UndoneAnswer]
    received_at: datetime
    decided_at: datetime | None


@router.post("", status_code=202)
async def create_reversal(
    work: Annotated[UnitOfWork, begin_once("events:write")], body: ReversalPart, request: Request
) -> AcceptedAnswer:
    """Take an event back. It goes into the log like an event, behind what was sent before.

    422 where the event's source is needed and was not given: several sources have an event of this id (named), or it has
    not come yet. 409 where the same `reversal_id` was asked for before with another body.
    """
    if "lines" in body.model_fields_set and not body.lines:
        raise Invalid("has no line: name one, or leave it out, which takes back all that is left", at="/lines")
    data = body.model_dump(exclude={"reversal_id", "user_id", "after"}, exclude_none=True)
    data |= {} if body.after is None else {"after": body.after}  # with its nulls
    try:
        order = read_reversal(data)
    except Unreadable as error:
        raise Invalid(str(error), at=error.at) from None
    if known := await _find_known(work, body, order):
        return known
    event_source, user_id = await _find_original(work, body)
    if body.after is not None:
        await _check_after(work, body.event_id, event_source, body.after)
    data["event_source"] = event_source  # the log decides alone, whatever comes of this id before it is read
    event_log = find_app_state(request).event_log
    if event_log is None:
        raise Retry("this process has no way to the log of events")
    event = {"specversion": "1.0", "id": body.reversal_id, "source": OWN_SOURCE, "type": REVERSAL, "subject": user_id}
    try:
        await event_log.put(work.caller.tenant_id, json.encode(event | {"time": datetime.now(UTC), "data": data}))
    except Unreadable as error:
        if error.reason == "conflicting_duplicate":
            raise _tell_conflict(body.reversal_id) from None
        raise
    name = {"event_id": body.event_id, "event_source": event_source}
    return AcceptedAnswer(reversal_id=body.reversal_id, **name, user_id=user_id)


@router.get("")
async def list_reversals(
    work: Reading,
    pages: TimedPages,
    state: Literal["waiting", "applied", "nothing", "refused"] | None = None,
    event_id: IdFilter = None,
    event_source: SourceFilter = None,
    user_id: IdFilter = None,
) -> Page[ReversalAnswer]:
    """Reversals, the newest first; `state=waiting` lists those whose original has not come."""
    rows, cursor = await postgres.list_reversals(
        work.connection,
        work.caller,
        pages,
        state=state,
        event_id=event_id,
        event_source=event_source,
        user_ids=await list_own_ids(work.connection, work.caller, user_id),
    )
    return Page(items=[_describe_reversal(row) for row in rows], next_cursor=cursor)


@router.get("/{reversal_id}", name="read_reversal")
async def read_reversal_answer(
    work: Reading, reversal_id: str, reversal_source: ReversalSource = None
) -> ReversalAnswer:
    """What came of a reversal. 404 until a worker has taken it, usually within milliseconds.

    Where several sources have a reversal of this id, the 422 names them: say which in `reversal_source`.
    """
    row = await postgres.find_reversal(work.connection, work.caller, reversal_id, reversal_source)
    if row is None:
        raise NotFound(f"there is no reversal '{reversal_id}', or no worker has taken it yet")
    return _describe_reversal(row)


async def _find_known(work: UnitOfWork, body: ReversalPart, order: ReversalRequest) -> AcceptedAnswer | None:
    """The answer to a reversal that a worker has taken before. Raises Conflict where it said something else."""
    row = await postgres.find_reversal(work.connection, work.caller, body.reversal_id, OWN_SOURCE)
    if row is None:
        return None
    said = replace(order, event_source=order.event_source or row.event_source)
    user_id, same = body.user_id or row.user_id, said == convert(row.request, ReversalRequest)
    if not same or not await are_same(work.connection, work.caller, user_id, row.user_id):
        raise _tell_conflict(body.reversal_id)
    name = {"event_id": row.event_id, "event_source": row.event_source}
    return AcceptedAnswer(reversal_id=body.reversal_id, **name, user_id=row.user_id)


def _tell_conflict(reversal_id: str) -> Conflict:
    text = f"reversal '{reversal_id}' was asked for before with another body; give each reversal an id of its own"
    return Conflict(text, at="/reversal_id")


async def _find_original(work: UnitOfWork, body: ReversalPart) -> tuple[str, str]:
    """(source, user) of the original."""
    known = await find_recorded(work.connection, work.caller, body.event_id, body.event_source)
    if known is not None:
        user_id = body.user_id or known.user_id
        if not await are_same(work.connection, work.caller, user_id, known.user_id):
            raise Invalid("the original is another user's", at="/user_id")
        return known.event_source, known.user_id
    missing = [name for name in ("event_source", "user_id") if getattr(body, name) is None]
    if missing:
        faults = [Fault(f"/{name}", f"needed: {_MISSING[name]}") for name in missing]
        raise Invalid("the original has not come yet, or met no campaign: say which it is", faults=faults)
    return body.event_source or "", body.user_id or ""


async def _check_after(work: UnitOfWork, event_id: str, event_source: str, after: dict[str, Any]) -> None:
    """Raises Invalid where what is left is none of the original's action; of an original that has not come a worker finds it."""
    known = await find_recorded(work.connection, work.caller, event_id, event_source)
    action = await actions.seek(work.connection, work.caller, known.action) if known else None
    if action and (wrong := find_faults(action.schema, after, "/after")):
        raise Invalid("what is left of the event does not meet its action's schema", faults=wrong)


def _describe_reversal(row: postgres.ReversalRow) -> ReversalAnswer:
    asked = {"amount": None, "lines": [], "of": None, "after": None, "reason": None} | row.request
    parts = {name: asked[name] for name in ("amount", "lines", "of", "after")}
    told = dict(row._mapping) | {"reevaluations": row.reevaluations or []}
    return ReversalAnswer(**told, **parts, note=asked["reason"], limits=row.counters)
