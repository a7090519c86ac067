"""Definitions made to be as slow as saving lets pass: each is scaled up until it is refused, the last one accepted counts.

A rule is a term repeated by `||` that never holds, so that all of it runs; a schema repeats what one value has to meet.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

from fillip.core.errors import Refused
from fillip.core.schema.check_schema import check_schema
from fillip.core.schema.types import EMPTY, ObjectType, derive_type
from fillip.manage.rule.checker import CheckedRule, check_rule

_Made = TypeVar("_Made")


class Worst(NamedTuple):
    """A definition at its largest, and an event that makes it work hardest."""

    name: str
    definition: Any
    event: dict[str, Any]
    times: int


def _list(items: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


_LINE = {
    "type": "object",
    "required": ["sku", "n"],
    "properties": {"sku": {"type": "string"}, "n": {"type": "integer"}},
}
PROPERTIES: dict[str, dict[str, Any]] = {
    **{name: {"type": "string"} for name in ("s", "t")},
    **{name: {"type": "string", "maxLength": 64} for name in ("short", "code")},
    **{name: {"type": "integer"} for name in ("a", "b")},
    "d": {"type": "number"},
    "f": {"type": "boolean"},
    "at": {"type": "string", "format": "date-time"},
    "tags": _list({"type": "string"}),
    "codes": _list({"type": "string", "maxLength": 16}),
    "ns": _list({"type": "integer"}),
    "ds": _list({"type": "number"}),
    "lines": _list(_LINE),
}
SCHEMA = {"type": "object", "properties": PROPERTIES, "required": list(PROPERTIES)}
ACTION = derive_type(SCHEMA)
COHORTS = frozenset(f"cohort-{number}" for number in range(1000))
_CHANCE = random.Random(8)


def _draw(letters: str, length: int) -> str:
    return "".join(_CHANCE.choices(letters, k=length))


_BASE: dict[str, Any] = {
    "s": "a" * 29_998, "t": "a" * 14_000 + "b" + "a" * 14_000, "short": _draw("ab", 64), "code": "a" * 31 + "b" + "a" * 31,
    "a": -(2**63) + 1, "b": 3, "d": 1.5, "f": False, "at": "0001-01-01T00:00:00Z",
    "tags": ["a" * 200] * 256, "codes": [_draw("ab", 16)] * 256, "ns": list(range(256)), "ds": [0.1] * 256,
    "lines": [{"sku": "a" * 100, "n": 1}] * 256,
}  # fmt: skip
_TEN = "[1,2,3,4,5,6,7,8,9,0]"
_TERMS: dict[str, tuple[str, dict[str, Any]]] = {
    "a text in a text": ("event.s.contains(event.t)", {}),
    "a text in a text of the same size": ("event.s.contains(event.t)", {"s": "a" * 32_000, "t": "a" * 15_900 + "b" + "a" * 15_900}),
    "a literal in a text": (f"event.s.contains('{'a' * 20}b{'a' * 20}')", {"s": "a" * 2499}),
    "a short text in a short text": ("event.short.contains(event.code)", {"short": "a" * 64}),
    "an item in each item": ("event.codes.exists(c, c.contains('aab'))", {"codes": ["a" * 16] * 256}),
    "texts compared": ("event.s == event.t", {"s": "a" * 32_000, "t": "a" * 31_999 + "b"}),
    "texts joined": ("event.s + event.t == event.t + event.s", {"s": "中" * 15_000, "t": "😀" * 5000}),
    "a text as a double": ("double(event.s) == 1.0", {"s": "0." + "0" * 60 + "1" * 66}),
    "a text as an int": ("int(event.s) == 1", {"s": "9" * 128}),
    "a long text as an int": ("int(event.s) == 1", {"s": " " * 60_000}),
    "a text as an instant": ("timestamp(event.s) == event.at", {"s": "2026-01-01T00:00:00." + "1" * 100}),
    "a text as a span": ("duration(event.s) == duration('1s')", {"s": "1s" * 64}),
    "a text that is no span": ("duration(event.s) == duration('1s')", {"s": "1" * 128}),
    "a zone from a text": ("event.at.getHours(event.s) > 25", {"s": "Nowhere/X"}),
    "a date in a zone": ("event.at.getFullYear('America/New_York') > 40000", {}),
    "an instant as text": ("string(event.at) == ''", {}),
    "overflows": ("event.a * 2 > 1", {}),
    "divisions by zero": ("event.b / (event.b - 3) == 1", {}),
    "an index outside": ("event.tags[9999] == 'x'", {}),
    "errors for each item": ("event.ns.exists(x, x / (x - x) == 1)", {}),
    "every item": ("event.tags.exists(t, t == 'b')", {}),
    "lists made and compared": ("event.ns.map(n, n + 1) == event.ns", {}),
    "doubles compared": ("event.d in event.ds", {}),
    "literal lists crossed": (f"{_TEN}.exists(x, {_TEN}.exists(y, x + y > 100))", {}),
    "cohorts sorted": ("cohorts[0] == 'zz'", {}),
    "cohorts compared": ("cohorts == ['a']", {}),
    "a pattern of many states": ("event.s.matches('a[ab]{20}c')", {"s": _draw("ab", 1024)}),
    "a pattern of many choices": ("event.s.matches('(?:a?){20}[ab]{20}c')", {"s": _draw("ab", 1024)}),
    "a long pattern": ("event.short.matches('(?:a|b)*a(?:a|b){80}c')", {}),
    "a pattern for each item": ("event.codes.exists(c, c.matches('a[ab]{8}c'))", {}),
    "a pattern of letters": (r"event.short.matches('(?:[^a]|\\p{Greek})*é[^a]{5}a')", {"short": "é中😀" * 21}),
    "white space trimmed": ("event.s.trim() == 'b'", {"s": " " * 1023 + "É"}),
    "a text in lower case": ("event.s.lowerAscii() == 'b'", {"s": "É" + "A" * 1023}),
    "a text cut": ("size(event.s.split(',')) < 0", {"s": "ab," * 341}),
    "a text cut by a text": ("size(event.s.split(event.t)) < 0", {"s": "a" * 1024, "t": "a" * 20 + "b" + "a" * 20}),
    "letters replaced": ("event.s.replace('a', 'bcd') == 'x'", {"s": "a" * 1024}),
    "a text for each letter": ("event.short.replace('', event.code) == 'x'", {}),
    "items joined": ("event.codes.join(',') == 'x'", {}),
    "ints summed": ("sum(event.ns) < 0", {}),
    "sums beyond 64 bits": ("sum(event.ns) < 0", {"ns": [2**62] * 256}),
    "doubles summed": ("sum(event.ds) < 0.0", {}),
    "values told apart": ("size(event.codes.distinct()) < 0", {"codes": [f"{n:016}" for n in range(256)]}),
    "doubles told apart": ("size(event.ds.distinct()) < 0", {"ds": [n / 7 for n in range(256)]}),
    "ints of like hashes told apart": ("size(event.ns.distinct()) < 0", {"ns": [n << 45 for n in range(256)]}),
    "the least of texts": ("event.codes.min() == 'x'", {}),
    "the greatest of numbers": ("math.greatest(event.a, event.b, 3, 4) < 0", {}),
    "each item trimmed": ("event.codes.exists(c, c.trim().lowerAscii() == 'b')", {"codes": [" " * 15 + "É"] * 256}),
    "each item cut": ("event.codes.exists(c, c.split(',', 2)[0] == 'b')", {"codes": ["," * 16] * 256}),
    "patterns without a text": ("''.matches('(?:a|b)*a(?:a|b){80}c')", {}),
}  # fmt: skip


def list_worst_rules() -> Iterator[Worst]:
    """The largest rule of each kind that is accepted."""
    for name, (term, event) in _TERMS.items():
        times, rule = _scale(partial(_check_rule, term), 1 + 8192 // (len(term) + 2))
        yield Worst(name, rule, {**_BASE, **event}, times)


def _check_rule(term: str, times: int) -> CheckedRule:
    return check_rule("||".join([term] * times), ACTION, EMPTY)


def _scale(make: Callable[[int], _Made], most: int) -> tuple[int, _Made]:
    """(n, what is made of it) for the largest n that is not refused."""
    good, bad, made = 1, most + 1, make(1)
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            made, good = make(middle), middle
        except Refused:
            bad = middle
    return good, made


def _wrap(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _alternatives(word: str) -> Callable[[int], dict[str, Any]]:
    return lambda n: _wrap(l=_list({"type": "integer", word: [{"minimum": 1 + i} for i in range(32)]}, maxItems=n))


_MADE: dict[str, tuple[Callable[[int], dict[str, Any]], dict[str, Any], int]] = {
    "a pattern of many states": (
        lambda n: _wrap(**{f"p{i}": {"type": "string", "pattern": "a[ab]{20}c"} for i in range(n)}),
        {f"p{i}": _draw("ab", 600) for i in range(100)}, 256,
    ),
    "a long pattern": (
        lambda n: _wrap(s={"type": "string", "pattern": f"a[ab]{{{n}}}c"}), {"s": _draw("ab", 1024)}, 999,
    ),
    "a pattern for each item": (
        lambda n: _wrap(l=_list({"type": "string", "maxLength": 16, "pattern": "a[ab]{8}c"}, maxItems=n)),
        {"l": ["abaabbaabbaaabcx"] * 3000}, 5000,
    ),
    **{word: (_alternatives(word), {"l": [99] * 5000}, 5000) for word in ("anyOf", "oneOf", "allOf")},
    "alternatives that look at all": (
        lambda n: _wrap(l=_list({"type": "integer"}, maxItems=5000, anyOf=[{"items": {"minimum": i}} for i in range(n)])),
        {"l": [9] * 4999}, 64,
    ),
    "unique items": (lambda n: _wrap(l=_list({"type": "integer"}, uniqueItems=True, maxItems=n)), {"l": list(range(5000))}, 5000),
    "unique objects": (
        lambda n: _wrap(l=_list(_wrap(n={"type": "integer"}), uniqueItems=True, maxItems=n)),
        {"l": [{"n": i} for i in range(5000)]}, 5000,
    ),
    "many members for each item": (
        lambda n: _wrap(l=_list(_wrap(**{f"p{i}": {"type": "integer"} for i in range(n)}), maxItems=256)),
        {"l": [{f"p{i}": 1 for i in range(25)}] * 256}, 256,
    ),
    "many required": (
        lambda n: _wrap(l=_list({**_wrap(**{f"p{i}": {"type": "integer"} for i in range(n)}), "required": ["p0"]}, maxItems=5000)),
        {"l": [{"p0": 1}] * 4999}, 256,
    ),
    "multiples of fractions": (
        lambda n: _wrap(l=_list({"type": "number", "multipleOf": 1e-300}, maxItems=n)), {"l": [1e300] * 5000}, 5000,
    ),
    "a large enum": (
        lambda n: _wrap(l=_list({"type": "string", "enum": [f"value-{i}" for i in range(n)]}, maxItems=5000)),
        {"l": ["value-0"] * 4999}, 4500,
    ),
    "a mixed enum": (
        lambda n: _wrap(l=_list({"type": "number", "enum": [i + 0.5 if i % 2 else i for i in range(n)]}, maxItems=5000)),
        {"l": [0] * 4999}, 4500,
    ),
    "contains": (
        lambda n: _wrap(l=_list({"type": "integer"}, maxItems=n, contains={"enum": [1, 2, 3]}, minContains=9)), {"l": [4] * 5000}, 5000,
    ),
    "formats": (
        lambda n: _wrap(**{f"p{i}": {"type": "string", "format": "uri"} for i in range(n)}),
        {f"p{i}": "http://" + "a/" * 400 for i in range(60)}, 256,
    ),
    "long lists of large objects": (
        lambda n: _wrap(l=_list(_wrap(**{f"p{i}": {"type": "integer", "minimum": 1, "maximum": 9} for i in range(n)}), maxItems=1000)),
        {"l": [{f"p{i}": 5 for i in range(8)}] * 1000}, 256,
    ),
}  # fmt: skip


def list_worst_schemas() -> Iterator[Worst]:
    """The largest schema of each kind that is accepted, with an event that meets it or fails late."""
    for name, (make, event, most) in _MADE.items():
        times, schema = _scale(partial(_check_schema, make), most)
        yield Worst(name, schema, _cut(event, schema), times)


def _check_schema(make: Callable[[int], dict[str, Any]], times: int) -> dict[str, Any]:
    schema = make(times)
    check_schema(schema)
    return schema


def _cut(event: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The event with lists that are no longer than the schema lets them be, and no member that it lacks."""
    parts = schema["properties"]
    retained = {name: value for name, value in event.items() if name in parts}
    return {n: v[: parts[n].get("maxItems", 256)] if isinstance(v, list) else v for n, v in retained.items()}


def read_action(schema: Mapping[str, Any]) -> ObjectType:
    """The type of a schema's attributes."""
    return derive_type(schema)
