"""The returns in part of a decision's event that asked again, as stored, and how the event was read then."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from sqlalchemy import Row, select

from fillip.core.ports import Caller
from fillip.core.schema.reader import ReadEvent, build_event_coercer
from fillip.manage.explain.postgres import recall_document
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.ledger import reversal

MAX_TOLD = 20
ReversalRow: TypeAlias = Row[Any]


async def read_returns(connection: Connection, caller: Caller, decision: Row[Any]) -> Sequence[ReversalRow]:
    """The newest reversals of a decision's event that told what was left of it and asked again, the earliest first."""
    table = reversal.c
    mine = (table.tenant_id == caller.tenant_id) & (table.event_key == decision.event_key) & (table.state == "applied")
    told = table.reevaluations.is_not(None) & table.request["after"].is_not(None)
    statement = select(reversal).where(mine, told).order_by(table.number.desc()).limit(MAX_TOLD)
    return list(reversed((await connection.execute(statement)).all()))


async def recall_reader(connection: Connection, caller: Caller, decision: Row[Any], action: str) -> ReadEvent:
    """How events of an action were read when it was decided."""
    document = await recall_document(connection, caller, decision.book_version, "action", action)
    return build_event_coercer(document["schema"])
