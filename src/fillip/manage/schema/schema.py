"""JSON Schemas of actions and users: what may be saved as one, and whether attributes meet it."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

import jsonschema_rs
import msgspec
from pydantic import Field

from fillip.core.problem import Fault, write_pointer
from fillip.core.schema.coerce import Coercer, SchemaViolation, build_coercer
from fillip.core.schema.cost import check_schema_cost
from fillip.core.schema.types import ListOf, ObjectType, Scalar, SchemaUnusable, derive_type
from fillip.core.schema.validate import Validator, Violation
from fillip.http.errors import Conflict

MAX_SCHEMA_BYTES = 65_536
MAX_ATTRIBUTES_BYTES = 32_768
MAX_FAULTS = 20

JsonSchema = Annotated[
    dict[str, Any],
    Field(
        description="JSON Schema (2020-12) of an object, each part with a `type`; it types the rules",
        examples=[
            {"type": "object", "properties": {"amount": {"type": "integer", "minimum": 0}}, "required": ["amount"]}
        ],
    ),
]
Attributes = Annotated[
    dict[str, Any], Field(description="As the schema types them", examples=[{"tier": "gold", "age": 41}])
]


def check_schema(schema: Mapping[str, object]) -> ObjectType:
    """The type of attributes that `schema` describes; raises SchemaUnusable naming the place."""
    if len(msgspec.json.encode(schema)) > MAX_SCHEMA_BYTES:
        raise SchemaUnusable("", f"larger than {MAX_SCHEMA_BYTES} bytes")
    shape = derive_type(schema)
    check_schema_cost(schema)
    try:
        Validator(schema)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        raise SchemaUnusable(write_pointer(getattr(error, "instance_path", [])), _shorten(error)) from None
    return shape


def refuse_retyping(old: Mapping[str, object], new: ObjectType) -> None:
    """Raise Conflict when an attribute that users have would get another type: stored values would not fit it."""
    before = {field.name: field.type for field in derive_type(old).fields}
    for field in new.fields:
        kind = before.get(field.name, field.type)
        if kind != field.type and not _widens(kind, field.type):
            raise Conflict(
                f"the type of '{field.name}' (and its maxLength or maxItems) can't become narrower, users have values of the"
                " old one: add a new attribute",
                at=f"/user_schema/properties/{field.name}",
            )


def find_faults(schema: Mapping[str, object], attributes: Mapping[str, object], at: str = "/attributes") -> list[Fault]:
    """What is wrong with `attributes` under a saved schema, each with its JSON pointer below `at`."""
    if len(msgspec.json.encode(attributes)) > MAX_ATTRIBUTES_BYTES:
        return [Fault(at, f"larger than {MAX_ATTRIBUTES_BYTES} bytes as JSON")]
    validator, coerce = _prepare(msgspec.json.encode(schema))
    try:
        coerce(attributes)
    except SchemaViolation as error:
        found = validator.find_violations(attributes, MAX_FAULTS) if validator.is_small(attributes) else []
        found = found or [Violation(error.path, error.detail)]
    else:
        found = [] if validator.is_valid(attributes) else validator.find_violations(attributes, MAX_FAULTS)
    return [Fault(at + fault.at, fault.message) for fault in found]


def _widens(old: object, new: object) -> bool:
    if isinstance(old, ListOf) and isinstance(new, ListOf):
        same = old.element == new.element or _widens(old.element, new.element)
        return same and old.max_items <= new.max_items
    if not isinstance(old, Scalar) or not isinstance(new, Scalar) or old.kind != new.kind:
        return False
    return (new.nullable or not old.nullable) and old.max_length <= new.max_length


@lru_cache(maxsize=512)
def _prepare(schema: bytes) -> tuple[Validator, Coercer]:
    decoded = msgspec.json.decode(schema)
    return Validator(decoded), build_coercer(derive_type(decoded))


def _shorten(error: Exception) -> str:
    return str(getattr(error, "message", error)).split("\n")[0][:300]
