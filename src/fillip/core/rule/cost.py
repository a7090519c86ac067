"""What a rule can cost at most, told from its tree and the schema alone: refused at saving, so that no event is slow.

One unit is one operation of the compiled rule, about 0.1 µs. A fold costs its body times the most items its list can
have. Text is counted by the characters that all values of an event hold together, so a list's texts share them.
"""

from collections.abc import Mapping

from fillip.core.pattern import MAX_MATCHED_CHARS, measure_program, read_pattern
from fillip.core.rule.arithmetic import CONTAINS_SHORT, CONTAINS_TRIED
from fillip.core.rule.clause import list_clauses
from fillip.core.rule.errors import RuleRefused
from fillip.core.rule.extent import COHORTS, LISTED, MAX_MEMBERSHIPS, Cost, Extent, join_extents, measure
from fillip.core.rule.function_cost import CHARACTERS_A_UNIT, FUNCTION_COSTS
from fillip.core.rule.tree import Call, Const, Entries, Fold, Items, Name, Node, Select, Tree, list_children, walk
from fillip.core.schema.types import EMPTY, ObjectType

MAX_COST = 10_000
MAX_PROGRAMS = 2000  # instructions of all patterns of a rule: they take memory, whatever they run over
_SHOWN = 80  # characters of a clause in a message
_STEPPED_A_UNIT = 16  # characters x instructions of a pattern
_HINTS = {
    True: "give the texts that patterns run over a smaller maxLength in the schema, or write simpler patterns",
    False: "nest fewer all/exists/map/filter, or give the lists a smaller maxItems and the texts a maxLength in the schema",
}
_READING_COST = 20  # of a calendar, of text as a number or an instant, of a pattern
_SORTING_COST = MAX_MEMBERSHIPS // 2  # of the cohorts, which are read in order
_SEARCHING_COST = 120  # of a text that was made long
_COMPARED_IN_SEARCH_A_UNIT = 200
_ORDERS = frozenset(f"{order}_string" for order in ("less", "less_equals", "greater", "greater_equals"))
_COMPARISONS = _ORDERS | {"equals", "not_equals", "starts_with_string", "ends_with_string"}
_PATTERNS = frozenset({"matches", "matches_string"})
_WRITINGS = frozenset(f"{kind}_to_string" for kind in ("int64", "uint64", "bool", "timestamp", "duration"))
_WRITTEN_CHARS = 40
_READINGS = frozenset(f"string_to_{kind}" for kind in ("int64", "uint64", "double", "timestamp", "duration"))


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


def estimate(node: Node, scope: Mapping[str, Extent]) -> Cost:
    """The cost of an expression whose variables have the extents of `scope`."""
    if isinstance(node, Name):
        return Cost(_SORTING_COST if scope[node.name] is COHORTS else 1, scope[node.name])
    if isinstance(node, Const):
        length = len(node.value) if isinstance(node.value, str) else 0
        return Cost(1, Extent(length=length, longest=length))
    if isinstance(node, Fold):
        return _estimate_fold(node, scope)
    parts = [estimate(child, scope) for child in list_children(node)]
    units = 1 + sum(part.units for part in parts)
    extents = [part.extent for part in parts]
    if isinstance(node, Select):
        above = extents[0]
        return Cost(units, above.fields.get(node.field) or (above.item or Extent()).scale(max(above.count, 1)))
    if isinstance(node, Items):
        return Cost(units, Extent(count=len(parts), item=join_extents(extents)))
    if isinstance(node, Entries):
        return Cost(units, Extent(count=len(parts) // 2, item=join_extents(extents)))
    if isinstance(node, Call):
        return _estimate_call(node, units, extents)
    return Cost(units)


def _estimate_call(node: Call, units: int, extents: list[Extent]) -> Cost:
    overload = node.overload
    if overload == "conditional":
        return Cost(units, join_extents(extents[1:]))
    if overload == "add_list":
        left, right = extents
        made = Extent(count=left.count + right.count, item=join_extents([e.item for e in extents if e.item]))
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
    if overload in FUNCTION_COSTS:
        return FUNCTION_COSTS[overload](node, units, extents)
    length = sum(extent.length for extent in extents)
    if overload in _PATTERNS:
        matched = min(extents[0].length, MAX_MATCHED_CHARS)
        units += _READING_COST + matched * _measure_pattern(node.args[1]) // _STEPPED_A_UNIT
    elif overload == "contains_string":
        units += length // CHARACTERS_A_UNIT + _search(extents[0].length, extents[1].length)
    elif overload == "add_string":
        units += length // CHARACTERS_A_UNIT
    elif "timestamp_to_" in overload or overload in _READINGS:
        units += _READING_COST * (5 if overload == "string_to_duration" else 1)
    if overload in _WRITINGS:
        return Cost(units, Extent(length=_WRITTEN_CHARS, longest=_WRITTEN_CHARS))
    if node.type.kind != "string":
        return Cost(units)
    return Cost(units, Extent(length=length, longest=sum(extent.longest for extent in extents)))


def _measure_pattern(pattern: Node) -> int:
    assert isinstance(pattern, Const), "the decoder lets no other pass"
    return measure_program(read_pattern(str(pattern.value)))


def _search(text: int, part: int) -> int:
    """Units of looking for a part in a text, see arithmetic.contains, beside going through it once."""
    tried = text * part
    long = part >= CONTAINS_SHORT and tried > CONTAINS_TRIED
    made_long = _SEARCHING_COST + 4 * part // CHARACTERS_A_UNIT if long else 0
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


def _write(units: int) -> str:
    return f"{units:,}" if units < 10**12 else "more than 10^12"
