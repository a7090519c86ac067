"""What saving the rule of a cohort checks: its expressions are typed, and go by the event alone."""

from msgspec import Struct

from fillip.core.problem import Fault
from fillip.core.rule import RuleRefused
from fillip.core.schema.types import EMPTY, ObjectType
from fillip.core.tally import MAX_KEPT, CohortRule
from fillip.http.errors import DefinitionRefused
from fillip.manage.rule.checker import CheckedRule, Expected, check_rule

MAX_COST = 1_000
"""Steps of an expression."""


class CheckedCohortRule(Struct, frozen=True):
    """A rule that may be stored, its expressions as they are compiled, and how many steps they may cost an event."""

    definition: CohortRule
    rule_checked: bytes
    sum_checked: bytes | None
    cost: int


def check_cohort_rule(definition: CohortRule, action: ObjectType) -> CheckedCohortRule:
    """The rule, typed against its action's attributes; raises DefinitionRefused."""
    if definition.sum is None and definition.at_least > MAX_KEPT:
        raise DefinitionRefused([Fault("/at_least", f"at most {MAX_KEPT} events, or let a sum reach more")])
    rule = _check("/rule", definition.rule, action, "bool")
    measured = _check("/sum", definition.sum, action, "int") if definition.sum is not None else None
    return CheckedCohortRule(
        definition,
        rule.checked,
        measured.checked if measured else None,
        cost=rule.cost + (measured.cost if measured else 0),
    )


def _check(at: str, source: str, action: ObjectType, expect: Expected) -> CheckedRule:
    try:
        checked = check_rule(source, action, EMPTY, expect=expect)
    except RuleRefused as refused:
        alone = "; the rule of a cohort goes by the event alone" if "user" in source or "lists" in source else ""
        raise DefinitionRefused([Fault(at, f"{refused}{alone}")]) from None
    if checked.uses_cohorts:
        raise DefinitionRefused([Fault(at, "goes by the event alone: 'cohorts' can't be used")])
    if checked.cost > MAX_COST:
        raise DefinitionRefused([Fault(at, f"may cost {checked.cost:,} steps an event, at most {MAX_COST:,}")])
    return checked
