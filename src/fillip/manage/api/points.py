"""Currencies of points: every tenant has POINTS; more are defined here, and how far a reversal may overdraw them."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row, Select, func, insert, select, update

from fillip.core.campaign.formula import MAX_VALUE
from fillip.http.errors import Conflict, NotFound
from fillip.http.etag import Match, tag
from fillip.http.fields import Currency, Part, Title
from fillip.http.paging import Page, Pages
from fillip.manage.request.route import Reading, Route, UnitOfWork, Writing
from fillip.manage.store.keyset import read_page
from fillip.manage.store.tables import points_currency

MAX_CURRENCIES = 100

router = APIRouter(prefix="/points", tags=["wallets"], route_class=Route)


class PointsPart(Part):
    """A currency of points."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Stars", "floor": -1000}]})

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
    row = (await work.connection.execute(_one(work, currency).with_for_update())).one_or_none()
    if row is None:
        await _insert(work, currency, body)
        response.status_code = 201
    else:
        if_match.require(row.revision)
        mine = (points_currency.c.tenant_id == work.caller.tenant_id) & (points_currency.c.currency == currency)
        changed = {**body.model_dump(), "revision": row.revision + 1, "updated_at": func.now()}
        await work.connection.execute(update(points_currency).where(mine).values(changed))
    row = (await work.connection.execute(_one(work, currency))).one()
    return _show(row, response)


@router.get("/{currency}")
async def read_points(currency: Currency, work: Reading, response: Response) -> PointsAnswer:
    """One currency of points."""
    row = (await work.connection.execute(_one(work, currency))).one_or_none()
    if row is None:
        raise NotFound(f"there is no definition of the currency {currency}")
    return _show(row, response)


@router.get("")
async def list_points(work: Reading, pages: Pages) -> Page[PointsAnswer]:
    """The tenant's currencies of points by name; POINTS is there without one."""
    statement = select(points_currency).where(points_currency.c.tenant_id == work.caller.tenant_id)
    rows, cursor = await read_page(work.connection, statement, [points_currency.c.currency], pages)
    items = [PointsAnswer.model_validate(row, from_attributes=True) for row in rows]
    return Page(items=items, next_cursor=cursor)


async def _insert(work: UnitOfWork, currency: str, body: PointsPart) -> None:
    mine = points_currency.c.tenant_id == work.caller.tenant_id
    count = select(func.count()).select_from(points_currency).where(mine)
    if (await work.connection.execute(count)).scalar_one() >= MAX_CURRENCIES:
        raise Conflict(f"there are {MAX_CURRENCIES} currencies of points: no more can be defined")
    values = {"tenant_id": work.caller.tenant_id, "currency": currency, **body.model_dump()}
    await work.connection.execute(insert(points_currency).values(values))


def _one(work: UnitOfWork, currency: str) -> Select[Any]:
    mine = points_currency.c.tenant_id == work.caller.tenant_id
    return select(points_currency).where(mine, points_currency.c.currency == currency)


def _show(row: Row[Any], response: Response) -> PointsAnswer:
    tag(response, row.revision)
    return PointsAnswer.model_validate(row, from_attributes=True)
