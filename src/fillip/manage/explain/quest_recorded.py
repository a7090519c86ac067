"""What explanations say of quests: the instances, their steps, and the events that each step was given."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from fillip.core.ports import Caller
from fillip.core.quest.instance import Instance
from fillip.manage.explain.checks import Check, GivenAnswer, describe_instance
from fillip.manage.explain.postgres import read_instance
from fillip.manage.store import tables

MAX_GIVEN = 1_000


async def check_instance(connection: AsyncConnection, caller: Caller, decision: Row[Any]) -> Check | None:
    """The instance that a decision's event completed, as it stands; None where it is no more, or there was no quest."""
    instance = await _find_instance(connection, caller, decision)
    if instance is None:
        return None
    described = describe_instance(instance)
    for step, given in await _list_given(connection, caller, decision, instance):
        next(each for each in described.steps if each.name == step).given.append(given)
    message = f"the event completed instance {instance.name} of the quest, which began at {instance.started_at:%F %T}"
    return Check(check="quest", passed=True, message=message, instances=[described])


async def _find_instance(connection: AsyncConnection, caller: Caller, decision: Row[Any]) -> Instance | None:
    if not decision.instance:
        return None
    key, _, occurrence = decision.instance.rpartition("#")
    table = tables.quest_instance
    mine = _is_mine(table.c, caller, decision, key, int(occurrence))
    row = (await connection.execute(select(table).where(*mine))).one_or_none()
    return read_instance(row) if row else None


async def _list_given(
    connection: AsyncConnection, caller: Caller, decision: Row[Any], instance: Instance
) -> list[tuple[str, GivenAnswer]]:
    """By step, in the order in which events counted."""
    table = tables.quest_step_met
    mine = _is_mine(table.c, caller, decision, instance.key, instance.occurrence)
    rows = (await connection.execute(select(table).where(*mine).order_by(table.c.sequence).limit(MAX_GIVEN))).all()
    event = tables.event_met.c
    named = (event.tenant_id == caller.tenant_id) & event.event_key.in_({row.event_key for row in rows})
    names = await connection.execute(select(event.event_key, event.event_id, event.event_source).where(named))
    by_key = {name.event_key: name for name in names}
    return [(row.step, _describe(row, by_key[row.event_key]._mapping)) for row in rows]


def _is_mine(column: Any, caller: Caller, decision: Row[Any], key: str, occurrence: int) -> list[Any]:  # noqa: ANN401
    return [
        column.tenant_id == caller.tenant_id,
        column.campaign_id == decision.campaign_id,
        column.user_id == decision.user_id,
        column.instance_key == key,
        column.occurrence == occurrence,
    ]


def _describe(row: Row[Any], name: Mapping[Any, str]) -> GivenAnswer:
    who = {"event_id": name["event_id"], "event_source": name["event_source"]}
    return GivenAnswer(**who, amount=row.amount, reversed=row.reversed, day=row.day)
