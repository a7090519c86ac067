"""Instances of quests as stored: how far users have come, in the state that the clock gives."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Row, and_, case, func, literal, select

from fillip.core.ports import Caller
from fillip.core.repair import REPAIR
from fillip.http.paging import Paging
from fillip.manage.campaign.postgres import DEFINITION, LATENESS_S
from fillip.manage.store.keyset import RowPage, read_page
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.book import campaign_version
from fillip.manage.store.tables.ledger import event_met, quest_instance, quest_step_met
from fillip.manage.store.tables.tenant import tenant

QuestRow: TypeAlias = Row[Any]
_is_own_version = and_(
    *(campaign_version.c[name] == quest_instance.c[name] for name in ("tenant_id", "campaign_id")),
    campaign_version.c.version == quest_instance.c.campaign_version,
)
_is_over = func.now() > quest_instance.c.ends_at + func.make_interval(0, 0, 0, 0, 0, 0, LATENESS_S)
_SHOWN = case(
    (and_(tenant.c.clock == "live", quest_instance.c.state == "open", _is_over), literal("lapsed")),
    else_=quest_instance.c.state,
)
"""The state as of now: in a live tenant nothing more can come for an open instance that is over."""


async def list_instances(
    connection: Connection,
    caller: Caller,
    wanted: Mapping[str, str | int | None],
    pages: Paging,
    state: str | None = None,
) -> RowPage:
    """A page of instances by campaign, user, key and occurrence, each with its campaign's `name`, and the next cursor.

    `wanted` are values by column, None: any; `state` is as of now.
    """
    instance = quest_instance.c
    asked = [instance[name] == value for name, value in wanted.items() if value is not None]
    columns = [column for column in instance if column.name != "state"]
    statement = (
        select(*columns, _SHOWN.label("state"), DEFINITION["name"].astext.label("name"))
        .join(campaign_version, _is_own_version)
        .join(tenant, tenant.c.tenant_id == instance.tenant_id)
        .where(instance.tenant_id == caller.tenant_id, *asked)
    )
    order = [instance.campaign_id, instance.user_id, instance.instance_key, instance.occurrence]
    return await read_page(connection, statement, order, pages, sift={"state": state})


async def list_repairs(connection: Connection, caller: Caller, rows: Sequence[QuestRow]) -> dict[UUID, QuestRow]:
    """The repairs of these instances' streaks as recorded, by the key of their event; of erased users nothing is left."""
    keys = {UUID(step["repaired_by"]) for row in rows for step in row.steps if "repaired_by" in step}
    if not keys:
        return {}
    mine = (event_met.c.tenant_id == caller.tenant_id) & (event_met.c.event_source == REPAIR)
    found = await connection.execute(select(event_met).where(mine, event_met.c.event_key.in_(keys)))
    return {row.event_key: row for row in found}


async def find_given(connection: Connection, caller: Caller, event_key: UUID) -> QuestRow | None:
    """What an event gave to a step, the first of it, with the instance that it is of; None where it gave nothing."""
    met = quest_step_met.c
    mine = (met.tenant_id == caller.tenant_id) & (met.event_key == event_key)
    return (await connection.execute(select(quest_step_met).where(mine).order_by(met.sequence).limit(1))).one_or_none()
