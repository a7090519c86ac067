"""API keys: made, listed, revoked. Several may live at once, so that one can replace another without a gap."""

from datetime import UTC, datetime
from typing import Annotated, Literal, get_args
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field, StrictBool

from fillip.http.errors import Conflict, Forbidden, Invalid
from fillip.http.fields import Instant, Part, TenantId, Title
from fillip.http.page import Page, Pages, answer_page
from fillip.manage.key import postgres
from fillip.manage.key.format import SHOWN, hash_key, make_key
from fillip.manage.request.route import Operator, Route, UnitOfWork, begin, begin_once
from fillip.manage.store.postgres import Connection, transaction

MAX_LIVE_KEYS = 100
Scope = Literal[
    "events:write",
    "manage:read",
    "manage:write",
    "reports:read",
    "facts:read",
    "tickets:write",
    "claims:write",
    "keys:write",
]

router = APIRouter(tags=["keys"], route_class=Route)


class NewKey(Part):
    """What a key is for. `test` only shows in its prefix, fk_test_ instead of fk_live_."""

    name: Title = Field(examples=["till system"])
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(get_args(Scope)), examples=[["events:write"]])]
    test: StrictBool = False
    expires_at: Instant | None = Field(None, examples=["2030-01-01T00:00:00Z"])


class Key(BaseModel):
    """A key as listed: never the key itself, only its first characters."""

    key_id: UUID
    name: Title
    prefix: str = Field(examples=["fk_live_Xq3v"])
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class IssuedKey(Key):
    """A new key: `key` is shown this once (null when an idempotent request is repeated)."""

    key: str | None = Field(examples=["fk_live_Xq3v…"])


async def add_key(connection: Connection, tenant_id: str, new: NewKey) -> IssuedKey:
    """Make a key of a tenant; raises Invalid for an expiry in the past, Conflict at 100 live keys, NotFound."""
    if new.expires_at and new.expires_at <= datetime.now(UTC):
        raise Invalid("must lie in the future", at="/expires_at")
    if await postgres.count_live_keys(connection, tenant_id) >= MAX_LIVE_KEYS:
        raise Conflict(f"there are {MAX_LIVE_KEYS} live keys: revoke one that is not needed")
    key = make_key(test=new.test)
    values = new.model_dump(exclude={"test"}) | {"prefix": key[:SHOWN], "key_hash": hash_key(key)}
    stored = await postgres.insert_key(connection, tenant_id, values | {"scopes": sorted(set(new.scopes))})
    return IssuedKey(**Key.model_validate(stored, from_attributes=True).model_dump(), key=key)


@router.post("/keys", status_code=201)
async def create_key(new: NewKey, work: Annotated[UnitOfWork, begin_once("keys:write")]) -> IssuedKey:
    """Make a key; it can have no scope that the key used here lacks."""
    if lacking := sorted(set(new.scopes) - work.caller.scopes):
        raise Forbidden(f"this key lacks {', '.join(lacking)} itself, so it can't grant it", at="/scopes")
    issued = await add_key(work.connection, work.caller.tenant_id, new)
    work.replay = issued.model_copy(update={"key": None}).model_dump_json().encode()
    return issued


@router.get("/keys")
async def list_keys(work: Annotated[UnitOfWork, begin("manage:read", writes=False)], pages: Pages) -> Page[Key]:
    """The tenant's keys, the oldest first; revoked and expired ones too."""
    return answer_page(Key, await postgres.list_keys(work.connection, work.caller, pages))


@router.delete("/keys/{key_id}", status_code=204)
async def revoke_key(key_id: UUID, work: Annotated[UnitOfWork, begin("keys:write")]) -> None:
    """Revoke a key that has no scope which the key used here lacks; this key itself, too.

    It opens nothing more, everywhere within 3 seconds. Repeating it changes nothing; no If-Match. Where no key with
    `keys:write` is left, the operator makes the next one.
    """
    scopes = await postgres.read_scopes(work.connection, work.caller, key_id)
    if lacking := sorted(set(scopes) - work.caller.scopes):
        raise Forbidden(f"this key lacks {', '.join(lacking)} itself, so it can't revoke one that has it")
    await postgres.revoke_key(work.connection, work.caller, key_id)


@router.post("/tenants/{tenant_id}/keys", status_code=201, tags=["tenants"])
async def create_tenant_key(tenant_id: TenantId, new: NewKey, owner: Operator) -> IssuedKey:
    """Make a key of any tenant (operator): its first one, or one in place of a lost one."""
    async with transaction(owner) as connection:
        return await add_key(connection, tenant_id, new)
