"""Limits: HARD caps by count or by value, and how far they are used."""

from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from msgspec.structs import replace
from pydantic import BaseModel, Field

from fillip.core.campaign.check_limit import (
    check_key_action,
    check_limit,
    check_limit_currency,
    fill_key_action,
    fill_limit_currency,
    list_currencies,
)
from fillip.core.campaign.reward import RewardKind
from fillip.core.limit import Limit, Measure, Over, Scope, Span
from fillip.core.local_day import Zone
from fillip.core.problem import Fault
from fillip.core.schema.types import derive_event_type
from fillip.core.tenant import Weekday
from fillip.http.errors import DefinitionRefused, NotFound, refuse
from fillip.http.etag import Match, answer_tagged
from fillip.http.fields import Currency, ObjectId, give_examples
from fillip.http.page import NamedPages, Page, Pages, answer_page
from fillip.manage.book.postgres import hold_limits, lock_tenant
from fillip.manage.campaign.definition import read_definition
from fillip.manage.campaign.postgres import find_campaign, list_kept
from fillip.manage.campaign.vocabulary_postgres import read_actions, read_list_types, read_points
from fillip.manage.coupon.postgres import pools
from fillip.manage.limit import postgres
from fillip.manage.limit.checks import check_key
from fillip.manage.limit.part import CapPart
from fillip.manage.limit.postgres import limits
from fillip.manage.merge.postgres import share_user
from fillip.manage.request.route import Posting, Reading, Route, UnitOfWork, Writing
from fillip.manage.tenant.postgres import find_tenant

router = APIRouter(prefix="/limits", tags=["limits"], route_class=Route)


class LimitPart(CapPart):
    """At most `cap` grants or codes of `pool` (count) or units of `reward_kind` (value) a window, per subject of `scope` and per key."""

    model_config = give_examples(
        {
            "limit_id": "once-a-coupon",
            "scope": "user_in_campaign",
            "measure": "count",
            "span": "lifetime",
            "cap": 1,
            "campaign_id": "coupon-26",
            "key": "event.coupon",
        },
        {
            "limit_id": "cashback-daily",
            "scope": "tenant",
            "measure": "value",
            "span": "day",
            "cap": 10_000,
            "reward_kind": "cashback",
            "currency": "EUR",
        },
    )

    limit_id: ObjectId
    scope: Scope
    campaign_id: ObjectId | None = Field(None, description="For the campaign scopes, and only for them")


class LimitChange(LimitPart):
    """A limit as it is, but for its cap."""

    limit_id: str = Field(min_length=1, max_length=96, examples=["once-a-coupon"])


class LimitAnswer(BaseModel):
    """A limit; `action` is filled in where it has a key, `currency` where it adds up points or cashback."""

    limit_id: str = Field(description="Of one within a campaign's definition that of the campaign, a dot, and its name")
    scope: Scope
    measure: Measure
    span: Span
    week_starts_on: Weekday | None
    rolling_s: int | None
    zone: Zone
    cap: int
    over: Over
    campaign_id: ObjectId | None
    reward_kind: RewardKind | None
    currency: Currency | None
    action: str | None
    key: str | None
    pool: str | None
    in_definition: bool = Field(
        description="Whether it is part of its campaign's definition, and changes with that alone"
    )
    revision: int
    created_at: datetime
    updated_at: datetime


class UsageAnswer(BaseModel):
    """Use of a limit in one window, until `resets_at`. `user_id` is null where all users share it; `window_start` and `resets_at`
    are null for lifetime. Of rolling windows it is the one that ends now (for a tenant with clock history, with the newest use), `window_start` is null,
    and `resets_at` is when the first of what is used counts no more. By users' own days `resets_at` is in the zone that the user has now.

    `used` are grants, or by value minor units or points of `currency`.
    """

    user_id: str | None
    key: str | None
    window_start: date | None
    resets_at: datetime | None
    used: int
    cap: int
    currency: Currency | None
    changes: int


@router.post("", status_code=201)
async def create_limit(work: Posting, body: LimitPart, response: Response) -> LimitAnswer:
    """Make a limit; it caps what is decided from the answer on."""
    limit = Limit(**body.model_dump())
    refuse(check_limit(limit))
    tenant = await lock_tenant(work.connection, work.caller)
    await postgres.require_limits(work.connection, work.caller, 1)
    known = list_currencies(limit, tenant.currency, await read_points(work.connection, work.caller))
    limit = fill_limit_currency(limit, known)
    refuse(check_limit_currency(limit, known))
    limit = await _check_names(work, limit)
    row = await postgres.add_limit(work.connection, work.caller, limit)
    response.headers["Location"] = f"/v1/limits/{limit.limit_id}"
    return answer_tagged(LimitAnswer, row, response)


@router.get("")
async def list_limits(work: Reading, pages: NamedPages, campaign_id: ObjectId | None = None) -> Page[LimitAnswer]:
    """The tenant's limits by id."""
    return answer_page(LimitAnswer, await limits.list(work.connection, work.caller, pages, campaign_id=campaign_id))


@router.get("/{limit_id}")
async def read_limit(work: Reading, limit_id: str, response: Response) -> LimitAnswer:
    """One limit."""
    return answer_tagged(LimitAnswer, await limits.find(work.connection, work.caller, limit_id), response)


@router.put("/{limit_id}")
async def change_limit(
    work: Writing, limit_id: str, body: LimitChange, if_match: Match, response: Response
) -> LimitAnswer:
    """Change the cap. Below what is used already it refuses all further grants and takes nothing back."""
    await hold_limits(work.connection, work.caller)
    await lock_tenant(work.connection, work.caller)
    row = await limits.find(work.connection, work.caller, limit_id)
    if_match.require(row.revision)
    postgres.require_apart(row)
    limit, wanted = postgres.read_limit(row), body.model_dump()
    faults = [
        Fault(f"/{name}", f"can't change from '{getattr(limit, name)}': make another limit")
        for name in wanted
        if name != "cap" and wanted[name] != getattr(limit, name) and not _fills_in(limit, name, wanted[name])
    ]
    if faults:
        raise DefinitionRefused(faults)
    row = await postgres.save_limit(work.connection, work.caller, replace(limit, cap=body.cap))
    return answer_tagged(LimitAnswer, row, response)


@router.delete("/{limit_id}", status_code=204)
async def delete_limit(work: Writing, limit_id: str, if_match: Match) -> None:
    """Delete a limit that has counted nothing yet."""
    await hold_limits(work.connection, work.caller)
    await lock_tenant(work.connection, work.caller)
    row = await limits.find(work.connection, work.caller, limit_id)
    if_match.require(row.revision)
    postgres.require_apart(row)
    await postgres.remove_limit(work.connection, work.caller, limit_id)


@router.get("/{limit_id}/usage")
async def list_limit_usage(
    work: Reading, limit_id: str, pages: Pages, user_id: Annotated[str | None, Query(max_length=256)] = None
) -> Page[UsageAnswer]:
    """Every counter of a limit: by window, user and key."""
    limit = postgres.read_limit(await limits.find(work.connection, work.caller, limit_id))
    tenant = await find_tenant(work.connection, work.caller.tenant_id)
    if user_id:
        user_id = await share_user(work.connection, work.caller, user_id)
    rows, cursor = await postgres.list_counters(work.connection, work.caller, limit_id, user_id, pages)
    standing = await postgres.read_standing(work.connection, work.caller, limit, rows, tenant)
    items = [
        UsageAnswer(
            user_id=row.user_id if limit.per_user else None,
            key=row.key if limit.key else None,
            window_start=None if limit.span in ("rolling", "lifetime") else row.window_start,
            resets_at=resets_at,
            used=used,
            cap=limit.cap,
            currency=limit.currency,
            changes=row.version,
        )
        for row, (used, resets_at) in zip(rows, standing, strict=True)
    ]
    return Page(items=items, next_cursor=cursor)


async def _check_names(work: UnitOfWork, limit: Limit) -> Limit:
    """The limit with its action and checked key; raises DefinitionRefused where it names what does not exist."""
    campaign, kept = None, []
    if limit.pool and await pools.seek(work.connection, work.caller, limit.pool) is None:
        raise DefinitionRefused([Fault("/pool", f"unknown pool '{limit.pool}': make it first by /v1/coupon-pools")])
    if limit.campaign_id:
        try:
            campaign = read_definition(await find_campaign(work.connection, work.caller, limit.campaign_id))
        except NotFound as missing:
            raise DefinitionRefused([Fault("/campaign_id", str(missing))]) from None
        kept = await list_kept(work.connection, work.caller, limit.campaign_id)
    if limit.key:
        limit = fill_key_action(limit, campaign)
        refuse(check_key_action(limit, campaign, {row.version: read_definition(row) for row in kept}))
    if not limit.action:
        return limit
    schemas = await read_actions(work.connection, work.caller, [limit.action])
    if limit.action not in schemas:
        raise DefinitionRefused([Fault("/action", f"unknown action '{limit.action}': define it first")])
    if not limit.key:
        return limit
    lists = await read_list_types(work.connection, work.caller)
    key_checked = await work.compute(check_key, limit, derive_event_type(schemas[limit.action]), lists)
    return replace(limit, key_checked=key_checked)


def _fills_in(limit: Limit, name: str, value: object) -> bool:
    """Whether a member left out of a PUT is one that was filled in: the action of a key, or the currency."""
    return value is None and (name == "currency" or (name == "action" and limit.key is not None))
