"""Actions: the verbs of a tenant's events, each with the JSON Schema of its attributes."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from fillip.core.event import RESERVED_PREFIX
from fillip.core.redemption import REDEMPTION, check_redemption_schema
from fillip.core.schema.check_schema import check_schema
from fillip.core.schema.compatibility import find_breaks
from fillip.core.schema.reader import MAX_FAULTS
from fillip.core.schema.types import derive_event_type
from fillip.http.errors import Conflict, Invalid
from fillip.http.etag import Match, answer_tagged
from fillip.http.fields import ActionId, Part
from fillip.http.page import NamedPages, Page, answer_page
from fillip.manage.action.postgres import actions
from fillip.manage.book.postgres import change_book, lock_tenant
from fillip.manage.campaign.action_uses_postgres import list_uses
from fillip.manage.request.route import Reading, Route, Writing
from fillip.manage.schema.impact import recheck_campaigns
from fillip.manage.schema.schema import JsonSchema, refuse_other_time

MAX_ACTIONS = 1000

router = APIRouter(tags=["actions"], route_class=Route)


class ActionSchema(Part):
    """The schema of an action's attributes."""

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

    Launched campaigns must still fit, and what is valid today must stay so unless `compatibility` is `none`. The schema of
    `fillip.redemption` says what comes with redemptions of public codes.
    """
    if name.startswith(RESERVED_PREFIX) and name != REDEMPTION:
        raise Invalid(f"names that begin with {RESERVED_PREFIX} are Fillip's own: choose another", at="/name")
    if name == REDEMPTION and not check_redemption_schema(given.shape):
        raise Invalid('a redemption has its code: "code" must be a required "string"', at="/schema/properties/code")
    await work.compute(check_schema, given.shape)
    before = await actions.seek(work.connection, work.caller, name, lock=True)
    if before is None:
        if await actions.count(work.connection, work.caller.tenant_id) >= MAX_ACTIONS:
            raise Conflict(f"there are {MAX_ACTIONS} actions: no more can be defined")
        response.status_code = 201
    else:
        if_match.require(before.revision)
        refuse_other_time(before.schema, given.shape)
        await recheck_campaigns(work, name, derive_event_type(given.shape))
        asks = given.compatibility == "backward"
        if asks and (faults := await work.compute(find_breaks, before.schema, given.shape)):
            raise Conflict(
                f"this schema would refuse events that are valid today: {faults[0].message}; widen it, use a new action, "
                'or send "compatibility": "none" once no such events are sent any more',
                faults=faults[:MAX_FAULTS],
            )
    row = await actions.save(work.connection, work.caller, name, {"schema": given.shape}, before)
    await change_book(work.connection, work.caller, "action", name, {"name": name, "schema": given.shape})
    return answer_tagged(Action, row, response)


@router.get("/actions/{name}")
async def read_action(name: ActionId, work: Reading, response: Response) -> Action:
    """One action."""
    return answer_tagged(Action, await actions.find(work.connection, work.caller, name), response)


@router.get("/actions")
async def list_actions(work: Reading, pages: NamedPages) -> Page[Action]:
    """All actions, by name."""
    return answer_page(Action, await actions.list(work.connection, work.caller, pages))


@router.delete("/actions/{name}", status_code=204)
async def delete_action(name: ActionId, if_match: Match, work: Writing) -> None:
    """Delete an action that no campaign has ever named in any of its versions, nor a limit or a cohort now: no decision needs its schema.

    Its events are refused from then on as those of an unknown action.
    """
    if_match.require((await actions.find(work.connection, work.caller, name, lock=True)).revision)
    await lock_tenant(work.connection, work.caller)
    if uses := await list_uses(work.connection, work.caller, name):
        raise Conflict(f"action {name} is named by {', '.join(uses)}: what was decided or drafted with it stays known")
    await actions.remove(work.connection, work.caller, name)
    await change_book(work.connection, work.caller, "action", name, {"name": name, "deleted": True}, growing=False)
