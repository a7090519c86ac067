"""The rule language at run time: checked CEL, compiled to Python."""

from fillip.core.rule.compile import Rule, compile_rule
from fillip.core.rule.decode import decode_rule
from fillip.core.rule.errors import RuleError, RuleRefused
from fillip.core.rule.explain import LeafOutcome, explain_rule, list_inputs
from fillip.core.rule.split import split_rule
from fillip.core.rule.tree import find_lists

__all__ = [
    "LeafOutcome",
    "Rule",
    "RuleError",
    "RuleRefused",
    "compile_rule",
    "decode_rule",
    "explain_rule",
    "find_lists",
    "list_inputs",
    "split_rule",
]
