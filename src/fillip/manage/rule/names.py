"""What the literals of a rule name: cohorts, time zones, instants and spans, which must be such when it is saved."""

from collections.abc import Callable, Collection, Mapping

from msgspec import Struct

from fillip.core.instant import find_zone, read_instant_ns
from fillip.core.rule import RuleRefused
from fillip.core.rule.calendar import read_span
from fillip.core.rule.tree import Call, Const, Tree, list_reads, walk

_Reader = tuple[Callable[[str], object], str]
"""How a text is read, and how it is written."""
_ZONE: _Reader = find_zone, "name one of IANA's such as Europe/Berlin, or an offset such as +02:00"
_READERS: Mapping[str, _Reader] = {
    "string_to_timestamp": (read_instant_ns, 'write "2026-01-31T09:30:00Z"'),
    "string_to_duration": (read_span, 'write "90m", "1h30m" or "36h": there are no days'),
}
"""By the conversion of a text."""


class CohortReads(Struct, frozen=True):
    """Which cohorts a rule asks for: by `"vip" in cohorts` those named, each with its place; otherwise `all` that there are."""

    named: tuple[tuple[str, int], ...]
    all: bool


def read_cohorts(tree: Tree) -> CohortReads:
    """The cohorts that a rule asks for. What is not written out as `"vip" in cohorts` may ask for any."""
    asked = {
        id(node.args[1]): node.args[0]
        for node in walk(tree.root)
        if isinstance(node, Call) and node.overload == "in_list" and isinstance(node.args[0], Const)
    }
    reads = [asked.get(id(node)) for path, node in list_reads(tree.root) if path == "cohorts"]
    named = tuple((str(name.value), name.offset) for name in reads if isinstance(name, Const))
    return CohortReads(named, len(named) < len(reads))


def refuse_unknown_cohorts(tree: Tree, reads: CohortReads, known: Collection[str]) -> None:
    """Raise RuleRefused where a rule names a cohort that is not there: nobody would be in it."""
    for name, offset in reads.named:
        if name not in known:
            raise RuleRefused(
                *tree.locate(offset), f"there is no cohort '{name[:40]}': make it first, by POST /v1/cohorts"
            )


def refuse_broken_literals(tree: Tree) -> None:
    """Raise RuleRefused where an instant, a span or a time zone that is written out is none: the rule would fail for every event."""
    for node in walk(tree.root):
        if not isinstance(node, Call):
            continue
        if node.overload.startswith("timestamp_to_") and len(node.args) > 1:
            (read, cure), text = _ZONE, node.args[1]
        elif node.overload in _READERS:
            (read, cure), text = _READERS[node.overload], node.args[0]
        else:
            continue
        if isinstance(text, Const):
            try:
                read(str(text.value))
            except ValueError as broken:
                raise RuleRefused(*tree.locate(text.offset), f"{broken}; {cure}") from None
