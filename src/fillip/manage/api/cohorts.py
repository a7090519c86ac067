"""Cohorts: lists of users, uploaded whole; each upload is a new version that campaigns see at once."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from fillip.core.ports import Caller
from fillip.http.errors import Conflict, HttpRefused
from fillip.http.etag import Match, answer_tagged, tag
from fillip.http.fields import CohortId, Part, Title, UserId
from fillip.http.paging import Page, Pages, answer_page
from fillip.manage.book.postgres import lock_tenant
from fillip.manage.cohort import postgres
from fillip.manage.cohort.postgres import cohorts
from fillip.manage.request.route import Posting, Reading, Route, Writing, find_app_state, find_unit_of_work, require
from fillip.manage.store.postgres import transaction
from fillip.manage.tenant.checks import require_room
from fillip.manage.upload.upload import check_upload, spool_upload

MAX_MEMBERS = 1_000_000
"""Most users of a cohort."""

router = APIRouter(tags=["cohorts"], route_class=Route)


class NewCohort(Part):
    """A cohort before its first list: it has no members."""

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
    require_room(work.caller, "cohorts", await cohorts.count(work.connection, work.caller.tenant_id))
    row = await postgres.add_cohort(work.connection, work.caller, cohort_id=new.cohort_id, name=new.name)
    response.headers["Location"] = f"/v1/cohorts/{new.cohort_id}"
    return answer_tagged(Cohort, row, response)


@router.get("/cohorts/{cohort_id}")
async def read_cohort(cohort_id: CohortId, work: Reading, response: Response) -> Cohort:
    """One cohort."""
    return answer_tagged(Cohort, await cohorts.find(work.connection, work.caller, cohort_id), response)


@router.get("/cohorts")
async def list_cohorts(work: Reading, pages: Pages) -> Page[Cohort]:
    """All cohorts, by id."""
    return answer_page(Cohort, await cohorts.list(work.connection, work.caller, pages))


@router.delete("/cohorts/{cohort_id}", status_code=204)
async def delete_cohort(cohort_id: CohortId, if_match: Match, work: Writing) -> None:
    """Delete a cohort that no campaign names or asks for in an expression, archived ones aside."""
    row = await cohorts.find(work.connection, work.caller, cohort_id, lock=True)
    if_match.require(row.revision)
    await lock_tenant(work.connection, work.caller)
    if readers := await postgres.list_readers(work.connection, work.caller, cohort_id):
        message = f"cohort {cohort_id} is asked for by campaigns: {', '.join(readers)}; change or archive them first"
        raise Conflict(message)
    await postgres.remove_cohort(work.connection, work.caller, row)


@router.get("/cohorts/{cohort_id}/members")
async def list_members(cohort_id: CohortId, work: Reading, pages: Pages) -> Page[Member]:
    """The users of the list in force, by the bytes of their ids."""
    row = await cohorts.find(work.connection, work.caller, cohort_id)
    return answer_page(Member, await postgres.list_members(work.connection, work.caller, row.content_id, pages))


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
        if_match.require((await cohorts.find(connection, caller, cohort_id)).revision)
    async with spool_upload(request, most_lines=MAX_MEMBERS) as (file, lines), app_state.uploads:
        content_id, staged = await postgres.write_content(app_state.engine, caller, cohort_id, file)
    async with transaction(app_state.engine, caller) as connection:
        try:
            row = await cohorts.find(connection, caller, cohort_id, lock=True)
            if_match.require(row.revision)
            await lock_tenant(connection, caller)
            await postgres.check_size(connection, caller, cohort_id, staged)
        except HttpRefused:
            await postgres.leave_content(app_state.engine, caller, content_id)
            raise
        row, work.changed = await postgres.switch_content(connection, caller, row, content_id, staged)
        work.caller = caller
    tag(response, row.revision)
    return Uploaded(cohort_id=cohort_id, version=row.version, size=staged.size, duplicates=lines - staged.size)
