"""When a schema changes under campaigns that run: whether they still type, and what they are then compiled from."""

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.campaign.expression import Expression
from fillip.core.campaign.vocabulary import TypeContext
from fillip.core.limit import Limit
from fillip.core.problem import Fault
from fillip.core.quest.check_route import check_route
from fillip.core.rule import RuleRefused, decode_rule
from fillip.core.schema.types import ObjectType, derive_event_type, derive_type
from fillip.http.errors import Conflict, DefinitionRefused
from fillip.manage.book.postgres import hold_limits, lock_tenant
from fillip.manage.campaign.definition import read_checked, read_definition
from fillip.manage.campaign.expressions import check_expression
from fillip.manage.campaign.postgres import CampaignRow, list_kept, list_launched, save_version
from fillip.manage.campaign.vocabulary_postgres import read_actions, read_list_types
from fillip.manage.cohort.rule_checks import check_cohort_rule
from fillip.manage.cohort.rule_postgres import list_rules, retype_rule
from fillip.manage.limit.checks import check_key
from fillip.manage.limit.postgres import list_keyed, save_limit
from fillip.manage.request.route import UnitOfWork
from fillip.manage.store.postgres import ping

_PORTION = 5  # campaigns between two questions to the server, which ends a session that asks nothing for 2 s

_Changed = tuple[CampaignRow, Campaign, dict[str, CheckedExpression]]


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
    campaigns = [(c, read_definition(c)) for c in await list_launched(connection, caller)]
    kept = [(version, read_definition(version)) for version in await list_kept(connection, caller)]
    used = {each.action for _, campaign in [*campaigns, *kept] for each in campaign.expressions}
    actions = {n: derive_event_type(s) for n, s in (await read_actions(connection, caller, used)).items()}
    user = derive_type(row.user_schema)
    if action_name is None:
        user = new_shape
    else:
        actions[action_name] = new_shape
    limits = await list_keyed(connection, caller, action=action_name) if action_name else []
    types = TypeContext(actions, user, await read_list_types(connection, caller))
    faults: list[Fault] = []
    changed: list[_Changed] = []
    for some in _cut(campaigns):
        found, moved = await work.compute(_recheck, some, action_name, types)
        faults, changed = faults + found, changed + moved
        await ping(connection)
    for some in _cut(kept):
        faults += await work.compute(_recheck_kept, some, action_name, types)
        await ping(connection)
    keys = await work.compute(_recheck_keys, limits, new_shape, types.lists, faults)
    faults += await _recheck_cohorts(work, action_name, new_shape) if action_name else []
    if faults:
        names = ", ".join(sorted({fault.at for fault in faults}))
        raise Conflict(f"this schema would break what runs: {names}; change or archive them first", faults=faults)
    for campaign_row, campaign, checked in changed:
        await save_version(connection, caller, campaign_row, campaign, checked)
    for limit, code in keys:
        await save_limit(connection, caller, replace(limit, key_checked=code))


async def _recheck_cohorts(work: UnitOfWork, action_name: str, shape: ObjectType) -> list[Fault]:
    """Where rules of cohorts would break; those that would not are stored as they compile now."""
    faults = []
    for cohort_id, definition in await list_rules(work.connection, work.caller, action_name):
        try:
            checked = await work.compute(check_cohort_rule, definition, shape)
            await retype_rule(work.connection, work.caller, cohort_id, checked)
        except DefinitionRefused as refused:
            faults.append(Fault(f"cohorts/{cohort_id}{refused.faults[0].at}", refused.faults[0].message))
    return faults


def _cut(campaigns: Sequence[tuple[CampaignRow, Campaign]]) -> Iterator[Sequence[tuple[CampaignRow, Campaign]]]:
    for start in range(0, len(campaigns), _PORTION):
        yield campaigns[start : start + _PORTION]


def same_code(one: bytes, other: bytes) -> bool:
    """Whether two checked expressions compile to the same; their bytes may differ in the order of maps."""
    return one == other or decode_rule(one) == decode_rule(other)


def _recheck(
    campaigns: Iterable[tuple[CampaignRow, Campaign]], action_name: str | None, types: TypeContext
) -> tuple[list[Fault], list[_Changed]]:
    faults: list[Fault] = []
    changed = []
    for row, campaign in campaigns:
        before = read_checked(row)
        after = dict(before)
        for each in campaign.expressions:
            if _depends_on(each, before[each.path], action_name):
                try:
                    after[each.path] = check_expression(each, types)
                except RuleRefused as refused:
                    faults.append(Fault(f"campaigns/{row.campaign_id}{each.pointer}", str(refused)))
        routes = check_route(campaign, before, after)
        faults += [Fault(f"campaigns/{row.campaign_id}{fault.at}", fault.message) for fault in routes]
        if any(not same_code(before[path].code, after[path].code) for path in before):
            changed.append((row, campaign, after))
    return faults, changed


def _depends_on(expression: Expression, checked: CheckedExpression, changed: str | None) -> bool:
    """Whether an expression reads what has changed: an action, or users (None)."""
    if changed is None:
        return checked.uses_user
    return changed == expression.action or (checked.uses_instance and changed == expression.opening_action)


def _recheck_kept(
    kept: Iterable[tuple[CampaignRow, Campaign]], action_name: str | None, types: TypeContext
) -> list[Fault]:
    """Where earlier versions in force would break or read differently: they are what they were, or nothing is kept."""
    faults = []
    for row, campaign in kept:
        found, changed = _recheck([(row, campaign)], action_name, types)
        at = f"campaigns/{row.campaign_id}/versions/{row.version}"
        faults += [Fault(fault.at.replace(f"campaigns/{row.campaign_id}", at), fault.message) for fault in found]
        if changed:
            faults.append(
                Fault(at, "open instances are kept under it, and it would read otherwise: migrate them first")
            )
    return faults


def _recheck_keys(
    limits: Iterable[Limit], shape: ObjectType, lists: ObjectType, faults: list[Fault]
) -> list[tuple[Limit, bytes]]:
    changed = []
    for limit in limits:
        try:
            code = check_key(limit, shape, lists)
            if not same_code(limit.key_checked or b"", code):
                changed.append((limit, code))
        except DefinitionRefused as refused:
            faults.append(Fault(f"limits/{limit.limit_id}/key", refused.faults[0].message))
    return changed
