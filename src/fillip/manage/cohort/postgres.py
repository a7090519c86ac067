"""Cohorts as stored, and the content that each names: the list of its users, written before it is named."""

from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from sqlalchemy import Row, Text, Uuid, bindparam, cast, collate, column, func, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from fillip.core.errors import Retry
from fillip.core.ports import Caller
from fillip.http.errors import Conflict
from fillip.http.paging import Paging
from fillip.manage.book.postgres import change_book
from fillip.manage.campaign.postgres import IS_IN_FORCE
from fillip.manage.object.postgres import Objects
from fillip.manage.store.keyset import RowPage, inline_count, read_cursor, read_page
from fillip.manage.store.postgres import transaction
from fillip.manage.store.tables import campaign, campaign_version, cohort
from fillip.manage.tenant.checks import require_room
from fillip.manage.upload.staging_postgres import StagedCohort, stage_lines

cohorts = Objects(cohort, "cohort_id", "there is no cohort {}")
MAX_ALL_MEMBERS = 2_000_000
"""Most users of all cohorts of a tenant together."""
MAX_ALL_BYTES = 128 * 1_048_576
"""Most bytes of their ids: so much each worker keeps of a tenant."""

_NAME = text(Path(__file__).with_name("name_content.sql").read_text(encoding="utf-8")).bindparams(
    bindparam("named", type_=Uuid), bindparam("former", type_=Uuid)
)
_user_id = column("user_id", Text)


async def list_members(connection: AsyncConnection, caller: Caller, content_id: UUID | None, pages: Paging) -> RowPage:
    """A page of the users of a content (`user_id`) by the bytes of their ids."""
    after = read_cursor(pages.cursor, [_user_id])[0] if pages.cursor else ""
    found = func.list_members(caller.tenant_id, content_id, after, inline_count(pages.limit + 1)).table_valued(_user_id)
    user_id = collate(found.c.user_id, "C").label("user_id")
    return await read_page(connection, select(user_id), [user_id], pages)


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


async def add_cohort(connection: AsyncConnection, caller: Caller, *, cohort_id: str, name: str) -> Row[Any]:
    """Store a new cohort without members, and announce it."""
    row = await cohorts.insert(connection, caller, cohort_id, {"name": name})
    await _announce(connection, caller, row)
    return row


async def remove_cohort(connection: AsyncConnection, caller: Caller, row: Row[Any]) -> None:
    """Delete a cohort, leave its content to the sweep, and announce it."""
    await _name(connection, caller, None, row.content_id)
    await cohorts.remove(connection, caller, row.cohort_id)
    document = {"cohort_id": row.cohort_id, "deleted": True}
    await change_book(connection, caller, "cohort", row.cohort_id, document, growing=False)


async def write_content(
    engine: AsyncEngine, caller: Caller, cohort_id: str, file: BinaryIO
) -> tuple[UUID, StagedCohort]:
    """Write the users of a file (COPY rows) as a content that nothing names yet, in transactions of their own.

    Raises Conflict or QuotaExceeded as `check_size`, and Retry.
    """
    async with stage_lines(engine, caller, file) as staging:
        staged = await staging.bundle()
        async with transaction(engine, caller) as connection:
            await check_size(connection, caller, cohort_id, staged)
        return await staging.write(staged), staged


async def check_size(connection: AsyncConnection, caller: Caller, cohort_id: str, staged: StagedCohort) -> None:
    """Raise Conflict where the tenant's cohorts would be too large with `staged` in place of the one's list; QuotaExceeded."""
    require_room(caller, "cohort_size", 0, staged.size)
    others = select(func.coalesce(func.sum(cohort.c.size), 0), func.coalesce(func.sum(cohort.c.octets), 0))
    others = others.where(cohort.c.tenant_id == caller.tenant_id, cohort.c.cohort_id != cohort_id)
    size, octets = (await connection.execute(others)).one()
    if size + staged.size > MAX_ALL_MEMBERS or octets + staged.octets > MAX_ALL_BYTES:
        raise Conflict(
            f"all cohorts together would have {size + staged.size:,} users with ids of {octets + staged.octets:,} bytes,"
            f" at most {MAX_ALL_MEMBERS:,} and {MAX_ALL_BYTES:,} are taken: shorten or delete others first"
        )


async def switch_content(
    connection: AsyncConnection, caller: Caller, row: Row[Any], content_id: UUID, staged: StagedCohort
) -> tuple[Row[Any], int]:
    """Let a cohort, whose row is locked, name the content that is written; the row and the book version. Raises Retry."""
    await _name(connection, caller, content_id, row.content_id)
    named = {"content_id": content_id, "size": staged.size, "octets": staged.octets, "version": row.version + 1}
    row = await cohorts.change(connection, caller, row.cohort_id, named)
    return row, await _announce(connection, caller, row)


async def leave_content(engine: AsyncEngine, caller: Caller, content_id: UUID) -> None:
    """Leave a content that nothing names to the sweep. Raises Retry."""
    async with transaction(engine, caller) as connection:
        await _name(connection, caller, None, content_id)


async def _name(connection: AsyncConnection, caller: Caller, content_id: UUID | None, former: UUID | None) -> None:
    nil = UUID(int=0)  # names no list
    given = {"tenant_id": caller.tenant_id, "named": content_id or nil, "former": former or nil}
    found = (await connection.execute(_NAME, given)).scalars().all()
    if content_id and True not in found:
        raise Retry("the upload took too long: send it again")


async def _announce(connection: AsyncConnection, caller: Caller, row: Row[Any]) -> int:
    document = {"cohort_id": row.cohort_id, "version": row.version, "size": row.size}
    return await change_book(connection, caller, "cohort", row.cohort_id, document)
