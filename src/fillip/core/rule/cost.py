"""What a rule can cost at most, told from its tree and the schema alone: refused at saving, so that no event is slow.

One unit is one operation of the compiled rule, about 0.1 µs. A fold costs its body times the most items its list can
have. Text is counted by the characters that all values of an event hold together, so a list's texts share them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fillip.core.named_list import MAX_ITEM_CHARS, MAX_LIST_ITEMS
from fillip.core.pattern import MAX_MATCHED_CHARS, measure_program, read_pattern
from fillip.core.rule.arithmetic import CONTAINS_SHORT, CONTAINS_TRIED
from fillip.core.rule.clause import list_clauses
from fillip.core.rule.errors import RuleRefused
from fillip.core.rule.tree import Call, Const, Entries, Fold, Items, Name, Node, Select, Tree, list_children, walk
from fillip.core.schema.types import EMPTY, MAX_LENGTH, AttributeType, ListOf, ObjectType

MAX_COST = 10_000
MAX_TEXT = MAX_LENGTH  # characters of all of an event's texts together
MAX_PROGRAMS = 2000  # instructions of all patterns of a rule: they take memory, whatever they run over
MAX_MEMBERSHIPS = 1000  # cohorts of a user: as many as a tenant may have
_CHARACTERS_A_UNIT = 256  # searched or copied
_COMPARED_A_UNIT = 2048
_SHOWN = 80  # characters of a clause in a message
_STEPPED_A_UNIT = 16  # characters x instructions of a pattern
_HINTS = {
    True: "give the texts that patterns run over a smaller maxLength in the schema, or write simpler patterns",
    False: "nest fewer all/exists/map/filter, or give the lists a smaller maxItems in the schema",
}
_READING_COST = 20  # of a calendar, of text as a number or an instant, of a pattern
_SORTING_COST = MAX_MEMBERSHIPS // 2  # of the cohorts, which are read in order
_SEARCHING_COST = 120  # of a text that was made long
_COMPARED_IN_SEARCH_A_UNIT = 200
_ORDERS = frozenset(f"{order}_string" for order in ("less", "less_equals", "greater", "greater_equals"))
_COMPARISONS = _ORDERS | {"equals", "not_equals", "starts_with_string", "ends_with_string"}
_PATTERNS = frozenset({"matches", "matches_string"})
_READINGS = frozenset(f"string_to_{kind}" for kind in ("int64", "uint64", "double", "timestamp", "duration"))


@dataclass(frozen=True, slots=True)
class Extent:
    """How large a value can be: `length` characters (a list's items share theirs), `count` items, each an `item`.

    `longest` is what `length` is where the value has all text for itself.
    """

    length: int = 0
    count: int = 0
    item: "Extent | None" = None
    fields: Mapping[str, "Extent"] = field(default_factory=dict)
    longest: int = MAX_TEXT

    def scale(self, by: int) -> "Extent":
        """The same with `by` times the text: what one item of a list may hold when the others hold none."""
        fields = {name: part.scale(by) for name, part in self.fields.items()}
        length = min(self.length * by, self.longest)
        return Extent(length, self.count, self.item and self.item.scale(by), fields, self.longest)

    @property
    def weight(self) -> int:
        """Units to compare the whole value once."""
        inner = self.item.weight if self.item else 0
        return 1 + self.length // _COMPARED_A_UNIT + self.count * max(inner, 1)


COHORTS = Extent(count=MAX_MEMBERSHIPS, item=Extent(length=64))
LISTED = Extent(count=MAX_LIST_ITEMS, item=Extent(length=MAX_ITEM_CHARS))


def measure(kind: AttributeType, text: int = MAX_TEXT, *, kept: bool = True) -> Extent:
    """The extent of an attribute, with at most `text` characters; `kept`: whether a maxLength of the schema holds."""
    if isinstance(kind, ListOf):
        share = -(-text // max(kind.max_items, 1))
        return Extent(count=kind.max_items, item=measure(kind.element, share, kept=kept))
    if isinstance(kind, ObjectType):
        return Extent(fields={part.name: measure(part.type, text, kept=kept) for part in kind.fields})
    longest = (kind.max_length if kept else MAX_TEXT) if kind.kind == "string" else 0
    return Extent(length=min(text, longest), longest=longest)


def check_cost(source: str, tree: Tree, roots: Mapping[str, ObjectType]) -> int:
    """What a rule over these variables (and `cohorts`) costs, at most MAX_COST; raises RuleRefused.

    The place is that of the clause that costs most. Each of `lists` counts as the largest that there may be.
    """
    _check_programs(tree)
    # `start` was let in by an earlier schema, perhaps with longer texts
    scope = {"cohorts": COHORTS} | {name: measure(shape, kept=name != "start") for name, shape in roots.items()}
    scope["lists"] = Extent(fields={part.name: LISTED for part in roots.get("lists", EMPTY).fields})
    units = estimate(tree.root, scope).units
    if units <= MAX_COST:
        return units
    clauses = [(estimate(clause.node, scope).units, clause) for clause in list_clauses(source, tree.root)]
    most, clause = max(clauses, key=lambda pair: pair[0])
    text = clause.text if len(clause.text) <= _SHOWN else clause.text[:_SHOWN] + "…"
    message = f"the rule may cost {_write(units)} steps an event, at most {MAX_COST:,}; {_write(most)} of them are of"
    matches = any(isinstance(node, Call) and node.overload in _PATTERNS for node in walk(clause.node))
    raise RuleRefused(*tree.locate(clause.offset), f"{message} `{text}`: {_HINTS[matches]}")


def _check_programs(tree: Tree) -> None:
    patterns = [node.args[1] for node in walk(tree.root) if isinstance(node, Call) and node.overload in _PATTERNS]
    sizes = [(_measure_pattern(pattern), pattern.offset) for pattern in patterns]
    if (total := sum(size for size, _ in sizes)) > MAX_PROGRAMS:
        message = f"patterns of {total:,} instructions in all, repetition written out, at most {MAX_PROGRAMS:,}"
        raise RuleRefused(*tree.locate(max(sizes)[1]), message)


@dataclass(frozen=True, slots=True)
class Cost:
    """The most units that an expression takes, and how large its value can be."""

    units: int
    extent: Extent = Extent()


def estimate(node: Node, scope: Mapping[str, Extent]) -> Cost:
    """The cost of an expression whose variables have the extents of `scope`."""
    if isinstance(node, Name):
        return Cost(_SORTING_COST if scope[node.name] is COHORTS else 1, scope[node.name])
    if isinstance(node, Const):
        return Cost(1, Extent(length=len(node.value) if isinstance(node.value, str) else 0))
    if isinstance(node, Fold):
        return _estimate_fold(node, scope)
    parts = [estimate(child, scope) for child in list_children(node)]
    units = 1 + sum(part.units for part in parts)
    extents = [part.extent for part in parts]
    if isinstance(node, Select):
        above = extents[0]
        return Cost(units, above.fields.get(node.field) or (above.item or Extent()).scale(max(above.count, 1)))
    if isinstance(node, Items):
        return Cost(units, Extent(count=len(parts), item=_join(extents)))
    if isinstance(node, Entries):
        return Cost(units, Extent(count=len(parts) // 2, item=_join(extents)))
    if isinstance(node, Call):
        return _estimate_call(node, units, extents)
    return Cost(units)


def _estimate_call(node: Call, units: int, extents: list[Extent]) -> Cost:
    overload = node.overload
    if overload == "conditional":
        return Cost(units, _join(extents[1:]))
    if overload == "add_list":
        left, right = extents
        made = Extent(count=left.count + right.count, item=_join([e.item for e in extents if e.item]))
        return Cost(units + made.count, made)
    if overload in ("index_list", "index_map"):
        return Cost(units, (extents[0].item or Extent()).scale(max(extents[0].count, 1)))
    if overload in _COMPARISONS:
        return Cost(units + min(extent.weight for extent in extents))
    if overload == "in_list":
        if extents[1] is COHORTS:
            return Cost(units - _SORTING_COST + 1)  # asked as the set it is
        hashed = isinstance(node.args[1], Items) or extents[1] is LISTED
        return Cost(units + (1 if hashed else extents[1].weight))
    length = sum(extent.length for extent in extents)
    if overload in _PATTERNS:
        matched = min(extents[0].length, MAX_MATCHED_CHARS)
        units += _READING_COST + matched * _measure_pattern(node.args[1]) // _STEPPED_A_UNIT
    elif overload == "contains_string":
        units += length // _CHARACTERS_A_UNIT + _search(extents[0].length, extents[1].length)
    elif overload == "add_string":
        units += length // _CHARACTERS_A_UNIT
    elif "timestamp_to_" in overload or overload in _READINGS:
        units += _READING_COST * (5 if overload == "string_to_duration" else 1)
    return Cost(units, Extent(length=length if node.type.kind == "string" else 0))


def _measure_pattern(pattern: Node) -> int:
    assert isinstance(pattern, Const), "the decoder lets no other pass"
    return measure_program(read_pattern(str(pattern.value)))


def _search(text: int, part: int) -> int:
    """Units of looking for a part in a text, see arithmetic.contains, beside going through it once."""
    tried = text * part
    long = part >= CONTAINS_SHORT and tried > CONTAINS_TRIED
    made_long = _SEARCHING_COST + 4 * part // _CHARACTERS_A_UNIT if long else 0
    return min(tried, CONTAINS_TRIED) // _COMPARED_IN_SEARCH_A_UNIT + made_long


def _estimate_fold(node: Fold, scope: Mapping[str, Extent]) -> Cost:
    over = estimate(node.over, scope)
    item = over.extent.item or Extent()
    inner = {**scope, node.variable: item}
    test = estimate(node.test, inner).units if node.test else 0
    make = estimate(node.make, inner) if node.make else Cost(0)
    units = over.units + 1 + over.extent.count * (1 + test + make.units)
    made = Extent(count=over.extent.count, item=make.extent) if node.make else Extent()
    return Cost(units, made)


def _join(extents: list[Extent]) -> Extent:
    """An extent that holds each of these."""
    if not extents:
        return Extent()
    names = {name for extent in extents for name in extent.fields}
    items = [extent.item for extent in extents if extent.item]
    return Extent(
        max(extent.length for extent in extents),
        max(extent.count for extent in extents),
        _join(items) if items else None,
        {name: _join([extent.fields[name] for extent in extents if name in extent.fields]) for name in names},
        max(extent.longest for extent in extents),
    )


def _write(units: int) -> str:
    return f"{units:,}" if units < 10**12 else "more than 10^12"
