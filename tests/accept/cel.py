"""cel: the cases of the CEL specification through our checker's subset, our compiler and both of its forms.

A case is left out by feature alone: those that docs/reference/rules.md lists as not supported. Which feature it is, is
told by what the case is made of (messages, no check, several types) or by our refusal, never by a case's name.
"""

import base64
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_strings
from google.protobuf.any_pb2 import Any as Envelope
from rich.markup import escape

from fillip.core.instant import read_instant_ns, read_span_ns
from fillip.core.rule import RuleError, RuleRefused, decode_rule
from fillip.core.rule.compile import build_exact, build_fast
from fillip.core.rule.tree import Name, Node, Select
from fillip.figures import Figure, at_least, note
from tests.accept.cel_cases import Case, fetch_cases

GOAL_PERCENT = 99.0
MESSAGES = re.compile(r"TestAllTypes|NestedTestAllTypes|google\.protobuf|TestRequired|GlobalEnum|proto[23]\.")
FEATURES = {
    "bytes": re.compile(r"bytes"),
    "dyn()": re.compile(r"'dyn'"),
    "types as values: type()": re.compile(r"'type' of|cannot be used as a value"),
    "lists and maps of mixed types": re.compile(r"the type of this is not known"),
    "string(double)": re.compile(r"'string' of \(double\)"),
    "matches() with a computed pattern": re.compile(r"pattern of matches\(\) must be written out"),
    "math.least and math.greatest of several types": re.compile(r"'math\.(least|greatest)' of"),
    "what else the libraries math and strings have": re.compile(
        r"'(math\.\w+|strings\.quote|format|charAt|indexOf|lastIndexOf|reverse)' of"
    ),
    "comparing whole objects": re.compile(r"objects cannot be compared"),
}
_TYPES = {
    "BOOL": cel.Type.BOOL, "INT64": cel.Type.INT, "UINT64": cel.Type.UINT, "DOUBLE": cel.Type.DOUBLE,
    "STRING": cel.Type.STRING, "BYTES": cel.Type.BYTES,
    "google.protobuf.Timestamp": cel.Type.TIMESTAMP, "google.protobuf.Duration": cel.Type.DURATION,
}  # fmt: skip
ERROR = object()


class Unsupported(Exception):
    """The case needs a feature that rules do not have; its text is the feature."""


def accept(tell: Callable[[str], None]) -> list[Figure]:
    """Run every core case; what is supported must give the specification's answer, fast and exact."""
    cases = fetch_cases()
    tell(f"{len(cases):,} cases fetched")
    left_out: Counter[str] = Counter()
    wrong: list[str] = []
    run = 0
    for case in cases:
        try:
            fault = try_case(case)
        except Unsupported as feature:
            left_out[str(feature)] += 1
            continue
        run += 1
        if fault:
            wrong.append(f"{case.name}: {case.original['expr']!r}: {fault}")
    for line in wrong:
        tell(escape(line))
    return [
        at_least(
            "supported cases that give the specification's answer", GOAL_PERCENT, 100 * (1 - len(wrong) / run), "%"
        ),
        note("supported cases", run),
        note("cases that give another answer", len(wrong)),
        *(note(f"left out: {feature}", count) for feature, count in left_out.most_common()),
    ]


def try_case(case: Case) -> str | None:
    """What is wrong with our answer; None where it is right. Raises Unsupported."""
    given = case.original
    if MESSAGES.search(given["expr"]) or "messageType" in str(given.get("value")):
        raise Unsupported("messages")
    if given.get("disableCheck"):
        raise Unsupported("rules that are not type-checked")
    wanted = ERROR if "evalError" in given else read_value(given.get("value", {"boolValue": True}))
    bound = {name: read_value(held["value"]) for name, held in given.get("bindings", {}).items()}
    try:
        root = compile_case(given, bound)
    except RuleRefused as refused:
        for feature, pattern in FEATURES.items():
            if pattern.search(refused.message):
                raise Unsupported(feature) from None
        return None if wanted is ERROR else f"refused: {refused.message}"
    except RuntimeError as error:
        return None if wanted is ERROR else f"refused: {str(error).splitlines()[0]}"
    exact = build_exact(root)
    got = [ask(build_fast(root, exact), bound), ask(exact, bound)]
    return None if all(is_answer(wanted, each) for each in got) else f"wanted {show(wanted)}, got {show(got[0])}"


def compile_case(given: dict[str, Any], bound: dict[str, Any]) -> Node:
    """The tree of a case, its variables read from the event."""
    variables = {each["name"]: read_type(each["ident"]["type"]) for each in given.get("typeEnv", [])}
    extensions = [ext_strings.ExtStrings(), ext_math.ExtMath()]
    environment = cel.NewEnv(variables=variables, container=given.get("container") or None, extensions=extensions)
    checked = Envelope.FromString(environment.compile(given["expr"]).serialize()).value
    return bind(decode_rule(checked).root, frozenset(bound))


def bind(node: Node, names: frozenset[str]) -> Node:
    """The tree with each of these variables read as an attribute of the event."""
    if isinstance(node, Name):
        event = Name(node.offset, node.type, "event")
        return Select(node.offset, node.type, event, node.name) if node.name in names else node
    changed: dict[str, Any] = {}  # by the names of whichever class's parts
    for part in fields(node):
        value = getattr(node, part.name)
        if isinstance(value, Node):
            changed[part.name] = bind(value, names)
        elif isinstance(value, tuple):
            changed[part.name] = tuple(bind(each, names) for each in value)
    return replace(node, **changed)


def read_type(given: dict[str, Any]) -> cel.Type:
    """The checker's type of a variable."""
    if "listType" in given:
        return cel.Type.List(read_type(given["listType"]["elemType"]))
    if "mapType" in given:
        return cel.Type.Map(read_type(given["mapType"]["keyType"]), read_type(given["mapType"]["valueType"]))
    name = given.get("primitive") or given.get("wellKnown") or given.get("messageType", "")
    if "null" in given:
        return cel.Type.NULL
    name = {"TIMESTAMP": "google.protobuf.Timestamp", "DURATION": "google.protobuf.Duration"}.get(name, name)
    if name not in _TYPES:
        raise Unsupported("messages")
    return _TYPES[name]


def read_value(given: dict[str, Any]) -> Any:
    """The value as compiled rules have it."""
    [(kind, value)] = given.items()
    if kind in ("int64Value", "uint64Value"):
        return int(value)
    if kind == "doubleValue":
        return float(str(value).replace("Infinity", "inf"))
    if kind == "listValue":
        return [read_value(each) for each in value.get("values", [])]
    if kind == "mapValue":
        return {read_value(each["key"]): read_value(each["value"]) for each in value.get("entries", [])}
    if kind == "bytesValue":
        return base64.b64decode(value)
    if kind == "objectValue":
        return read_object(value)
    if kind == "typeValue":
        raise Unsupported("types as values: type()")
    return None if kind == "nullValue" else value


def read_object(given: dict[str, Any]) -> int:
    """The nanoseconds of a timestamp or duration."""
    name = given["@type"].rpartition("/")[2]
    if name == "google.protobuf.Timestamp":
        return read_instant_ns(given["value"])
    if name == "google.protobuf.Duration":
        return read_span_ns(given["value"])
    raise Unsupported("messages")


def ask(rule: Callable[..., Any], bound: dict[str, Any]) -> Any:
    """Our answer, or ERROR."""
    try:
        return rule(bound, {}, frozenset(), None)
    except RuleError as error:
        return None if str(error) == "a value that is needed is null" else ERROR


def is_answer(wanted: Any, got: Any) -> bool:
    """Whether it is the value wanted, of the same type; not a number is one answer."""
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(is_answer, wanted, got))
    if isinstance(wanted, dict) and isinstance(got, dict):
        return wanted.keys() == got.keys() and all(is_answer(wanted[key], got[key]) for key in wanted)
    if isinstance(wanted, float) and math.isnan(wanted):
        return isinstance(got, float) and math.isnan(got)
    return type(wanted) is type(got) and bool(wanted == got)


def show(value: Any) -> str:
    """For a person."""
    return "an error" if value is ERROR else repr(value)
