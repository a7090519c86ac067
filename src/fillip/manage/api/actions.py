"""Actions: the verbs of a tenant's events, each with the JSON Schema of its attributes."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row, Select, func, insert, select, update

from fillip.core.event import RESERVED_PREFIX
from fillip.core.schema.check_schema import check_schema
from fillip.core.schema.compatibility import find_breaks
from fillip.core.schema.reader import MAX_FAULTS
from fillip.http.errors import Conflict, Invalid, NotFound
from fillip.http.etag import Match, tag
from fillip.http.fields import ActionId
from fillip.http.paging import Page, Pages
from fillip.manage.book.change import change_book
from fillip.manage.request.route import Reading, Route, UnitOfWork, Writing
from fillip.manage.schema.impact import recheck_campaigns
from fillip.manage.schema.schema import JsonSchema
from fillip.manage.store.keyset import read_page
from fillip.manage.store.tables import action

MAX_ACTIONS = 1000

router = APIRouter(tags=["actions"], route_class=Route)


class ActionSchema(BaseModel):
    """The schema of an action's attributes."""

    model_config = ConfigDict(extra="forbid")

    shape: Annotated[JsonSchema, Field(alias="schema")]
    compatibility: Literal["backward", "none"] = Field(
        "backward", description="`none` lets a schema through that refuses events which are valid today"
    )


class Action(BaseModel):
    """An action as stored."""

    name: ActionId
    shape: Annotated[JsonSchema, Field(alias="schema")]
    revision: int
    created_at: datetime
    updated_at: datetime


@router.put("/actions/{name}", responses={201: {"model": Action, "description": "Created"}})
async def put_action(name: ActionId, given: ActionSchema, if_match: Match, work: Writing, response: Response) -> Action:
    """Define an action (201), or give it another schema (200, If-Match).

    Launched campaigns must still fit, and what is valid today must stay so unless `compatibility` is `none`.
    """
    if name.startswith(RESERVED_PREFIX):
        raise Invalid(f"names that begin with {RESERVED_PREFIX} are Fillip's own: choose another", at="/name")
    shape = await work.compute(check_schema, given.shape)
    row = (await work.connection.execute(_one(name).with_for_update())).one_or_none()
    if row is None:
        await _insert(work, name, given.shape)
        response.status_code = 201
    else:
        if_match.require(row.revision)
        await recheck_campaigns(work, name, shape)
        if given.compatibility == "backward":
            await work.compute(_refuse_breaks, row.schema, given.shape)
        changed = {"schema": given.shape, "revision": row.revision + 1, "updated_at": func.now()}
        await work.connection.execute(update(action).where(action.c.name == name).values(changed))
    await change_book(work.connection, work.caller, "action", name, {"name": name, "schema": given.shape})
    row = (await work.connection.execute(_one(name))).one()
    tag(response, row.revision)
    return _show(row)


@router.get("/actions/{name}")
async def read_action(name: ActionId, work: Reading, response: Response) -> Action:
    """One action."""
    row = (await work.connection.execute(_one(name))).one_or_none()
    if row is None:
        raise NotFound(f"there is no action {name}")
    tag(response, row.revision)
    return _show(row)


@router.get("/actions")
async def list_actions(work: Reading, pages: Pages) -> Page[Action]:
    """All actions, by name."""
    rows, cursor = await read_page(work.connection, select(action), [action.c.name], pages)
    return Page(items=[_show(row) for row in rows], next_cursor=cursor)


async def _insert(work: UnitOfWork, name: str, schema: dict[str, Any]) -> None:
    if (await work.connection.execute(select(func.count()).select_from(action))).scalar_one() >= MAX_ACTIONS:
        raise Conflict(f"there are {MAX_ACTIONS} actions: no more can be defined")
    values = {"tenant_id": work.caller.tenant_id, "name": name, "schema": schema}
    await work.connection.execute(insert(action).values(values))


def _refuse_breaks(old: dict[str, Any], new: dict[str, Any]) -> None:
    if faults := find_breaks(old, new):
        raise Conflict(
            f"this schema would refuse events that are valid today: {faults[0].message}; widen it, use a new action, "
            'or send "compatibility": "none" once no such events are sent any more',
            faults=faults[:MAX_FAULTS],
        )


def _one(name: str) -> Select[Any]:
    return select(action).where(action.c.name == name)


def _show(row: Row[Any]) -> Action:
    return Action.model_validate(row, from_attributes=True)
