"""Which condition of a rule held and which did not, with the values it read."""

from collections.abc import Mapping, Set
from functools import lru_cache
from typing import Any

from msgspec import Struct

from fillip.core.instant import write_instant
from fillip.core.named_list import NO_LISTS, Lists, NamedList
from fillip.core.rule.clause import list_clauses
from fillip.core.rule.compile import Rule, build_exact
from fillip.core.rule.decode import decode_rule
from fillip.core.rule.errors import RuleError
from fillip.core.rule.tree import Has, Name, Node, Select, list_reads
from fillip.core.schema.coerce import Unset

_SHOWN_CHARS, _SHOWN_ITEMS = 256, 16


class LeafOutcome(Struct, frozen=True):
    """One condition (no `&&`, `||` or `!` above but in its place) and what became of it.

    `line` and `column` count from 1; `wanted` is false under an odd number of `!`; `value` is None when there was an
    `error`; `reads` maps what it read, such as "event.amount", to the value then, of a named list to its version and size;
    long texts and lists are cut.
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
    *,
    lists: Lists = NO_LISTS,
) -> list[LeafOutcome]:
    """The outcome of every leaf of a condition, in the order of the source; values as in compile.Rule."""
    scope = {"event": event, "user": user, "cohorts": cohorts, "start": start, "progress": progress, "lists": lists}
    outcomes = []
    for probe in _prepare(source, checked, lists) if lists else _prepare_once(source, checked):
        value, error = _evaluate(probe.rule, (event, user, cohorts, start, progress))
        reads = {path: _show(read, scope) for path, read in probe.reads}
        outcomes.append(LeafOutcome(probe.line, probe.column, probe.text, probe.wanted, value, error, reads))
    return outcomes


def _prepare(source: str, checked: bytes, lists: Lists) -> list[_Probe]:
    """The compiled leaves of a rule, in the order of the source."""
    tree = decode_rule(checked)
    probes = []
    for clause in list_clauses(source, tree.root):
        reads = tuple(dict(list_reads(clause.node)).items())
        place = tree.locate(clause.offset)
        probes.append(_Probe(*place, clause.text, clause.wanted, build_exact(clause.node, lists), reads))
    return probes


@lru_cache(maxsize=512)
def _prepare_once(source: str, checked: bytes) -> list[_Probe]:
    """Those of a rule without lists, kept, for the same campaign is asked about again; kept lists would fill memory."""
    return _prepare(source, checked, NO_LISTS)


def list_inputs(
    checked: bytes,
    event: Mapping[str, object],
    user: Mapping[str, object],
    cohorts: Set[str],
    *,
    lists: Lists = NO_LISTS,
) -> dict[str, object]:
    """What an expression reads, such as "event.amount", and the value then; values as in compile.Rule."""
    scope = {"event": event, "user": user, "cohorts": cohorts, "start": None, "lists": lists}
    return {path: _show(read, scope) for path, read in list_reads(decode_rule(checked).root)}


def _evaluate(rule: Rule, values: tuple[Any, ...]) -> tuple[bool | None, str | None]:
    try:
        return bool(rule(*values)), None
    except RuleError as error:
        return None, str(error)


def _show(node: Node, scope: Mapping[str, Any]) -> object:
    value = _read(node, scope)
    if isinstance(value, Unset):
        return None
    if isinstance(value, NamedList):
        return {"version": value.version, "size": len(value.items)}
    if isinstance(value, Set):
        return _shorten(sorted(value))
    return write_instant(value) if node.type.kind == "timestamp" and isinstance(value, int) else _shorten(value)


def _shorten(value: Any) -> object:  # noqa: ANN401 - whatever an attribute is
    """The value as it can be shown for each of hundreds of conditions."""
    if isinstance(value, str):
        return value if len(value) <= _SHOWN_CHARS else value[:_SHOWN_CHARS] + "…"
    if isinstance(value, Mapping):
        return {name: _shorten(part) for name, part in value.items()}
    if not isinstance(value, list):
        return value
    shown = [_shorten(item) for item in value[:_SHOWN_ITEMS]]
    return shown if len(value) <= _SHOWN_ITEMS else [*shown, f"… {len(value)} in all"]


def _read(node: Node, scope: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever an attribute is
    if isinstance(node, Select | Has):
        above = _read(node.operand, scope)
        return None if above is None else above.get(node.field)
    return scope[node.name] if isinstance(node, Name) else None
