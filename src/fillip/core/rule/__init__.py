"""The rule language at run time: checked CEL, compiled to Python."""

from fillip.core.rule.asked import Path, list_asked
from fillip.core.rule.compile import Rule, compile_rule, compile_value
from fillip.core.rule.decode import decode_rule
from fillip.core.rule.errors import RuleError, RuleRefused
from fillip.core.rule.explain import LeafOutcome, explain_rule, list_inputs
from fillip.core.rule.split import split_rule
from fillip.core.rule.tree import Node, find_lists, list_reads

__all__ = [
    "LeafOutcome",
    "Node",
    "Path",
    "Rule",
    "RuleError",
    "RuleRefused",
    "compile_rule",
    "compile_value",
    "decode_rule",
    "explain_rule",
    "find_lists",
    "list_asked",
    "list_inputs",
    "list_reads",
    "split_rule",
]
