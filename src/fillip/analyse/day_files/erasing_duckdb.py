"""Erases a user from facts and day files: rows stay, under the pseudonym. Safe to repeat, beside loads and filing."""

from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

import duckdb
from msgspec.structs import asdict

from fillip.analyse.day_files.duckdb import SQL, Cursor, DayFiles, transaction
from fillip.analyse.day_files.tenant_files import KINDS
from fillip.core.erasure import tells_of
from fillip.core.errors import Crash
from fillip.core.identity import identify_event
from fillip.http.erasure_order import ErasureOrder

FILED_AGAIN = "day files that were written anew are still read by queries: they go after 10 minutes"
_TABLES = {table: kind for kind, table in KINDS.items()} | {"event_repeat": "events"}
_NAMING = ("decisions", "incentives")
"""Kinds whose rows name events."""


async def erase(day_files: DayFiles, order: ErasureOrder) -> str:
    """Write what is held of a user anew. "" once nothing of the user is left, else what is to be waited for. Raises Retry.

    Rows first: a file that is written meanwhile of what they were fails. A file is replaced by another; the old one goes when
    no query reads it any more.
    """
    newer: set[UUID] = set()
    for table in _TABLES:
        newer |= await day_files.run(partial(_erase_table, order=order, table=table))
    await day_files.run(partial(_erase_set_aside, order=order))
    left = False
    for path, kind, day, counts in await day_files.run(partial(_list_files, order=order)):
        file = partial(_erase_file, day_files, order=order, path=path, kind=kind, day=day, counts=counts)
        found, since = await day_files.run(file)
        left, newer = left or found, newer | since
    await day_files.run(partial(_erase_facts, order=order, newer=newer))
    return FILED_AGAIN if left else ""


def _erase_table(cursor: Cursor, *, order: ErasureOrder, table: str) -> set[UUID]:
    """The user's rows of one table; the decisions of a new user among them."""
    kind, user = _TABLES[table], {"tenant_id": order.tenant_id, "user_id": order.user_id}
    with transaction(cursor):
        _tell_of(cursor, order)
        asked: dict[str, Any] = {"tenant_id": order.tenant_id} if kind == "rejections" else user | {"source": table}
        rows = cursor.sql(SQL["rows_rejected" if kind == "rejections" else "rows_of_user"], params=asked)
        judged = _query(rows, "filed", f"mine_{kind}")
        newer = _list_newer(judged) if kind == "decisions" else set()
        if _count_mine(judged):
            _erase_rows(cursor, order, kind, judged).query("erased", SQL["keep_erased_rows"])
            dropped = {"tenant_id": order.tenant_id} if kind == "rejections" else user
            cursor.execute(SQL[f"drop_user_{table}s"], dropped)
            cursor.execute(SQL[f"add_erased_{table}s"])
    return newer


def _list_files(cursor: Cursor, *, order: ErasureOrder) -> list[tuple[str, str, date, bool]]:
    return cursor.execute(SQL["files_to_erase"], [order.tenant_id]).fetchall()


def _erase_file(
    day_files: DayFiles, cursor: Cursor, *, order: ErasureOrder, path: str, kind: str, day: date, counts: bool
) -> tuple[bool, set[UUID]]:
    """Whether the file has rows of the user, then another takes its place; and the decisions of a new user in it."""
    with transaction(cursor):
        _tell_of(cursor, order)
        void = cursor.execute(SQL["counting_file"], [path]).fetchall()  # it may have been merged since it was listed
        try:
            rows = day_files.read(cursor, path, void[0][0] if void else [])
        except duckdb.IOException:
            if void:
                raise
            return False, set()  # it has gone since
        judged = _query(rows, "filed", f"mine_{kind}")
        newer = _list_newer(judged) if kind == "decisions" else set()
        found = _count_mine(judged)
        if found and void:
            day_files.replace(cursor, path, kind, order.tenant_id, day, _erase_rows(cursor, order, kind, judged))
    return found > 0, newer


def _erase_rows(
    cursor: Cursor, order: ErasureOrder, kind: str, judged: duckdb.DuckDBPyRelation
) -> duckdb.DuckDBPyRelation:
    if kind in _NAMING:
        names = _query(judged, "judged", "event_names").fetchall()
        keys = [str(identify_event(order.tenant_id, source, event_id)) for source, event_id in names]
        columns = {"sources": [source for source, _ in names], "ids": [event_id for _, event_id in names], "keys": keys}
        cursor.execute(SQL["erasing_names"], columns)
    return _query(judged, "judged", f"erase_{kind}")


def _query(rows: duckdb.DuckDBPyRelation, name: str, statement: str) -> duckdb.DuckDBPyRelation:
    """What a statement of ours selects of `rows`, which it knows by that name."""
    found = rows.query(name, SQL[statement])
    if found is None:
        raise Crash(f"{statement}.sql selects nothing")
    return found


def _tell_of(cursor: Cursor, order: ErasureOrder) -> None:
    told: Mapping[str, Any] = asdict(order)
    asked = {name: told[name] for name in ("tenant_id", "user_id", "pseudonym", "cut_at")}
    cursor.execute(SQL["erasing"], asked | {"salt": str(order.salt)})
    cursor.execute(SQL["erasing_rejections"], [[str(each) for each in order.rejections]])


def _count_mine(judged: duckdb.DuckDBPyRelation) -> int:
    [(count,)] = _query(judged, "judged", "count_mine").fetchall()
    return int(count)


def _list_newer(judged: duckdb.DuckDBPyRelation) -> set[UUID]:
    return {decision_id for (decision_id,) in _query(judged, "judged", "newer_decisions").fetchall()}


def _erase_set_aside(cursor: Cursor, *, order: ErasureOrder) -> None:
    with transaction(cursor):
        for topic, partition, offset, value in cursor.execute(SQL["list_set_aside"]).fetchall():
            if order.tenant_id.encode() in value and tells_of(value, order.user_id):
                cursor.execute(SQL["empty_set_aside"], [topic, partition, offset])


def _erase_facts(cursor: Cursor, *, order: ErasureOrder, newer: set[UUID]) -> None:
    asked = {name: getattr(order, name) for name in ("tenant_id", "user_id", "pseudonym")}
    with transaction(cursor):
        cursor.execute(SQL["erase_facts"], asked | {"newer": sorted(newer)})
        cursor.execute(SQL["drop_erased_quests"], asked)
