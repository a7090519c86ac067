"""Cohorts by query: what selects their users, when it is run, and what it would select."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from fillip.core.errors import Retry
from fillip.core.ports import Caller, UserQueries
from fillip.core.schedule import LEAST_MINUTES, LONGEST_CRON, MOST_MINUTES, Schedule, check_cron
from fillip.http.bearer import check_scope
from fillip.http.errors import Invalid
from fillip.http.etag import Match, answer_tagged
from fillip.http.fields import CohortId, Part
from fillip.http.users_query import LONGEST_SQL
from fillip.manage.api.cohorts import Build, Cohort
from fillip.manage.cohort import build_postgres, query_postgres
from fillip.manage.cohort.postgres import cohorts
from fillip.manage.request.route import Posting, Route, find_app_state, require
from fillip.manage.store.postgres import transaction

FACTS = "facts:read"
router = APIRouter(tags=["cohorts"], route_class=Route)
Sql = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_SQL,
        description="One SELECT of one column, of users, over the views of `POST /v1/reports/query`",
        examples=["SELECT user_id FROM events WHERE action = 'PURCHASE' GROUP BY user_id HAVING count(*) >= 3"],
    ),
]


class UserSelection(Part):
    """A query of users."""

    sql: Sql


class CohortQuery(UserSelection):
    """A query of users, and when it is run: every so many minutes, or by a cron expression in the tenant's time zone."""

    every_minutes: Annotated[int, Field(ge=LEAST_MINUTES, le=MOST_MINUTES, examples=[60])] | None = None
    cron: Annotated[str, Field(max_length=LONGEST_CRON, examples=["0 3 * * *"])] | None = None


class SelectionPreview(BaseModel):
    """How many users a query selects, twenty of them, and how long it took."""

    count: int
    sample: list[str]
    took_s: float


@router.post("/cohort-previews")
async def preview_cohort_query(
    selection: UserSelection, request: Request, caller: Annotated[Caller, require(FACTS)]
) -> SelectionPreview:
    """Run a query as a cohort's would be run, and tell what came of it; nothing is stored.

    It takes up to five minutes. Your other queries wait for it.
    """
    found = await _find_queries(request).preview(caller.tenant_id, selection.sql)
    return SelectionPreview.model_validate(found, from_attributes=True)


@router.put("/cohorts/{cohort_id}/query")
async def save_cohort_query(
    cohort_id: CohortId,
    query: CohortQuery,
    if_match: Match,
    request: Request,
    response: Response,
    caller: Annotated[Caller, require("manage:write")],
) -> Cohort:
    """Let a cohort's list be what a query selects. It is run at once, and then again as it says.

    The list in force stays until a run has succeeded. A cohort whose list was uploaded can't have a query. The key needs
    `facts:read` too.
    """
    check_scope(caller, FACTS)
    app_state = find_app_state(request)
    async with transaction(app_state.engine, caller) as connection:
        if_match.require((await cohorts.find(connection, caller, cohort_id)).revision)
    if (query.every_minutes is None) == (query.cron is None):
        raise Invalid("say when it is to be run: either every_minutes or cron", at="/every_minutes")
    if query.cron is not None:
        await app_state.aside.run(caller.tenant_id, _check_cron, query.cron)
    await _find_queries(request).check(caller.tenant_id, query.sql)
    schedule = Schedule(query.every_minutes, query.cron)
    async with transaction(app_state.engine, caller) as connection:
        row = await cohorts.find(connection, caller, cohort_id, lock=True)
        if_match.require(row.revision)
        row = await query_postgres.save_query(connection, caller, row, query.sql, schedule)
    return answer_tagged(Cohort, row, response)


@router.post("/cohorts/{cohort_id}/run", status_code=202)
async def run_cohort_query(cohort_id: CohortId, work: Posting, response: Response) -> Build:
    """Run a cohort's query as soon as there is room. The answer is the build, or that of the run that goes on already."""
    build_id: UUID = await query_postgres.ask_run(work.connection, work.caller, cohort_id)
    response.headers["Location"] = f"/v1/cohorts/{cohort_id}/builds/{build_id}"
    row = await build_postgres.find_build(work.connection, work.caller, cohort_id, build_id)
    return Build.model_validate(row, from_attributes=True)


def _check_cron(cron: str) -> None:
    try:
        check_cron(cron)
    except ValueError as error:
        raise Invalid(str(error), at="/cron") from None


def _find_queries(request: Request) -> UserQueries:
    """Raise Retry where this installation has no key for them."""
    queries = find_app_state(request).user_queries
    if queries is None:
        raise Retry("queries of users are not set up here: the operator sets FILLIP_ANALYSE_KEY")
    return queries
