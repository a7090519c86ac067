"""Users: the tenant's end customers, their attributes, typed by the tenant's user schema, and their time zones."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from fillip.core.problem import Fault
from fillip.core.schema.reader import find_faults
from fillip.http.body import decode_json
from fillip.http.errors import HttpRefused, Invalid
from fillip.http.etag import Match, answer_tagged
from fillip.http.fields import Part, TimeZone, UserId
from fillip.http.page import NamedPages, Page, answer_page
from fillip.manage.merge.postgres import share_user, share_users
from fillip.manage.request.route import Posting, Reading, Route, UnitOfWork, Writing
from fillip.manage.schema.schema import Attributes
from fillip.manage.tenant.postgres import find_tenant, hold_user_schema
from fillip.manage.user import postgres
from fillip.manage.user.postgres import UserState, users

MAX_BULK = 1000

router = APIRouter(tags=["users"], route_class=Route)


OwnTimeZone = Annotated[
    TimeZone | None,
    Field(
        description="An IANA name: by its days go limits and streaks of zone 'user'. Null or left out: the tenant's zone",
        examples=["America/New_York"],
    ),
]


class UserPart(Part):
    """The attributes of a user, and the time zone of their own, if any."""

    attributes: Attributes
    time_zone: OwnTimeZone = None


class UserChange(Part):
    """What to merge into a user. `time_zone` stays if it is left out, and is removed by null."""

    attributes: Attributes = Field(default_factory=dict)
    time_zone: OwnTimeZone = None


class User(BaseModel):
    """A user as stored; without a time zone of their own the tenant's days are theirs."""

    user_id: UserId
    attributes: Attributes
    time_zone: str | None
    revision: int
    created_at: datetime
    updated_at: datetime


class BulkUser(UserPart):
    """One user of a bulk request."""

    user_id: UserId


class BulkUsers(Part):
    """Up to 1,000 users; each is stored whole or not at all."""

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
async def put_user(user_id: UserId, given: UserPart, if_match: Match, work: Writing, response: Response) -> User:
    """Create a user (201), or replace its attributes and time zone (200, If-Match)."""
    user_id = await share_user(work.connection, work.caller, user_id)
    await _check_attributes(work, given.attributes)
    state = UserState(given.attributes, given.time_zone)
    row = await postgres.insert_user(work.connection, work.caller, user_id, state)
    if row is not None:
        response.status_code = 201
    else:
        if_match.require((await users.find(work.connection, work.caller, user_id, lock=True)).revision)
        row = await postgres.change_user(work.connection, work.caller, user_id, state)
    return answer_tagged(User, row, response)


@router.patch("/users/{user_id}")
async def patch_user(user_id: UserId, given: UserChange, if_match: Match, work: Writing, response: Response) -> User:
    """Merge into a user (RFC 7396): null removes an attribute or the time zone, objects merge, all else replaces."""
    user_id = await share_user(work.connection, work.caller, user_id)
    row = await users.find(work.connection, work.caller, user_id, lock=True)
    merged = _merge(row.attributes, given.attributes)
    await _check_attributes(work, merged)
    if_match.require(row.revision)
    time_zone = given.time_zone if "time_zone" in given.model_fields_set else row.time_zone
    state = UserState(merged, time_zone)
    return answer_tagged(User, await postgres.change_user(work.connection, work.caller, user_id, state), response)


@router.get("/users/{user_id}")
async def read_user(user_id: UserId, work: Reading, response: Response) -> User:
    """One user; one that was merged into another is that one."""
    user_id = await share_user(work.connection, work.caller, user_id)
    return answer_tagged(User, await users.find(work.connection, work.caller, user_id), response)


@router.get("/users")
async def list_users(
    work: Reading,
    pages: NamedPages,
    user_id: Annotated[UserId | None, Query(description="Only this user")] = None,
    attributes: Annotated[
        str | None,
        Query(
            max_length=2000,
            description='Only users whose attributes hold all of these: a JSON object such as `{"tier": "gold"}`',
            examples=['{"tier": "gold"}'],
        ),
    ] = None,
) -> Page[User]:
    """All users, by id; or one of them, or those with certain attributes."""
    wanted = None if attributes is None else await _read_wanted(work, attributes)
    page = await users.list(work.connection, work.caller, pages, sift={"attributes": wanted}, user_id=user_id)
    return answer_page(User, page)


@router.delete("/users/{user_id}", status_code=204)
async def delete_user(user_id: UserId, if_match: Match, work: Writing) -> None:
    """Delete a user's attributes and time zone. What was decided for the user stays in the ledger, and cohort lists keep the id: see the user's erasure."""
    user_id = await share_user(work.connection, work.caller, user_id)
    if_match.require((await users.find(work.connection, work.caller, user_id, lock=True)).revision)
    await postgres.delete_user(work.connection, work.caller, user_id)


@router.post("/users:bulk")
async def put_users(bulk: BulkUsers, work: Posting) -> BulkAnswer:
    """Create or replace up to 1,000 users. The answer says which items failed and why; the others are stored."""
    now = await share_users(work.connection, work.caller, [user.user_id for user in bulk.users])
    schema = await hold_user_schema(work.connection, work.caller.tenant_id)
    faults = await work.compute(_find_bulk_faults, schema, bulk.users, now)
    pairs = zip(bulk.users, faults, strict=True)
    good = {now[user.user_id]: UserState(user.attributes, user.time_zone) for user, wrong in pairs if not wrong}
    created = await postgres.upsert_users(work.connection, work.caller, good)
    results = [
        BulkResult(
            user_id=user.user_id,
            status="failed" if wrong else ("created" if now[user.user_id] in created else "replaced"),
            errors=[BulkFault(at=fault.at, message=fault.message) for fault in wrong],
        )
        for user, wrong in zip(bulk.users, faults, strict=True)
    ]
    return BulkAnswer(stored=len(good), failed=len(results) - len(good), results=results)


def _find_bulk_faults(
    schema: Mapping[str, object], users: Sequence[BulkUser], now: Mapping[str, str]
) -> list[list[Fault]]:
    seen: dict[str, int] = {}
    faults = []
    for index, user in enumerate(users):
        first = seen.setdefault(now[user.user_id], index)
        if first != index:
            faults.append([Fault(f"/users/{index}/user_id", f"the same user as item {first}")])
        else:
            faults.append(find_faults(schema, user.attributes, f"/users/{index}/attributes"))
    return faults


async def _check_attributes(work: UnitOfWork, attributes: Mapping[str, object]) -> None:
    schema = await hold_user_schema(work.connection, work.caller.tenant_id)
    if faults := find_faults(schema, attributes):
        raise Invalid("the attributes do not fit the tenant's user schema", faults=faults)


async def _read_wanted(work: UnitOfWork, attributes: str) -> Mapping[str, object]:
    """The attributes that are asked for; raises Invalid for those that no user can have."""
    try:
        wanted = decode_json(attributes.encode())
    except HttpRefused as refused:
        raise Invalid(f"is not a JSON object: {refused}", at="attributes") from None
    if not isinstance(wanted, dict) or not wanted:
        raise Invalid('must be a JSON object with what is asked for, such as {"tier": "gold"}', at="attributes")
    schema = (await find_tenant(work.connection, work.caller.tenant_id)).user_schema
    if faults := find_faults({**schema, "required": []}, wanted, "attributes"):
        raise Invalid("no user can have these attributes by the tenant's user schema", faults=faults)
    return wanted


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
