"""Cohorts as stored, and changes of their lists."""

from typing import Any

from msgspec import Struct, to_builtins
from sqlalchemy import Row, cast, func, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH
from sqlalchemy.ext.asyncio import AsyncConnection

from fillip.core.cohort import Members
from fillip.core.combination import Combination
from fillip.core.ports import Caller
from fillip.http.errors import Conflict
from fillip.manage.book.postgres import change_book, lock_tenant, record_change
from fillip.manage.campaign.postgres import IS_IN_FORCE
from fillip.manage.cohort.build_postgres import Change
from fillip.manage.cohort.members_postgres import leave_members, read_around, read_members, write_members
from fillip.manage.object.postgres import Objects
from fillip.manage.store.tables.book import campaign, campaign_version
from fillip.manage.store.tables.cohort import cohort
from fillip.manage.tenant.checks import require_room

cohorts = Objects(cohort, "cohort_id", "there is no cohort {}")
MAX_ALL_BYTES = 256 * 1_048_576
"""Most bytes of all lists of a tenant: so much each worker keeps of it."""


class Switched(Struct, frozen=True):
    """A cohort whose list has changed: its row, the version of the book that has it, and how many users came and went."""

    row: Row[Any]
    book_version: int
    added: int
    removed: int


async def list_readers(connection: AsyncConnection, caller: Caller, cohort_id: str) -> list[str]:
    """Some of the campaigns, archived ones aside, that ask for a cohort in any version in force.

    One of which an expression may ask for any cohort says so.
    """
    named = campaign_version.c.definition["cohorts"].contains([cohort_id])
    names, may_ask_any = (
        func.jsonb_path_exists(campaign_version.c.checked, cast(path, JSONPATH), cast({"cohort_id": cohort_id}, JSONB))
        for path in ("$.*.cohorts[*] ? (@ == $cohort_id)", "$.*.all_cohorts ? (@ == true)")
    )
    found = select(campaign.c.campaign_id, func.bool_or(may_ask_any)).join(campaign_version, IS_IN_FORCE)
    mine = (campaign.c.tenant_id == caller.tenant_id) & (campaign.c.state != "archived")
    needs = found.where(mine, or_(named, names, may_ask_any)).group_by(campaign.c.campaign_id)
    rows = (await connection.execute(needs.order_by(campaign.c.campaign_id).limit(20))).all()
    return [name + " (which may ask for any cohort)" * asks_any for name, asks_any in rows]


async def add_cohort(
    connection: AsyncConnection, caller: Caller, *, cohort_id: str, name: str, combination: Combination | None = None
) -> Row[Any]:
    """Store a new cohort that has no list yet, and announce it."""
    combined = to_builtins(combination) if combination else None
    kind = "combined" if combination else "uploaded"
    row = await cohorts.insert(connection, caller, cohort_id, {"name": name, "kind": kind, "combination": combined})
    await _announce(connection, caller, row)
    return row


async def remove_cohort(connection: AsyncConnection, caller: Caller, row: Row[Any]) -> None:
    """Delete a cohort, leave its list to the sweep, and announce it."""
    await leave_members(connection, caller, row.content_id)
    await cohorts.remove(connection, caller, row.cohort_id)
    document = {"cohort_id": row.cohort_id, "deleted": True}
    await change_book(connection, caller, "cohort", row.cohort_id, document, growing=False)


def require_uploaded(row: Row[Any]) -> None:
    """Raise Conflict for a cohort whose list is not its own to change."""
    if row.kind == "combined":
        raise Conflict(f"cohort {row.cohort_id} follows from others: change those, or its combination")
    if row.kind == "realtime":
        raise Conflict(
            f"users join and leave cohort {row.cohort_id} by their events: change its rule, or another cohort"
        )
    if row.kind == "sql":
        raise Conflict(f"the list of cohort {row.cohort_id} is what its query selects: change that, or another cohort")


async def switch_members(
    connection: AsyncConnection, caller: Caller, row: Row[Any], change: Change, given: Members
) -> Switched:
    """Change the list of a cohort, whose row is locked, by the users `given`, and announce it.

    Raises Conflict or QuotaExceeded where the tenant has no room for it.
    """
    before = await read_members(connection, caller, row.content_id)
    after = {"replace": lambda: given, "add": lambda: before | given, "remove": lambda: before - given}[change]()
    return await put_members(connection, caller, row, before=before, after=after)


async def put_members(
    connection: AsyncConnection, caller: Caller, row: Row[Any], *, before: Members, after: Members
) -> Switched:
    """As `switch_members`, for whatever made the list."""
    version = row.version + 1
    await write_members(connection, caller, row.content_id, version, before=before, after=after)
    size, octets = len(after), len(after.serialize())
    await lock_tenant(connection, caller)
    await _check_room(connection, caller, row.cohort_id, size, octets)
    named = {"size": size, "octets": octets, "version": version, "built_at": func.now()}
    row = await cohorts.change(connection, caller, row.cohort_id, named)
    book_version = await _announce(connection, caller, row)
    return Switched(row, book_version, added=len(after - before), removed=len(before - after))


async def shift_members(
    connection: AsyncConnection, caller: Caller, row: Row[Any], *, come: Members, gone: Members
) -> None:
    """Add some users to a list whose row is locked, remove others, and announce it; only their chunks are read and written.

    The definition stays at its revision. Raises as `switch_members`.
    """
    before = await read_around(connection, caller, row.content_id, come | gone)
    after = (before | come) - gone
    version = row.version + 1
    await write_members(connection, caller, row.content_id, version, before=before, after=after)
    size, octets = row.size + len(after) - len(before), row.octets + len(after.serialize()) - len(before.serialize())
    await lock_tenant(connection, caller)
    if size > row.size:
        await _check_room(connection, caller, row.cohort_id, size, octets)
    values = {"size": size, "octets": max(0, octets), "version": version, "built_at": func.now()}
    mine = (cohort.c.tenant_id == caller.tenant_id) & (cohort.c.cohort_id == row.cohort_id)
    await connection.execute(update(cohort).where(mine).values(values))
    document = {"cohort_id": row.cohort_id, "version": version, "size": size}
    await record_change(connection, caller.tenant_id, None, "cohort", row.cohort_id, document)


async def count_both(connection: AsyncConnection, caller: Caller, one: Row[Any], two: Row[Any]) -> int:
    """How many users two cohorts have in common."""
    lists = [await read_members(connection, caller, row.content_id) for row in (one, two)]
    return lists[0].intersection_cardinality(lists[1])


async def _check_room(connection: AsyncConnection, caller: Caller, cohort_id: str, size: int, octets: int) -> None:
    """Raise Conflict where the tenant's cohorts would be too large with a list of this size; QuotaExceeded."""
    require_room(caller, "cohort_size", 0, size)
    others = select(func.coalesce(func.sum(cohort.c.octets), 0))
    others = others.where(cohort.c.tenant_id == caller.tenant_id, cohort.c.cohort_id != cohort_id)
    total = (await connection.execute(others)).scalar_one() + octets
    if total > MAX_ALL_BYTES:
        raise Conflict(
            f"all cohorts together would take {total:,} bytes, at most {MAX_ALL_BYTES:,} are taken: shorten or delete others"
        )


async def _announce(connection: AsyncConnection, caller: Caller, row: Row[Any]) -> int:
    document = {"cohort_id": row.cohort_id, "version": row.version, "size": row.size}
    return await change_book(connection, caller, "cohort", row.cohort_id, document)
