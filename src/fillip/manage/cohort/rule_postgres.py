"""The rules of cohorts by events as stored."""

from pathlib import Path
from typing import Any
from uuid import UUID

from msgspec import convert, to_builtins
from sqlalchemy import Row, Text, Uuid, bindparam, delete, func, insert, select, text, update

from fillip.core.ports import Caller
from fillip.core.problem import Fault
from fillip.core.schema.types import ObjectType, derive_event_type
from fillip.core.tally import CohortRule
from fillip.http.errors import Conflict, DefinitionRefused, NotFound
from fillip.manage.book.postgres import lock_tenant
from fillip.manage.campaign.vocabulary_postgres import read_actions
from fillip.manage.cohort.postgres import cohorts
from fillip.manage.cohort.rule_checks import CheckedCohortRule
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.cohort import cohort_rule, cohort_rule_left

MAX_RULES, MAX_COST_TOGETHER = 100, 20_000
"""Cohorts of a tenant that have a rule; and steps of those of one action: each event runs all of them."""
_BEHIND = text(Path(__file__).with_name("measure_behind.sql").read_text(encoding="utf-8"))
_BEHIND = _BEHIND.bindparams(bindparam("tenant_id", type_=Text()), bindparam("rule_id", type_=Uuid()))


async def find_action(connection: Connection, caller: Caller, row: Row[Any], definition: CohortRule) -> ObjectType:
    """The attributes of the rule's action; `row` is the cohort's, and locked. Takes the tenant's lock.

    Raises Conflict where the cohort can't have a rule, DefinitionRefused for an unknown action and a window without a clock.
    """
    if row.kind not in ("uploaded", "realtime") or (row.kind == "uploaded" and row.version):
        raise Conflict(f"cohort {row.cohort_id} has a list already that is {row.kind}: make another for the rule")
    tenant = await lock_tenant(connection, caller)
    faults = []
    if tenant.clock == "history" and definition.window_s is not None:
        faults.append(
            Fault("/window_s", "a window ends by today's clock, and this tenant's is 'history': leave it out")
        )
    actions = await read_actions(connection, caller, {definition.action})
    if definition.action not in actions:
        faults.append(Fault("/action", f"there is no action {definition.action}"))
    if faults:
        raise DefinitionRefused(faults)
    mine = select(func.count()).select_from(cohort_rule)
    others = mine.where(cohort_rule.c.tenant_id == caller.tenant_id, cohort_rule.c.cohort_id != row.cohort_id)
    if (await connection.execute(others)).scalar_one() >= MAX_RULES:
        raise Conflict(f"{MAX_RULES} cohorts have a rule already: delete one, or let cohorts follow from others")
    return derive_event_type(actions[definition.action])


async def save_rule(connection: Connection, caller: Caller, cohort_id: str, rule: CheckedCohortRule) -> Row[Any]:
    """Give a cohort, whose row and tenant are locked, another rule, or its first: it is built next.

    Raises Conflict where the rules of its action would cost an event too much.
    """
    await leave_rule(connection, caller, cohort_id)
    same = (cohort_rule.c.tenant_id == caller.tenant_id) & (cohort_rule.c.action == rule.definition.action)
    others = (await connection.execute(select(func.coalesce(func.sum(cohort_rule.c.cost), 0)).where(same))).scalar_one()
    if others + rule.cost > MAX_COST_TOGETHER:
        raise Conflict(
            f"the rules of cohorts over {rule.definition.action} may cost {others:,} steps an event, and this one {rule.cost:,}: "
            f"at most {MAX_COST_TOGETHER:,} together"
        )
    key = {"tenant_id": caller.tenant_id, "cohort_id": cohort_id}
    definition = {"action": rule.definition.action, "definition": to_builtins(rule.definition)}
    checked = {"rule_checked": rule.rule_checked, "sum_checked": rule.sum_checked, "cost": rule.cost}
    await connection.execute(insert(cohort_rule).values(key | definition | checked))
    return await cohorts.change(connection, caller, cohort_id, {"kind": "realtime"})


async def leave_rule(connection: Connection, caller: Caller, cohort_id: str) -> None:
    """Let go of the rule of a cohort, where it has one; what was counted by it goes a while later."""
    gone = delete(cohort_rule).where(*_match(caller, cohort_id)).returning(cohort_rule.c.rule_id)
    rule_id = (await connection.execute(gone)).scalar_one_or_none()
    if rule_id is not None:
        await connection.execute(insert(cohort_rule_left).values(tenant_id=caller.tenant_id, rule_id=rule_id))


async def find_rule(connection: Connection, caller: Caller, cohort_id: str) -> Row[Any]:
    """The rule of a cohort; raises NotFound."""
    row = await seek_rule(connection, caller, cohort_id)
    if row is None:
        raise NotFound(f"cohort {cohort_id} has no rule: PUT /v1/cohorts/{cohort_id}/rule first")
    return row


async def seek_rule(connection: Connection, caller: Caller, cohort_id: str) -> Row[Any] | None:
    """The rule of a cohort; None where it has none."""
    return (await connection.execute(select(cohort_rule).where(*_match(caller, cohort_id)))).one_or_none()


async def measure_behind(connection: Connection, caller: Caller, rule_id: UUID) -> float | None:
    """Seconds that the list by a rule is behind the events; None where nobody has counted yet."""
    asked = {"tenant_id": caller.tenant_id, "rule_id": rule_id}
    found: float | None = (await connection.execute(_BEHIND, asked)).scalar_one()
    return None if found is None else max(0.0, found)


async def list_rules(connection: Connection, caller: Caller, action: str) -> list[tuple[str, CohortRule]]:
    """The rules over an action, with their cohorts."""
    mine = (cohort_rule.c.tenant_id == caller.tenant_id) & (cohort_rule.c.action == action)
    rows = (await connection.execute(select(cohort_rule).where(mine).order_by(cohort_rule.c.cohort_id))).all()
    return [(row.cohort_id, convert(row.definition, CohortRule)) for row in rows]


async def retype_rule(connection: Connection, caller: Caller, cohort_id: str, rule: CheckedCohortRule) -> None:
    """Store a rule as it is compiled under another schema: it says the same, and what was counted stays."""
    values = {
        "rule_checked": rule.rule_checked,
        "sum_checked": rule.sum_checked,
        "cost": rule.cost,
        "saved_at": func.now(),
    }
    await connection.execute(update(cohort_rule).where(*_match(caller, cohort_id)).values(values))


def _match(caller: Caller, cohort_id: str) -> list[Any]:
    return [cohort_rule.c.tenant_id == caller.tenant_id, cohort_rule.c.cohort_id == cohort_id]
