"""Leaderboards: users in the order of what they were granted in a window, and where each of them stands."""

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field

from fillip.core.campaign.reward import POINTS
from fillip.core.errors import Retry
from fillip.core.instant import bound_time
from fillip.core.leaderboard import (
    KEPT,
    MOST_BOARDS,
    MOST_MEMBERS,
    BoardSpan,
    BoardWindow,
    Leaderboard,
    Ranks,
    TooManyUsers,
    check_leaderboard,
    find_window,
    list_windows,
)
from fillip.core.limit import Measure
from fillip.core.local_day import find_day
from fillip.core.ports import BoardRanks, Caller
from fillip.core.problem import Fault
from fillip.core.tenant import Weekday
from fillip.http.cursor import read_cursor, write_cursor
from fillip.http.errors import Conflict, Invalid, NotFound, refuse
from fillip.http.etag import Match, answer_tagged
from fillip.http.fields import Currency, InstantOrDay, ObjectId, Part, UserId, give_examples
from fillip.http.page import NamedPages, Page, Pages, answer_page
from fillip.manage.campaign.postgres import find_campaign
from fillip.manage.campaign.vocabulary_postgres import read_points
from fillip.manage.leaderboard.postgres import leaderboards, read_board
from fillip.manage.merge.postgres import share_user
from fillip.manage.request.route import Reading, Route, UnitOfWork, Writing, find_app_state, require
from fillip.manage.store.postgres import Connection, transaction
from fillip.manage.tenant.postgres import find_tenant, hold_tenant

MOST_AROUND = 50

router = APIRouter(prefix="/leaderboards", tags=["leaderboards"], route_class=Route)


def _bound(at: datetime | date | None) -> datetime | date | None:
    return bound_time(at) if isinstance(at, datetime) else at


At = Annotated[
    InstantOrDay | None,
    AfterValidator(_bound),
    Query(
        description="Of the window that holds this instant, or day of the tenant's zone; the present one if left out",
        examples=["2026-11-01"],
    ),
]


class LeaderboardPart(Part):
    """What a leaderboard counts: points of a currency (value), of all campaigns or of one; or a campaign's grants (count).

    Each window by the tenant's days has an order of its own.
    """

    model_config = give_examples(
        {"currency": "POINTS", "span": "week"}, {"campaign_id": "spring", "measure": "count", "span": "lifetime"}
    )

    currency: Currency | None = Field(None, description="Of points; for measure value, and only for it")
    campaign_id: ObjectId | None = Field(None, description="What it granted alone counts; needed for measure count")
    measure: Measure = "value"
    span: BoardSpan
    week_starts_on: Weekday | None = Field(None, description="For span week, and only for it; Monday if left out")


class LeaderboardAnswer(BaseModel):
    """A leaderboard as defined."""

    leaderboard_id: ObjectId
    currency: Currency | None
    campaign_id: ObjectId | None
    measure: Measure
    span: BoardSpan
    week_starts_on: Weekday | None
    revision: int
    created_at: datetime
    updated_at: datetime


class WindowAnswer(BaseModel):
    """From its first day on, until `ends_at`."""

    starts_on: date
    starts_at: datetime
    ends_at: datetime


class RankAnswer(BaseModel):
    """A user's place. Of two with one score who reached it earlier stands first, then by user id."""

    rank: int = Field(description="From 1 on; no two users have one rank")
    user_id: UserId
    score: int
    reached_at: datetime = Field(description="The instant of the newest grant of which anything is left")


class RanksAnswer(BaseModel):
    """Users of one window in their order."""

    leaderboard_id: ObjectId
    window: WindowAnswer | None = Field(description="null: lifetime")
    as_of: datetime = Field(description="All that was committed until then is counted")
    users: int = Field(description="How many stand on it in all")
    items: list[RankAnswer]
    next_cursor: str | None


class UserRankAnswer(BaseModel):
    """Where a user stands in one window; `rank` and `reached_at` are null where that is nowhere."""

    leaderboard_id: ObjectId
    window: WindowAnswer | None = Field(description="null: lifetime")
    as_of: datetime = Field(description="All that was committed until then is counted")
    users: int = Field(description="How many stand on it in all")
    user_id: UserId = Field(description="Who the user is by now, where it was merged into another")
    rank: int | None
    score: int
    reached_at: datetime | None
    around: list[RankAnswer] = Field(description="The user among those before and behind")


@router.put("/{leaderboard_id}", responses={201: {"model": LeaderboardAnswer, "description": "Created"}})
async def put_leaderboard(
    leaderboard_id: ObjectId, body: LeaderboardPart, if_match: Match, work: Writing, response: Response
) -> LeaderboardAnswer:
    """Define a leaderboard (201), or let it count otherwise (200, If-Match). It is filled from the ledger then, with all that was granted before."""
    board = Leaderboard(leaderboard_id, **body.model_dump())
    refuse(check_leaderboard(board))
    await hold_tenant(work.connection, work.caller.tenant_id)
    refuse(await _list_unknown(work, board))
    before = await leaderboards.seek(work.connection, work.caller, leaderboard_id, lock=True)
    if before is None:
        if await leaderboards.count(work.connection, work.caller.tenant_id) >= MOST_BOARDS:
            raise Conflict(f"there are {MOST_BOARDS} leaderboards: delete one that nobody looks at")
        response.status_code = 201
    else:
        if_match.require(before.revision)
    row = await leaderboards.save(work.connection, work.caller, leaderboard_id, body.model_dump(), before)
    return answer_tagged(LeaderboardAnswer, row, response)


@router.get("/{leaderboard_id}")
async def read_leaderboard(leaderboard_id: ObjectId, work: Reading, response: Response) -> LeaderboardAnswer:
    """One leaderboard as defined."""
    return answer_tagged(
        LeaderboardAnswer, await leaderboards.find(work.connection, work.caller, leaderboard_id), response
    )


@router.get("")
async def list_leaderboards(work: Reading, pages: NamedPages) -> Page[LeaderboardAnswer]:
    """The tenant's leaderboards by id."""
    return answer_page(LeaderboardAnswer, await leaderboards.list(work.connection, work.caller, pages))


@router.delete("/{leaderboard_id}", status_code=204)
async def delete_leaderboard(leaderboard_id: ObjectId, if_match: Match, work: Writing) -> None:
    """Delete a leaderboard; what was granted stays, and it can be defined again."""
    if_match.require((await leaderboards.find(work.connection, work.caller, leaderboard_id, lock=True)).revision)
    await leaderboards.remove(work.connection, work.caller, leaderboard_id)


@router.get("/{leaderboard_id}/ranks")
async def list_ranks(
    request: Request,
    caller: Annotated[Caller, require("manage:read")],
    leaderboard_id: ObjectId,
    pages: Pages,
    at: At = None,
) -> RanksAnswer:
    """The users of a window in their order, a second behind the ledger. The order may move between two pages; 503 while it is built or Valkey is away."""
    first = read_cursor(pages.cursor, [int])[0] if pages.cursor is not None else 0
    if not 0 <= first <= MOST_MEMBERS:
        raise Invalid("not a cursor of this list: use `next_cursor` of a page as it is", at="cursor")
    async with transaction(find_app_state(request).engine, caller) as connection:
        board, window = await _find_board(connection, caller, leaderboard_id, at)
    try:
        ranks = await _find_ranks(request).read_top(caller.tenant_id, board, window, first, pages.limit)
    except TooManyUsers as error:
        raise Conflict(str(error)) from error
    following = first + pages.limit
    return RanksAnswer(
        **_answer_board(board, window, ranks),
        items=_answer_ranks(ranks),
        next_cursor=write_cursor([following]) if following < ranks.users else None,
    )


@router.get("/{leaderboard_id}/users/{user_id}")
async def read_user_rank(
    request: Request,
    caller: Annotated[Caller, require("manage:read")],
    leaderboard_id: ObjectId,
    user_id: UserId,
    around: Annotated[int, Query(ge=0, le=MOST_AROUND, description="How many to show before and behind")] = 0,
    at: At = None,
) -> UserRankAnswer:
    """Where a user stands in a window, and who is before and behind; a second behind the ledger."""
    async with transaction(find_app_state(request).engine, caller) as connection:
        board, window = await _find_board(connection, caller, leaderboard_id, at)
        owner = await share_user(connection, caller, user_id)
    try:
        ranks = await _find_ranks(request).read_around(caller.tenant_id, board, window, owner, around)
    except TooManyUsers as error:
        raise Conflict(str(error)) from error
    own = next((each for each in ranks.found if each.user_id == owner), None)
    return UserRankAnswer(
        **_answer_board(board, window, ranks),
        user_id=owner,
        rank=own.rank if own else None,
        score=own.score if own else 0,
        reached_at=own.reached_at if own else None,
        around=_answer_ranks(ranks),
    )


async def _list_unknown(work: UnitOfWork, board: Leaderboard) -> list[Fault]:
    """What a definition names that does not exist."""
    faults = []
    known = {POINTS, *await read_points(work.connection, work.caller)}
    if board.currency is not None and board.currency not in known:
        named = ", ".join(sorted(known)[:10])
        faults.append(
            Fault(
                "/currency",
                f"unknown currency of points '{board.currency}': define it by /v1/points, or take one of {named}",
            )
        )
    if board.campaign_id is not None:
        try:
            await find_campaign(work.connection, work.caller, board.campaign_id)
        except NotFound as missing:
            faults.append(Fault("/campaign_id", str(missing)))
    return faults


async def _find_board(
    connection: Connection, caller: Caller, leaderboard_id: str, at: datetime | date | None
) -> tuple[Leaderboard, BoardWindow]:
    """The board and the window that is asked for; raises NotFound, and Invalid where it is not kept any more or has not come."""
    board = read_board(await leaderboards.find(connection, caller, leaderboard_id))
    time_zone = (await find_tenant(connection, caller.tenant_id)).time_zone
    today = find_day(datetime.now(UTC), time_zone)
    day = find_day(at, time_zone) if isinstance(at, datetime) else at or today
    wanted, kept = find_window(board, day, time_zone), list_windows(board, today, time_zone)
    if not kept[-1].start <= wanted.start <= kept[0].start:
        many = "one window is" if KEPT[board.span] == 1 else f"{KEPT[board.span]} windows are"
        raise Invalid(
            f"{many} told of span {board.span}, from {kept[-1].start} to {kept[0].start} by their first day", at="at"
        )
    return board, wanted


def _find_ranks(request: Request) -> BoardRanks:
    ranks = find_app_state(request).ranks
    if ranks is None:
        raise Retry("this API was started without Valkey, where the leaderboards are")
    return ranks


def _answer_board(board: Leaderboard, window: BoardWindow, ranks: Ranks) -> dict[str, object]:
    told = WindowAnswer(starts_on=window.start, starts_at=window.starts_at, ends_at=window.ends_at)
    is_lifetime = board.span == "lifetime"
    return {
        "leaderboard_id": board.leaderboard_id,
        "window": None if is_lifetime else told,
        "as_of": ranks.as_of,
        "users": ranks.users,
    }


def _answer_ranks(ranks: Ranks) -> list[RankAnswer]:
    return [RankAnswer.model_validate(each, from_attributes=True) for each in ranks.found]
