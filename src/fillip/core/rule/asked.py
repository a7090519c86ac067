"""What a quest step's rule asks of `start`: the attributes that it wants to equal something the event tells."""

from fillip.core.rule.decode import decode_rule
from fillip.core.rule.split import LATE_NAMES, list_terms
from fillip.core.rule.tree import Call, Name, Node, Select, list_names

Path = tuple[str, ...]
"""`start.a.b` is ("a", "b")."""
COMPARED = frozenset({"bool", "int", "double", "string"})
"""Types whose values of one attribute stay comparable whatever a schema's change makes of them; a timestamp may have been text."""


def list_asked(checked: bytes) -> dict[Path, Node]:
    """By attribute, the expression that it has to equal, in order of the source; the rule holds only where all do.

    The expressions read neither `start` nor `progress`.
    """
    asked: dict[Path, Node] = {}
    for term in list_terms(decode_rule(checked).root):
        if isinstance(term, Call) and term.overload == "equals":
            for side, other in (term.args, term.args[::-1]):
                path = _read_path(side)
                if path and not list_names(other) & LATE_NAMES:
                    asked.setdefault(path, other)
    return asked


def _read_path(node: Node) -> Path | None:
    """`start.a.b`, through objects only, of a type that can be looked up. No fold is above, so `start` is that of the rule."""
    if node.type.kind not in COMPARED:
        return None
    fields: list[str] = []
    while isinstance(node, Select) and node.operand.type.kind == "object":
        fields.append(node.field)
        node = node.operand
    return tuple(reversed(fields)) if isinstance(node, Name) and node.name == "start" and fields else None
