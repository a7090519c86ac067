"""Cohorts: lists of users; each upload makes a new version that campaigns see at once."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field

from fillip.core.combination import MAX_NAMED, Combination
from fillip.core.errors import Retry
from fillip.core.ports import Caller
from fillip.http.errors import Conflict, HttpRefused, TooLarge
from fillip.http.etag import Match, answer_tagged, tag
from fillip.http.fields import CohortId, Part, Title, UserId, give_examples
from fillip.http.page import Page, Pages, TitledPages, answer_page
from fillip.manage.book.postgres import lock_tenant
from fillip.manage.cohort import build_postgres, combination_postgres, members_postgres, postgres, rule_postgres
from fillip.manage.cohort.build_postgres import BuildState, BuildStep, Change, Progress
from fillip.manage.cohort.merged_postgres import share_lists
from fillip.manage.cohort.postgres import cohorts, require_uploaded
from fillip.manage.cohort.upload_postgres import Upload, take_upload
from fillip.manage.cohort.user_lines import UserObjectReader
from fillip.manage.request.route import Posting, Reading, Route, Writing, find_app_state, find_unit_of_work, require
from fillip.manage.store.postgres import transaction
from fillip.manage.tenant.checks import require_room
from fillip.manage.upload.csv_lines import CsvReader, UploadBroken
from fillip.manage.upload.rejections import Rejections
from fillip.manage.upload.upload import check_upload, spool_upload

MAX_LINES = 20_000_000
MAX_LIST_BYTES = 1_024 * 1_048_576
"""Most of one upload; so many users at most a cohort can have by one."""

router = APIRouter(tags=["cohorts"], route_class=Route)


CohortKind = Literal["uploaded", "sql", "combined", "realtime"]
Named = Annotated[tuple[CohortId, ...], Field(max_length=MAX_NAMED)]


class CombinationPart(Part):
    """Users in any of some cohorts (where there are such), in all of some, and in none of some; 20 in all."""

    model_config = give_examples({"any_of": ["vip", "gold"], "none_of": ["frozen"]})

    any_of: Named = ()
    all_of: Named = ()
    none_of: Named = ()

    def to_combination(self) -> Combination:
        """As it is checked and kept."""
        return Combination(self.any_of, self.all_of, self.none_of)


class NewCohort(Part):
    """A cohort before its first list; with a `combination` it has none of its own and follows from other cohorts."""

    cohort_id: CohortId
    name: Title
    combination: CombinationPart | None = None


class Cohort(NewCohort):
    """A cohort as stored: its list is at `version` since `built_at`, and has `size` users.

    `last_error` is what its newest build ended with; the list in force stays then. Null where it succeeded.
    Of kind `sql` the list is what a query selects: it is run next at `next_run_at`, and the list in force knows events
    received up to `received_at` and decisions committed up to `committed_at`. Of kind `realtime` users join and leave by
    their events, as `/rule` says.
    """

    kind: CohortKind
    sql: str | None
    every_minutes: int | None
    cron: str | None
    query_revision: int
    next_run_at: datetime | None
    received_at: datetime | None
    committed_at: datetime | None

    version: int
    size: int
    combination: CombinationPart | None
    built_at: datetime | None
    last_error: str | None
    revision: int
    created_at: datetime
    updated_at: datetime


class Build(BaseModel):
    """An attempt at a new version of a cohort, by a list or by its query of that revision. While it is `running`, `step` tells how far it is.

    `lines` are those of users; `rejected` can't be taken, `duplicates` named a user again. `numbered` of `to_number` users
    whom no cohort of the tenant has named before are known by now. When it is `done`: `added` users have come and
    `removed` have gone, the cohort is at `version` with `size` users, and the book at `book_version`.
    """

    build_id: UUID
    cohort_id: CohortId
    change: Change
    state: BuildState
    step: BuildStep
    query_revision: int | None
    lines: int
    rejected: int
    duplicates: int
    numbered: int
    to_number: int
    added: int
    removed: int
    size: int | None
    version: int | None
    book_version: int | None
    error: str | None
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None


class Overlap(BaseModel):
    """How many users two cohorts have in common (`both`)."""

    cohort_id: CohortId
    size: int
    other_id: CohortId
    other_size: int
    both: int


class Member(BaseModel):
    """A user of the list; there need be no attributes for it."""

    user_id: UserId


@router.post("/cohorts", status_code=201)
async def create_cohort(new: NewCohort, work: Posting, response: Response) -> Cohort:
    """Create a cohort that has no list yet, or one that follows from others."""
    await share_lists(work.connection, work.caller)
    await lock_tenant(work.connection, work.caller)
    require_room(work.caller, "cohorts", await cohorts.count(work.connection, work.caller.tenant_id))
    combination = new.combination.to_combination() if new.combination else None
    if combination:
        await combination_postgres.check(work.connection, work.caller, new.cohort_id, combination)
    row = await postgres.add_cohort(
        work.connection, work.caller, cohort_id=new.cohort_id, name=new.name, combination=combination
    )
    if combination:
        row = await combination_postgres.change_combination(work.connection, work.caller, row, combination)
    response.headers["Location"] = f"/v1/cohorts/{new.cohort_id}"
    return answer_tagged(Cohort, row, response)


@router.get("/cohorts/{cohort_id}")
async def read_cohort(cohort_id: CohortId, work: Reading, response: Response) -> Cohort:
    """One cohort."""
    return answer_tagged(Cohort, await cohorts.find(work.connection, work.caller, cohort_id), response)


@router.get("/cohorts")
async def list_cohorts(work: Reading, pages: TitledPages, kind: CohortKind | None = None) -> Page[Cohort]:
    """All cohorts, by id."""
    return answer_page(Cohort, await cohorts.list(work.connection, work.caller, pages, sift={"kind": kind}))


@router.put("/cohorts/{cohort_id}/combination")
async def change_cohort_combination(
    cohort_id: CohortId, combination: CombinationPart, if_match: Match, work: Writing, response: Response
) -> Cohort:
    """Let a cohort follow from other cohorts than before; one with a list of its own stays as it is (409)."""
    await share_lists(work.connection, work.caller)
    row = await cohorts.find(work.connection, work.caller, cohort_id, lock=True)
    if_match.require(row.revision)
    if row.combination is None:
        raise Conflict(f"cohort {cohort_id} has a list of its own: make another that follows from it")
    await lock_tenant(work.connection, work.caller)
    wanted = combination.to_combination()
    await combination_postgres.check(work.connection, work.caller, cohort_id, wanted)
    row = await combination_postgres.change_combination(work.connection, work.caller, row, wanted)
    return answer_tagged(Cohort, row, response)


@router.delete("/cohorts/{cohort_id}", status_code=204)
async def delete_cohort(cohort_id: CohortId, if_match: Match, work: Writing) -> None:
    """Delete a cohort that no campaign names or asks for in an expression, archived ones aside."""
    row = await cohorts.find(work.connection, work.caller, cohort_id, lock=True)
    if_match.require(row.revision)
    await lock_tenant(work.connection, work.caller)
    if readers := await postgres.list_readers(work.connection, work.caller, cohort_id):
        message = f"cohort {cohort_id} is asked for by campaigns: {', '.join(readers)}; change or archive them first"
        raise Conflict(message)
    if followers := await combination_postgres.list_followers(work.connection, work.caller, cohort_id):
        raise Conflict(f"cohorts follow from {cohort_id}: {', '.join(followers[:20])}; change or delete them first")
    await rule_postgres.leave_rule(work.connection, work.caller, cohort_id)
    await postgres.remove_cohort(work.connection, work.caller, row)


@router.get("/cohorts/{cohort_id}/members")
async def list_cohort_members(cohort_id: CohortId, work: Reading, pages: Pages) -> Page[Member]:
    """The users of the list in force, in the order in which a cohort of the tenant first named them."""
    row = await cohorts.find(work.connection, work.caller, cohort_id)
    page = await members_postgres.list_members(work.connection, work.caller, row.content_id, pages)
    return answer_page(Member, page)


@router.get("/cohorts/{cohort_id}/overlap")
async def read_cohort_overlap(
    cohort_id: CohortId, work: Reading, other: Annotated[CohortId, Query(description="The other cohort")]
) -> Overlap:
    """How many users a cohort has in common with another; exact."""
    one, two = [await cohorts.find(work.connection, work.caller, name) for name in (cohort_id, other)]
    both = await postgres.count_both(work.connection, work.caller, one, two)
    return Overlap(cohort_id=cohort_id, size=one.size, other_id=other, other_size=two.size, both=both)


@router.get("/cohorts/{cohort_id}/builds")
async def list_cohort_builds(cohort_id: CohortId, work: Reading, pages: Pages) -> Page[Build]:
    """The newest hundred builds of a cohort, the newest first: how each goes or ended."""
    await cohorts.find(work.connection, work.caller, cohort_id)
    return answer_page(Build, await build_postgres.list_builds(work.connection, work.caller, cohort_id, pages))


@router.get("/cohorts/{cohort_id}/builds/{build_id}")
async def read_cohort_build(cohort_id: CohortId, build_id: UUID, work: Reading) -> Build:
    """One build: how it goes, or how it ended."""
    row = await build_postgres.find_build(work.connection, work.caller, cohort_id, build_id)
    return Build.model_validate(row, from_attributes=True)


@router.get(
    "/cohorts/{cohort_id}/builds/{build_id}/rejected",
    response_class=Response,
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}, "example": "line,reason,text\n3,empty,\n"}}}
    },
)
async def read_rejected_lines(cohort_id: CohortId, build_id: UUID, work: Reading) -> Response:
    """The lines of an upload that can't be taken, the first 10,000, as CSV: number, reason, text."""
    found = await build_postgres.read_rejections(work.connection, work.caller, cohort_id, build_id)
    return Response(found, media_type="text/csv; charset=utf-8")


_LIST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": "user_id\nada\ngrace\n"},
            "application/x-ndjson": {"schema": {"type": "string"}, "example": '{"user_id": "ada"}\n'},
        },
    }
}
_LATER: dict[int | str, dict[str, Any]] = {
    202: {"model": Build, "description": "Taken; the build at Location tells how it goes"}
}
SkipRejected = Annotated[bool, Query(description="Take the other lines where some can't be taken")]
Prefer = Annotated[
    Literal["respond-async"] | None, Header(description="`respond-async`: answer 202 once the list has come in")
]


class Sending:
    """What every upload of a list comes with; `take` brings it into force, or has that done after the answer."""

    def __init__(
        self,
        request: Request,
        response: Response,
        caller: Annotated[Caller, require("manage:write")],
        skip_rejected: SkipRejected = False,
        prefer: Prefer = None,
    ) -> None:
        self._request, self._response, self._caller = request, response, caller
        self._app_state = find_app_state(request)
        self._skip_rejected, self._is_waited_for = skip_rejected, prefer is None

    async def take(self, cohort_id: str, change: Change, check: Callable[[Any], None] = require_uploaded) -> Build:
        """The build that changes a cohort by the list. `check` is asked of the cohort's row, and raises what refuses it."""
        async with transaction(self._app_state.engine, self._caller) as connection:
            check(await cohorts.find(connection, self._caller, cohort_id))
        tell_broken = partial(self._tell_broken, cohort_id, change)
        try:
            media = check_upload(self._request, "text/csv", "application/x-ndjson", most_bytes=MAX_LIST_BYTES)
        except TooLarge as error:
            await tell_broken(f"before its first line: {error}")
            raise
        rejections = Rejections()
        reader = partial(CsvReader if media == "text/csv" else UserObjectReader, rejections=rejections)
        coming = self._app_state.coming
        async with AsyncExitStack() as stack:
            spool = spool_upload(
                self._request, coming, reader, most_lines=MAX_LINES, most_bytes=MAX_LIST_BYTES, tell_broken=tell_broken
            )
            file, read = await stack.enter_async_context(spool)
            build_id, path = await self._begin(cohort_id, change, read.rows, rejections)
            upload = Upload(self._caller, cohort_id, build_id, change, file, read.rows, check)
            taking = take_upload(self._app_state.engine, self._app_state.uploads, upload)
            if self._is_waited_for:
                switched, work = await taking, find_unit_of_work(self._request)
                work.caller, work.changed = self._caller, switched.book_version
                tag(self._response, switched.row.revision)
            else:
                self._leave(taking, stack.pop_all(), path)
        async with transaction(self._app_state.engine, self._caller) as connection:
            row = await build_postgres.find_build(connection, self._caller, cohort_id, build_id)
        return Build.model_validate(row, from_attributes=True)

    async def _begin(self, cohort_id: str, change: Change, rows: int, rejections: Rejections) -> tuple[UUID, str]:
        """The build that begins, and its address; raises UploadBroken where lines that can't be taken refuse it."""
        engine, caller = self._app_state.engine, self._caller
        counted = {"lines": rows, "rejected": rejections.count}
        async with transaction(engine, caller) as connection:
            build_id = await build_postgres.begin_build(
                connection, caller, cohort_id, change, **counted, rejections=rejections.write()
            )
        path = f"/v1/cohorts/{cohort_id}/builds/{build_id}"
        if rejections.first and not self._skip_rejected:
            broken = UploadBroken(*rejections.first, f"; {rejections.count} lines in all, listed at {path}/rejected")
            await build_postgres.tell_build(engine, caller, build_id, Progress(state="refused", error=str(broken)))
            raise broken
        return build_id, path

    async def _tell_broken(self, cohort_id: str, change: Change, why: str) -> None:
        """Keep in the history of a cohort that a list could not be taken as a whole; where that can't be stored the answer alone tells."""
        with suppress(Retry):
            async with transaction(self._app_state.engine, self._caller) as connection:
                build_id = await build_postgres.begin_build(
                    connection, self._caller, cohort_id, change, lines=0, rejected=0, rejections=""
                )
                failed = Progress(state="failed", error=why)
                await build_postgres.change_build(connection, self._caller, build_id, failed)

    def _leave(self, taking: Coroutine[Any, Any, object], held: AsyncExitStack, path: str) -> None:
        """Let it be taken after the answer, which says where it is told of."""
        later = asyncio.create_task(_take_later(taking, held))
        self._app_state.builds.add(later)
        later.add_done_callback(self._app_state.builds.discard)
        self._response.status_code = 202
        self._response.headers["Location"] = path


Sent = Annotated[Sending, Depends()]


@router.put("/cohorts/{cohort_id}/members", openapi_extra=_LIST_BODY, responses=_LATER)
async def replace_cohort_members(cohort_id: CohortId, if_match: Match, sent: Sent) -> Build:
    """Replace the list by the users of a file: CSV of one column, with a header `user_id` or none, or NDJSON.

    At most 20,000,000 lines and 1 GiB, as they are or with `Content-Encoding: gzip`. Lines that can't be taken are listed
    at the build, and nothing is taken unless `skip_rejected`. The list in force stays until the new one is whole; the
    answer comes when it is in force, or with `Prefer: respond-async` when it has come in.
    """

    def check(row: Any) -> None:  # noqa: ANN401 - a row of cohort
        if_match.require(row.revision)
        require_uploaded(row)

    return await sent.take(cohort_id, "replace", check)


@router.post("/cohorts/{cohort_id}/members", openapi_extra=_LIST_BODY, responses=_LATER)
async def change_cohort_members(
    cohort_id: CohortId,
    change: Annotated[Literal["add", "remove"], Query(description="What becomes of the users of the file")],
    sent: Sent,
) -> Build:
    """Add the users of a file to the list, or remove them from it: those who are there, or not, already stay so.

    The file is as for replacing the list; changes that come at once all count.
    """
    return await sent.take(cohort_id, change)


async def _take_later(taking: Coroutine[Any, Any, object], held: AsyncExitStack) -> None:
    """Nobody waits: how it ended is told by the build."""
    async with held:
        with suppress(HttpRefused, Retry):
            await taking
