"""Which condition of a rule held and which did not, with the values it read."""

from collections.abc import Iterator, Mapping, Set
from functools import lru_cache
from typing import Any

from msgspec import Struct

from fillip.core.coerce import Unset
from fillip.core.instant import write_instant
from fillip.core.rule.compile import Rule, build_exact
from fillip.core.rule.decode import decode_rule
from fillip.core.rule.errors import RuleError
from fillip.core.rule.tree import Call, Fold, Has, Name, Node, Select, list_children

_LOGIC = {"logical_and": "&&", "logical_or": "||"}


class LeafOutcome(Struct, frozen=True):
    """One condition (no `&&`, `||` or `!` above but in its place) and what became of it.

    `line` and `column` count from 1; `wanted` is false under an odd number of `!`; `value` is None when there was an
    `error`; `reads` maps what it read, such as "event.amount", to the value then.
    """

    line: int
    column: int
    text: str
    wanted: bool
    value: bool | None
    error: str | None
    reads: dict[str, object]


class _Probe(Struct, frozen=True):
    """One leaf, ready to be evaluated."""

    line: int
    column: int
    text: str
    wanted: bool
    rule: Rule
    reads: tuple[tuple[str, Node], ...]


def explain_rule(
    source: str,
    checked: bytes,
    event: Mapping[str, object],
    user: Mapping[str, object],
    cohorts: Set[str],
    start: Mapping[str, object] | None = None,
    progress: Mapping[str, object] | None = None,
) -> list[LeafOutcome]:
    """The outcome of every leaf of a condition, in the order of the source; values as in compile.Rule."""
    scope = {"event": event, "user": user, "cohorts": cohorts, "start": start, "progress": progress}
    outcomes = []
    for probe in _prepare(source, checked):
        value, error = _evaluate(probe.rule, (event, user, cohorts, start, progress))
        reads = {path: _show(read, scope) for path, read in probe.reads}
        outcomes.append(LeafOutcome(probe.line, probe.column, probe.text, probe.wanted, value, error, reads))
    return outcomes


@lru_cache(maxsize=512)
def _prepare(source: str, checked: bytes) -> list[_Probe]:
    """The compiled leaves of a rule, in the order of the source; kept, for the same campaign is asked about again."""
    tree = decode_rule(checked)
    parts = list(_split(tree.root, True))
    marks = [0] + [part for part in parts if isinstance(part, int)] + [len(source)]
    probes = []
    for index, (leaf, wanted) in enumerate(part for part in parts if not isinstance(part, int)):
        begin, text = _cut(source, marks[index] + (2 if index else 0), marks[index + 1])
        reads = dict(_list_reads(leaf, frozenset()))
        probes.append(_Probe(*tree.locate(begin), text, wanted, build_exact(leaf), tuple(reads.items())))
    return probes


def list_inputs(
    checked: bytes, event: Mapping[str, object], user: Mapping[str, object], cohorts: Set[str]
) -> dict[str, object]:
    """What an expression reads, such as "event.amount", and the value then; values as in compile.Rule."""
    scope = {"event": event, "user": user, "cohorts": cohorts, "start": None}
    return {path: _show(read, scope) for path, read in _list_reads(decode_rule(checked).root, frozenset())}


def _split(node: Node, wanted: bool) -> Iterator[tuple[Node, bool] | int]:
    """Leaves, with the offset of the operator between each two: that is where the one ends and the other begins."""
    if isinstance(node, Call) and node.overload in _LOGIC:
        yield from _split(node.args[0], wanted)
        yield node.offset
        yield from _split(node.args[1], wanted)
    elif isinstance(node, Call) and node.overload == "logical_not":
        yield from _split(node.args[0], not wanted)
    else:
        yield node, wanted


def _cut(source: str, begin: int, end: int) -> tuple[int, str]:
    """The leaf's own text: without blanks, `!`, and parentheses that the slice opens but does not close."""
    text = source[begin:end]
    depth, lowest = _weigh(text)
    opened, closed = depth - lowest, -lowest
    while text and (text[0].isspace() or text[0] == "!" or (text[0] == "(" and (opened > 0 or _is_wrapped(text)))):
        if text[0] == "(":
            if opened == 0:
                text = text.rstrip()[:-1]
            opened -= opened > 0
        text, begin = text[1:], begin + 1
    text = text.rstrip()
    while closed > 0 and text.endswith(")"):
        text, closed = text[:-1].rstrip(), closed - 1
    return begin, text


def _weigh(text: str) -> tuple[int, int]:
    """(parentheses open at the end, lowest level reached), those in string literals left out."""
    depth, lowest, quote, skip = 0, 0, "", False
    for letter in text:
        if skip or quote:
            quote = "" if letter == quote and not skip else quote
            skip = letter == "\\" and not skip
        elif letter in "\"'":
            quote = letter
        elif letter in "()":
            depth += 1 if letter == "(" else -1
            lowest = min(lowest, depth)
    return depth, lowest


def _is_wrapped(text: str) -> bool:
    """Whether one pair of parentheses holds the whole text."""
    text = text.rstrip()
    return text.endswith(")") and _weigh(text[1:-1]) == (0, 0)


def _evaluate(rule: Rule, values: tuple[Any, ...]) -> tuple[bool | None, str | None]:
    try:
        return bool(rule(*values)), None
    except RuleError as error:
        return None, str(error)


def _list_reads(node: Node, bound: frozenset[str]) -> Iterator[tuple[str, Node]]:
    """(path, node) of each attribute read, the longest path only; variables of folds are left out."""
    path = _name_path(node, bound)
    if path is not None:
        yield path, node
        return
    if isinstance(node, Fold):
        yield from _list_reads(node.over, bound)
        bound = bound | {node.variable}
    for child in list_children(node):
        if not (isinstance(node, Fold) and child is node.over):
            yield from _list_reads(child, bound)


def _name_path(node: Node, bound: frozenset[str]) -> str | None:
    if isinstance(node, Name):
        return None if node.name in bound else node.name
    if isinstance(node, Select | Has) and node.operand.type.kind == "object":
        above = _name_path(node.operand, bound)
        return None if above is None else f"{above}.{node.field}"
    return None


def _show(node: Node, scope: Mapping[str, Any]) -> object:
    value = _read(node, scope)
    if isinstance(value, Unset):
        return None
    if isinstance(value, Set):
        return sorted(value)
    return write_instant(value) if node.type.kind == "timestamp" and isinstance(value, int) else value


def _read(node: Node, scope: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever an attribute is
    if isinstance(node, Select | Has):
        above = _read(node.operand, scope)
        return None if above is None else above.get(node.field)
    return scope[node.name] if isinstance(node, Name) else None
