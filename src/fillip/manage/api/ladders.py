"""Ladders: levels by points earned in a window, and where each user stands."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from fillip.core.campaign.reward import POINTS
from fillip.core.ladder import (
    MAX_LEVELS,
    MAX_ROLLING_S,
    MAX_THRESHOLD,
    MIN_ROLLING_S,
    LadderSpan,
    Level,
    check_attribute,
    check_ladder,
)
from fillip.core.problem import Fault
from fillip.http.errors import Conflict, Invalid, refuse
from fillip.http.etag import Match, answer_tagged
from fillip.http.fields import Currency, ObjectId, Part, UserId, give_examples
from fillip.http.page import Page, Pages, answer_page
from fillip.manage.ladder.postgres import LadderRow, find_ladder, find_reading, ladders, leave_ladder, read_levels
from fillip.manage.ladder.readers_postgres import require_kept
from fillip.manage.ladder.users_postgres import count_users, list_users, weigh_users
from fillip.manage.merge.postgres import share_user
from fillip.manage.points.postgres import currencies
from fillip.manage.request.route import Reading, Route, Writing
from fillip.manage.tenant.postgres import hold_tenant

MAX_LADDERS = 20

router = APIRouter(tags=["levels"], route_class=Route)
Threshold = Annotated[int, Field(ge=0, le=MAX_THRESHOLD, strict=True, description="Points earned in the window")]


class LevelPart(Part):
    """A level, and from how many points earned in the window on a user has it."""

    name: ObjectId
    threshold: Threshold = Field(alias="from")


class LadderPart(Part):
    """The levels of a currency of points, lowest first."""

    model_config = give_examples(
        {
            "span": "year",
            "levels": [{"name": "bronze", "from": 0}, {"name": "silver", "from": 500}, {"name": "gold", "from": 2000}],
        },
        {
            "span": "rolling",
            "rolling_s": 31536000,
            "levels": [{"name": "member", "from": 0}, {"name": "friend", "from": 300}],
        },
    )

    span: LadderSpan = Field(description="The window: a month or year of the tenant's calendar, a rolling one, or ever")
    rolling_s: int | None = Field(
        None,
        ge=MIN_ROLLING_S,
        le=MAX_ROLLING_S,
        strict=True,
        description="For span rolling, and only for it: the window in seconds, of whole days",
    )
    levels: list[LevelPart] = Field(min_length=1, max_length=MAX_LEVELS)
    attribute: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="The attribute of users in which rules read the level, a text of the user schema",
        examples=["level"],
    )


class LadderLevel(BaseModel):
    """A level, and from how many points earned in the window on a user has it."""

    name: ObjectId
    threshold: int = Field(serialization_alias="from")


class LadderAnswer(BaseModel):
    """A ladder as stored."""

    currency: Currency
    span: LadderSpan
    rolling_s: int | None
    levels: list[LadderLevel]
    attribute: str | None
    is_following: bool = Field(
        description="Users still follow the last change, in portions by the sweep: not all have the level that it gives them"
    )
    revision: int
    created_at: datetime
    updated_at: datetime


class UserLevel(BaseModel):
    """Where a user stands on a ladder."""

    currency: Currency
    level: ObjectId
    threshold: int = Field(serialization_alias="from")
    earned: int = Field(description="In the window, less what was taken back of it, whatever was spent or has expired")
    since: datetime | None = Field(description="Null on the lowest level of who never had another")
    next_level: ObjectId | None = Field(description="The level above, null on the highest")
    missing: int | None = Field(description="How much is to be earned for the level above")
    falls_at: datetime | None = Field(
        description="When the level falls if nothing more is earned; null: not by time alone"
    )
    is_following: bool = Field(description="The ladder is new or was changed: `earned` may not be complete yet")


class LadderUser(BaseModel):
    """A user on a ladder, at the level that was announced last."""

    user_id: UserId
    level: ObjectId
    earned: int = Field(description="In the window, less what was taken back of it")
    since: datetime | None = Field(description="Null on the lowest level of who never had another")
    falls_at: datetime | None = Field(
        description="When the level falls if nothing more is earned; null: not by time alone"
    )


class LevelUsers(LadderLevel):
    """A level, and how many users have it."""

    users: int


class LadderUsers(BaseModel):
    """How many users are on each level, lowest first; on a ladder is who has a wallet of its currency."""

    items: list[LevelUsers]
    is_following: bool = Field(
        description="Users still follow the last change: those on a level that is gone are counted nowhere"
    )


class UserLevels(BaseModel):
    """Where a user stands on each of the tenant's ladders, by currency."""

    items: list[UserLevel]


@router.put("/ladders/{currency}", responses={201: {"model": LadderAnswer, "description": "Created"}})
async def put_ladder(
    currency: Currency, body: LadderPart, if_match: Match, work: Writing, response: Response
) -> LadderAnswer:
    """Define the levels of a currency of points (201), or change them (200, If-Match). Users follow in portions, by the sweep, and what changes
    of their levels is announced; who earns meanwhile follows at once.
    """
    levels = [Level(level.name, level.threshold) for level in body.levels]
    refuse(check_ladder(body.span, body.rolling_s, levels))
    tenant = await hold_tenant(work.connection, work.caller.tenant_id)
    if currency != POINTS:
        await currencies.find(work.connection, work.caller, currency)
    if body.attribute:
        refuse(check_attribute(tenant.user_schema, body.attribute, levels))
        if other := await find_reading(work.connection, work.caller, body.attribute, currency):
            refuse(
                [
                    Fault(
                        "/attribute",
                        f"'{body.attribute}' is the level of {other}: a ladder has an attribute of its own",
                    )
                ]
            )
    before = await ladders.seek(work.connection, work.caller, currency, lock=True)
    values: dict[str, Any] = {
        "span": body.span,
        "rolling_s": body.rolling_s,
        "names": [level.name for level in levels],
        "thresholds": [level.threshold for level in levels],
        "attribute": body.attribute,
    }
    if before is None:
        if await ladders.count(work.connection, work.caller.tenant_id) >= MAX_LADDERS:
            raise Conflict(f"there are {MAX_LADDERS} ladders: no more can be defined")
        response.status_code = 201
    elif before.leaving:
        raise Conflict(f"the ladder of {currency} is being deleted: try again in a moment")
    else:
        if_match.require(before.revision)
        values["followed_to"] = ""
    await require_kept(work, before.attribute if before else None, body.attribute, values["names"])
    row = await ladders.save(work.connection, work.caller, currency, values, before)
    return _tell_tagged(row, response)


@router.get("/ladders/{currency}")
async def read_ladder(currency: Currency, work: Reading, response: Response) -> LadderAnswer:
    """The levels of a currency of points."""
    return _tell_tagged(await find_ladder(work.connection, work.caller, currency), response)


@router.get("/ladders")
async def list_ladders(work: Reading, pages: Pages) -> Page[LadderAnswer]:
    """The tenant's ladders by currency."""
    rows, cursor = await ladders.list(work.connection, work.caller, pages, leaving=False)
    return answer_page(LadderAnswer, ([_tell(row) for row in rows], cursor))


@router.delete("/ladders/{currency}", status_code=204)
async def delete_ladder(currency: Currency, if_match: Match, work: Writing) -> None:
    """Delete a ladder whose level no campaign reads, archived ones aside, and with it the levels of all users; nothing is announced of that."""
    await hold_tenant(work.connection, work.caller.tenant_id)
    row = await find_ladder(work.connection, work.caller, currency, lock=True)
    if_match.require(row.revision)
    await require_kept(work, row.attribute, None, [])
    await leave_ladder(work.connection, work.caller, currency)


@router.get("/ladders/{currency}/users")
async def list_ladder_users(
    currency: Currency,
    work: Reading,
    pages: Pages,
    level: Annotated[ObjectId | None, Query(description="Those on this level alone", examples=["gold"])] = None,
) -> Page[LadderUser]:
    """The users on a ladder by id, those with a wallet of its currency, each with the level that was announced last. Merged ones are left out."""
    row = await find_ladder(work.connection, work.caller, currency)
    if level is not None and level not in row.names:
        raise Invalid(f"there is no level '{level}': there are {', '.join(row.names)}", at="level")
    users, cursor = await list_users(work.connection, work.caller, row, level, pages)
    names = [user.user_id for user in users]
    earned = await weigh_users(work.connection, work.caller, currency, names, datetime.now(UTC))
    told = [{**user._mapping, "earned": earned.get(user.user_id, 0)} for user in users]
    return Page(items=[LadderUser.model_validate(each) for each in told], next_cursor=cursor)


@router.get("/ladders/{currency}/levels")
async def count_ladder_users(currency: Currency, work: Reading) -> LadderUsers:
    """How many users have each level of a ladder, as announced; counted when it is asked for."""
    row = await find_ladder(work.connection, work.caller, currency)
    users = await count_users(work.connection, work.caller, row)
    levels = zip(row.names, row.thresholds, strict=True)
    items = [LevelUsers(name=name, threshold=threshold, users=users[name]) for name, threshold in levels]
    return LadderUsers(items=items, is_following=_is_following(row))


@router.get("/users/{user_id}/levels", tags=["users"])
async def read_user_levels(user_id: UserId, work: Reading) -> UserLevels:
    """The level that a user has on each ladder: since when, how much is missing for the next one, and when it would fall."""
    owner = await share_user(work.connection, work.caller, user_id)
    rows = await read_levels(work.connection, work.caller, owner, datetime.now(UTC))
    return UserLevels(items=_tell_levels(rows))


def _tell(row: LadderRow) -> LadderAnswer:
    levels = [
        LadderLevel(name=name, threshold=threshold) for name, threshold in zip(row.names, row.thresholds, strict=True)
    ]
    return LadderAnswer.model_validate({**row._mapping, "levels": levels, "is_following": _is_following(row)})


def _is_following(row: LadderRow) -> bool:
    return row.filled_to is not None or row.followed_to is not None


def _tell_tagged(row: LadderRow, response: Response) -> LadderAnswer:
    return answer_tagged(LadderAnswer, _tell(row), response)


def _tell_levels(rows: Sequence[LadderRow]) -> list[UserLevel]:
    return [
        UserLevel.model_validate(
            {**row._mapping, "missing": None if row.next_threshold is None else row.next_threshold - row.earned}
        )
        for row in rows
    ]
