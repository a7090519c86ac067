"""The subset: a Python expression for each overload that the checker may choose, and the names these use.

All operands have the static type that the overload says, or are null; where Python would not raise for null by itself,
the template makes it. The logical operators, `==`, `in`, `?:` and `matches` are written by emit.py: their templates are empty.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from fillip.core import pattern
from fillip.core.instant import read_instant_ns, write_instant, write_span
from fillip.core.rule import arithmetic, calendar, lists, texts

_COMPARED = ("bool", "int64", "uint64", "double", "string", "timestamp", "duration")
_ORDERS = {"less": "<", "less_equals": "<=", "greater": ">", "greater_equals": ">="}
_SIGNS = {"add": "+", "subtract": "-", "multiply": "*"}
_SIZES = ("size_string", "string_size", "size_list", "list_size", "size_map", "map_size")
_OF_LISTS = {"sum": "sum_ints", "min": "find_least", "max": "find_greatest", "distinct": "drop_repeats"}
_OF_DOUBLES = {"sum": "sum_doubles", "distinct": "drop_repeated_doubles"}
_SAME = ("int64_to_int64", "uint64_to_uint64", "double_to_double", "string_to_string", "bool_to_bool",
         "timestamp_to_timestamp", "duration_to_duration")  # fmt: skip


def _list_functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    return {name: value for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}


NAMESPACE: dict[str, Any] = {
    "__builtins__": {},
    **_list_functions(arithmetic),
    **_list_functions(calendar),
    **_list_functions(lists),
    **_list_functions(texts),
    "find_pattern": pattern.find_pattern,
    "read_instant_ns": read_instant_ns,
    "write_instant": write_instant,
    "write_span": write_span,
    "len": len,
    "float": float,
    "any": any,
    "all": all,
    "sorted": sorted,
    "sum": sum,
}

TEMPLATES: dict[str, str] = {
    **dict.fromkeys(("logical_and", "logical_or", "logical_not", "conditional", "equals", "not_equals", "in_list"), ""),
    **dict.fromkeys(("matches", "matches_string"), ""),
    "in_map": "is_key({0}, {1})",
    "index_list": "pick({0}, {1})",
    "index_map": "{0}[{1}]",
    "negate_int64": "check_int(-{0})",
    "negate_double": "(-{0})",
    "divide_int64": "divide_int({0}, {1})",
    "divide_uint64": "divide_int({0}, {1})",
    "modulo_int64": "modulo_int({0}, {1})",
    "modulo_uint64": "modulo_int({0}, {1})",
    "divide_double": "divide_double({0}, {1})",
    "add_string": "({0} + {1})",
    "add_list": "({0} + {1})",
    "add_duration_duration": "add_spans({0}, {1})",
    "add_timestamp_duration": "shift_instant({0}, {1})",
    "add_duration_timestamp": "shift_instant({1}, {0})",
    "subtract_duration_duration": "subtract_spans({0}, {1})",
    "subtract_timestamp_duration": "shift_instant({0}, -{1})",
    "subtract_timestamp_timestamp": "subtract_instants({0}, {1})",
    "contains_string": "contains({0}, {1})",
    "starts_with_string": "{0}.startswith({1})",
    "ends_with_string": "{0}.endswith({1})",
    "string_lower_ascii": "lower_ascii({0})",
    "string_upper_ascii": "upper_ascii({0})",
    "string_trim": "trim({0})",
    "string_substring_int": "substring({0}, {1})",
    "string_substring_int_int": "substring({0}, {1}, need({2}))",
    "string_split_string": "split({0}, {1})",
    "string_split_string_int": "split({0}, {1}, {2})",
    "string_replace_string_string": "replace({0}, {1}, {2})",
    "string_replace_string_string_int": "replace({0}, {1}, {2}, {3})",
    "list_join": "join({0})",
    "list_join_string": "join({0}, {1})",
    "double_to_int64": "double_to_int({0})",
    "uint64_to_int64": "check_int({0})",
    "string_to_int64": "read_int({0})",
    "timestamp_to_int64": "instant_to_seconds({0})",
    "int64_to_uint64": "check_uint({0})",
    "double_to_uint64": "double_to_uint({0})",
    "string_to_uint64": "read_uint({0})",
    "int64_to_double": "float({0})",
    "uint64_to_double": "float({0})",
    "string_to_double": "read_double({0})",
    "string_to_bool": "read_bool({0})",
    "bool_to_string": "write_bool({0})",
    "int64_to_string": "write_int({0})",
    "uint64_to_string": "write_int({0})",
    "timestamp_to_string": "write_instant({0})",
    "duration_to_string": "write_span({0})",
    "string_to_timestamp": "read_instant_ns({0})",
    "int64_to_timestamp": "seconds_to_instant({0})",
    "string_to_duration": "read_span({0})",
}


def _fill() -> None:
    for kind in ("bool", "int64", "double", "string"):
        TEMPLATES[f"or_value_{kind}"] = "replace_null({0}, {1})"
    for order, sign in _ORDERS.items():
        TEMPLATES.update({f"{order}_{kind}": f"({{0}} {sign} {{1}})" for kind in _COMPARED})
    for word, sign in _SIGNS.items():
        TEMPLATES[f"{word}_int64"] = f"check_int({{0}} {sign} {{1}})"
        TEMPLATES[f"{word}_uint64"] = f"check_uint({{0}} {sign} {{1}})"
        TEMPLATES[f"{word}_double"] = f"({{0}} {sign} {{1}})"
    TEMPLATES.update(dict.fromkeys(_SIZES, "len({0})"))
    TEMPLATES.update(dict.fromkeys(_SAME, "need({0})"))
    for kind in ("int", "uint", "double"):
        for word, find in (("min", "find_least"), ("max", "find_greatest")):
            TEMPLATES[f"math_@{word}_{kind}"] = "need({0})"
            TEMPLATES[f"math_@{word}_{kind}_{kind}"] = f"{find}(({{0}}, {{1}}))"
            TEMPLATES[f"math_@{word}_list_{kind}"] = f"{find}({{0}})"
    for name, kinds in lists.LIST_FUNCTIONS.items():
        for kind in kinds:
            function = _OF_DOUBLES.get(name) if kind == "double" else None
            TEMPLATES.update(dict.fromkeys(lists.name_overloads(name, kind), f"{function or _OF_LISTS[name]}({{0}})"))
    for part in calendar.INSTANT_PARTS:
        TEMPLATES[f"timestamp_to_{part}"] = f"tell_part({part!r}, {{0}})"
        TEMPLATES[f"timestamp_to_{part}_with_tz"] = f"tell_part({part!r}, {{0}}, {{1}})"
    for part in calendar.SPAN_PARTS:
        TEMPLATES[f"duration_to_{part}"] = f"count_span({part!r}, {{0}})"
    TEMPLATES["timestamp_to_seconds_tz"] = TEMPLATES["timestamp_to_seconds_with_tz"]


_fill()
