"""What attributes can cost at most to be validated, told from their schema alone; what has no bound is refused.

One unit is one keyword looked at for one value, about 0.05 µs. A list's items count as often as there may be of them.
"""

from collections.abc import Mapping

from fillip.core.pattern import MAX_MATCHED_CHARS, PatternRefused, measure_program, read_pattern
from fillip.core.schema.types import (
    ANNOTATIONS,
    DEFAULT_MAX_ITEMS,
    MAX_ITEMS,
    MAX_LENGTH,
    Schema,
    SchemaUnusable,
    find_part,
)

MAX_SCHEMA_COST = 100_000
MAX_BRANCHES = 64
"""Of `anyOf`, `oneOf` and the like, in the whole schema."""

_UNASKED = ANNOTATIONS | {"contentEncoding", "contentMediaType", "$defs", "definitions"}
_MANY, _ONE = frozenset({"anyOf", "oneOf", "allOf"}), frozenset({"not", "if", "then", "else", "contains"})
_REFUSED = {
    **dict.fromkeys(
        ("$ref", "$dynamicRef", "$recursiveRef", "$schema", "$id", "$vocabulary"), "references and dialects"
    ),
    **dict.fromkeys(("patternProperties", "propertyNames"), "patterns over the names of members"),
    **dict.fromkeys(("unevaluatedProperties", "unevaluatedItems", "dependentSchemas", "dependencies"), "this keyword"),
    **dict.fromkeys(("prefixItems", "additionalItems", "contentSchema"), "this keyword"),
}
_READ_TEXT_COST = 2000  # of 64 kB, whatever its format
_CALL_COST = 60  # of our own keyword
_COMPARED_ITEM_COST = 8  # of items that must all differ
_UNTYPED_ITEMS = MAX_LENGTH // 2
_STEPPED_A_UNIT = 8  # characters x instructions of a pattern
_FRACTION_COST = 2000  # of multipleOf with a fraction: exact arithmetic of what may have 600 digits
_HINT = "give lists a smaller maxItems, texts with a pattern a smaller maxLength, or ask less of each value"


def check_schema_cost(schema: Schema) -> int:
    """The units of validating attributes once, at most MAX_SCHEMA_COST; raises SchemaUnusable with the place that costs most.

    `schema` has a type (fillip.core.schema.types.derive_type); its other keywords are looked at here.
    """
    walk = _Walk()
    units = walk.measure(schema, "", 1, None)
    if walk.branches > MAX_BRANCHES:
        raise SchemaUnusable(walk.branch_at, f"{walk.branches} alternatives in all, at most {MAX_BRANCHES}: use enum")
    if units > MAX_SCHEMA_COST:
        # the keyword furthest down that has most of the units; the dearest of all where they are spread
        heavy = [(at.count("/"), cost, at) for cost, at in walk.costs if 2 * cost > units]
        most, pointer = max(heavy)[1:] if heavy else max(walk.costs)
        message = f"an event may cost {units:,} steps to validate, at most {MAX_SCHEMA_COST:,}; {most:,} of them here: {_HINT}"
        raise SchemaUnusable(pointer, message)
    return units


class _Walk:
    """Goes through a schema once; `costs` are the units of each keyword and all below it, with its pointer."""

    def __init__(self) -> None:
        self.branches = 0
        self.branch_at = ""
        self.costs: list[tuple[int, str]] = []

    def measure(self, schema: object, pointer: str, times: int, outer: Schema | None) -> int:
        """Units of a schema for `times` values.

        `outer` is None where the schema itself tells how large they are; in an alternative it is the schema that does,
        empty where none does.
        """
        if not isinstance(schema, Mapping):
            return times
        units = times
        for name, value in schema.items():
            at = f"{pointer}/{name}"
            if name in _REFUSED:
                raise SchemaUnusable(at, f"{_REFUSED[name]} are not supported: write the part out")
            if name in _UNASKED:
                continue
            own = _cost_keyword(name, value, times, schema if outer is None else outer, at)
            whole = own + self._measure_below(name, value, at, times, schema, outer)
            self.costs.append((whole, at))
            units += whole
        return units

    def _measure_below(
        self, name: str, value: object, at: str, times: int, schema: Schema, outer: Schema | None
    ) -> int:
        sized = schema if outer is None else outer
        if name == "properties" and isinstance(value, Mapping):
            known = find_part(outer, "properties")
            return sum(
                self.measure(part, f"{at}/{key}", times, None if outer is None else find_part(known, key))
                for key, part in value.items()
            )
        if name == "items":
            below = None if outer is None else find_part(outer, "items")
            return self.measure(value, at, times * _count_items(sized), below)
        if name == "contains":
            return self._measure_branch(value, at, times * _count_items(sized), find_part(sized, "items"))
        if name in _MANY and isinstance(value, list):
            return sum(self._measure_branch(part, f"{at}/{index}", times, sized) for index, part in enumerate(value))
        return self._measure_branch(value, at, times, sized) if name in _ONE else 0

    def _measure_branch(self, part: object, at: str, times: int, outer: Schema) -> int:
        self.branches += 1
        self.branch_at = at
        return self.measure(part, at, times, outer)


def _count_items(sized: Schema) -> int:
    """The most items of a list; where nothing says that it is one of its attributes, those that an event has room for."""
    given = sized.get("maxItems", DEFAULT_MAX_ITEMS if sized else _UNTYPED_ITEMS)
    return given if isinstance(given, int) else MAX_ITEMS


def _cost_keyword(name: str, value: object, times: int, sized: Schema, at: str) -> int:
    if name == "pattern":
        return _cost_pattern(value, times, sized, at)
    if name == "format":
        if value == "regex":
            raise SchemaUnusable(at, "'regex' is not supported: its check compiles what an event says")
        return times + _READ_TEXT_COST  # linear in the text, which all values share
    if name == "multipleOf" and not isinstance(value, int):
        return times * _FRACTION_COST
    choices = value if name == "enum" and isinstance(value, list) else [value] if name == "const" else []
    if any(isinstance(choice, list | Mapping) for choice in choices):
        raise SchemaUnusable(at, "must name single values: lists and objects are compared one by one")
    if name == "additionalProperties" and not isinstance(value, bool):
        raise SchemaUnusable(at, "must be true or false: members that rules may read stand in 'properties'")
    if name == "uniqueItems":
        return times * _COMPARED_ITEM_COST * _count_items(sized)
    if name == "dependentRequired":
        names = value.values() if isinstance(value, Mapping) else ()
        return times * (1 + sum(len(each) for each in names if isinstance(each, list)))
    return times * (len(value) if isinstance(value, list | Mapping) and name in ("required", "properties") else 1)


def _cost_pattern(value: object, times: int, sized: Schema, at: str) -> int:
    """As a step of a rule, and the call; texts that are longer than a pattern may run over are refused unread."""
    try:
        program = measure_program(read_pattern(str(value)))
    except PatternRefused as refused:
        raise SchemaUnusable(at, str(refused)) from None
    longest = sized.get("maxLength", MAX_MATCHED_CHARS)
    chars = min(longest if isinstance(longest, int) else MAX_MATCHED_CHARS, MAX_MATCHED_CHARS)
    return times * _CALL_COST + min(times * chars, MAX_LENGTH) * program // _STEPPED_A_UNIT
