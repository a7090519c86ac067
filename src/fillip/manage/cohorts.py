"""Cohorts: lists of users, uploaded whole; each upload is a new version that campaigns see at once."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row, Select, delete, func, insert, select

from fillip.core.ports import Caller
from fillip.manage.catalogue import IS_IN_FORCE
from fillip.manage.change import change_book
from fillip.manage.naming import CohortId, Title, UserId
from fillip.manage.paging import Page, Pages, read_page
from fillip.manage.postgres import swap_members, transaction
from fillip.manage.refusals import Conflict, NotFound
from fillip.manage.revision import IfMatch, Match, tag
from fillip.manage.route import Posting, Reading, Route, Writing, find_deck, require
from fillip.manage.shapes import lock_tenant
from fillip.manage.tables import campaign, campaign_version, cohort, cohort_member
from fillip.manage.upload import check_upload, spool_upload

MAX_COHORTS = 1000

router = APIRouter(tags=["cohorts"], route_class=Route)


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
    count = (await work.connection.execute(select(func.count()).select_from(cohort))).scalar_one()
    if count >= MAX_COHORTS:
        raise Conflict(f"there are {MAX_COHORTS} cohorts: delete one that is not needed")
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
    """Delete a cohort that no campaign names, archived ones aside."""
    row = _found(cohort_id, (await work.connection.execute(_one(cohort_id).with_for_update())).one_or_none())
    if_match.require(row.revision)
    await lock_tenant(work.connection, work.caller)
    users = (await work.connection.execute(_find_campaigns(cohort_id))).scalars().all()
    if users:
        raise Conflict(f"cohort {cohort_id} is named by campaigns: {', '.join(users)}")
    await work.connection.execute(delete(cohort).where(cohort.c.cohort_id == cohort_id))
    document = {"cohort_id": cohort_id, "deleted": True}
    await change_book(work.connection, work.caller, "cohort", cohort_id, document)


@router.get("/cohorts/{cohort_id}/members")
async def list_members(cohort_id: CohortId, work: Reading, pages: Pages) -> Page[Member]:
    """The users of the list in force, by id."""
    _found(cohort_id, (await work.connection.execute(_one(cohort_id))).one_or_none())
    statement = select(cohort_member.c.user_id).where(cohort_member.c.cohort_id == cohort_id)
    rows, cursor = await read_page(work.connection, statement, [cohort_member.c.user_id], pages)
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
    """Replace the list by the users of a CSV file: one column, a header `user_id` or none, at most 64 MiB.

    All or nothing: a broken line is named by its number, and the list in force stays.
    """
    check_upload(request, "text/csv")
    engine = find_deck(request).engine
    async with transaction(engine, caller) as connection:
        _match(cohort_id, (await connection.execute(_one(cohort_id))).one_or_none(), if_match)
    async with spool_upload(request) as (file, lines), transaction(engine, caller) as connection:
        row = (await connection.execute(_one(cohort_id).with_for_update())).one_or_none()
        _match(cohort_id, row, if_match)
        size = await swap_members(connection, caller.tenant_id, cohort_id, file)
        row = (await connection.execute(_one(cohort_id))).one()
        await change_book(connection, caller, "cohort", cohort_id, _describe(row))
    tag(response, row.revision)
    return Uploaded(cohort_id=cohort_id, version=row.version, size=size, duplicates=lines - size)


def _found(cohort_id: str, row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise NotFound(f"there is no cohort {cohort_id}")
    return row


def _match(cohort_id: str, row: Row[Any] | None, if_match: IfMatch) -> None:
    if_match.require(_found(cohort_id, row).revision)


def _one(cohort_id: str) -> Select[Any]:
    return select(cohort).where(cohort.c.cohort_id == cohort_id)


def _find_campaigns(cohort_id: str) -> Select[str]:
    named = campaign_version.c.definition["cohorts"].contains([cohort_id])
    names = select(campaign.c.campaign_id).join(campaign_version, IS_IN_FORCE)
    return names.where(campaign.c.state != "archived", named).order_by(campaign.c.campaign_id).distinct().limit(20)


def _describe(row: Row[Any]) -> dict[str, object]:
    return {"cohort_id": row.cohort_id, "version": row.version, "size": row.size}


def _show(row: Row[Any]) -> Cohort:
    return Cohort.model_validate(row, from_attributes=True)
