"""What a user can earn now, of every campaign in force: with an event that was not sent, or before any."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from fillip.core.book.book import Book, Unbuilt
from fillip.core.errors import Retry, Unreadable
from fillip.core.event import MAX_AHEAD, Event, Place
from fillip.core.ports import Caller, CampaignBook
from fillip.core.schema.reader import find_faults
from fillip.http.errors import Invalid
from fillip.http.fields import ActionName, Instant, Part, UserId, give_examples
from fillip.manage.eligibility.answer import EligibilityAnswer
from fillip.manage.eligibility.telling import tell_with_event, tell_without_event
from fillip.manage.explain import wording
from fillip.manage.request.route import Route, find_app_state, find_unit_of_work, require

MAX_TOLD = 500
router = APIRouter(tags=["explain"], route_class=Route)


class EventPart(Part):
    """An event that was not sent, such as the cart of a checkout; `occurred_at` (now) is when it happens."""

    action: ActionName
    attributes: dict[str, Any] = Field(default_factory=dict)
    occurred_at: Instant | None = None


class EligibilityPart(Part):
    """Whom it is about, with or without an event, and how many campaigns are told."""

    model_config = give_examples(
        {"user_id": "ada", "event": {"action": "PURCHASE", "attributes": {"amount_cents": 4280}}},
        {"user_id": "ada", "limit": 20},
    )

    user_id: UserId
    event: EventPart | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_TOLD)] = 50


@router.post("/eligibility", response_model=EligibilityAnswer)
async def tell_eligibility(
    request: Request, caller: Annotated[Caller, require("manage:read")], body: EligibilityPart
) -> Response:
    """What a user can earn now: every campaign in force, by outcome, worth and nearness. Nothing is decided, counted or stored.

    With an `event`, decided on paper with all that it meets: `earned`, or `nearly`, with how much of one amount is missing (decided again
    with that it is earned, with one unit less it is not), or `not_earned`, with the first check that fails. `open_quest` is a quest with an
    open instance. Without an event `open` says that schedule, cohorts and limits let the user take part.
    """
    app_state = find_app_state(request)
    if app_state.books is None or app_state.meet is None:
        raise Retry("this process has no books of campaigns")
    # before the transaction: to read a large one takes a while
    book = await _pin_book(app_state.books, caller.tenant_id)
    now, work = datetime.now(UTC), find_unit_of_work(request)
    if body.event is None:
        instant = _build_event(book, body.user_id, "", now, now, {}, {})
        await work.open(app_state.engine, caller)
        return _answer(await tell_without_event(work, instant, now, body.limit))
    event = _read_event(book, body.user_id, body.event, now)
    await work.open(app_state.engine, caller)
    return _answer(await tell_with_event(work, event, app_state.meet, now, body.limit))


def _read_event(book: Book, user_id: str, sent: EventPart, now: datetime) -> Event:
    """The event as a worker would read it. Raises Invalid."""
    action = book.actions.get(sent.action)
    if action is None:
        raise Invalid(f"there is no action '{sent.action}'", at="/event/action")
    occurred_at, attributes = sent.occurred_at or now, sent.attributes
    if occurred_at > now + MAX_AHEAD:
        raise Invalid(wording.tell_future(occurred_at), at="/event/occurred_at")
    if wrong := find_faults(action.schema, attributes, "/event/attributes"):
        raise Invalid("the attributes do not meet the action's schema", faults=wrong)
    try:
        typed = action.read(attributes, occurred_at)
    except Unreadable as error:
        raise Invalid(str(error), at=f"/event/attributes{error.at or ''}") from error
    return _build_event(book, user_id, sent.action, occurred_at, now, attributes, typed)


async def _pin_book(books: CampaignBook, tenant_id: str) -> Book:
    book = (await books.pin([tenant_id])).get(tenant_id)
    if book is None or isinstance(book, Unbuilt):
        raise Retry("the campaigns of this tenant can't be read now")
    return book


def _build_event(
    book: Book,
    user_id: str,
    action: str,
    occurred_at: datetime,
    now: datetime,
    attributes: dict[str, Any],
    typed: dict[str, object],
) -> Event:
    return Event(
        tenant_id=book.tenant.tenant_id,
        source="",
        event_id="",
        user_id=user_id,
        action=action,
        occurred_at=occurred_at,
        received_at=now,
        attributes=attributes,
        typed=typed,
        place=Place("", 0, 2**62),
        taken_at=now,
        book=book,
    )


def _answer(body: bytes) -> Response:
    return Response(body, media_type="application/json")
