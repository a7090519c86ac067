"""The members of cohorts as stored: bitmaps in chunks, of which a new version writes those that changed."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from pyroaring import BitMap
from sqlalchemy import Integer, LargeBinary, Row, Text, Uuid, select
from sqlalchemy.dialects.postgresql import ARRAY

from fillip.core.cohort import CHUNK_BITS, NOBODY, Members, find_changed, join_chunks, list_chunks
from fillip.core.ports import Caller
from fillip.http.cursor import read_cursor, write_cursor
from fillip.http.paging import Paging
from fillip.manage.cohort.statement_postgres import Kinds, load_statement
from fillip.manage.store.keyset import RowPage
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.cohort import user_numbering

LAST_NUMBER = 2**31 - 1
PIECE_CHUNKS = 256
"""Some 2 MiB."""

_KINDS: Kinds = {
    "content_id": Uuid(), "chunks": ARRAY(Integer), "members": ARRAY(LargeBinary), "numbers": ARRAY(Integer),
    "tenant_id": Text(), "user_id": Text(), "version": Integer(),
}  # fmt: skip
_load = partial(load_statement, kinds=_KINDS)
_CHUNKS, _LEAVE, _WRITE = _load("chunks"), _load("leave_chunks"), _load("write_chunks")
_CHUNKS_OF = _load("chunks_of")
_LEAVE_LIST, _MINE, _NAMES = _load("leave_list"), _load("list_mine"), _load("name_users")


async def read_members(connection: Connection, caller: Caller, content_id: UUID) -> Members:
    """The list of a cohort as it is in force."""
    members, first = NOBODY, 0
    while True:
        rows = await _read_piece(connection, caller, content_id, first, PIECE_CHUNKS)
        members = await asyncio.to_thread(join_chunks, members, [(row.chunk, row.members) for row in rows])
        if len(rows) < PIECE_CHUNKS:
            return members
        first = rows[-1].chunk + 1


async def write_members(
    connection: Connection, caller: Caller, content_id: UUID, version: int, *, before: Members, after: Members
) -> None:
    """Store a list's next version in place of the one before; its cohort's row is locked."""
    changed = await asyncio.to_thread(find_changed, before, after)
    given = {"tenant_id": caller.tenant_id, "content_id": content_id, "version": version}
    chunks = sorted(changed)
    for start in range(0, len(chunks), PIECE_CHUNKS):
        piece = chunks[start : start + PIECE_CHUNKS]
        await connection.execute(_LEAVE, given | {"chunks": piece})
        await connection.execute(_WRITE, given | {"chunks": piece, "members": [changed[chunk] for chunk in piece]})


async def read_around(connection: Connection, caller: Caller, content_id: UUID, numbers: Members) -> Members:
    """Of the list in force the chunks in which these numbers are; its cohort's row is locked."""
    members, chunks = NOBODY, list(list_chunks(numbers))
    for start in range(0, len(chunks), PIECE_CHUNKS):
        given = {
            "tenant_id": caller.tenant_id,
            "content_id": content_id,
            "chunks": chunks[start : start + PIECE_CHUNKS],
        }
        rows = (await connection.execute(_CHUNKS_OF, given)).all()
        members = await asyncio.to_thread(join_chunks, members, [(row.chunk, row.members) for row in rows])
    return members


async def leave_members(connection: Connection, caller: Caller, content_id: UUID) -> None:
    """Leave the list of a cohort that is deleted to the sweep."""
    await connection.execute(_LEAVE_LIST, {"tenant_id": caller.tenant_id, "content_id": content_id})


async def list_members(connection: Connection, caller: Caller, content_id: UUID, pages: Paging) -> RowPage:
    """A page of the users of a list (`user_id`), in the order in which cohorts first named them."""
    (after,) = read_cursor(pages.cursor, [int]) if pages.cursor else (-1,)
    after = min(max(after, -1), LAST_NUMBER - 1)
    numbers: list[int] = []
    chunk = (after + 1) >> CHUNK_BITS
    while len(numbers) <= pages.limit:
        rows = await _read_piece(connection, caller, content_id, chunk, 1)
        if not rows:
            break
        members = BitMap.deserialize(rows[0].members)
        found = members.iter_equal_or_larger(after + 1)
        numbers += [number for number, _ in zip(found, range(pages.limit + 1), strict=False)]
        chunk = rows[0].chunk + 1
    page = numbers[: pages.limit]
    users = (await connection.execute(_NAMES, {"tenant_id": caller.tenant_id, "numbers": page})).all()
    return users, write_cursor([page[-1]]) if len(numbers) > pages.limit else None


async def list_cohorts(connection: Connection, caller: Caller, user_id: str) -> frozenset[str]:
    """The cohorts that a user is in."""
    rows: Sequence[Row[Any]] = (
        await connection.execute(_MINE, {"tenant_id": caller.tenant_id, "user_id": user_id})
    ).all()
    return frozenset(row.cohort_id for row in rows if row.number in BitMap.deserialize(row.members))


async def count_listed(connection: Connection, tenant_id: str) -> int:
    """How many users the cohorts of a tenant have ever named."""
    numbering = user_numbering.c
    found = await connection.execute(select(numbering.numbered).where(numbering.tenant_id == tenant_id))
    return found.scalar_one_or_none() or 0


async def _read_piece(
    connection: Connection, caller: Caller, content_id: UUID, first: int, most: int
) -> Sequence[Row[Any]]:
    given: Mapping[str, object] = {
        "tenant_id": caller.tenant_id, "content_id": content_id, "first": first, "most": most
    }  # fmt: skip
    return (await connection.execute(_CHUNKS, given)).all()
