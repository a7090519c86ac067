"""Expressions of a campaign at saving: each typed by what it may read, all of them bounded."""

from collections.abc import Mapping, Sequence

from fillip.core.campaign.campaign import CheckedExpression
from fillip.core.campaign.expression import Expression
from fillip.core.campaign.quest import PROGRESS
from fillip.core.campaign.vocabulary import TypeContext
from fillip.core.index import read_clauses
from fillip.core.problem import Fault
from fillip.core.rule import RuleRefused, decode_rule
from fillip.core.schema.types import EMPTY
from fillip.manage.limit.checks import MAX_KEY_COST
from fillip.manage.rule.checker import CheckedRule, check_rule
from fillip.manage.rule.levels import refuse_unknown_levels
from fillip.manage.rule.names import read_cohorts, refuse_unknown_cohorts
from fillip.manage.rule.source_limits import count_tokens

MAX_DEFINITION_TOKENS = 2000
MAX_DEFINITION_COST = 20_000


def check_size(expressions: Sequence[Expression]) -> list[Fault]:
    """What it takes to check all expressions is bounded before any is checked."""
    sizes = [(count_tokens(each.source), each.pointer) for each in expressions]
    total, (size, at) = sum(size for size, _ in sizes), max(sizes)
    message = (
        f"all expressions have {total:,} words and signs, at most {MAX_DEFINITION_TOKENS:,}; {size:,} of them here"
    )
    return [Fault(at, message)] if total > MAX_DEFINITION_TOKENS else []


def check_cost(expressions: Sequence[Expression], checked: Mapping[str, CheckedExpression]) -> list[Fault]:
    """What they take for an event is bounded too; `checked` has each by its path."""
    total = sum(each.cost for each in checked.values())
    dearest = max(expressions, key=lambda each: checked[each.path].cost)
    message = (
        f"all expressions may cost {total:,} steps an event, at most {MAX_DEFINITION_COST:,};"
        f" {checked[dearest.path].cost:,} of them this one: make it cheaper"
    )
    return [Fault(dearest.pointer, message)] if total > MAX_DEFINITION_COST else []


def check_expression(expression: Expression, types: TypeContext) -> CheckedExpression:
    """The expression, typed; raises RuleRefused with line and column.

    The rule of a step may also read `start` (where one action opens instances) and `progress`, a key of instances or
    limits, and what a step counts different values of, the event and lists alone.
    """
    source, action = expression.source, types.actions[expression.action]
    if expression.kind in ("key", "distinct", "limit"):
        rule = check_rule(source, action, EMPTY, expect="key", lists=types.lists)
        if expression.kind == "limit" and rule.cost > MAX_KEY_COST:
            raise RuleRefused(
                1,
                1,
                f"the key may cost {rule.cost:,} steps an event, at most {MAX_KEY_COST:,}: a tenant may have many limits",
            )
        if rule.uses_cohorts:
            raise RuleRefused(1, 1, "a key goes by the event alone: 'cohorts' can't be used")
        return CheckedExpression(rule.checked, uses_lists=rule.uses_lists, cost=rule.cost)
    if expression.kind == "step":
        rule = _check_step(expression, types)
    else:
        rule = check_rule(source, action, types.user, expect="bool" if expression.is_rule else "int", lists=types.lists)
    tree = decode_rule(rule.checked)
    if expression.kind in ("start", "step") and (why := read_clauses(tree.root).explain_never()):
        raise RuleRefused(*tree.locate(tree.root.offset), f"it can never hold: {why}")
    reads = read_cohorts(tree)
    if types.cohorts is not None:
        refuse_unknown_cohorts(tree, reads, types.cohorts)
    refuse_unknown_levels(tree, types.levels)
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


def _check_step(step: Expression, types: TypeContext) -> CheckedRule:
    action, start = types.actions[step.action], types.actions.get(step.opening_action or "")
    try:
        return check_rule(step.source, action, types.user, start=start, progress=PROGRESS, lists=types.lists)
    except RuleRefused as refused:
        if start is None and refused.message.startswith("undeclared reference to 'start"):
            why = "'start' is the event that opened the instance: here the campaign's start does, or events of several actions"
            raise RuleRefused(refused.line, refused.column, why) from None
        raise
