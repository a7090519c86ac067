"""Decisions as stored, and what took their events back since."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Row, func, select

from fillip.core.by_hand import GRANT
from fillip.core.hot import HotUsers, UserTally
from fillip.core.identity import identify_event
from fillip.core.ports import Caller
from fillip.core.repair import REPAIR
from fillip.http.paging import Paging
from fillip.manage.event.postgres import split_name
from fillip.manage.object.postgres import Objects
from fillip.manage.store.keyset import RowPage, inline_count, read_page, split_filters
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.ledger import decision, event_met, reversal

MOST_TALLIED, MOST_TOLD = 10_000, 100
"""Decisions that are counted by user for one answer, and users that are told."""
DecisionRow: TypeAlias = Row[Any]
decisions = Objects(decision, "decision_id", "there is no decision {}")


async def list_decisions(
    connection: Connection,
    caller: Caller,
    pages: Paging,
    *,
    user_ids: list[str] | None,
    campaign_id: str | None,
    event_id: str | None,
    event_source: str | None,
    outcome: str | None,
    reason: str | None,
) -> RowPage:
    """A page of decisions, of `user_ids` alone where they are given, the newest first, and the next cursor."""
    named, unserved = split_name(caller, event_id, event_source)
    asked, sift = split_filters(decision, named | {"user_id": user_ids, "campaign_id": campaign_id})
    statement = select(decision).where(decision.c.tenant_id == caller.tenant_id, *asked)
    order = [decision.c.decided_at, decision.c.decision_id]
    sift |= unserved | {"outcome": outcome, "reason": reason}
    return await read_page(connection, statement, order, pages, descending=True, sift=sift)


async def find_first(
    connection: Connection, caller: Caller, campaign_id: str, source: str, event_id: str
) -> UUID | None:
    """The first decision of a campaign on an event, None where there is none; one made in shadow where there is no other."""
    key = identify_event(caller.tenant_id, source, event_id)
    mine = [decision.c.tenant_id == caller.tenant_id, decision.c.event_key == key]
    statement = select(decision.c.decision_id).where(*mine, decision.c.campaign_id == campaign_id)
    found = await connection.execute(
        statement.order_by(decision.c.shadow, decision.c.decided_at, decision.c.instance).limit(1)
    )
    decision_id: UUID | None = found.scalar_one_or_none()
    return decision_id


async def tally_users(connection: Connection, caller: Caller, campaign_id: str, since: datetime) -> HotUsers:
    """The users with most decisions of a campaign since `since`; where these are too many, since the oldest of the newest."""
    column = decision.c
    mine = [column.tenant_id == caller.tenant_id, column.campaign_id == campaign_id, column.decided_at >= since]
    newest = select(column.user_id, column.decided_at).where(*mine)
    newest = newest.order_by(column.decided_at.desc(), column.decision_id.desc()).limit(inline_count(MOST_TALLIED))
    row = newest.subquery().c
    count, oldest = func.count(), func.min(row.decided_at)
    statement = select(row.user_id, count, func.sum(count).over(), func.min(oldest).over()).group_by(row.user_id)
    found = await connection.execute(statement.order_by(count.desc(), row.user_id).limit(inline_count(MOST_TOLD)))
    rows = found.all()
    if rows and rows[0][2] == MOST_TALLIED:
        since = rows[0][3]
    return HotUsers(since=since, users=[UserTally(user_id, count) for user_id, count, *_ in rows], over=0)


async def has_decided(
    connection: Connection, caller: Caller, campaign_id: str, since: datetime, until: datetime
) -> bool:
    """Whether there is a decision of a campaign made in this time."""
    column = decision.c
    mine = [column.tenant_id == caller.tenant_id, column.campaign_id == campaign_id]
    statement = select(column.decision_id).where(*mine, column.decided_at >= since, column.decided_at < until)
    return (await connection.execute(statement.limit(1))).first() is not None


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


async def list_by_hand(
    connection: Connection, caller: Caller, rows: Sequence[DecisionRow]
) -> dict[UUID, dict[str, Any]]:
    """Of those of these decisions that were asked for by hand, grants and repairs, what was said then, by event; of erased users' nothing is left."""
    keys = {row.event_key for row in rows if row.event_source in (GRANT, REPAIR)}
    if not keys:
        return {}
    event = event_met.c
    mine = (event.tenant_id == caller.tenant_id) & event.action.in_((GRANT, REPAIR))
    found = await connection.execute(select(event.event_key, event.attributes).where(mine, event.event_key.in_(keys)))
    return {row.event_key: row.attributes for row in found}
