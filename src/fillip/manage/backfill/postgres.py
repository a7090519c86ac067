"""Backfills as stored: asked with a launch, each run in turns that one process at a time holds."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Row, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.backfill import BackfillOrder
from fillip.core.ports import Caller
from fillip.http.errors import Conflict, NotFound
from fillip.manage.backfill.told import AllDone, BackfillFailed, BackfillTold, GoesOn, Waits
from fillip.manage.store.postgres import Connection, transaction
from fillip.manage.store.tables.past import backfill, backfill_waiting
from fillip.manage.store.tables.tenant import tenant

HELD_FOR, AGAIN_AFTER = timedelta(seconds=60), timedelta(seconds=5)
MOST_TRIES = 3
"""Turns that break down without having decided anything, before it is given up."""
LONGEST_ERROR = 1_000
_DUE = text(Path(__file__).with_name("find_due.sql").read_text(encoding="utf-8"))
_ANEW: dict[str, Any] = {
    "state": "waiting",
    "due_at": func.now(),
    "begun_at": None,
    "ended_at": None,
    "run_id": None,
    "held_until": None,
    "tries": 0,
    "events": None,
    "events_done": 0,
    "result": {},
    "error": None,
    **dict.fromkeys(("mark_received_at", "mark_partition", "mark_offset")),
}


async def add_backfill(
    connection: Connection, caller: Caller, campaign_id: str, from_at: datetime, *, events_wait: bool
) -> None:
    """Store that a campaign, which this transaction has launched, is to decide what was received before; `events_wait`: before workers
    decide what comes.
    """
    version = select(tenant.c.book_version).where(tenant.c.tenant_id == caller.tenant_id).scalar_subquery()
    values = {"tenant_id": caller.tenant_id, "campaign_id": campaign_id, "from_at": from_at, "book_version": version}
    values["handed_over_at"] = None if events_wait else func.now()
    await connection.execute(insert(backfill).values(values))


async def find_backfill(connection: Connection, caller: Caller, campaign_id: str) -> Row[Any]:
    """The one of a campaign, with how many events are `waiting` for their turn behind the past; raises NotFound."""
    mine = backfill_waiting.c
    waiting = select(func.count()).where(mine.tenant_id == caller.tenant_id, mine.campaign_id == campaign_id)
    statement = select(backfill, waiting.scalar_subquery().label("waiting"))
    row = (await connection.execute(statement.where(*_match(caller, campaign_id)))).one_or_none()
    if row is None:
        raise NotFound(f"campaign '{campaign_id}' was not launched with a backfill")
    return row


async def is_waiting(connection: Connection, caller: Caller, campaign_id: str, event_key: UUID) -> bool:
    """Whether this event of the caller's waits for the campaign's backfill."""
    mine = backfill_waiting.c
    named = (mine.campaign_id == campaign_id) & (mine.event_key == event_key)
    found = select(mine.number).where(mine.tenant_id == caller.tenant_id, named)
    return (await connection.execute(found)).one_or_none() is not None


async def ask_again(connection: Connection, caller: Caller, campaign_id: str) -> Row[Any]:
    """Have all of it run once more. Raises NotFound, and Conflict while it is not done."""
    is_over = backfill.c.state.in_(("done", "failed"))
    statement = (
        update(backfill).where(*_match(caller, campaign_id), is_over).values(_ANEW | {"run": backfill.c.run + 1})
    )
    is_asked = (await connection.execute(statement.returning(backfill.c.run))).one_or_none() is not None
    row = await find_backfill(connection, caller, campaign_id)
    if not is_asked:
        raise Conflict(f"the backfill of campaign '{campaign_id}' is {row.state}: it can run again when it has ended")
    return row


async def find_due(engine: AsyncEngine) -> tuple[str, str] | None:
    """The tenant and the campaign whose backfill is next, if there is one; `engine` is of role fillip_sweep. Raises Retry."""
    async with transaction(engine) as connection:
        row = (await connection.execute(_DUE)).one_or_none()
    return (row.tenant_id, row.campaign_id) if row else None


async def begin_turn(engine: AsyncEngine, tenant_id: str, campaign_id: str) -> BackfillOrder | None:
    """Hold it; None where another does, or it broke down often enough. Raises Retry."""
    caller = Caller(None, tenant_id, frozenset())
    async with transaction(engine, caller) as connection:
        mine = select(backfill, func.clock_timestamp().label("now")).where(*_match(caller, campaign_id))
        row = (await connection.execute(mine.with_for_update())).one_or_none()
        if row is None or row.state not in ("waiting", "running") or (row.held_until and row.held_until >= row.now):
            return None
        if row.tries >= MOST_TRIES:
            told = row.error or "its process ended before it did"
            await _set(connection, caller, campaign_id, _end("failed", f"given up after {row.tries} tries: {told}"))
            return None
        run_id = uuid4()
        begun = {"state": "running", "run_id": run_id, "begun_at": row.now, "tries": row.tries + 1}
        await _set(connection, caller, campaign_id, begun | {"held_until": row.now + HELD_FOR})
        return BackfillOrder(tenant_id, campaign_id, row.book_version, row.from_at, row.run, run_id)


async def hold_turn(engine: AsyncEngine, order: BackfillOrder) -> bool:
    """Hold it for another minute; False where it is not this process's any more. Raises Retry."""
    async with transaction(engine, _caller(order)) as connection:
        statement = update(backfill).where(*_hold(order)).values(held_until=func.now() + HELD_FOR)
        return (await connection.execute(statement.returning(backfill.c.run))).one_or_none() is not None


async def end_turn(engine: AsyncEngine, order: BackfillOrder, told: BackfillTold | None) -> None:
    """Let go of it; None: its process broke down. Raises Retry."""
    waiting = {"state": "waiting", "run_id": None, "held_until": None}
    again = {"due_at": func.now() + AGAIN_AFTER}
    match told:
        case AllDone():
            values = _end("done", None)
        case BackfillFailed(why):
            values = _end("failed", why)
        case GoesOn():
            values = waiting | {"error": None}
        case Waits(why):
            values = waiting | again | {"error": why[:LONGEST_ERROR], "tries": 0}
        case None:
            values = waiting | again | {"error": "its process broke down; the log of sweep tells why"}
    async with transaction(engine, _caller(order)) as connection:
        await connection.execute(update(backfill).where(*_hold(order)).values(values))


def _end(state: str, error: str | None) -> dict[str, Any]:
    told = error and error[:LONGEST_ERROR]
    return {"state": state, "run_id": None, "held_until": None, "ended_at": func.now(), "error": told}


async def _set(connection: Connection, caller: Caller, campaign_id: str, values: dict[str, Any]) -> None:
    await connection.execute(update(backfill).where(*_match(caller, campaign_id)).values(values))


def _caller(order: BackfillOrder) -> Caller:
    return Caller(None, order.tenant_id, frozenset())


def _match(caller: Caller, campaign_id: str) -> list[Any]:
    return [backfill.c.tenant_id == caller.tenant_id, backfill.c.campaign_id == campaign_id]


def _hold(order: BackfillOrder) -> list[Any]:
    return [*_match(_caller(order), order.campaign_id), backfill.c.run_id == order.run_id]
