"""Badges, and the shelf of each user."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import Row, func, insert, select, update

from fillip.http.errors import Conflict, NotFound
from fillip.http.etag import Match, tag
from fillip.http.fields import ObjectId, Part, Title
from fillip.http.paging import Page, Pages
from fillip.manage.request.route import Posting, Reading, Route, Writing
from fillip.manage.store.keyset import read_page
from fillip.manage.store.tables import badge, badge_held

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
    if (await work.connection.execute(select(func.count()).select_from(badge))).scalar_one() >= MAX_BADGES:
        raise Conflict(f"there are {MAX_BADGES} badges, more are not taken")
    values = body.model_dump() | {"tenant_id": work.caller.tenant_id}
    row = (await work.connection.execute(insert(badge).values(values).returning(*badge.c))).one()
    response.headers["Location"] = f"/v1/badges/{body.badge_id}"
    return _answer(row, response)


@router.get("/badges")
async def list_badges(work: Reading, pages: Pages) -> Page[BadgeAnswer]:
    """The tenant's badges by id."""
    rows, cursor = await read_page(work.connection, select(badge), [badge.c.badge_id], pages)
    return Page(items=[BadgeAnswer.model_validate(row, from_attributes=True) for row in rows], next_cursor=cursor)


@router.get("/badges/{badge_id}")
async def read_badge(work: Reading, badge_id: ObjectId, response: Response) -> BadgeAnswer:
    """One badge."""
    row = (await work.connection.execute(select(badge).where(badge.c.badge_id == badge_id))).one_or_none()
    return _answer(_found(badge_id, row), response)


@router.put("/badges/{badge_id}")
async def change_badge(
    work: Writing, badge_id: ObjectId, body: BadgePart, if_match: Match, response: Response
) -> BadgeAnswer:
    """Change what a badge shows, on every shelf at once."""
    mine = badge.c.badge_id == badge_id
    row = _found(badge_id, (await work.connection.execute(select(badge).where(mine).with_for_update())).one_or_none())
    if_match.require(row.revision)
    values = body.model_dump() | {"revision": row.revision + 1, "updated_at": func.now()}
    changed = update(badge).where(mine).values(values).returning(*badge.c)
    return _answer((await work.connection.execute(changed)).one(), response)


@router.get("/users/{user_id}/badges", tags=["users"])
async def list_shelf(work: Reading, user_id: str, pages: Pages) -> Page[HeldBadge]:
    """The badges that a user holds, by id."""
    shown = [badge.c.name, badge.c.description, badge.c.image_url]
    statement = (
        select(badge_held.c.badge_id, badge_held.c.incentive_id, badge_held.c.held_at, *shown)
        .join(badge, (badge.c.tenant_id == badge_held.c.tenant_id) & (badge.c.badge_id == badge_held.c.badge_id))
        .where(badge_held.c.tenant_id == work.caller.tenant_id, badge_held.c.user_id == user_id)
    )
    rows, cursor = await read_page(work.connection, statement, [badge_held.c.badge_id], pages)
    return Page(items=[HeldBadge.model_validate(row, from_attributes=True) for row in rows], next_cursor=cursor)


def _found(badge_id: str, row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise NotFound(f"there is no badge {badge_id}")
    return row


def _answer(row: Row[Any], response: Response) -> BadgeAnswer:
    tag(response, row.revision)
    return BadgeAnswer.model_validate(row, from_attributes=True)
