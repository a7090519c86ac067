"""Cohorts: lists of users, uploaded whole; each upload is a new version that campaigns see at once."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import (
    Row,
    Select,
    Text,
    Uuid,
    bindparam,
    cast,
    collate,
    column,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from fillip.core.errors import Retry
from fillip.core.ports import Caller
from fillip.http.errors import Conflict, HttpRefused, NotFound
from fillip.http.etag import IfMatch, Match, tag
from fillip.http.fields import CohortId, Title, UserId
from fillip.http.paging import Page, Pages
from fillip.manage.book.change import change_book, lock_tenant
from fillip.manage.campaign.postgres import IS_IN_FORCE
from fillip.manage.request.route import Posting, Reading, Route, Writing, find_app_state, find_unit_of_work, require
from fillip.manage.store.engine import transaction
from fillip.manage.store.keyset import inline_count, read_cursor, read_page
from fillip.manage.store.tables import campaign, campaign_version, cohort
from fillip.manage.tenant.usage import require_room
from fillip.manage.upload.staging_postgres import StagedCohort, stage_lines
from fillip.manage.upload.upload import check_upload, spool_upload

MAX_MEMBERS = 1_000_000
"""Most users of a cohort."""
MAX_ALL_MEMBERS = 2_000_000
"""Most users of all cohorts of a tenant together."""
MAX_ALL_BYTES = 128 * 1_048_576
"""Most bytes of their ids: so much each worker keeps of a tenant."""

_NAME = text(Path(__file__).with_name("name_content.sql").read_text(encoding="utf-8")).bindparams(
    bindparam("named", type_=Uuid), bindparam("former", type_=Uuid)
)

router = APIRouter(tags=["cohorts"], route_class=Route)
_user_id = column("user_id", Text)


class NewCohort(BaseModel):
    """A cohort before its first list: it has no members."""

    model_config = ConfigDict(extra="forbid")

    cohort_id: CohortId
    name: Title


class Cohort(NewCohort):
    """A cohort as stored; `version` counts its uploads, `size` its members."""

    version: int
    size: int
    revision: int
    created_at: datetime
    updated_at: datetime


class Uploaded(BaseModel):
    """The list that is now in force; `duplicates` are the lines that named a user again."""

    cohort_id: CohortId
    version: int
    size: int
    duplicates: int


class Member(BaseModel):
    """A user of the list; there need be no attributes for it."""

    user_id: UserId


@router.post("/cohorts", status_code=201)
async def create_cohort(new: NewCohort, work: Posting, response: Response) -> Cohort:
    """Create a cohort without members."""
    await lock_tenant(work.connection, work.caller)
    count = (await work.connection.execute(select(func.count()).select_from(cohort))).scalar_one()
    require_room(work.caller, "cohorts", count)
    values = new.model_dump() | {"tenant_id": work.caller.tenant_id}
    row = (await work.connection.execute(insert(cohort).values(values).returning(*cohort.c))).one()
    await change_book(work.connection, work.caller, "cohort", new.cohort_id, _describe(row))
    tag(response, row.revision)
    response.headers["Location"] = f"/v1/cohorts/{new.cohort_id}"
    return _show(row)


@router.get("/cohorts/{cohort_id}")
async def read_cohort(cohort_id: CohortId, work: Reading, response: Response) -> Cohort:
    """One cohort."""
    row = _found(cohort_id, (await work.connection.execute(_one(cohort_id))).one_or_none())
    tag(response, row.revision)
    return _show(row)


@router.get("/cohorts")
async def list_cohorts(work: Reading, pages: Pages) -> Page[Cohort]:
    """All cohorts, by id."""
    rows, cursor = await read_page(work.connection, select(cohort), [cohort.c.cohort_id], pages)
    return Page(items=[_show(row) for row in rows], next_cursor=cursor)


@router.delete("/cohorts/{cohort_id}", status_code=204)
async def delete_cohort(cohort_id: CohortId, if_match: Match, work: Writing) -> None:
    """Delete a cohort that no campaign names or asks for in an expression, archived ones aside."""
    row = _found(cohort_id, (await work.connection.execute(_one(cohort_id).with_for_update())).one_or_none())
    if_match.require(row.revision)
    await lock_tenant(work.connection, work.caller)
    if readers := (await work.connection.execute(_find_campaigns(cohort_id))).all():
        names = ", ".join(name + " (which may ask for any cohort)" * asks_any for name, asks_any in readers)
        raise Conflict(f"cohort {cohort_id} is asked for by campaigns: {names}; change or archive them first")
    await _name(work.connection, work.caller, None, row.content_id)
    await work.connection.execute(delete(cohort).where(cohort.c.cohort_id == cohort_id))
    document = {"cohort_id": cohort_id, "deleted": True}
    await change_book(work.connection, work.caller, "cohort", cohort_id, document, growing=False)


@router.get("/cohorts/{cohort_id}/members")
async def list_members(cohort_id: CohortId, work: Reading, pages: Pages) -> Page[Member]:
    """The users of the list in force, by the bytes of their ids."""
    row = _found(cohort_id, (await work.connection.execute(_one(cohort_id))).one_or_none())
    after = read_cursor(pages.cursor, [_user_id])[0] if pages.cursor else ""
    found = func.list_members(work.caller.tenant_id, row.content_id, after, inline_count(pages.limit + 1)).table_valued(
        _user_id
    )
    user_id = collate(found.c.user_id, "C").label("user_id")
    rows, cursor = await read_page(work.connection, select(user_id), [user_id], pages)
    return Page(items=[Member(user_id=row.user_id) for row in rows], next_cursor=cursor)


_CSV_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"text/csv": {"schema": {"type": "string"}, "example": "user_id\nada\ngrace\n"}},
    }
}


@router.put("/cohorts/{cohort_id}/members", openapi_extra=_CSV_BODY)
async def upload_members(
    cohort_id: CohortId,
    if_match: Match,
    request: Request,
    response: Response,
    caller: Annotated[Caller, require("manage:write")],
) -> Uploaded:
    """Replace the list by the users of a CSV file: one column, a header `user_id` or none.

    At most 1,000,000 lines and 64 MiB. A broken line is named by its number, and the list in force stays; so it does
    until all of the new one is written. The answer comes when it is in force.
    """
    check_upload(request, "text/csv")
    app_state, work = find_app_state(request), find_unit_of_work(request)
    async with transaction(app_state.engine, caller) as connection:
        _match(cohort_id, (await connection.execute(_one(cohort_id))).one_or_none(), if_match)
    async with spool_upload(request, most_lines=MAX_MEMBERS) as (file, lines), app_state.uploads:
        roll, content_id = await _write_roll(app_state.engine, caller, cohort_id, file)
    async with transaction(app_state.engine, caller) as connection:
        row = (await connection.execute(_one(cohort_id).with_for_update())).one_or_none()
        try:
            _match(cohort_id, row, if_match)
            await lock_tenant(connection, caller)
            await _check_room(connection, caller, cohort_id, roll)
        except HttpRefused:
            await _leave_roll(app_state.engine, caller, content_id)
            raise
        row = await _switch(connection, caller, cohort_id, content_id, roll)
        work.changed, work.caller = await change_book(connection, caller, "cohort", cohort_id, _describe(row)), caller
    tag(response, row.revision)
    return Uploaded(cohort_id=cohort_id, version=row.version, size=roll.size, duplicates=lines - roll.size)


async def _write_roll(engine: AsyncEngine, caller: Caller, cohort_id: str, file: BinaryIO) -> tuple[StagedCohort, UUID]:
    async with stage_lines(engine, caller, file) as staging:
        roll = await staging.bundle()
        async with transaction(engine, caller) as connection:
            await _check_room(connection, caller, cohort_id, roll)
        return roll, await staging.write(roll)


async def _check_room(connection: AsyncConnection, caller: Caller, cohort_id: str, roll: StagedCohort) -> None:
    """Raise Conflict where the tenant's cohorts would be too large with `roll` in place of the one's list; raises QuotaExceeded."""
    require_room(caller, "cohort_size", 0, roll.size)
    others = select(func.coalesce(func.sum(cohort.c.size), 0), func.coalesce(func.sum(cohort.c.octets), 0))
    size, octets = (await connection.execute(others.where(cohort.c.cohort_id != cohort_id))).one()
    if size + roll.size > MAX_ALL_MEMBERS or octets + roll.octets > MAX_ALL_BYTES:
        raise Conflict(
            f"all cohorts together would have {size + roll.size:,} users with ids of {octets + roll.octets:,} bytes,"
            f" at most {MAX_ALL_MEMBERS:,} and {MAX_ALL_BYTES:,} are taken: shorten or delete others first"
        )


async def _switch(
    connection: AsyncConnection, caller: Caller, cohort_id: str, content_id: UUID, roll: StagedCohort
) -> Row[Any]:
    """Let a cohort name a list that is written."""
    former = (await connection.execute(_one(cohort_id))).one().content_id
    await _name(connection, caller, content_id, former)
    named = {"content_id": content_id, "size": roll.size, "octets": roll.octets, "version": cohort.c.version + 1}
    moved = {"revision": cohort.c.revision + 1, "updated_at": func.now()}
    statement = update(cohort).where(cohort.c.cohort_id == cohort_id).values(named | moved)
    return (await connection.execute(statement.returning(*cohort.c))).one()


async def _name(connection: AsyncConnection, caller: Caller, content_id: UUID | None, former: UUID | None) -> None:
    nil = UUID(int=0)  # names no list
    given = {"tenant_id": caller.tenant_id, "named": content_id or nil, "former": former or nil}
    found = (await connection.execute(_NAME, given)).scalars().all()
    if content_id and True not in found:
        raise Retry("the upload took too long: send it again")


async def _leave_roll(engine: AsyncEngine, caller: Caller, content_id: UUID) -> None:
    async with transaction(engine, caller) as connection:
        await _name(connection, caller, None, content_id)


def _found(cohort_id: str, row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise NotFound(f"there is no cohort {cohort_id}")
    return row


def _match(cohort_id: str, row: Row[Any] | None, if_match: IfMatch) -> None:
    if_match.require(_found(cohort_id, row).revision)


def _one(cohort_id: str) -> Select[Any]:
    return select(cohort).where(cohort.c.cohort_id == cohort_id)


def _find_campaigns(cohort_id: str) -> Select[str, bool]:
    """(campaign, whether by an expression that may ask for any cohort) of those that need it, in any version in force."""
    named = campaign_version.c.definition["cohorts"].contains([cohort_id])
    names, may_ask_any = (
        func.jsonb_path_exists(campaign_version.c.checked, cast(path, JSONPATH), cast({"cohort_id": cohort_id}, JSONB))
        for path in ("$.*.cohorts[*] ? (@ == $cohort_id)", "$.*.all_cohorts ? (@ == true)")
    )
    found = select(campaign.c.campaign_id, func.bool_or(may_ask_any)).join(campaign_version, IS_IN_FORCE)
    needs = found.where(campaign.c.state != "archived", or_(named, names, may_ask_any))
    return needs.group_by(campaign.c.campaign_id).order_by(campaign.c.campaign_id).limit(20)


def _describe(row: Row[Any]) -> dict[str, object]:
    return {"cohort_id": row.cohort_id, "version": row.version, "size": row.size}


def _show(row: Row[Any]) -> Cohort:
    return Cohort.model_validate(row, from_attributes=True)
