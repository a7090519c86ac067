"""Currencies of points: every tenant has POINTS; more are defined here, and how far a reversal may overdraw them."""

from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from fillip.core.campaign.formula import MAX_VALUE
from fillip.http.errors import Conflict
from fillip.http.etag import Match, answer_tagged
from fillip.http.fields import Currency, Part, Title, give_examples
from fillip.http.page import Page, Pages, answer_page
from fillip.manage.book.postgres import lock_tenant
from fillip.manage.points.postgres import currencies, list_uses
from fillip.manage.request.route import Reading, Route, Writing

MAX_CURRENCIES = 100

router = APIRouter(prefix="/points", tags=["wallets"], route_class=Route)


class PointsPart(Part):
    """A currency of points."""

    model_config = give_examples({"name": "Stars", "floor": -1000})

    name: Title
    floor: int | None = Field(
        None,
        ge=-MAX_VALUE,
        le=0,
        strict=True,
        description="Lowest balance that a reversal of spent points may leave: 0 = never below zero; null = no bound",
    )


class PointsAnswer(BaseModel):
    """A currency of points as stored."""

    currency: Currency
    name: str
    floor: int | None
    revision: int
    created_at: datetime
    updated_at: datetime


@router.put("/{currency}", responses={201: {"model": PointsAnswer, "description": "Created"}})
async def put_points(
    currency: Currency, body: PointsPart, if_match: Match, work: Writing, response: Response
) -> PointsAnswer:
    """Define a currency of points (201), or change it (200, If-Match); a new floor holds from the next reversal on."""
    before = await currencies.seek(work.connection, work.caller, currency, lock=True)
    if before is None:
        if await currencies.count(work.connection, work.caller.tenant_id) >= MAX_CURRENCIES:
            raise Conflict(f"there are {MAX_CURRENCIES} currencies of points: no more can be defined")
        response.status_code = 201
    else:
        if_match.require(before.revision)
    row = await currencies.save(work.connection, work.caller, currency, body.model_dump(), before)
    return answer_tagged(PointsAnswer, row, response)


@router.get("/{currency}")
async def read_points(currency: Currency, work: Reading, response: Response) -> PointsAnswer:
    """One currency of points."""
    return answer_tagged(PointsAnswer, await currencies.find(work.connection, work.caller, currency), response)


@router.delete("/{currency}", status_code=204)
async def delete_points(currency: Currency, if_match: Match, work: Writing) -> None:
    """Delete a currency of points that nobody has a wallet in and that no version of a campaign, limit, ladder, leaderboard or import names.

    POINTS stays a currency without its definition.
    """
    await lock_tenant(work.connection, work.caller)
    if_match.require((await currencies.find(work.connection, work.caller, currency, lock=True)).revision)
    if uses := await list_uses(work.connection, work.caller, currency):
        raise Conflict(f"currency {currency} is used by {', '.join(uses)}")
    await currencies.remove(work.connection, work.caller, currency)


@router.get("")
async def list_points(work: Reading, pages: Pages) -> Page[PointsAnswer]:
    """The tenant's currencies of points by name; POINTS is there without one."""
    return answer_page(PointsAnswer, await currencies.list(work.connection, work.caller, pages))
