"""Tickets: single-use admission of one end customer to the gateway."""

from datetime import datetime
from hashlib import sha256
from secrets import token_urlsafe
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from fillip.http.fields import Part, UserId, give_examples
from fillip.manage.merge.postgres import share_user
from fillip.manage.request.route import Route, UnitOfWork, begin, find_app_state
from fillip.manage.ticket.postgres import insert_ticket

router = APIRouter(prefix="/tickets", tags=["tickets"], route_class=Route)


class TicketPart(Part):
    """Whom the ticket admits."""

    model_config = give_examples({"user_id": "ada"})

    user_id: UserId


class TicketAnswer(BaseModel):
    """The ticket goes into the first frame on the socket at `url`, once, before `expires_at`."""

    ticket: str
    expires_at: datetime
    url: str = Field(examples=["ws://127.0.0.1:8081/v1/stream"])


@router.post("", status_code=201)
async def create_ticket(
    work: Annotated[UnitOfWork, begin("tickets:write")], body: TicketPart, request: Request
) -> TicketAnswer:
    """Admit one end customer once, within 60 seconds; only a hash is kept. The user need not be known yet; one that was merged into another is admitted as that one."""
    ticket = token_urlsafe(32)
    user_id = await share_user(work.connection, work.caller, body.user_id)
    expires_at = await insert_ticket(work.connection, work.caller, sha256(ticket.encode()).digest(), user_id)
    return TicketAnswer(ticket=ticket, expires_at=expires_at, url=find_app_state(request).gateway_url)
