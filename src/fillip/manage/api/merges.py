"""Merges of users: who was known under two ids is one from then on."""

from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from fillip.http.errors import Invalid
from fillip.http.fields import OwnId, Part, Reason, UserId, give_examples
from fillip.http.page import Page, Pages
from fillip.manage.merge.in_force_postgres import let_workers_ask, require_asking
from fillip.manage.merge.postgres import MergeRequest, MergeRow, list_merges, merge_users
from fillip.manage.request.route import Posting, Reading, Route, find_app_state

router = APIRouter(prefix="/users/{user_id}/merges", tags=["users"], route_class=Route)


MergeState = Literal["merging", "merged"]


class MergePart(Part):
    """The user `from` is this user from now on; the same `merge_id` again does nothing more. It can't be undone."""

    model_config = give_examples({"merge_id": "login-81", "from": "anon-5f2c", "reason": "signed up"})

    merge_id: OwnId
    from_user_id: UserId = Field(alias="from")
    reason: Reason | None = None


class Brought(BaseModel):
    """What a merge brought so far: points, pending and active ones less what was owed, by currency; counters of limits; quest instances; badges;
    and how many cohorts the user has come into.
    """

    points: dict[str, int]
    counters: int
    instances: int
    badges: int
    cohorts: int = 0


class MergeAnswer(BaseModel):
    """A merge: `from_user_id` is `user_id` by now, who may be another than the one named then (`asked_user_id`), where that was merged too."""

    merge_id: str
    from_user_id: str
    asked_user_id: str
    user_id: str
    reason: str | None
    state: MergeState = Field(description="`merging`: points are still coming over; all else is done")
    brought: Brought
    merged_at: datetime


_AGAIN: dict[int | str, dict[str, Any]] = {200: {"model": MergeAnswer, "description": "Merged before"}}


@router.post("", status_code=201, responses=_AGAIN)
async def merge_other_user(
    work: Posting, user_id: UserId, body: MergePart, request: Request, response: Response
) -> MergeAnswer:
    """Make another user this one, at once; it need not be known yet.

    Points come with their expiry, holds and debts go along, uses of limits are added up, quests go on, lists of cohorts have this user; events that come under the other id later are
    this user's. Points in more than 100 lots come over by and by (`merging`). 409 where the other has thousands of counters and steps of quests,
    was merged before, or either is being erased.
    """
    if body.from_user_id == user_id:
        raise Invalid("a user can't be merged into itself", at="/from")
    since = await let_workers_ask(work.connection, work.caller)
    await work.save()
    await require_asking(find_app_state(request).engine, work.caller, since)
    asked = MergeRequest(body.merge_id, body.from_user_id, user_id, body.reason)
    row, was_made = await merge_users(work.connection, work.caller, asked, datetime.now(UTC))
    if was_made:
        response.status_code = 200
    return _answer(row)


@router.get("")
async def list_user_merges(work: Reading, user_id: UserId, pages: Pages) -> Page[MergeAnswer]:
    """The merges that a user had part in: who was merged into it, and where it was merged into another."""
    rows, cursor = await list_merges(work.connection, work.caller, user_id, pages)
    return Page(items=[_answer(row) for row in rows], next_cursor=cursor)


def _answer(row: MergeRow) -> MergeAnswer:
    return MergeAnswer(
        merge_id=row.merge_id,
        from_user_id=row.user_id,
        asked_user_id=row.asked_into,
        user_id=row.merged_into,
        reason=row.reason,
        state="merged" if row.next_at is None else "merging",
        brought=row.moved,
        merged_at=row.merged_at,
    )
