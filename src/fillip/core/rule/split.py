"""A quest step's rule cut in two: what can be told of the event alone, and what reads the instance that it meets."""

from functools import reduce

from fillip.core.named_list import NO_LISTS, Lists
from fillip.core.rule.compile import Rule, compile_node
from fillip.core.rule.decode import decode_rule
from fillip.core.rule.tree import Call, Node, list_names

AND = "logical_and"
LATE_NAMES = frozenset({"start", "progress"})


def split_rule(checked: bytes, lists: Lists = NO_LISTS) -> tuple[Rule | None, Rule]:
    """(early, late): the rule holds exactly when both do; None where nothing is early.

    Early is the `&&` of all terms that name neither `start` nor `progress`, late of those that do. Where an early term
    fails or errs, the whole is false or an error, and both are no match: so cutting changes no answer.
    """
    terms = list_terms(decode_rule(checked).root)
    early = [term for term in terms if not list_names(term) & LATE_NAMES]
    late = [term for term in terms if list_names(term) & LATE_NAMES]
    return compile_node(_join(early), lists) if early else None, compile_node(_join(late), lists)


def list_terms(node: Node) -> list[Node]:
    """What stands between the outermost `&&`; the rule holds exactly when all do."""
    if isinstance(node, Call) and node.overload == AND:
        return [term for side in node.args for term in list_terms(side)]
    return [node]


def _join(terms: list[Node]) -> Node:
    return reduce(lambda left, right: Call(left.offset, right.type, "_&&_", AND, (left, right)), terms)
