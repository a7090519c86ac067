"""Decisions as stored, and what took their events back since."""

from collections.abc import Sequence
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Row, select

from fillip.core.identity import identify_event
from fillip.core.ports import Caller
from fillip.http.paging import Paging
from fillip.manage.event.postgres import split_name
from fillip.manage.object.postgres import Objects
from fillip.manage.store.keyset import RowPage, read_page, split_filters
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables import decision, reversal

DecisionRow: TypeAlias = Row[Any]
decisions = Objects(decision, "decision_id", "there is no decision {}")


async def list_decisions(
    connection: Connection,
    caller: Caller,
    pages: Paging,
    *,
    user_id: str | None,
    campaign_id: str | None,
    event_id: str | None,
    event_source: str | None,
    outcome: str | None,
) -> RowPage:
    """A page of decisions, the newest first, and the next cursor."""
    named, unserved = split_name(caller, event_id, event_source)
    asked, sift = split_filters(decision, named | {"user_id": user_id, "campaign_id": campaign_id})
    statement = select(decision).where(decision.c.tenant_id == caller.tenant_id, *asked)
    order = [decision.c.decided_at, decision.c.decision_id]
    sift |= unserved | {"outcome": outcome}
    return await read_page(connection, statement, order, pages, descending=True, sift=sift)


async def find_first(
    connection: Connection, caller: Caller, campaign_id: str, source: str, event_id: str
) -> UUID | None:
    """The first decision of a campaign on an event, None where there is none."""
    key = identify_event(caller.tenant_id, source, event_id)
    mine = [decision.c.tenant_id == caller.tenant_id, decision.c.event_key == key]
    statement = select(decision.c.decision_id).where(*mine, decision.c.campaign_id == campaign_id)
    found = await connection.execute(statement.order_by(decision.c.decided_at, decision.c.instance).limit(1))
    decision_id: UUID | None = found.scalar_one_or_none()
    return decision_id


async def list_applied(connection: Connection, caller: Caller, rows: Sequence[DecisionRow]) -> dict[UUID, list[str]]:
    """The ids of the reversals that took the events of these decisions back, by event, in their order."""
    found = reversal.c
    mine = [found.tenant_id == caller.tenant_id, found.state == "applied"]
    mine.append(found.event_key.in_({row.event_key for row in rows}))
    statement = select(found.event_key, found.reversal_id).where(*mine)
    reversals: dict[UUID, list[str]] = {}
    for event_key, reversal_id in await connection.execute(statement.order_by(found.number)):
        reversals.setdefault(event_key, []).append(reversal_id)
    return reversals
