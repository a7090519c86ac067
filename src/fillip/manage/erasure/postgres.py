"""Erasures as stored, and what each does to the ledger: portions, each a transaction of its own that may be done again."""

import asyncio
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

from msgspec import Struct, structs
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    LargeBinary,
    Row,
    Text,
    and_,
    bindparam,
    cast,
    exists,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.erasure import name_erased, tells_of
from fillip.core.ports import Caller
from fillip.manage.object.postgres import Objects
from fillip.manage.store.postgres import Connection, transaction
from fillip.manage.store.tables.cohort import cohort_build
from fillip.manage.store.tables.ledger import rejection
from fillip.manage.store.tables.past import backfill, backtest
from fillip.manage.store.tables.tenant import erasure
from fillip.manage.store.tables.wallet import balance_import

HELD_FOR = timedelta(seconds=15)
HISTORY_PORTION, EVENTS_PORTION, ORIGINALS_PORTION = 300, 2_000, 100
"""Rows of one portion, of each table: a short lock on rows of the user alone. Originals are up to a megabyte each."""
NO_ID = UUID(int=0)
_FOLDER = Path(__file__)
_DUE = text(_FOLDER.with_name("find_due.sql").read_text(encoding="utf-8"))
_ORIGINALS = text(_FOLDER.with_name("find_originals.sql").read_text(encoding="utf-8")).bindparams(
    bindparam("told", type_=LargeBinary)
)
_HISTORY = text("SELECT erase_history(:tenant_id, :user_id, :pseudonym, :salt, :before, :most)")
_USER = text("SELECT moved, cut_at FROM erase_user(:tenant_id, :user_id, :pseudonym, :salt)")
_VALUES = text("SELECT erase_values(:tenant_id, :pseudonym)")
_MERGES = text("SELECT erase_merges(:tenant_id, :user_id, :pseudonym)")
_LEVELS = text("SELECT erase_levels(:tenant_id, :user_id, :pseudonym)")
_EVENTS = text("SELECT last, moved FROM erase_events(:tenant_id, :user_id, :pseudonym, :cut_at, :after, :most)")
_UNCOUNTED = text(_FOLDER.with_name("find_uncounted.sql").read_text(encoding="utf-8")).bindparams(
    bindparam("ends", type_=JSONB)
)
_REJECTIONS = text("SELECT erase_rejections(:tenant_id, :pseudonym, :ids)")
_WRITTEN = text("SELECT pg_current_wal_insert_lsn()::text")
_ANNOUNCED = text(
    "SELECT coalesce(bool_or(confirmed_flush_lsn >= CAST(:lsn AS text)::pg_lsn), false) FROM pg_replication_slots"
    " WHERE slot_name = 'fillip_' || current_database() AND database = current_database()"
)

ErasureRow: TypeAlias = Row[Any]
erasures = Objects(erasure, "erasure_id", "there is no erasure {}")


class Erasure(Struct, frozen=True):
    """One that runs, as this process holds it. `ends`: see table erasure; `cut_at` from the step `events` on."""

    tenant_id: str
    erasure_id: UUID
    user_id: str
    pseudonym: str
    salt: UUID
    step: str
    ends: dict[str, dict[str, int]] | None
    commit_lsn: str | None
    cut_at: datetime | None

    @property
    def caller(self) -> Caller:
        """Fillip itself, within the tenant."""
        return Caller(None, self.tenant_id, frozenset())

    @property
    def names(self) -> dict[str, object]:
        """What the functions of the ledger are told."""
        return {name: getattr(self, name) for name in ("tenant_id", "user_id", "pseudonym", "salt")}


async def ask_erasure(connection: Connection, caller: Caller, user_id: str, part_of: UUID | None = None) -> ErasureRow:
    """Store that a user is to be erased, as a part of another erasure where one is named; the one that runs already where there is one."""
    new = {"tenant_id": caller.tenant_id, "user_id": user_id, "pseudonym": name_erased(secrets.token_bytes(16))}
    added = insert(erasure).values(new | {"salt": UUID(bytes=secrets.token_bytes(16)), "part_of": part_of})
    same = added.on_conflict_do_update(
        index_elements=["tenant_id", "user_id"],
        index_where=erasure.c.user_id.is_not(None),
        set_={"user_id": added.excluded.user_id},
    )
    return (await connection.execute(same.returning(*erasure.c))).one()


async def begin_step(finder: AsyncEngine, engine: AsyncEngine) -> Erasure | None:
    """Hold the erasure that is due first for some seconds; None where none is. Raises Retry."""
    async with transaction(finder) as connection:
        due = (await connection.execute(_DUE)).one_or_none()
    if due is None:
        return None
    free = or_(erasure.c.held_until.is_(None), erasure.c.held_until < func.now())
    async with transaction(engine, Caller(None, due.tenant_id, frozenset())) as connection:
        held = update(erasure).where(
            erasure.c.tenant_id == due.tenant_id,
            erasure.c.erasure_id == due.erasure_id,
            erasure.c.next_at <= func.now(),
            free,
        )
        moved = held.values(held_until=func.now() + HELD_FOR).returning(*erasure.c)
        row = (await connection.execute(moved)).one_or_none()
    return None if row is None else Erasure(**{name: getattr(row, name) for name in Erasure.__struct_fields__})


async def end_step(engine: AsyncEngine, held: Erasure, pause: timedelta = timedelta(0), **values: object) -> None:
    """Let go of it until it is due again; `values` by column. Raises Retry."""
    due = {"next_at": func.now() + pause, "held_until": None, "error": None}
    async with transaction(engine, held.caller) as connection:
        await _set(connection, held, due | values)


async def finish(engine: AsyncEngine, held: Erasure) -> None:
    """It is done: whom it was about is forgotten. Raises Retry."""
    gone = dict.fromkeys(
        ("user_id", "pseudonym", "salt", "ends", "commit_lsn", "cut_at", "next_at", "held_until", "error")
    )
    async with transaction(engine, held.caller) as connection:
        await _erase_backtests(connection, held)
        await _set(connection, held, gone | {"state": "done", "step": "done", "ended_at": func.now()})


async def _erase_backtests(connection: Connection, held: Erasure) -> None:
    """Leave out the decisions that backtests show where they name the user; those that run begin anew, without its events."""
    mine = backtest.c.tenant_id == held.tenant_id
    named = func.strpos(cast(backtest.c.result, Text), func.to_json(held.user_id).cast(Text)) > 0
    shown: ColumnElement[Any] = backtest.c.result
    for path in (["samples"], ["differences", "samples"]):  # the latter where there are differences
        shown = func.jsonb_set(shown, cast(path, ARRAY(Text)), cast([], JSONB))
    await connection.execute(update(backtest).where(mine, named).values(result=shown))
    anew = {"state": "waiting", "run_id": None, "held_until": None}
    await connection.execute(update(backtest).where(mine, backtest.c.state == "running").values(anew))
    theirs = (backfill.c.tenant_id == held.tenant_id) & (backfill.c.state == "running")
    await connection.execute(update(backfill).where(theirs).values(anew))  # which goes on, with events read anew


async def has_parts(engine: AsyncEngine, held: Erasure) -> bool:
    """Whether an id that was merged into the user is still to be erased. Raises Retry."""
    parts = and_(
        erasure.c.tenant_id == held.tenant_id, erasure.c.part_of == held.erasure_id, erasure.c.state == "running"
    )
    async with transaction(engine, held.caller) as connection:
        return bool((await connection.execute(select(exists().where(parts)))).scalar_one())


async def are_counted(engine: AsyncEngine, held: Erasure) -> bool:
    """Whether the tenant's cohorts by events, where there are any, know all events before `ends`. Raises Retry."""
    async with transaction(engine, held.caller) as connection:
        asked = {"tenant_id": held.tenant_id, "ends": held.ends or {}}
        return not (await connection.execute(_UNCOUNTED, asked)).scalar_one()


async def are_imported(engine: AsyncEngine, held: Erasure) -> bool:
    """Whether the tenant's balance imports from before the erasure are in wallets: their rows may name the user. Raises Retry."""
    before = balance_import.c.created_at <= select(erasure.c.requested_at).where(*_match(held)).scalar_subquery()
    open_ = (balance_import.c.tenant_id == held.tenant_id) & balance_import.c.next_at.is_not(None)
    async with transaction(engine, held.caller) as connection:
        return not (await connection.execute(select(exists().where(open_, before)))).scalar_one()


async def erase_ledger(engine: AsyncEngine, held: Erasure) -> None:
    """The past in portions, then all at once what decisions go by; the next step stands in the same commit. Raises Retry."""
    async with transaction(engine, held.caller) as connection:
        before = (await connection.execute(select(func.now()))).scalar_one()
    await erase_events(engine, structs.replace(held, cut_at=before))
    while True:
        async with transaction(engine, held.caller) as connection:
            if not await _is_at(connection, held):
                return
            asked = held.names | {"before": before, "most": HISTORY_PORTION}
            moved = (await connection.execute(_HISTORY, asked)).scalar_one()
            await _set(connection, held, {"changed": erasure.c.changed + moved, "held_until": func.now() + HELD_FOR})
        if not moved:
            break
    async with transaction(engine, held.caller) as connection:
        if not await _is_at(connection, held):
            return
        moved, cut_at = (await connection.execute(_USER, held.names)).one()
        await connection.execute(_VALUES, {name: held.names[name] for name in ("tenant_id", "pseudonym")})
        await connection.execute(_LEVELS, held.names)
        was_merged = (await connection.execute(_MERGES, held.names)).scalars().all()
        for user_id in was_merged:
            await ask_erasure(connection, held.caller, user_id, held.erasure_id)
        values = {"changed": erasure.c.changed + moved, "cut_at": cut_at, "erased_at": func.now(), "step": "events"}
        await _set(connection, held, values | {"held_until": None, "error": None})


async def erase_events(engine: AsyncEngine, held: Erasure) -> None:
    """What recorded events say, page by page over the tenant's. Raises Retry."""
    after: UUID | None = NO_ID
    asked = {name: told for name, told in held.names.items() if name != "salt"} | {"cut_at": held.cut_at}
    while after is not None:
        async with transaction(engine, held.caller) as connection:
            if not await _is_at(connection, held):
                return
            page = asked | {"after": after, "most": EVENTS_PORTION}
            after, moved = (await connection.execute(_EVENTS, page)).one()
            await _set(connection, held, {"changed": erasure.c.changed + moved, "held_until": func.now() + HELD_FOR})


async def erase_originals(engine: AsyncEngine, held: Erasure) -> None:
    """The bytes of rejected events that are of the user, and rejected lines of uploads that name it. Raises Retry."""
    place: tuple[object, object] | None = datetime.fromisoformat("1970-01-01T00:00:00Z"), NO_ID
    asked = {
        "tenant_id": held.tenant_id,
        "told": held.user_id.encode(),
        "cut_at": held.cut_at,
        "most": ORIGINALS_PORTION,
    }
    while place is not None:
        async with transaction(engine, held.caller) as connection:
            page = asked | {"rejected_at": place[0], "rejection_id": place[1]}
            rows = (await connection.execute(_ORIGINALS, page)).all()
            read = [(row.rejection_id, bytes(row.original)) for row in rows if row.original is not None]
            if ids := await asyncio.to_thread(_find_own, read, held.user_id):
                told = {"tenant_id": held.tenant_id, "pseudonym": held.pseudonym, "ids": ids}
                await connection.execute(_REJECTIONS, told)
            values = {"changed": erasure.c.changed + len(ids), "held_until": func.now() + HELD_FOR}
            await _set(connection, held, values)
        place = (rows[-1].rejected_at, rows[-1].rejection_id) if len(rows) == ORIGINALS_PORTION else None
    async with transaction(engine, held.caller) as connection:
        mine = cohort_build.c.tenant_id == held.tenant_id
        named = func.strpos(cohort_build.c.rejections, held.user_id) > 0
        await connection.execute(update(cohort_build).where(mine, named).values(rejections=""))
        named = func.strpos(cohort_build.c.error, held.user_id) > 0
        await connection.execute(update(cohort_build).where(mine, named).values(error="erased"))


async def read_written(engine: AsyncEngine) -> str:
    """Where the write-ahead log ends now: all that was committed stands before. Raises Retry."""
    async with transaction(engine) as connection:
        return str((await connection.execute(_WRITTEN)).scalar_one())


async def is_announced(engine: AsyncEngine, commit_lsn: str) -> bool:
    """Whether the topics have all that was committed before that place. Raises Retry."""
    async with transaction(engine) as connection:
        return bool((await connection.execute(_ANNOUNCED, {"lsn": commit_lsn})).scalar_one())


async def list_erased_rejections(engine: AsyncEngine, held: Erasure, most: int) -> list[UUID]:
    """The rejections that were erased, `most` of them. Raises Retry."""
    mine = (rejection.c.tenant_id == held.tenant_id) & (rejection.c.event_id == held.pseudonym)
    async with transaction(engine, held.caller) as connection:
        return list((await connection.execute(select(rejection.c.rejection_id).where(mine).limit(most))).scalars())


async def _is_at(connection: Connection, held: Erasure) -> bool:
    """Whether it is at its step still, its row locked until the transaction ends: what comes after the cut is a new user's."""
    at = select(erasure.c.step).where(*_match(held)).with_for_update()
    return (await connection.execute(at)).scalar_one_or_none() is not None


async def _set(connection: Connection, held: Erasure, values: Mapping[str, Any]) -> None:
    await connection.execute(update(erasure).where(*_match(held)).values(values))


def _match(held: Erasure) -> list[Any]:
    """The erasure, as long as no other process has brought it further."""
    mine = [erasure.c.tenant_id == held.tenant_id, erasure.c.erasure_id == held.erasure_id]
    return [*mine, erasure.c.step == held.step]


def _find_own(originals: list[tuple[UUID, bytes]], user_id: str) -> list[UUID]:
    return [rejection_id for rejection_id, original in originals if tells_of(original, user_id)]
