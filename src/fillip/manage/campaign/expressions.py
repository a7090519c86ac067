"""Expressions of a campaign at saving: each typed by what it may read, all of them bounded."""

from collections.abc import Collection, Iterator, Mapping

from fillip.core.campaign.campaign import KEY_PATH, Campaign, CheckedExpression
from fillip.core.campaign.quest import PROGRESS
from fillip.core.index import read_clauses
from fillip.core.problem import Fault
from fillip.core.rule import RuleRefused, decode_rule
from fillip.core.schema.types import EMPTY, ObjectType
from fillip.manage.rule.checker import CheckedRule, check_rule
from fillip.manage.rule.names import read_cohorts, refuse_unknown_cohorts
from fillip.manage.rule.source_limits import count_tokens

MAX_DEFINITION_TOKENS = 2000


MAX_DEFINITION_COST = 20_000


def _check_size(campaign: Campaign) -> Iterator[Fault]:
    """What it takes to check all expressions is bounded before any is checked."""
    sizes = [(count_tokens(source), "/" + path.replace(".", "/")) for path, _, source in list_sources(campaign)]
    if (total := sum(size for size, _ in sizes)) > MAX_DEFINITION_TOKENS:
        size, at = max(sizes)
        message = (
            f"all expressions have {total:,} words and signs, at most {MAX_DEFINITION_TOKENS:,}; {size:,} of them here"
        )
        yield Fault(at, message)


def _check_cost(checked: Mapping[str, CheckedExpression]) -> Iterator[Fault]:
    total = sum(each.cost for each in checked.values())
    if total > MAX_DEFINITION_COST:
        path = max(checked, key=lambda path: checked[path].cost)
        message = f"all expressions may cost {total:,} steps an event, at most {MAX_DEFINITION_COST:,}"
        yield Fault(
            "/" + path.replace(".", "/"), f"{message}; {checked[path].cost:,} of them this one: make it cheaper"
        )


def list_sources(campaign: Campaign) -> Iterator[tuple[str, str, str]]:
    """Each expression as (path in the definition, action whose schema types it, source)."""
    yield from campaign.expressions()
    for path, source in campaign.formulas():
        yield path, campaign.granting_action() or "", source


def check_path(
    campaign: Campaign,
    path: str,
    source: str,
    action: str,
    actions: Mapping[str, ObjectType],
    user: ObjectType,
    lists: ObjectType,
    cohorts: Collection[str] | None = None,
) -> CheckedExpression:
    """The expression at `path` of a campaign over events of `action`, typed; raises RuleRefused with line and column.

    The rule of a step may also read `start` (where one action opens instances) and `progress`, a key the event and
    lists alone. `cohorts` are those that it may name; None where it was saved before, which keeps them there.
    """
    if path == KEY_PATH:
        rule = check_rule(source, actions[action], EMPTY, expect="key", lists=lists)
        if rule.uses_cohorts:
            raise RuleRefused(1, 1, "a key goes by the event alone: 'cohorts' can't be used")
        return CheckedExpression(rule.checked, uses_lists=rule.uses_lists, cost=rule.cost)
    if path.endswith(".sum") or path.startswith("rewards."):
        rule = check_rule(source, actions[action], user, expect="int", lists=lists)
    elif campaign.quest and path.startswith("quest.steps."):
        start = actions.get(campaign.quest.opening_action or "")
        rule = _check_step(source, actions[action], user, lists, start)
    else:
        rule = check_rule(source, actions[action], user, lists=lists)
    if campaign.quest and path.endswith(".rule"):
        _refuse_never(rule)
    return _keep(rule, cohorts)


def _keep(rule: CheckedRule, cohorts: Collection[str] | None) -> CheckedExpression:
    """What is stored of a rule; raises RuleRefused where it names a cohort that is not among these."""
    tree = decode_rule(rule.checked)
    reads = read_cohorts(tree)
    if cohorts is not None:
        refuse_unknown_cohorts(tree, reads, cohorts)
    return CheckedExpression(
        rule.checked,
        uses_user=rule.uses_user,
        uses_cohorts=rule.uses_cohorts,
        uses_instance=rule.uses_instance,
        uses_lists=rule.uses_lists,
        cost=rule.cost,
        cohorts=tuple(sorted({name for name, _ in reads.named})),
        all_cohorts=reads.all,
    )


def _refuse_never(rule: CheckedRule) -> None:
    tree = decode_rule(rule.checked)
    if why := read_clauses(tree.root).explain_never():
        raise RuleRefused(*tree.locate(tree.root.offset), f"it can never hold: {why}")


def _check_step(
    source: str, action: ObjectType, user: ObjectType, lists: ObjectType, start: ObjectType | None
) -> CheckedRule:
    try:
        return check_rule(source, action, user, start=start, progress=PROGRESS, lists=lists)
    except RuleRefused as refused:
        if start is None and refused.message.startswith("undeclared reference to 'start"):
            why = "'start' is the event that opened the instance: here the campaign's start does, or events of several actions"
            raise RuleRefused(refused.line, refused.column, why) from None
        raise


def depends_on(campaign: Campaign, path: str, action: str, checked: CheckedExpression, changed: str | None) -> bool:
    """Whether the expression at `path` over events of `action` reads what has changed: an action, or users (None)."""
    if changed is None:
        return checked.uses_user
    return action == changed or (
        checked.uses_instance and campaign.quest is not None and campaign.quest.opening_action == changed
    )
