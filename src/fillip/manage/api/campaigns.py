"""Campaigns: drafts, launched versions, and the posts of the life cycle."""

import re
from collections.abc import Mapping
from datetime import datetime
from secrets import token_hex
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Query, Request, Response
from msgspec import Struct, json
from msgspec.structs import replace
from pydantic import BaseModel, Field
from starlette.convertors import StringConvertor, register_url_convertor

from fillip.core.campaign.campaign import UNLAUNCHED, Campaign, CampaignState, CheckedExpression
from fillip.core.campaign.campaign_limit import name_limit
from fillip.core.campaign.check_campaign_limits import check_limit_keys, fill_limit_currencies
from fillip.core.campaign.check_definition import check_change, fill_currency
from fillip.core.campaign.check_exclusive import check_retained
from fillip.core.campaign.warnings import list_seldom_meant
from fillip.core.quest.check_route import check_route, list_warnings
from fillip.http.errors import Conflict, refuse, standing_at
from fillip.http.etag import Match, tag
from fillip.http.fields import Instant, ObjectId, Part, give_examples
from fillip.http.page import Page, Pages, TitledPages, answer_page
from fillip.manage.backfill.postgres import add_backfill
from fillip.manage.book.postgres import find_force, lock_tenant
from fillip.manage.campaign import postgres
from fillip.manage.campaign.checks import check_campaign, check_conflict, require_lists
from fillip.manage.campaign.codes_postgres import drop_codes, take_codes
from fillip.manage.campaign.definition import (
    SIMPLE_EXAMPLE,
    DefinitionPart,
    ShownDefinition,
    read_checked,
    read_definition,
)
from fillip.manage.campaign.life_cycle import Order, check_backfill, find_next, keep_start, plan_end, plan_launch
from fillip.manage.campaign.open_instances import OpenInstances, plan_change
from fillip.manage.campaign.vocabulary_postgres import read_vocabulary
from fillip.manage.limit.definition_postgres import hold_changing, put_in_force
from fillip.manage.limit.postgres import check_keys
from fillip.manage.request.route import Posting, Reading, Route, UnitOfWork, Writing, find_app_state
from fillip.manage.rule.index_report import Lookup, list_lookups, list_never
from fillip.manage.tenant.checks import require_room

_POLICY = "Of a launched quest: whether open instances keep the version they are under, or migrate (default) to the new"
router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=Route)


class _OrderConvertor(StringConvertor):
    """A segment that is an order and no other: what stands beside the orders has methods of its own."""

    regex = "|".join(get_args(Order))


register_url_convertor("order", _OrderConvertor())


class NewCampaign(Part):
    """A campaign to be made; without an id, one is made from its name."""

    model_config = give_examples({"campaign_id": "coupon-26", "definition": SIMPLE_EXAMPLE})

    campaign_id: ObjectId | None = None
    definition: DefinitionPart


class LaunchPart(Part):
    """Since when a campaign counts that is launched now: what happened since then and was received before is decided too."""

    model_config = give_examples({"backfill_from": "2026-01-01T00:00:00Z"})

    backfill_from: Instant


class WarningAnswer(BaseModel):
    """What may not be meant, at a place (JSON pointer) in the definition."""

    at: str = Field(examples=["/quest/steps/0/rule"])
    message: str


class CampaignAnswer(BaseModel):
    """A campaign in its current version; `state` is as of now."""

    campaign_id: ObjectId
    state: CampaignState
    version: int
    revision: int
    definition: ShownDefinition
    kept_versions: list[int] = Field(description="Earlier ones that open instances of the quest go on under")
    launched_at: datetime | None
    active: bool = Field(
        description="Whether every running worker decides under this state and version; not of a draft"
    )
    lookups: list[Lookup]
    warnings: list[WarningAnswer] = Field(description="What is allowed and seldom meant; nothing has to be done")
    created_at: datetime
    updated_at: datetime


class Notes(Struct, frozen=True):
    """What is told of a definition besides: how the index finds its rules, and what is seldom meant."""

    lookups: list[Lookup]
    warnings: list[WarningAnswer]


class ChangeAnswer(CampaignAnswer):
    """A campaign after a change; null where it could have no open instances: a SIMPLE one, or one not launched."""

    open_instances: OpenInstances | None


class VersionAnswer(BaseModel):
    """One version of a campaign; of a launched one it never changes.

    `open_instances` is what was asked for those of the versions before: null for the first one and a SIMPLE campaign,
    and where a schema's change or the campaign's end made the version, which leaves each instance where it stands.
    """

    campaign_id: ObjectId
    version: int
    definition: ShownDefinition
    open_instances: postgres.Policy | None
    created_at: datetime


@router.post("", status_code=201)
async def create_campaign(work: Posting, body: NewCampaign, response: Response) -> CampaignAnswer:
    """Make a draft. Every rule is type-checked against its action's schema; all faults come at once."""
    tenant = await lock_tenant(work.connection, work.caller)
    campaign = body.definition.to_campaign(tenant.time_zone)
    with standing_at("/definition"):
        campaign, checked, notes = await _check(work, body.campaign_id, campaign)
    require_room(work.caller, "campaigns", await postgres.count_campaigns(work.connection, work.caller.tenant_id))
    words = re.sub(r"[^a-z0-9]+", "-", campaign.name.lower()).strip("-")[:48].rstrip("-")
    campaign_id = body.campaign_id or f"{words or 'campaign'}-{token_hex(3)}"
    row = await postgres.add_campaign(work.connection, work.caller, campaign_id, campaign, checked)
    response.headers["Location"] = f"/v1/campaigns/{campaign_id}"
    return _answer_campaign(work, row, notes, response)


@router.get("")
async def list_campaigns(
    work: Reading,
    pages: TitledPages,
    state: Annotated[CampaignState | None, Query(description="As of now")] = None,
    kind: Literal["SIMPLE", "QUEST"] | None = None,
) -> Page[CampaignAnswer]:
    """The tenant's campaigns by id."""
    rows, cursor = await postgres.list_campaigns(work.connection, work.caller, pages, shown=state, kind=kind)
    held = await find_force(work.connection, work.caller)
    notes = await work.compute(lambda: [_read_notes(row) for row in rows])
    items = [describe_campaign(row, held, each) for row, each in zip(rows, notes, strict=True)]
    return Page(items=items, next_cursor=cursor)


@router.get("/{campaign_id}")
async def read_campaign(work: Reading, campaign_id: str, response: Response) -> CampaignAnswer:
    """One campaign in its current version."""
    row = await postgres.find_campaign(work.connection, work.caller, campaign_id)
    tag(response, row.revision)
    held = await find_force(work.connection, work.caller)
    return describe_campaign(row, held, await work.compute(_read_notes, row))


@router.get("/{campaign_id}/versions")
async def list_campaign_versions(work: Reading, campaign_id: str, pages: Pages) -> Page[VersionAnswer]:
    """All versions of a campaign, the first one first."""
    await postgres.find_campaign(work.connection, work.caller, campaign_id)
    return answer_page(VersionAnswer, await postgres.list_versions(work.connection, work.caller, campaign_id, pages))


@router.put("/{campaign_id}")
async def change_campaign(
    work: Writing,
    campaign_id: str,
    body: DefinitionPart,
    if_match: Match,
    response: Response,
    open_instances: Annotated[postgres.Policy | None, Query(description=_POLICY)] = None,
) -> ChangeAnswer:
    """Replace the definition: a draft changes in place, a campaign that is launched or in shadow gets a new version.

    Without `starts_at` a launched campaign keeps its start. In shadow a quest begins anew with each version.
    Open instances of a quest go over to the new version (`migrate`), or on under the one they stand under (`keep`).
    """
    caps = {name_limit(campaign_id, each.name): each.cap for each in body.limits}
    held = await hold_changing(work.connection, work.caller, campaign_id, caps)
    tenant = await lock_tenant(work.connection, work.caller)
    row = await postgres.find_campaign(work.connection, work.caller, campaign_id)
    if_match.require(row.revision)
    launched, campaign = row.state not in UNLAUNCHED, body.to_campaign(tenant.time_zone)
    campaign = keep_start(campaign, row) if launched else campaign
    campaign, checked, notes = await _check(work, campaign_id, campaign)
    if row.shown in ("ended", "archived"):
        raise Conflict(f"campaign '{campaign_id}' is {row.shown}: it can't change any more, make another")
    if row.state != "draft":
        await require_lists(work.connection, work.caller, campaign, checked)
    if launched:
        refuse(check_change(read_definition(row), campaign))
        refuse(check_route(campaign, read_checked(row), checked))
        own = campaign.list_limits(campaign_id, checked)
        await put_in_force(work.connection, work.caller, campaign_id, own, held=held)
        await take_codes(work.connection, work.caller, campaign_id, campaign)
    await check_keys(work.connection, work.caller, campaign_id, campaign)
    plan = await plan_change(work.connection, work.caller, row, open_instances)
    row = await postgres.save_version(work.connection, work.caller, row, campaign, checked, plan)
    kept = {
        each.version: read_definition(each)
        for each in await postgres.list_kept(work.connection, work.caller, campaign_id)
    }
    refuse(check_retained(campaign, kept.values()))
    refuse(check_limit_keys(campaign, campaign_id, kept))
    await _require_steps(work, row)
    told = OpenInstances(policy=plan.policy, open=plan.open) if plan else None
    return ChangeAnswer(**dict(_answer_campaign(work, row, notes, response)), open_instances=told)


@router.delete("/{campaign_id}", status_code=204)
async def delete_campaign(work: Writing, campaign_id: str, if_match: Match) -> None:
    """Delete a draft that was never in shadow and that no limit names; all others are archived."""
    await lock_tenant(work.connection, work.caller)
    row = await postgres.find_campaign(work.connection, work.caller, campaign_id)
    if_match.require(row.revision)
    if row.state != "draft" or row.version > 1:  # a draft changes in place: of a later version it was in shadow
        was = "was in shadow" if row.state == "draft" else f"is {row.shown}"
        raise Conflict(f"campaign '{campaign_id}' {was}: what it decided goes on naming it, so it can be archived only")
    if limits := await postgres.list_limited(work.connection, work.caller, campaign_id):
        raise Conflict(f"campaign '{campaign_id}' is named by limits: {', '.join(limits)}; delete them first")
    await postgres.remove_draft(work.connection, work.caller, campaign_id)


@router.post("/{campaign_id}/{order:order}")
async def move_campaign(
    work: Posting,
    request: Request,
    campaign_id: str,
    order: Order,
    if_match: Match,
    response: Response,
    body: LaunchPart | None = None,
) -> CampaignAnswer:
    """Put into shadow, withdraw to a draft, launch, pause, resume, end or archive.

    In shadow a draft is decided on all that comes, grants nothing and takes nothing: what it would have granted, before limits
    and conflicts with other campaigns, is denied as `shadow`. Withdrawing makes a draft of it again, as its next version.
    Launching checks the definition again; without `starts_at` the campaign starts now, in a tenant whose clock is `live`. With
    `backfill_from` it starts then, and a backfill decides what was received before the launch; of a quest, what comes meanwhile waits
    until that is over. Only a launch takes a body.
    Ending closes the schedule now. What a paused campaign would have granted is denied, as `paused`.
    """
    await lock_tenant(work.connection, work.caller)
    row = await postgres.find_campaign(work.connection, work.caller, campaign_id)
    if_match.require(row.revision)
    campaign = read_definition(row)
    state = find_next(row, campaign, order)
    if body is not None:
        check_backfill(
            body.backfill_from, order, campaign, row, is_set_up=find_app_state(request).user_queries is not None
        )
        campaign = replace(campaign, schedule=replace(campaign.schedule, starts_at=body.backfill_from))
    if order == "shadow" and campaign.codes:
        raise Conflict("a campaign with codes can't be in shadow: try a code by POST /v1/redemptions/check")
    if order in ("shadow", "launch"):
        campaign = plan_launch(campaign, row, work.began_at) if order == "launch" else campaign
        campaign, checked, notes = await _check(work, campaign_id, campaign)
        await require_lists(work.connection, work.caller, campaign, checked)
        own = campaign.list_limits(campaign_id, checked) if order == "launch" else ()
        await put_in_force(work.connection, work.caller, campaign_id, own)
        row = await postgres.save_version(work.connection, work.caller, row, campaign, checked)
        await take_codes(work.connection, work.caller, campaign_id, campaign)
    else:
        notes = await work.compute(take_notes, campaign, read_checked(row))
    if order == "withdraw":  # so that what was decided in shadow keeps its version
        row = await postgres.save_version(work.connection, work.caller, row, campaign, row.checked, growing=False)
    elif order == "end" and (ended := plan_end(campaign, row.now)) != campaign:
        row = await postgres.save_version(work.connection, work.caller, row, ended, row.checked, growing=False)
    elif order == "archive":
        await drop_codes(work.connection, work.caller, campaign_id)
    row = await postgres.move(
        work.connection, work.caller, campaign_id, state, row.version, row.kept, launches=order == "launch"
    )
    if body is not None:
        await add_backfill(
            work.connection, work.caller, campaign_id, body.backfill_from, events_wait=campaign.quest is not None
        )
    if order in ("shadow", "launch"):
        await _require_steps(work, row)
    return _answer_campaign(work, row, notes, response)


async def _require_steps(work: UnitOfWork, row: postgres.CampaignRow) -> None:
    """Raise QuotaExceeded where all that an event may meet would cost too much; the tenant's lock is held, so sums stand."""
    if row.state != "draft":
        used = await postgres.count_steps(work.connection, work.caller.tenant_id)
        require_room(work.caller, "rule_steps", used - row.steps, row.steps)


async def _check(
    work: UnitOfWork, campaign_id: str | None, campaign: Campaign
) -> tuple[Campaign, dict[str, CheckedExpression], Notes]:
    """The campaign with its currency, its checked expressions, and what is told of them; holds the tenant's lock from here on."""
    vocabulary = await read_vocabulary(work.connection, work.caller, campaign, work.began_at)
    campaign = fill_limit_currencies(fill_currency(campaign, vocabulary.currency))
    checked = await work.compute(check_campaign, campaign, vocabulary)
    notes = await work.compute(take_notes, campaign, checked)
    await check_conflict(work.connection, work.caller, campaign_id, campaign)
    return campaign, checked, notes


def _answer_campaign(work: UnitOfWork, row: postgres.CampaignRow, notes: Notes, response: Response) -> CampaignAnswer:
    """What was changed; `active` is told once it is committed."""
    tag(response, row.revision)
    if row.state != "draft":
        work.when_in_force = mark_active
    return describe_campaign(row, -1, notes)


def mark_active(body: bytes) -> bytes:
    """The answer that a changed campaign is, once all who decide have the change."""
    return json.encode(json.decode(body) | {"active": True})


def take_notes(campaign: Campaign, checked: Mapping[str, CheckedExpression]) -> Notes:
    """What is told of a definition; `checked` are its expressions by path."""
    found = [*list_warnings(campaign, checked), *list_never(campaign, checked), *list_seldom_meant(campaign)]
    warnings = [WarningAnswer(at=each.at, message=each.message) for each in found]
    return Notes(list_lookups(campaign, checked), warnings)


def _read_notes(row: postgres.CampaignRow) -> Notes:
    return take_notes(read_definition(row), read_checked(row))


def describe_campaign(row: postgres.CampaignRow, held: int | None, notes: Notes) -> CampaignAnswer:
    """The answer that a campaign is, with what its current version leads to.

    `held` is the version of the book that every running worker decides under; None where none runs, as the next one will have it.
    """
    fields = {
        name: row._mapping[name]
        for name in ("campaign_id", "version", "revision", "launched_at", "created_at", "updated_at")
    }
    shown = {"state": row.shown, "definition": row.definition, "kept_versions": row.kept}
    shown["active"] = row.state != "draft" and (held is None or held >= row.book_version)
    return CampaignAnswer(**fields, **shown, lookups=notes.lookups, warnings=notes.warnings)
