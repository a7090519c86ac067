"""Tickets: single-use admission of one end customer to the gateway."""

from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import delete, func, insert, select

from fillip.http.fields import Part, UserId
from fillip.manage.request.route import Route, UnitOfWork, begin, find_app_state
from fillip.manage.store.keyset import inline_count
from fillip.manage.store.tables import gateway_ticket

LIVES_FOR = timedelta(seconds=60)
SWEPT_EACH_TIME = 10
"""Expired tickets that a new one removes: more than are made, so the table stays small."""

router = APIRouter(prefix="/tickets", tags=["tickets"], route_class=Route)


class TicketPart(Part):
    """Whom the ticket admits."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "ada"}]})

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
    """Admit one end customer once, within 60 seconds; only a hash is kept. The user need not be known yet."""
    ticket, table = token_urlsafe(32), gateway_ticket.c
    old = select(table.ticket_hash).where(table.tenant_id == work.caller.tenant_id, table.expires_at < func.now())
    old = old.limit(inline_count(SWEPT_EACH_TIME)).with_for_update(skip_locked=True)
    await work.connection.execute(delete(gateway_ticket).where(table.ticket_hash.in_(old)))
    row = {"ticket_hash": sha256(ticket.encode()).digest(), "tenant_id": work.caller.tenant_id, "user_id": body.user_id}
    made = insert(gateway_ticket).values(**row, expires_at=func.now() + LIVES_FOR).returning(table.expires_at)
    expires_at = (await work.connection.execute(made)).scalar_one()
    return TicketAnswer(ticket=ticket, expires_at=expires_at, url=find_app_state(request).gateway_url)
