"""From a checked rule to its clauses.

`&&`, `||` and `!` absorb errors as min, max and mirror of false < error < true, which is a distributive lattice: a rule
is true exactly when some clause of its disjunctive normal form has only true atoms. An atom is here what makes such a
comparison true; false and error are told apart nowhere, since neither is a match.
"""

from collections.abc import Callable
from itertools import product
from typing import Any, Literal, TypeAlias

from msgspec.structs import replace

from fillip.core.index.clause import Bound, Choice, Clause, Clauses, Key, Leftover, Members, Range, Value, Want
from fillip.core.instant import read_instant_ns
from fillip.core.rule.tree import Call, Const, Fold, Has, Items, Name, Node, Select

MAX_CLAUSES = 16
SCALARS = frozenset({"bool", "int", "uint", "double", "string", "timestamp"})
_ORDERED = frozenset({"int64", "uint64", "double", "string", "timestamp"})
_MIRROR = {"less": "greater", "less_equals": "greater_equals", "greater": "less", "greater_equals": "less_equals"}
_OPPOSITE = {"less": "greater_equals", "less_equals": "greater", "greater": "less_equals", "greater_equals": "less"}
_OPERATORS = {"logical_and": "&&", "logical_or": "||"}
_Atom: TypeAlias = tuple[Key, Want]


class _NoConst(Exception):
    """The node has no value before the event comes."""


def read_clauses(root: Node) -> Clauses:
    """At most 16 alternatives that say what the rule asks of single attributes, and what of it can't be looked up."""
    reader = _Reader()
    each = reader.read(root, True)
    return Clauses(tuple(each), tuple(reader.leftovers))


class _Reader:
    def __init__(self) -> None:
        self.leftovers: list[Leftover] = []

    def read(self, node: Node, wanted: bool) -> list[Clause]:
        """The clauses under which the node is `wanted`."""
        if isinstance(node, Const) and isinstance(node.value, bool):
            return [Clause({})] if node.value is wanted else []
        if isinstance(node, Call) and node.overload == "logical_not":
            return self.read(node.args[0], not wanted)
        if isinstance(node, Call) and node.overload in _OPERATORS:
            one, other = (self.read(arg, wanted) for arg in node.args)
            return (self._meet if (node.overload == "logical_and") is wanted else self._join)(one, other, node)
        atom = read_atom(node, wanted)
        if atom is None:
            self._leave(node, _describe_atom(node))
            return [Clause({}, False)]
        return [] if atom[1].empty else [Clause({atom[0]: atom[1]})]

    def _join(self, one: list[Clause], other: list[Clause], node: Node) -> list[Clause]:
        if len(one) + len(other) <= MAX_CLAUSES:
            return one + other
        self._leave(node, f"more than {MAX_CLAUSES} alternatives")
        return [Clause({}, False)]

    def _meet(self, one: list[Clause], other: list[Clause], node: Node) -> list[Clause]:
        if len(one) * len(other) <= MAX_CLAUSES:
            clauses = [met for pair in product(one, other) if (met := pair[0].meet(pair[1]))]
            if any(not met.exact for met in clauses) and not self.leftovers:
                self._leave(node, "two members of one list are asked for, one is looked up")
            return clauses
        self._leave(node, f"more than {MAX_CLAUSES} alternatives together")
        return [replace(clause, exact=False) for clause in min(one, other, key=len)]

    def _leave(self, node: Node, reason: str) -> None:
        self.leftovers.append(Leftover(node.offset, reason))


def _describe_atom(node: Node) -> str:
    if not isinstance(node, Call):
        return "going through a list can't be looked up" if isinstance(node, Fold) else "this can't be looked up"
    word = node.function.replace("_", " ").replace("@", "").strip()
    if node.overload in _READERS or node.overload.rpartition("_")[0] in _MIRROR:
        return f"'{word}' is not between one attribute and a literal"
    return f"'{word}' can't be looked up"


def read_atom(node: Node, wanted: bool) -> _Atom | None:
    """What makes the node `wanted` (true, or false without an error), where one look at one attribute tells."""
    if isinstance(node, Select):
        path = _read_path(node)
        return (path, Choice(frozenset([wanted]))) if path and node.type.kind == "bool" else None
    if isinstance(node, Has):
        path = _read_path(node.operand) if node.operand.type.kind == "object" else None
        return (Key("set", path.root, (*path.path, node.field)), Choice(frozenset([wanted]))) if path else None
    if not isinstance(node, Call):
        return None
    word, _, kind = node.overload.rpartition("_")
    if word in _MIRROR and kind in _ORDERED:
        return _read_order(word, kind, node.args[0], node.args[1], wanted)
    return _READERS[node.overload](node.args[0], node.args[1], wanted) if node.overload in _READERS else None


def _read_equals(left: Node, right: Node, wanted: bool) -> _Atom | None:
    for node, const in ((left, right), (right, left)):
        if (path := _read_scalar(node)) is not None:
            try:
                return path, Choice(frozenset([_read_const(const)]), wanted)
            except _NoConst:
                continue
    return None


def _read_in(value: Node, items: Node, wanted: bool) -> _Atom | None:
    if isinstance(items, Select) and isinstance(items.operand, Name) and items.operand.name == "lists":
        path = _read_scalar(value)
        return (replace(path, look="listed", among=items.field), Choice(frozenset([wanted]))) if path else None
    try:
        if isinstance(items, Items) and items.items:
            path = _read_scalar(value)
            return (path, Choice(frozenset(map(_read_const, items.items)), wanted)) if path else None
        of = _read_list(items)
        some = frozenset([_read_const(value)])
    except _NoConst:
        return None
    return (of, Members(some) if wanted else Members(None, some)) if of else None


def _read_order(word: str, kind: str, left: Node, right: Node, wanted: bool) -> _Atom | None:
    """A range; the opposite of an order holds for not a number, which is neither less nor more than anything."""
    for node, const, order in ((left, right, word), (right, left, _MIRROR[word])):
        if (path := _read_scalar(node)) is not None:
            try:
                value = _read_const(const)
            except _NoConst:
                continue
            order = order if wanted else _OPPOSITE[order]
            bound = Bound(value, order.endswith("_equals"))
            nan = kind == "double" and not wanted
            want = Range(high=bound, nan=nan) if order.startswith("less") else Range(low=bound, nan=nan)
            return Key("order", path.root, path.path), want
    return None


_READERS: dict[str, Callable[[Node, Node, bool], _Atom | None]] = {
    "equals": _read_equals,
    "not_equals": lambda left, right, wanted: _read_equals(left, right, not wanted),
    "in_list": _read_in,
}


def _read_scalar(node: Node) -> Key | None:
    return _read_path(node) if node.type.kind in SCALARS else None


def _read_list(node: Node) -> Key | None:
    """A list of scalars that the event or the user has, or the user's cohorts."""
    if isinstance(node, Name) and node.name == "cohorts":
        return Key("members", "cohorts", ())
    path = _read_path(node)
    of_scalars = node.type.kind == "list" and node.type.parts[0].kind in SCALARS
    return Key("members", path.root, path.path) if path and of_scalars else None


def _read_path(node: Node) -> Key | None:
    """`event.a.b` or `user.a.b`, through objects only; no fold is above, so no variable hides these names."""
    fields: list[str] = []
    while isinstance(node, Select) and node.operand.type.kind == "object":
        fields.append(node.field)
        node = node.operand
    if not isinstance(node, Name) or node.name not in ("event", "user"):
        return None
    root: Literal["event", "user"] = "event" if node.name == "event" else "user"
    return Key("value", root, tuple(reversed(fields)))


def _read_const(node: Node) -> Value:
    """The value of a literal, a negated one, or timestamp() of one; raises _NoConst."""
    if isinstance(node, Const):
        return node.value
    if isinstance(node, Call) and node.overload in _FOLDED:
        try:
            return _FOLDED[node.overload](_read_const(node.args[0]))
        except (ValueError, TypeError, OverflowError):
            pass  # an error at each event: the rule says so when it runs
    raise _NoConst


_FOLDED: dict[str, Callable[[Any], Value]] = {
    "string_to_timestamp": read_instant_ns,
    "negate_double": lambda value: -value,
}
