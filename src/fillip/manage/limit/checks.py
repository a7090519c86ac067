"""What saving a limit checks by the rule checker: its key is typed."""

from fillip.core.limit import Limit
from fillip.core.problem import Fault
from fillip.core.rule import RuleRefused
from fillip.core.schema.types import EMPTY, ObjectType
from fillip.http.errors import DefinitionRefused
from fillip.manage.rule.checker import check_rule

MAX_KEY_COST = 1_000


def check_key(limit: Limit, action: ObjectType, lists: ObjectType) -> bytes:
    """The key expression of a limit, typed (a string or an int, of the event and lists); raises DefinitionRefused."""
    try:
        rule = check_rule(limit.key or "", action, EMPTY, expect="key", lists=lists)
    except RuleRefused as refused:
        raise DefinitionRefused([Fault("/key", str(refused))]) from None
    if rule.cost > MAX_KEY_COST:
        message = (
            f"the key may cost {rule.cost:,} steps an event, at most {MAX_KEY_COST:,}: a tenant may have many limits"
        )
        raise DefinitionRefused([Fault("/key", message)])
    if rule.uses_cohorts:
        raise DefinitionRefused([Fault("/key", "a key goes by the event alone: 'cohorts' can't be used")])
    return rule.checked
