"""Users of cohorts' lists that are merged: whoever changes lists has nobody merged meanwhile, and names each user as who it is by now."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from msgspec import convert
from sqlalchemy import ARRAY, BigInteger, Integer, LargeBinary, Text, Uuid, select, text
from sqlalchemy.exc import DBAPIError

from fillip.core.cohort import NOBODY, Members, find_changed, join_chunks, list_chunks
from fillip.core.combination import Combination, move_member
from fillip.core.errors import Retry
from fillip.core.ports import Caller
from fillip.manage.book.postgres import record_changes
from fillip.manage.cohort.members_postgres import list_cohorts
from fillip.manage.cohort.merged_tallies_postgres import merge_tallies
from fillip.manage.cohort.numbers_postgres import find_numbers, number_ids
from fillip.manage.cohort.statement_postgres import Kinds, load_statement
from fillip.manage.store.postgres import Connection, find_state
from fillip.manage.store.tables.cohort import cohort
from fillip.manage.store.tables.tenant import user_merge

SURE_AFTER = timedelta(minutes=1)
"""A merge is dated some time before its commit, never so long."""
_LOCK_NOT_AVAILABLE = "55P03"

_KINDS: Kinds = {
    "tenant_id": Text(), "content_ids": ARRAY(Uuid()), "chunks": ARRAY(Integer()), "versions": ARRAY(Integer()),
    "members": ARRAY(LargeBinary()), "cohort_ids": ARRAY(Text()), "sizes": ARRAY(BigInteger()), "octets": ARRAY(BigInteger()),
}  # fmt: skip
_load = partial(load_statement, kinds=_KINDS)
_SHARE, _HOLD = text("SELECT share_lists(:tenant_id)"), text("SELECT hold_lists(:tenant_id)")
_LOOK_UP, _CHUNKS = _load("look_up"), _load("chunks_of_some")
_LEAVE, _WRITE, _SHIFT = _load("leave_some_chunks"), _load("write_some_chunks"), _load("shift_some")


async def share_lists(connection: Connection, caller: Caller) -> None:
    """Keep the caller's users unmerged until the transaction ends, which changes lists. Call it before anything is locked."""
    await connection.execute(_SHARE, {"tenant_id": caller.tenant_id})


async def hold_lists(connection: Connection, caller: Caller) -> None:
    """Keep the caller's lists as they are until the transaction ends, which merges users. Raises Retry where one is being written."""
    try:
        await connection.execute(_HOLD, {"tenant_id": caller.tenant_id})
    except DBAPIError as error:
        if find_state(error) != _LOCK_NOT_AVAILABLE:
            raise
        raise Retry("the list of a cohort is being written; nothing has changed: try again") from error


async def resolve_members(connection: Connection, caller: Caller, members: Members, known_at: datetime) -> Members:
    """The same users as who they are by now, where who was merged before `known_at` is named so already. The lists are shared.

    Raises QuotaExceeded.
    """
    column = user_merge.c
    late = (column.tenant_id == caller.tenant_id) & (column.merged_at >= known_at - SURE_AFTER)
    rows = await connection.execute(select(column.user_id, column.merged_into).where(late))
    now = {row.user_id: row.merged_into for row in rows}
    numbers = await find_numbers(connection, caller, list(now))
    gone = {user_id: number for user_id, number in numbers.items() if number in members}
    come = await number_ids(connection, caller, sorted({now[user_id] for user_id in gone}))
    return (members - Members(gone.values())) | Members(come.values()) if gone else members


async def merge_lists(connection: Connection, caller: Caller, user_id: str, into: str) -> int:
    """Let a user be in the lists of cohorts in which another is, who leaves them, and in what follows from these, and announce it; how many
    the one has come into. The lists are held. However many there are, it takes the same few statements.
    """
    await connection.execute(_LOOK_UP)
    await merge_tallies(connection, caller, user_id, into)
    numbers = await find_numbers(connection, caller, [user_id])
    if not numbers:
        return 0
    numbers |= await number_ids(connection, caller, [into], growing=False)
    before, after = await _move(connection, caller, numbers, into)
    changed = {name: members for name, members in after.items() if members != before[name]}
    if changed:
        await _store(connection, caller, changed, Members(numbers.values()))
    return sum(numbers[into] in members - before[name] for name, members in changed.items())


async def _move(
    connection: Connection, caller: Caller, numbers: dict[str, int], into: str
) -> tuple[dict[str, Members], dict[str, Members]]:
    """Who of two users is in which cohort that has a list, and who is once they are one."""
    column = cohort.c
    found = select(column.cohort_id, column.combination, column.version).where(column.tenant_id == caller.tenant_id)
    rows = (await connection.execute(found)).all()
    mine = {number: await list_cohorts(connection, caller, user_id) for user_id, number in numbers.items()}
    listed = {row.cohort_id: Members([number for number in mine if row.cohort_id in mine[number]]) for row in rows}
    graph = {row.cohort_id: convert(row.combination, Combination) if row.combination else None for row in rows}
    after = move_member(listed, graph, numbers[into])
    made = [row.cohort_id for row in rows if row.version]
    return {name: listed[name] for name in made}, {name: after[name] for name in made}


async def _store(connection: Connection, caller: Caller, changed: dict[str, Members], users: Members) -> None:
    """Store in these cohorts who of the users is in them now, and announce their next versions."""
    mine = {"tenant_id": caller.tenant_id}
    column = cohort.c
    named = (column.tenant_id == caller.tenant_id) & column.cohort_id.in_(changed)
    found = select(column.cohort_id, column.content_id, column.version, column.size, column.octets).where(named)
    rows = (await connection.execute(found.order_by(column.cohort_id).with_for_update())).all()
    asked = {"content_ids": [row.content_id for row in rows], "chunks": list(list_chunks(users))}
    chunks = dict[Any, list[tuple[int, bytes]]]()
    for each in await connection.execute(_CHUNKS, mine | asked):
        chunks.setdefault(each.content_id, []).append((each.chunk, each.members))
    written, shifted = list[tuple[Any, int, int, bytes]](), list[tuple[str, int, int, int]]()
    for row in rows:
        before = join_chunks(NOBODY, chunks.get(row.content_id, []))
        after, version = (before - users) | changed[row.cohort_id], row.version + 1
        written += [(row.content_id, chunk, version, kept) for chunk, kept in find_changed(before, after).items()]
        octets = max(0, row.octets + len(after.serialize()) - len(before.serialize()))
        shifted.append((row.cohort_id, version, row.size + len(after) - len(before), octets))
    given = mine | _to_arrays(("content_ids", "chunks", "versions", "members"), written)
    await connection.execute(_LEAVE, {name: given[name] for name in given if name != "members"})
    await connection.execute(_WRITE, given)
    await connection.execute(_SHIFT, mine | _to_arrays(("cohort_ids", "versions", "sizes", "octets"), shifted))
    told = {name: {"cohort_id": name, "version": version, "size": size} for name, version, size, _ in shifted}
    await record_changes(connection, caller.tenant_id, caller.key_id, "cohort", told)


def _to_arrays(names: tuple[str, ...], rows: list[Any]) -> dict[str, object]:
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}
