"""A checked rule as a tree of our own: macros folded back, a type and a place at every node."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

Literals: TypeAlias = bool | int | float | str | None
FoldKind: TypeAlias = Literal["all", "exists", "exists_one", "map", "filter"]


@dataclass(frozen=True, slots=True)
class CelType:
    """`kind` is bool int uint double string bytes timestamp duration null list map object or dyn."""

    kind: str
    parts: tuple["CelType", ...] = ()
    boxed: bool = False  # a wrapper: may be null

    def holds(self, kind: str) -> bool:
        """Whether this type is, or contains, `kind`."""
        return self.kind == kind or any(part.holds(kind) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Node:
    """`offset` is the place in the source in code points (of the operator, for a call)."""

    offset: int
    type: CelType


@dataclass(frozen=True, slots=True)
class Const(Node):
    """A literal."""

    value: Literals


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A variable: event, user, cohorts, lists, start, progress, or one bound by a fold."""

    name: str


@dataclass(frozen=True, slots=True)
class Select(Node):
    """`operand.field`."""

    operand: Node
    field: str


@dataclass(frozen=True, slots=True)
class Has(Node):
    """`has(operand.field)`."""

    operand: Node
    field: str


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function or operator; `overload` is the one the checker chose, a receiver is the first argument."""

    function: str
    overload: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Items(Node):
    """A list literal."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entries(Node):
    """A map literal: keys and values in turn."""

    pairs: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Fold(Node):
    """all, exists, exists_one, map or filter over a list or the keys of a map; filter's `make` is the variable."""

    kind: FoldKind
    variable: str
    over: Node
    test: Node | None
    make: Node | None


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole rule; `line_offsets` are where the second and later lines begin."""

    root: Node
    line_offsets: tuple[int, ...]

    def locate(self, offset: int) -> tuple[int, int]:
        """(line, column) of an offset, from 1."""
        return locate(self.line_offsets, offset)


def locate(line_offsets: tuple[int, ...], offset: int) -> tuple[int, int]:
    """(line, column) of an offset, both from 1; `line_offsets` are where the second and later lines begin."""
    line = bisect_right(line_offsets, offset)
    return line + 1, offset - (line_offsets[line - 1] if line else 0) + 1


def list_children(node: Node) -> Iterator[Node]:
    """The nodes right below."""
    for field in fields(node):
        value = getattr(node, field.name)
        if isinstance(value, Node):
            yield value
        elif isinstance(value, tuple):
            yield from value


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    for child in list_children(node):
        yield from walk(child)


def list_names(node: Node) -> set[str]:
    """Every variable name that occurs, bound ones too."""
    return {part.name for part in walk(node) if isinstance(part, Name)}


def find_lists(root: Node) -> set[str]:
    """The ids of the named lists that a rule reads."""
    reads = list_reads(root)
    return {node.field for path, node in reads if isinstance(node, Select | Has) and path.startswith("lists.")}


def list_reads(node: Node, bound: frozenset[str] = frozenset()) -> Iterator[tuple[str, Node]]:
    """(path, node) of each attribute or list read, the longest path only; variables of folds are left out."""
    path = _name_path(node, bound)
    if path is not None:
        yield path, node
        return
    if isinstance(node, Fold):
        yield from list_reads(node.over, bound)
        bound = bound | {node.variable}
    for child in list_children(node):
        if not (isinstance(node, Fold) and child is node.over):
            yield from list_reads(child, bound)


def _name_path(node: Node, bound: frozenset[str]) -> str | None:
    if isinstance(node, Name):
        return None if node.name in bound else node.name
    if isinstance(node, Select | Has) and node.operand.type.kind == "object":
        above = _name_path(node.operand, bound)
        return None if above is None else f"{above}.{node.field}"
    return None
