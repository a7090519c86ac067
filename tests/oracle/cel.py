"""Rules by Google's CEL library, untyped: attributes are maps, so nothing of the product's types is leaned on."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_strings
from google.protobuf.timestamp_pb2 import Timestamp

from tests.oracle.list_functions import FUNCTIONS

ENVIRONMENT = cel.NewEnv(
    variables=dict.fromkeys(("event", "user", "start", "lists"), cel.Type.DYN)
    | {"cohorts": cel.Type.List(cel.Type.STRING)},
    functions=FUNCTIONS,
    extensions=[ext_strings.ExtStrings(), ext_math.ExtMath()],
)


class RuleFails(Exception):
    """The expression has no value for this event."""


@cache
def compile_text(source: str) -> cel.Expression:
    """The expression, parsed once."""
    return ENVIRONMENT.compile(source)


def evaluate(source: str, **roots: Any) -> Any:
    """The value of an expression over `event`, `user`, `start`, `lists` (maps) and `cohorts` (a list). Raises RuleFails."""
    if source == "true":
        return True
    answer = compile_text(source).eval(data={"user": {}, "start": {}, "cohorts": [], "lists": {}} | roots)
    if answer.type() == cel.Type.ERROR:
        raise RuleFails(source)
    return answer.value()


def read_event(schema: Mapping[str, Any], attributes: Mapping[str, Any], occurred_at: datetime) -> dict[str, Any]:
    """What rules see of an event: its attributes, and when it happened."""
    instant = Timestamp()
    instant.FromDatetime(occurred_at)
    return {"time": instant} | read_attributes(schema, attributes)


def read_attributes(schema: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as rules see them: what the schema names and no more; absent is null, or an empty list."""
    return {name: _read(part, attributes.get(name)) for name, part in schema.get("properties", {}).items()}


def _read(part: Mapping[str, Any], value: Any) -> Any:
    kinds = part.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "array" in kinds:
        return [_read(part.get("items", {}), each) for each in value or []]
    if "object" in kinds:
        return read_attributes(part, value or {})
    if value is not None and "number" in kinds:
        return float(value)
    if value is not None and part.get("format") == "date-time":
        instant = Timestamp()
        instant.FromJsonString(value)
        return instant
    return value
