"""Cohorts that follow from others: made anew in the transaction that changes one of these, so that they are never behind."""

import asyncio
from typing import Any

from msgspec import convert, to_builtins
from sqlalchemy import Row, select

from fillip.core.cohort import Members
from fillip.core.combination import Combination, check_combination, list_dependents
from fillip.core.ports import Caller
from fillip.http.errors import refuse
from fillip.manage.cohort.members_postgres import read_members
from fillip.manage.cohort.postgres import cohorts, put_members
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.cohort import cohort

Graph = dict[str, Combination | None]


async def check(connection: Connection, caller: Caller, cohort_id: str, combination: Combination) -> None:
    """Raise DefinitionRefused where a cohort can't follow from these; the tenant's lock is held."""
    refuse(check_combination(cohort_id, combination, await _read_graph(connection, caller)))


async def list_followers(connection: Connection, caller: Caller, cohort_id: str) -> list[str]:
    """The cohorts that name one in their combination."""
    graph = await _read_graph(connection, caller)
    return sorted(name for name, made in graph.items() if made and cohort_id in made.named)


async def change_combination(
    connection: Connection, caller: Caller, row: Row[Any], combination: Combination
) -> Row[Any]:
    """Let a cohort, whose row and tenant are locked, follow from others, and all that follow from it."""
    changed = {"combination": to_builtins(combination)}
    await cohorts.change(connection, caller, row.cohort_id, changed)
    await _make(connection, caller, row.cohort_id, combination, {})
    await follow(connection, caller, row.cohort_id)
    return await cohorts.find(connection, caller, row.cohort_id)


async def follow(connection: Connection, caller: Caller, cohort_id: str) -> int | None:
    """Make the cohorts anew that follow from one whose list has changed, and whose row is locked.

    The version of the book that has them all; None where there are none.
    """
    graph, members = await _read_graph(connection, caller), dict[str, Members]()
    version = None
    for name in list_dependents(cohort_id, graph):
        if combination := graph[name]:
            version = await _make(connection, caller, name, combination, members) or version
    return version


async def _make(
    connection: Connection, caller: Caller, cohort_id: str, combination: Combination, members: dict[str, Members]
) -> int | None:
    """Make one anew, unless one that it names has had no list yet; the version of the book. Locks its row.

    `members` are the lists that are known, and gets those that are read.
    """
    row = await cohorts.find(connection, caller, cohort_id, lock=True)
    for name in combination.named - members.keys():
        found = await cohorts.find(connection, caller, name)
        if not found.version:
            return None
        members[name] = await read_members(connection, caller, found.content_id)
    before = await read_members(connection, caller, row.content_id)
    members[cohort_id] = await asyncio.to_thread(combination.combine, members)
    made = await put_members(connection, caller, row, before=before, after=members[cohort_id])
    return made.book_version


async def _read_graph(connection: Connection, caller: Caller) -> Graph:
    statement = select(cohort.c.cohort_id, cohort.c.combination).where(cohort.c.tenant_id == caller.tenant_id)
    rows = await connection.execute(statement)
    return {row.cohort_id: convert(row.combination, Combination) if row.combination else None for row in rows}
