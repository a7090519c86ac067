"""Tenants: made by the operator; a tenant reads and changes its own."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, Field

from fillip.core.schema.check_schema import check_schema
from fillip.http.etag import Match, answer_tagged, tag
from fillip.http.fields import Part, TenantId, TimeZone, Title
from fillip.http.page import NamedPages, Page, answer_page
from fillip.manage.book.postgres import change_book, find_force, record_change
from fillip.manage.ladder.readers_postgres import require_declared
from fillip.manage.request.route import Operator, Reading, Route, Writing
from fillip.manage.schema.impact import recheck_campaigns
from fillip.manage.schema.schema import JsonSchema, refuse_retyping
from fillip.manage.store.postgres import Connection, transaction
from fillip.manage.tenant import postgres
from fillip.manage.tenant.iso4217 import CURRENCIES

NO_ATTRIBUTES: dict[str, Any] = {"type": "object", "properties": {}}

router = APIRouter(tags=["tenants"], route_class=Route)


def _want_currency(code: str) -> str:
    if code in CURRENCIES:
        return code
    raise ValueError("not an ISO 4217 currency such as EUR")


HoldoutPercent = Annotated[
    int, Field(ge=0, le=50, strict=True, description="Of the users: they get nothing, from any campaign", examples=[5])
]


class NewTenant(Part):
    """What the operator says of a new tenant; `clock`, `time_zone` and `currency` stay as they are for ever."""

    tenant_id: TenantId
    name: Title
    time_zone: TimeZone
    currency: Annotated[str, AfterValidator(_want_currency), Field(examples=["EUR"])]
    clock: Literal["live", "history"] = "live"
    user_schema: JsonSchema = NO_ATTRIBUTES
    holdout_percent: HoldoutPercent = 0


class TenantChange(Part):
    """The parts of a tenant that it may change; absent ones stay."""

    name: Title | None = None
    user_schema: JsonSchema | None = None
    holdout_percent: HoldoutPercent | None = None


class TenantState(BaseModel):
    """A tenant; `book_version` counts the changes of its campaigns, limits, cohorts, actions and itself."""

    tenant_id: TenantId
    name: Title
    time_zone: str = Field(examples=["Europe/Berlin"])
    currency: str = Field(examples=["EUR"])
    clock: Literal["live", "history"]
    user_schema: JsonSchema
    holdout_percent: HoldoutPercent
    book_version: int
    revision: int
    created_at: datetime


class OwnTenant(TenantState):
    """A tenant with how far its changes are in force."""

    in_force_version: int = Field(description="The book version that every running worker decides under")


async def add_tenant(connection: Connection, new: NewTenant) -> TenantState:
    """Create a tenant with the owner's rights; raises SchemaUnusable, or Conflict where the id is taken."""
    check_schema(new.user_schema)
    await postgres.insert_tenant(connection, new.tenant_id, new.model_dump(exclude={"tenant_id"}))
    await record_change(connection, new.tenant_id, None, "tenant", new.tenant_id, new.model_dump())
    return TenantState.model_validate(await postgres.find_tenant(connection, new.tenant_id), from_attributes=True)


@router.post("/tenants", status_code=201)
async def create_tenant(new: NewTenant, owner: Operator) -> TenantState:
    """Create a tenant (operator). Its first API key is made by `POST /v1/tenants/{tenant_id}/keys`."""
    async with transaction(owner) as connection:
        return await add_tenant(connection, new)


@router.get("/tenants")
async def list_tenants(owner: Operator, pages: NamedPages) -> Page[TenantState]:
    """All tenants (operator), by id."""
    async with transaction(owner) as connection:
        return answer_page(TenantState, await postgres.list_tenants(connection, pages))


@router.get("/tenant")
async def read_tenant(work: Reading, response: Response) -> OwnTenant:
    """The tenant that the key belongs to."""
    row = await postgres.find_tenant(work.connection, work.caller.tenant_id)
    held = await find_force(work.connection, work.caller)
    tag(response, row.revision)
    return OwnTenant(
        **dict(TenantState.model_validate(row, from_attributes=True)),
        in_force_version=row.book_version if held is None else max(held, 0),
    )


@router.patch("/tenant")
async def change_tenant(change: TenantChange, if_match: Match, work: Writing, response: Response) -> TenantState:
    """Change the tenant's name, the schema of its users' attributes, or how many of its users are held out.

    Attributes may be added and removed, but not change their type; launched campaigns must still fit.
    Who is held out is told by a hash of the user: a larger holdout has all of a smaller one, and their quests stand still.
    """
    row = await postgres.hold_tenant(work.connection, work.caller.tenant_id)
    if_match.require(row.revision)
    if change.user_schema is not None:
        shape = await work.compute(check_schema, change.user_schema)
        refuse_retyping(row.user_schema, shape)
        await require_declared(work.connection, work.caller, change.user_schema)
        await recheck_campaigns(work, None, shape)
    given = change.model_dump(exclude_none=True)
    await postgres.change_tenant(work.connection, row.tenant_id, given)
    document = postgres.describe_tenant(row) | given
    await change_book(work.connection, work.caller, "tenant", row.tenant_id, document)
    return answer_tagged(TenantState, await postgres.find_tenant(work.connection, row.tenant_id), response)
