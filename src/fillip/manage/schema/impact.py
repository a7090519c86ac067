"""When a schema changes under campaigns that run: whether they still type, and what they are then compiled from."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.campaign.expression import Expression
from fillip.core.campaign.vocabulary import TypeContext
from fillip.core.limit import Limit
from fillip.core.problem import Fault
from fillip.core.quest.check_route import check_route
from fillip.core.rule import RuleRefused, decode_rule
from fillip.core.schema.types import ObjectType, derive_event_type, derive_type
from fillip.core.tally import CohortRule
from fillip.http.errors import Conflict, DefinitionRefused
from fillip.manage.book.postgres import hold_limits, lock_tenant
from fillip.manage.campaign.definition import read_checked, read_definition
from fillip.manage.campaign.expressions import check_expression
from fillip.manage.campaign.postgres import CampaignRow, list_kept, list_launched, save_version
from fillip.manage.campaign.vocabulary_postgres import read_actions, read_list_types
from fillip.manage.cohort.rule_checks import CheckedCohortRule, check_cohort_rule
from fillip.manage.cohort.rule_postgres import list_rules, retype_rule
from fillip.manage.limit.checks import check_key
from fillip.manage.limit.postgres import list_keyed, save_limit
from fillip.manage.request.route import UnitOfWork

_PORTION = 5
"""Definitions that are checked at once: between portions other tenants have their turns."""
_Definition = TypeVar("_Definition")


class _Stored(Struct, frozen=True):
    """A version of a campaign, with its expressions checked, by path."""

    campaign_id: str
    version: int
    campaign: Campaign
    checked: Mapping[str, CheckedExpression]


_Changed = tuple[_Stored, dict[str, CheckedExpression]]
"""A version that reads differently, and its expressions then."""


async def recheck_campaigns(work: UnitOfWork, action_name: str | None, new_shape: ObjectType) -> None:
    """Check every launched campaign and every limit's key against a schema about to be saved.

    `action_name` is the action whose events get `new_shape`, None when it is the tenant's users. Call it in the transaction
    of the change, before or after the update. Where a rule reads differently under the new types, the campaign gets a
    new version (same definition) and is announced; an earlier version in force can't change. Raises Conflict that names all that would break.
    """
    connection, caller = work.connection, work.caller
    if action_name and await list_keyed(connection, caller, action=action_name):
        await hold_limits(connection, caller)
    row = await lock_tenant(connection, caller)
    rows = {row.campaign_id: row for row in await list_launched(connection, caller)}
    launched = [_read_stored(row) for row in rows.values()]
    kept = [_read_stored(row) for row in await list_kept(connection, caller)]
    used = {each.action for stored in [*launched, *kept] for each in stored.campaign.expressions}
    actions = {n: derive_event_type(s) for n, s in (await read_actions(connection, caller, used)).items()}
    user = derive_type(row.user_schema)
    if action_name is None:
        user = new_shape
    else:
        actions[action_name] = new_shape
    limits = await list_keyed(connection, caller, action=action_name) if action_name else []
    types = TypeContext(actions, user, await read_list_types(connection, caller))
    found = await work.compute_each(_recheck, _cut(launched), action_name, types)
    faults, changed = [fault for some, _ in found for fault in some], [each for _, some in found for each in some]
    faults += chain.from_iterable(await work.compute_each(_recheck_kept, _cut(kept), action_name, types))
    wrong, keys = await work.compute(_recheck_keys, limits, new_shape, types.lists)
    cohorts = await list_rules(connection, caller, action_name) if action_name else []
    rechecked = await work.compute_each(_recheck_cohorts, _cut(cohorts), new_shape)
    faults += [*wrong, *(fault for some, _ in rechecked for fault in some)]
    if faults:
        names = ", ".join(sorted({fault.at for fault in faults}))
        raise Conflict(f"this schema would break what runs: {names}; change or archive them first", faults=faults)
    for stored, checked in changed:
        await save_version(connection, caller, rows[stored.campaign_id], stored.campaign, checked)
    for limit, code in keys:
        await save_limit(connection, caller, replace(limit, key_checked=code))
    for cohort_id, rule in chain.from_iterable(some for _, some in rechecked):
        await retype_rule(connection, caller, cohort_id, rule)


def _read_stored(row: CampaignRow) -> _Stored:
    return _Stored(row.campaign_id, row.version, read_definition(row), read_checked(row))


def _cut(definitions: Sequence[_Definition]) -> list[Sequence[_Definition]]:
    return [definitions[start : start + _PORTION] for start in range(0, len(definitions), _PORTION)]


def _recheck_cohorts(
    rules: Iterable[tuple[str, CohortRule]], shape: ObjectType
) -> tuple[list[Fault], list[tuple[str, CheckedCohortRule]]]:
    """Where rules of cohorts would break; and those that would not, as they compile now."""
    faults, checked = [], []
    for cohort_id, definition in rules:
        try:
            checked.append((cohort_id, check_cohort_rule(definition, shape)))
        except DefinitionRefused as refused:
            faults.append(Fault(f"cohorts/{cohort_id}{refused.faults[0].at}", refused.faults[0].message))
    return faults, checked


def same_code(one: bytes, other: bytes) -> bool:
    """Whether two checked expressions compile to the same; their bytes may differ in the order of maps."""
    return one == other or decode_rule(one) == decode_rule(other)


def _recheck(
    campaigns: Iterable[_Stored], action_name: str | None, types: TypeContext
) -> tuple[list[Fault], list[_Changed]]:
    faults: list[Fault] = []
    changed = []
    for stored in campaigns:
        campaign, before, at = stored.campaign, stored.checked, f"campaigns/{stored.campaign_id}"
        after = dict(before)
        for each in campaign.expressions:
            if _depends_on(each, before[each.path], action_name):
                try:
                    after[each.path] = check_expression(each, types)
                except RuleRefused as refused:
                    faults.append(Fault(f"{at}{each.pointer}", str(refused)))
        faults += [Fault(f"{at}{fault.at}", fault.message) for fault in check_route(campaign, before, after)]
        if any(not same_code(before[path].code, after[path].code) for path in before):
            changed.append((stored, after))
    return faults, changed


def _depends_on(expression: Expression, checked: CheckedExpression, changed: str | None) -> bool:
    """Whether an expression reads what has changed: an action, or users (None)."""
    if changed is None:
        return checked.uses_user
    return changed == expression.action or (checked.uses_instance and changed == expression.opening_action)


def _recheck_kept(kept: Iterable[_Stored], action_name: str | None, types: TypeContext) -> list[Fault]:
    """Where earlier versions in force would break or read differently: they are what they were, or nothing is kept."""
    faults = []
    for stored in kept:
        found, changed = _recheck([stored], action_name, types)
        at = f"campaigns/{stored.campaign_id}/versions/{stored.version}"
        faults += [Fault(fault.at.replace(f"campaigns/{stored.campaign_id}", at), fault.message) for fault in found]
        if changed:
            faults.append(
                Fault(at, "open instances are kept under it, and it would read otherwise: migrate them first")
            )
    return faults


def _recheck_keys(
    limits: Iterable[Limit], shape: ObjectType, lists: ObjectType
) -> tuple[list[Fault], list[tuple[Limit, bytes]]]:
    faults, changed = [], []
    for limit in limits:
        try:
            code = check_key(limit, shape, lists)
            if not same_code(limit.key_checked or b"", code):
                changed.append((limit, code))
        except DefinitionRefused as refused:
            faults.append(Fault(f"limits/{limit.limit_id}/key", refused.faults[0].message))
    return faults, changed
