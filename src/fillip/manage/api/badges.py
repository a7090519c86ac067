"""Badges, and the shelf of each user."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from fillip.http.errors import Conflict
from fillip.http.etag import Match, answer_tagged
from fillip.http.fields import ObjectId, Part, Title
from fillip.http.page import Page, Pages, TitledPages, answer_page
from fillip.manage.badge.postgres import badges, list_held, list_uses
from fillip.manage.book.postgres import lock_tenant
from fillip.manage.merge.postgres import share_user
from fillip.manage.request.route import Posting, Reading, Route, Writing

MAX_BADGES = 1_000

router = APIRouter(tags=["badges"], route_class=Route)


class BadgePart(Part):
    """What a badge shows."""

    name: Title
    description: str = Field("", max_length=2000)
    image_url: str | None = Field(
        None, max_length=2000, pattern=r"^https://[!-~]+$", examples=["https://shop.example/regular.svg"]
    )


class NewBadge(BadgePart):
    """A badge to be made."""

    badge_id: ObjectId


class BadgeAnswer(NewBadge):
    """A badge as stored."""

    revision: int
    created_at: datetime
    updated_at: datetime


class HeldBadge(BaseModel):
    """A badge on a user's shelf, and the incentive that put it there."""

    badge_id: ObjectId
    name: str
    description: str
    image_url: str | None
    incentive_id: UUID
    held_at: datetime


@router.post("/badges", status_code=201)
async def create_badge(work: Posting, body: NewBadge, response: Response) -> BadgeAnswer:
    """Make a badge; a campaign gives it by a reward of kind `badge` with this id."""
    if await badges.count(work.connection, work.caller.tenant_id) >= MAX_BADGES:
        raise Conflict(f"there are {MAX_BADGES} badges, more are not taken")
    row = await badges.insert(work.connection, work.caller, body.badge_id, body.model_dump())
    response.headers["Location"] = f"/v1/badges/{body.badge_id}"
    return answer_tagged(BadgeAnswer, row, response)


@router.get("/badges")
async def list_badges(work: Reading, pages: TitledPages) -> Page[BadgeAnswer]:
    """The tenant's badges by id."""
    return answer_page(BadgeAnswer, await badges.list(work.connection, work.caller, pages))


@router.get("/badges/{badge_id}")
async def read_badge(work: Reading, badge_id: ObjectId, response: Response) -> BadgeAnswer:
    """One badge."""
    return answer_tagged(BadgeAnswer, await badges.find(work.connection, work.caller, badge_id), response)


@router.put("/badges/{badge_id}")
async def change_badge(
    work: Writing, badge_id: ObjectId, body: BadgePart, if_match: Match, response: Response
) -> BadgeAnswer:
    """Change what a badge shows, on every shelf at once."""
    row = await badges.find(work.connection, work.caller, badge_id, lock=True)
    if_match.require(row.revision)
    row = await badges.change(work.connection, work.caller, badge_id, body.model_dump())
    return answer_tagged(BadgeAnswer, row, response)


@router.delete("/badges/{badge_id}", status_code=204)
async def delete_badge(work: Writing, badge_id: ObjectId, if_match: Match) -> None:
    """Delete a badge that no campaign has ever named in any of its versions: so no user holds it, or held it."""
    await lock_tenant(work.connection, work.caller)
    if_match.require((await badges.find(work.connection, work.caller, badge_id, lock=True)).revision)
    if uses := await list_uses(work.connection, work.caller, badge_id):
        raise Conflict(
            f"badge {badge_id} is named by {', '.join(uses)}: what was decided or drafted with it stays known"
        )
    await badges.remove(work.connection, work.caller, badge_id)


@router.get("/users/{user_id}/badges", tags=["users"])
async def list_user_badges(work: Reading, user_id: str, pages: Pages) -> Page[HeldBadge]:
    """The badges that a user holds, by id."""
    owner = await share_user(work.connection, work.caller, user_id)
    return answer_page(HeldBadge, await list_held(work.connection, work.caller, owner, pages))
