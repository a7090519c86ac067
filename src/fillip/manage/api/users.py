"""Users: the tenant's end customers and their attributes, typed by the tenant's user schema."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Integer, Row, Select, Text, bindparam, delete, func, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql.elements import ColumnElement

from fillip.core.problem import Fault
from fillip.core.schema.reader import find_faults
from fillip.http.errors import Invalid, NotFound
from fillip.http.etag import Match, tag
from fillip.http.fields import UserId
from fillip.http.paging import Page, Pages
from fillip.manage.request.route import Posting, Reading, Route, UnitOfWork, Writing
from fillip.manage.schema.schema import Attributes
from fillip.manage.store.keyset import read_page
from fillip.manage.store.tables import end_user, tenant
from fillip.manage.tenant.usage import count_bytes

MAX_BULK = 1000
_GROWN: ColumnElement[int] = literal_column(
    "coalesce(octet_length(new.attributes::text), 0) - coalesce(octet_length(old.attributes::text), 0)", Integer
).label("grown")
"""Of a statement that writes users, in RETURNING: by how many bytes of JSON one has grown."""

router = APIRouter(tags=["users"], route_class=Route)
_UPSERT = text(Path(__file__).with_name("upsert_users.sql").read_text(encoding="utf-8")).bindparams(
    bindparam("user_ids", type_=ARRAY(Text)), bindparam("attributes", type_=ARRAY(Text))
)


class UserAttributes(BaseModel):
    """The attributes of a user."""

    model_config = ConfigDict(extra="forbid")

    attributes: Attributes


class User(BaseModel):
    """A user as stored."""

    user_id: UserId
    attributes: Attributes
    revision: int
    created_at: datetime
    updated_at: datetime


class BulkUser(UserAttributes):
    """One user of a bulk request."""

    user_id: UserId


class BulkUsers(BaseModel):
    """Up to 1,000 users; each is stored whole or not at all."""

    model_config = ConfigDict(extra="forbid")

    users: Annotated[list[BulkUser], Field(min_length=1, max_length=MAX_BULK)]


class BulkFault(BaseModel):
    """What is wrong with one item, and where in the request."""

    at: str = Field(examples=["/users/3/attributes/age"])
    message: str


class BulkResult(BaseModel):
    """What became of one item; `errors` only where it failed."""

    user_id: UserId
    status: Literal["created", "replaced", "failed"]
    errors: list[BulkFault] = []


class BulkAnswer(BaseModel):
    """The results in the order of the request."""

    stored: int
    failed: int
    results: list[BulkResult]


@router.put("/users/{user_id}", responses={201: {"model": User, "description": "Created"}})
async def put_user(user_id: UserId, given: UserAttributes, if_match: Match, work: Writing, response: Response) -> User:
    """Create a user (201), or replace its attributes (200, If-Match)."""
    await _check(work, given.attributes)
    new = {"tenant_id": work.caller.tenant_id, "user_id": user_id, "attributes": given.attributes}
    added = insert(end_user).values(new).on_conflict_do_nothing().returning(*end_user.c, _GROWN)
    row = (await work.connection.execute(added)).one_or_none()
    if row is not None:
        await _count(work, row.grown)
        response.status_code = 201
        tag(response, row.revision)
        return _show(row)
    return await _replace(work, await _lock(work, user_id), given.attributes, if_match, response)


@router.patch("/users/{user_id}")
async def merge_user(
    user_id: UserId, given: UserAttributes, if_match: Match, work: Writing, response: Response
) -> User:
    """Merge attributes into a user's (RFC 7396): null removes one, objects merge, all else replaces."""
    row = await _lock(work, user_id)
    merged = _merge(row.attributes, given.attributes)
    await _check(work, merged)
    return await _replace(work, row, merged, if_match, response)


@router.get("/users/{user_id}")
async def read_user(user_id: UserId, work: Reading, response: Response) -> User:
    """One user."""
    row = (await work.connection.execute(_one(user_id))).one_or_none()
    if row is None:
        raise NotFound(f"there is no user {user_id}")
    tag(response, row.revision)
    return _show(row)


@router.get("/users")
async def list_users(
    work: Reading, pages: Pages, user_id: Annotated[UserId | None, Query(description="Only this user")] = None
) -> Page[User]:
    """All users, by id; or one of them."""
    statement = select(end_user) if user_id is None else _one(user_id)
    rows, cursor = await read_page(work.connection, statement, [end_user.c.user_id], pages)
    return Page(items=[_show(row) for row in rows], next_cursor=cursor)


@router.delete("/users/{user_id}", status_code=204)
async def delete_user(user_id: UserId, if_match: Match, work: Writing) -> None:
    """Delete a user's attributes. What was decided for the user stays in the ledger, and cohort lists keep the id."""
    row = await _lock(work, user_id)
    if_match.require(row.revision)
    removed = delete(end_user).where(end_user.c.user_id == user_id).returning(_GROWN)
    await _count(work, (await work.connection.execute(removed)).scalar_one())


@router.post("/users:bulk")
async def put_users(bulk: BulkUsers, work: Posting) -> BulkAnswer:
    """Create or replace up to 1,000 users. The answer says which items failed and why; the others are stored."""
    schema = await _read_schema(work)
    faults = await work.compute(_find_bulk_faults, schema, bulk.users)
    good = [user for user, wrong in zip(bulk.users, faults, strict=True) if not wrong]
    created = await _upsert(work, good)
    results = [
        BulkResult(
            user_id=user.user_id,
            status="failed" if wrong else ("created" if user.user_id in created else "replaced"),
            errors=[BulkFault(at=fault.at, message=fault.message) for fault in wrong],
        )
        for user, wrong in zip(bulk.users, faults, strict=True)
    ]
    return BulkAnswer(stored=len(good), failed=len(results) - len(good), results=results)


def _find_bulk_faults(schema: Mapping[str, object], users: Sequence[BulkUser]) -> list[list[Fault]]:
    seen: dict[str, int] = {}
    faults = []
    for index, user in enumerate(users):
        first = seen.setdefault(user.user_id, index)
        if first != index:
            faults.append([Fault(f"/users/{index}/user_id", f"the same user as item {first}")])
        else:
            faults.append(find_faults(schema, user.attributes, f"/users/{index}/attributes"))
    return faults


async def _upsert(work: UnitOfWork, users: Sequence[BulkUser]) -> set[str]:
    """Store the users, in the order of their ids (so that two bulks can't deadlock); the ids that are new."""
    ordered = sorted(users, key=lambda user: user.user_id)

    found = await work.connection.execute(
        _UPSERT,
        {
            "tenant_id": work.caller.tenant_id,
            "user_ids": [user.user_id for user in ordered],
            "attributes": [msgspec.json.encode(user.attributes).decode() for user in ordered],
        },
    )
    rows = found.all()
    await _count(work, sum(row.grown for row in rows))
    return {row.user_id for row in rows if row.created}


async def _count(work: UnitOfWork, grown: int) -> None:
    """Count the bytes by which attributes have grown or shrunk; raises QuotaExceeded."""
    await count_bytes(work.connection, work.caller.tenant_id, grown, work.caller.quotas.stored_bytes)


async def _replace(
    work: UnitOfWork, row: Row[Any], attributes: dict[str, Any], if_match: Match, response: Response
) -> User:
    if_match.require(row.revision)
    values = {"attributes": attributes, "revision": row.revision + 1, "updated_at": func.now()}
    statement = update(end_user).where(end_user.c.user_id == row.user_id).values(values).returning(*end_user.c, _GROWN)
    row = (await work.connection.execute(statement)).one()
    await _count(work, row.grown)
    tag(response, row.revision)
    return _show(row)


async def _lock(work: UnitOfWork, user_id: str) -> Row[Any]:
    row: Row[Any] | None = (await work.connection.execute(_one(user_id).with_for_update())).one_or_none()
    if row is None:
        raise NotFound(f"there is no user {user_id}")
    return row


async def _read_schema(work: UnitOfWork) -> Mapping[str, object]:
    """The user schema, held until the commit, so that no user is stored under one that is being changed."""
    statement = select(tenant.c.user_schema).where(tenant.c.tenant_id == work.caller.tenant_id)
    schema: Mapping[str, object] = (await work.connection.execute(statement.with_for_update(read=True))).scalar_one()
    return schema


async def _check(work: UnitOfWork, attributes: Mapping[str, object]) -> None:
    faults = find_faults(await _read_schema(work), attributes)
    if faults:
        raise Invalid("the attributes do not fit the tenant's user schema", faults=faults)


def _merge(old: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            below = merged.get(name)
            merged[name] = _merge(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged


def _one(user_id: str) -> Select[Any]:
    return select(end_user).where(end_user.c.user_id == user_id)


def _show(row: Row[Any]) -> User:
    return User.model_validate(row, from_attributes=True)
