"""Rules at saving: parsed and type-checked by Google's CEL library against the tenant's schema."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_strings
from google.protobuf.any_pb2 import Any as Envelope
from google.protobuf.message import DecodeError

from fillip.core.pattern import PatternRefused, read_pattern
from fillip.core.rule import RuleRefused, decode_rule
from fillip.core.rule import checked_pb2 as wire
from fillip.core.rule.compile import prove_compiles
from fillip.core.rule.cost import check_cost
from fillip.core.rule.lists import LIST_FUNCTIONS, name_overloads
from fillip.core.rule.split import LATE_NAMES
from fillip.core.rule.tree import Tree, find_lists, list_names, list_reads
from fillip.core.schema.types import EMPTY, ObjectType
from fillip.manage.rule.descriptor import PACKAGE, build_pool
from fillip.manage.rule.int_literals import Patch, list_int_literals, walk_expressions
from fillip.manage.rule.names import refuse_broken_literals
from fillip.manage.rule.source_limits import describe_depth, refuse_at, refuse_oversized

_MAX_ROUNDS = 16
"""A literal can only be seen to be a double once those inside it are, and faults come a hundred at a time."""
_MAX_CHECKED_TOKENS = 8_000  # in all rounds together
_ERROR = re.compile(r"^(?:.*: )?ERROR: <input>:(-?\d+):(-?\d+): (.*)$", re.MULTILINE)
_ENDING = re.compile(r" \[[A-Z_]+\]$")
_UNDEFINED = re.compile(r"^undefined field '(\w+)'")
_UNDECLARED = re.compile(r"undeclared reference to '(\w+)'")
_OTHER_NAMES = {
    "count": "size() counts",
    "len": "size() tells how many",
    "lower": "it is lowerAscii()",
    "upper": "it is upperAscii()",
    "now": "when an event happened is event.time",
    "strip": "it is trim()",
}
"""What other languages call something, and how CEL says it."""
_OF_LISTS = re.compile(r"(?<![\w.])lists\s*$")
_OPERATOR = re.compile(r"'(?:_|@)?([^\w'\s]+|in|\?_:)_?'")

_DEFAULTED = {"bool": cel.Type.BOOL, "int64": cel.Type.INT, "double": cel.Type.DOUBLE, "string": cel.Type.STRING}
# CEL has no null default.
_OR_VALUE = cel.FunctionDecl(
    "orValue",
    [
        cel.Overload(f"or_value_{name}", return_type=kind, parameters=[kind, kind], is_member=True)
        for name, kind in _DEFAULTED.items()
    ],
)

_ITEMS = {
    "bool": cel.Type.BOOL,
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "string": cel.Type.STRING,
    "timestamp": cel.Type.TIMESTAMP,
    "duration": cel.Type.DURATION,
}


def _declare_of_lists(name: str) -> cel.FunctionDecl:
    """sum, min, max or distinct: what Kubernetes and CEL's own `lists` know as methods, as a function too."""
    overloads = []
    for kind in LIST_FUNCTIONS[name]:
        given, made = [cel.Type.List(_ITEMS[kind])], _ITEMS[kind] if name != "distinct" else cel.Type.List(_ITEMS[kind])
        function, method = name_overloads(name, kind)
        overloads.append(cel.Overload(function, return_type=made, parameters=given, is_member=False))
        overloads.append(cel.Overload(method, return_type=made, parameters=given, is_member=True))
    return cel.FunctionDecl(name, overloads)


_FUNCTIONS = [_OR_VALUE, *map(_declare_of_lists, LIST_FUNCTIONS)]
_EXTENSIONS = [ext_strings.ExtStrings(), ext_math.ExtMath()]

Expected = Literal["bool", "int", "string", "key"]
ResultKind = Literal["bool", "int", "string"]


@dataclass(frozen=True, slots=True)
class CheckedRule:
    """A rule that may be stored: its text, its checked form, what it gives, which variables it reads and its cost."""

    source: str
    checked: bytes
    kind: ResultKind
    uses_user: bool
    uses_cohorts: bool
    uses_instance: bool
    uses_lists: tuple[str, ...]
    cost: int


@dataclass(frozen=True, slots=True)
class _Fault:
    offset: int
    message: str


class _TooDeepError(Exception):
    """The library's parser gave up."""


def check_rule(
    source: str,
    action: ObjectType,
    user: ObjectType,
    *,
    expect: Expected = "bool",
    start: ObjectType | None = None,
    progress: ObjectType | None = None,
    lists: ObjectType = EMPTY,
) -> CheckedRule:
    """The rule, checked against the attributes of its action and of the users; `start` types the event that opened a
    quest's instance, `progress` how far that is, `lists` the tenant's named lists.

    `expect` is the wanted result, "key" meaning int or string. An int literal where a double is compared is read as a
    double. What is returned compiles by fillip.core.rule.compile_rule. Raises RuleRefused with line and column.
    """
    tokens = refuse_oversized(source)
    given = {"event": action, "user": user, "start": start, "progress": progress, "lists": lists}
    roots = {name: shape for name, shape in given.items() if shape is not None}
    environment = _build_environment(tuple(roots.items()))
    try:
        _bound_patterns(environment, source)
        checked = _check(environment, source, tokens, expect)
        tree = decode_rule(checked)
        uses_lists = _name_lists(tree)
        refuse_broken_literals(tree)
        cost = check_cost(source, tree, roots)
        prove_compiles(tree.root)
    except (_TooDeepError, DecodeError, SyntaxError, RecursionError, MemoryError):
        raise describe_depth(source, lambda text: _parses(environment, text)) from None
    kind = tree.root.type.kind
    if kind not in (("int", "string") if expect == "key" else (expect,)):
        wanted = "int or string" if expect == "key" else expect
        raise RuleRefused(1, 1, f"the expression must give {wanted}, this one gives {kind}")
    names = list_names(tree.root)
    used = ("user" in names, "cohorts" in names, bool(start or progress) and not names.isdisjoint(LATE_NAMES))
    return CheckedRule(source, checked, cast(ResultKind, kind), *used, uses_lists, cost)


def _bound_patterns(environment: cel.Env, source: str) -> None:
    """Refuse a pattern that may cost too much before the library sees it: that one compiles whatever it is given."""
    if "matches" not in source:
        return
    try:
        parsed = _parse(environment, source)
    except RuntimeError:
        return  # told with its place by the checker, which ends at the same fault
    positions = parsed.source_info.positions
    for expr in walk_expressions(parsed.expr):
        if expr.call_expr.function == "matches" and expr.call_expr.args:
            pattern = expr.call_expr.args[-1]
            try:
                if not pattern.const_expr.HasField("string_value"):
                    raise PatternRefused("the pattern of matches() must be written out as a text")
                read_pattern(pattern.const_expr.string_value)
            except PatternRefused as refused:
                raise refuse_at(source, positions.get(pattern.id, 0), str(refused)) from None


def _parse(environment: cel.Env, text: str) -> wire.ParsedExpr:
    """The expression before its types are checked; raises RuntimeError."""
    parsed = Envelope.FromString(environment.compile(text, disable_check=True).serialize()).value
    return cast(wire.ParsedExpr, wire.ParsedExpr.FromString(parsed))


def _name_lists(tree: Tree) -> tuple[str, ...]:
    """The ids of the lists that a rule reads; raises RuleRefused for `lists` by itself."""
    for path, node in list_reads(tree.root):
        if path == "lists":
            raise RuleRefused(
                *tree.locate(node.offset), "name one of the lists, as in `event.sku in lists.premium_skus`"
            )
    return tuple(sorted(find_lists(tree.root)))


@lru_cache(maxsize=128)
def _build_environment(roots: tuple[tuple[str, ObjectType], ...]) -> cel.Env:
    variables = {name: cel.Type(f"{PACKAGE}.{name}") for name, _ in roots}
    variables["cohorts"] = cel.Type.List(cel.Type.STRING)
    return cel.NewEnv(
        descriptor_pool=build_pool(**dict(roots)), variables=variables, functions=_FUNCTIONS, extensions=_EXTENSIONS
    )


def _check(environment: cel.Env, source: str, tokens: int, expect: Expected) -> bytes:
    """The CheckedExpr with the places of `source`, after int literals were widened as far as it helps."""
    patch = Patch(source)
    for _ in range(max(min(_MAX_ROUNDS, _MAX_CHECKED_TOKENS // max(tokens, 1)), 1)):
        try:
            return _unpack(environment.compile(patch.text).serialize(), patch)
        except RuntimeError as error:
            if "recursion" in str(error):
                raise _TooDeepError from None
            faults = _read_faults(str(error), patch.text)
            unmet = (fault for fault in faults if "no matching overload" in fault.message)
            places = {fault.offset for fault in unmet if "double" in fault.message}
            if not places or not patch.widen(list_int_literals(_parse(environment, patch.text), places)):
                break
    offset = patch.restore(faults[0].offset)
    raise refuse_at(source, offset, _explain(source[:offset], faults[0].message, expect)) from None


def _explain(before: str, message: str, expect: Expected) -> str:
    """The message, in other words where it is a list that does not exist, or a key that asks for the user."""
    name = _UNDEFINED.match(message)
    if name and expect == "key" and message.endswith("in struct 'user'"):
        return "a key goes by the event and lists alone: 'user' can't be used"
    if name is None or not _OF_LISTS.search(before):
        return message
    return f"there is no list '{name[1]}': make it first, by PUT /v1/lists/{name[1]}"


def _parses(environment: cel.Env, text: str) -> bool:
    """Whether a clause by itself is shallow enough; what else is wrong with it does not matter."""
    try:
        _parse(environment, text)
    except RuntimeError as error:
        return "recursion" not in str(error)
    except DecodeError:
        return False
    return True


def _unpack(serialized: bytes, patch: Patch) -> bytes:
    checked = wire.CheckedExpr.FromString(Envelope.FromString(serialized).value)
    checked.DiscardUnknownFields()
    info = checked.source_info
    for node_id, offset in list(info.positions.items()):
        info.positions[node_id] = patch.restore(offset)
    info.line_offsets[:] = [patch.restore(offset) for offset in info.line_offsets]
    return cast(bytes, checked.SerializeToString(deterministic=True))


def _read_faults(message: str, text: str) -> list[_Fault]:
    lines = text.split("\n")
    faults = []
    for line, column, said in _ERROR.findall(message):
        above = sum(len(part) + 1 for part in lines[: max(int(line), 1) - 1])
        faults.append(_Fault(above + max(int(column), 1) - 1, _clean(said)))
    return faults or [_Fault(0, _clean(message.partition("\n")[0]))]


def _clean(said: str) -> str:
    """The library's words without its inner names."""
    said = _ENDING.sub("", said)
    said = said.replace("math.@min", "math.least").replace("math.@max", "math.greatest")
    said = said.replace(f"{PACKAGE}.", "").replace(" (in container '')", "")
    if (name := _UNDECLARED.fullmatch(said)) and name[1] in _OTHER_NAMES:
        return f"{said}: {_OTHER_NAMES[name[1]]}"
    hint = ": put double() around the int" if re.search(r"\(double\)?, int|int\)?, (wrapper\()?double", said) else ""
    return _OPERATOR.sub(lambda found: f"'{found[1].replace('_', ' ')}'", said) + hint
