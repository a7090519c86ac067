"""Campaigns and their versions as stored: reading with the state that the clock gives, writing with the book change."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct
from sqlalchemy import DateTime, Integer, Row, Select, any_, bindparam, case, cast, delete, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONPATH
from sqlalchemy.dialects.postgresql import insert as insert_or_not

from fillip.core.campaign.campaign import Campaign, CampaignState, CheckedExpression
from fillip.core.event import ACCEPTED_FOR
from fillip.core.ports import Caller
from fillip.http.errors import Conflict, NotFound
from fillip.http.paging import Paging
from fillip.manage.book.postgres import change_book
from fillip.manage.store.keyset import RowPage, read_page
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables import book as book_tables
from fillip.manage.store.tables import cohort as cohort_tables
from fillip.manage.store.tables import ledger as ledger_tables
from fillip.manage.store.tables import tenant as tenant_tables

_campaign, _version, _tenant = book_tables.campaign, book_tables.campaign_version, tenant_tables.tenant
_limit = book_tables.spending_limit
DEFINITION = _version.c.definition
LATENESS_S = func.coalesce(cast(DEFINITION[("quest", "lateness_s")].astext, Integer), 0)
MAX_NAMED = 20
"""Objects that a refusal names."""
_OVER_FOR_GOOD = timedelta(days=7) + ACCEPTED_FOR
"""So long after its window, an instance takes nothing more: the most lateness, and the oldest event that is taken."""
_starts_at = cast(DEFINITION[("schedule", "starts_at")].astext, DateTime(timezone=True))
_ends_at = cast(DEFINITION[("schedule", "ends_at")].astext, DateTime(timezone=True))

_is_same = (_version.c.tenant_id == _campaign.c.tenant_id) & (_version.c.campaign_id == _campaign.c.campaign_id)
_is_current = _is_same & (_version.c.version == _campaign.c.version)
_is_kept = _version.c.version == any_(_campaign.c.kept)
IS_IN_FORCE = _is_same & or_(_version.c.version == _campaign.c.version, _is_kept)
"""Joins a campaign to its newest version and to those that open instances go on under."""

SHOWN = case(
    (_tenant.c.clock != "live", _campaign.c.state),
    (_campaign.c.state.not_in(("scheduled", "running")), _campaign.c.state),
    (_starts_at > func.now(), literal("scheduled")),
    (_ends_at < func.now(), literal("ended")),
    else_=literal("running"),
)
"""The state as of now: by the schedule for a launched campaign of a live tenant, as stored for any other."""

_CURRENT = (
    select(
        _campaign,
        DEFINITION,
        _version.c.checked,
        _version.c.steps,
        SHOWN.label("shown"),
        _tenant.c.clock,
        func.now().label("now"),
    )
    .join(_version, _is_current)
    .join(_tenant, _tenant.c.tenant_id == _campaign.c.tenant_id)
)
_ONE = _CURRENT.where(
    _campaign.c.tenant_id == bindparam("tenant_id"), _campaign.c.campaign_id == bindparam("campaign_id")
)
"""Built once: building a statement costs as much as running it."""
CampaignRow: TypeAlias = Row[Any]
"""A campaign with its current version, as `select_campaigns` gives it."""


Policy = Literal["keep", "migrate"]


class Plan(Struct, frozen=True):
    """What is asked for, for how many open instances, and the earlier versions that are in force from then on."""

    policy: Policy
    open: int
    kept: Sequence[int]


def select_campaigns(caller: Caller) -> Select[Any]:
    """The current version of each of the caller's campaigns, its state as of now, and now itself."""
    return _CURRENT.where(_campaign.c.tenant_id == caller.tenant_id)


async def find_campaign(connection: Connection, caller: Caller, campaign_id: str) -> CampaignRow:
    """One campaign as `select_campaigns` gives it; raises NotFound."""
    given = {"tenant_id": caller.tenant_id, "campaign_id": campaign_id}
    row: CampaignRow | None = (await connection.execute(_ONE, given)).one_or_none()
    if row is None:
        raise NotFound(f"no campaign '{campaign_id}'")
    return row


async def list_campaigns(
    connection: Connection, caller: Caller, pages: Paging, *, shown: CampaignState | None, kind: str | None
) -> RowPage:
    """A page of the caller's campaigns by id, all or those shown in a state or of a kind."""
    names = [DEFINITION[name].astext.label(name) for name in ("kind", "name")]
    statement = select_campaigns(caller).add_columns(*names)
    sift = {"shown": shown, "kind": kind}
    return await read_page(connection, statement, [_campaign.c.campaign_id], pages, sift=sift)


async def list_versions(connection: Connection, caller: Caller, campaign_id: str, pages: Paging) -> RowPage:
    """A page of the versions of a campaign, the first one first."""
    mine = (_version.c.tenant_id == caller.tenant_id) & (_version.c.campaign_id == campaign_id)
    return await read_page(connection, select(_version).where(mine), [_version.c.version], pages)


async def add_campaign(
    connection: Connection, caller: Caller, campaign_id: str, campaign: Campaign, checked: dict[str, CheckedExpression]
) -> CampaignRow:
    """Store a new draft as version 1; raises Conflict when the id is taken."""
    values = {"tenant_id": caller.tenant_id, "campaign_id": campaign_id, "state": "draft", "version": 1}
    made = insert_or_not(_campaign).values(values).on_conflict_do_nothing().returning(_campaign.c.campaign_id)
    if (await connection.execute(made)).one_or_none() is None:
        raise Conflict(f"campaign '{campaign_id}' exists: choose another id, or change it by PUT")
    await _add_version(connection, caller, campaign_id, 1, campaign, checked)
    return await _announce(connection, caller, campaign_id, True)


async def save_version(
    connection: Connection,
    caller: Caller,
    row: CampaignRow,
    campaign: Campaign,
    checked: dict[str, CheckedExpression],
    plan: Plan | None = None,
    *,
    growing: bool = True,
) -> CampaignRow:
    """Store `campaign` in place of a draft, or as the next version of one that is launched or in shadow.

    `plan` says what becomes of open instances. Without it, those on retained versions stay; those on the current one follow.
    """
    version = row.version
    if row.state == "draft":
        same = (_version.c.tenant_id == caller.tenant_id) & (_version.c.campaign_id == row.campaign_id)
        same &= _version.c.version == version  # earlier ones it had in shadow
        await connection.execute(_version.update().where(same).values(**_write_content(campaign, checked)))
    else:
        version += 1
        policy = plan.policy if plan else None
        await _add_version(connection, caller, row.campaign_id, version, campaign, checked, policy)
    kept = plan.kept if plan else row.kept
    return await move(connection, caller, row.campaign_id, row.state, version, kept, growing=growing)


async def move(
    connection: Connection,
    caller: Caller,
    campaign_id: str,
    state: CampaignState,
    version: int,
    kept: Sequence[int],
    *,
    growing: bool = False,
    launches: bool = False,
) -> CampaignRow:
    """Put a campaign into `state` at `version` beside those `kept`, with a new revision, and announce it."""
    same = (_campaign.c.tenant_id == caller.tenant_id) & (_campaign.c.campaign_id == campaign_id)
    values = {"state": state, "version": version, "kept": list(kept)} | (
        {"launched_at": func.now()} if launches else {}
    )
    moved = {"revision": _campaign.c.revision + 1, "updated_at": func.now()}
    await connection.execute(_campaign.update().where(same).values(values | moved))
    return await _announce(connection, caller, campaign_id, growing)


async def list_launched(connection: Connection, caller: Caller) -> list[CampaignRow]:
    """Every campaign that events may still meet: neither draft nor archived."""
    statement = select_campaigns(caller).where(_campaign.c.state.not_in(("draft", "archived")))
    return list((await connection.execute(statement.order_by(_campaign.c.campaign_id))).all())


async def list_kept(connection: Connection, caller: Caller, campaign_id: str | None = None) -> list[Row[Any]]:
    """Earlier versions that open instances go on under, of one campaign or of all that were launched, by version."""
    mine = [_campaign.c.tenant_id == caller.tenant_id, _campaign.c.state.not_in(("draft", "archived"))]
    mine += [_campaign.c.campaign_id == campaign_id] if campaign_id else []
    statement = select(_version).join(_campaign, _is_same & _is_kept).where(*mine)
    return list((await connection.execute(statement.order_by(_version.c.campaign_id, _version.c.version))).all())


async def find_unbuilt(connection: Connection, caller: Caller, asked: Collection[str]) -> Sequence[str]:
    """Those of the cohorts that have had no list yet."""
    cohort = cohort_tables.cohort.c
    mine = (cohort.tenant_id == caller.tenant_id) & cohort.cohort_id.in_(asked) & (cohort.version == 0)
    return (await connection.execute(select(cohort.cohort_id).where(mine).order_by(cohort.cohort_id))).scalars().all()


async def find_in_group(connection: Connection, caller: Caller, group: str, *, but: str | None) -> CampaignRow | None:
    """The first campaign by id of an exclusive group that is not archived, leaving out `but`."""
    others = select_campaigns(caller).where(
        DEFINITION[("exclusive", "group")].astext == group,
        _campaign.c.state != "archived",
        _campaign.c.campaign_id != (but or ""),
    )
    statement = others.order_by(_campaign.c.campaign_id).limit(1)
    row: CampaignRow | None = (await connection.execute(statement)).first()
    return row


async def count_standing(connection: Connection, caller: Caller, row: CampaignRow) -> Mapping[int, int]:
    """By version, how many instances are open now; 0 where there are only such that may be opened again."""
    instance, live = ledger_tables.quest_instance.c, row.clock == "live"
    mine = (_version.c.tenant_id == caller.tenant_id) & (_version.c.campaign_id == row.campaign_id)
    lateness = select(_version.c.version, LATENESS_S.label("lateness_s")).where(mine).cte("lateness")
    lateness = lateness.prefix_with("MATERIALIZED")  # read once a version, not once an instance
    over_at = instance.ends_at + func.make_interval(0, 0, 0, 0, 0, 0, lateness.c.lateness_s)
    is_open = (instance.state == "open") & or_(literal(not live), instance.ends_at.is_(None), over_at >= func.now())
    recent = or_(literal(not live), instance.ends_at.is_(None), instance.ends_at > func.now() - _OVER_FOR_GOOD)
    statement = (
        select(instance.campaign_version, func.count().filter(is_open))
        .join(lateness, lateness.c.version == instance.campaign_version)
        .where(
            instance.tenant_id == caller.tenant_id,
            instance.campaign_id == row.campaign_id,
            instance.state.in_(("open", "lapsed")),
            recent,
        )
        .group_by(instance.campaign_version)
    )
    return {found[0]: found[1] for found in await connection.execute(statement)}


async def list_limited(connection: Connection, caller: Caller, campaign_id: str) -> list[str]:
    """Some of the limits of a campaign."""
    mine = (_limit.c.tenant_id == caller.tenant_id) & (_limit.c.campaign_id == campaign_id)
    found = select(_limit.c.limit_id).where(mine).order_by(_limit.c.limit_id)
    return list((await connection.execute(found.limit(MAX_NAMED))).scalars())


async def list_giving(connection: Connection, caller: Caller, pool_id: str) -> list[str]:
    """Some of the campaigns, archived ones aside, of which a version in force has a reward from a coupon pool."""
    path = cast("$.rewards[*].pool ? (@ == $pool_id)", JSONPATH)
    names = func.jsonb_path_exists(DEFINITION, path, func.jsonb_build_object("pool_id", pool_id))
    mine = (_campaign.c.tenant_id == caller.tenant_id) & (_campaign.c.state != "archived")
    found = select(_campaign.c.campaign_id).join(_version, IS_IN_FORCE).where(mine, names).distinct()
    return list((await connection.execute(found.order_by(_campaign.c.campaign_id).limit(MAX_NAMED))).scalars())


async def list_naming(connection: Connection, caller: Caller, name: str, *paths: str) -> list[str]:
    """Some of the campaigns, archived ones too, of which any version has `name` at one of these paths of its definition.

    What was decided under a version, and what is drafted in one, can be explained only as long as it has all that it names.
    """
    told = func.jsonb_build_object("name", name)
    names = [func.jsonb_path_exists(DEFINITION, cast(f"{path} ? (@ == $name)", JSONPATH), told) for path in paths]
    found = select(_version.c.campaign_id).where(_version.c.tenant_id == caller.tenant_id, or_(*names)).distinct()
    return list((await connection.execute(found.order_by(_version.c.campaign_id).limit(MAX_NAMED))).scalars())


async def remove_draft(connection: Connection, caller: Caller, campaign_id: str) -> None:
    """Delete a campaign that nothing was ever decided by, and announce it."""
    for table in (_version, _campaign):
        mine = (table.c.tenant_id == caller.tenant_id) & (table.c.campaign_id == campaign_id)
        await connection.execute(delete(table).where(mine))
    document = {"campaign_id": campaign_id, "deleted": True}
    await change_book(connection, caller, "campaign", campaign_id, document, growing=False)


async def count_campaigns(connection: Connection, tenant_id: str) -> int:
    """How many campaigns of a tenant are not archived."""
    mine = (_campaign.c.tenant_id == tenant_id) & (_campaign.c.state != "archived")
    return (await connection.execute(select(func.count()).select_from(_campaign).where(mine))).scalar_one()


async def count_steps(connection: Connection, tenant_id: str) -> int:
    """How many steps (core/rule/cost.py) an event may take at most in all expressions of a tenant's campaigns that it may meet:
    those launched and not archived, with the versions that open instances go on under.
    """
    mine = (_campaign.c.tenant_id == tenant_id) & _campaign.c.state.not_in(("draft", "archived"))
    statement = select(func.coalesce(func.sum(_version.c.steps), 0)).select_from(_campaign).join(_version, IS_IN_FORCE)
    return int((await connection.execute(statement.where(mine))).scalar_one())


async def _add_version(
    connection: Connection,
    caller: Caller,
    campaign_id: str,
    version: int,
    campaign: Campaign,
    checked: dict[str, CheckedExpression],
    policy: Policy | None = None,
) -> None:
    values = {"tenant_id": caller.tenant_id, "campaign_id": campaign_id, "version": version, "open_instances": policy}
    await connection.execute(_version.insert().values(**values, **_write_content(campaign, checked)))


def _write_content(campaign: Campaign, checked: dict[str, CheckedExpression]) -> dict[str, Any]:
    steps = sum(msgspec.convert(each, CheckedExpression).cost for each in checked.values())
    return {"definition": msgspec.to_builtins(campaign), "checked": msgspec.to_builtins(checked), "steps": steps}


async def _announce(connection: Connection, caller: Caller, campaign_id: str, growing: bool) -> CampaignRow:
    row = await find_campaign(connection, caller, campaign_id)
    names = ("campaign_id", "state", "version", "kept", "revision", "definition", "checked")
    document = {name: row._mapping[name] for name in names}
    version = await change_book(connection, caller, "campaign", campaign_id, document, growing=growing)
    same = (_campaign.c.tenant_id == caller.tenant_id) & (_campaign.c.campaign_id == campaign_id)
    await connection.execute(_campaign.update().where(same).values(book_version=version))
    return row
