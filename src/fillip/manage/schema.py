"""JSON Schemas of actions and users: what may be saved as one, and whether attributes meet it."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any

import jsonschema_rs
import msgspec
from pydantic import Field

from fillip.core.coerce import Coercer, SchemaViolation, build_coercer
from fillip.core.problem import Fault
from fillip.core.schema import ListOf, ObjectType, Scalar, SchemaUnusable, derive_type
from fillip.manage.refusals import Conflict

MAX_SCHEMA_BYTES = 65_536
MAX_ATTRIBUTES_BYTES = 32_768
MAX_FAULTS = 20
_REFERENCES = {"$ref", "$dynamicRef", "$recursiveRef", "$schema", "$id", "$vocabulary"}

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
    for pointer in _find_references(schema, ""):
        raise SchemaUnusable(pointer, "references and dialects are not supported: write the part out")
    shape = derive_type(schema)
    try:
        _build_validator(schema)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        raise SchemaUnusable(_point(getattr(error, "instance_path", [])), _shorten(error)) from None
    return shape


def refuse_retyping(old: Mapping[str, object], new: ObjectType) -> None:
    """Raise Conflict when an attribute that users have would get another type: stored values would not fit it."""
    before = {field.name: field.type for field in derive_type(old).fields}
    for field in new.fields:
        kind = before.get(field.name, field.type)
        if kind != field.type and not _widens(kind, field.type):
            raise Conflict(
                f"the type of '{field.name}' cannot change, users have values of the old one: add a new attribute",
                at=f"/user_schema/properties/{field.name}",
            )


def find_faults(schema: Mapping[str, object], attributes: Mapping[str, object], at: str = "/attributes") -> list[Fault]:
    """What is wrong with `attributes` under a saved schema, each with its JSON pointer below `at`."""
    if len(msgspec.json.encode(attributes)) > MAX_ATTRIBUTES_BYTES:
        return [Fault(at, f"larger than {MAX_ATTRIBUTES_BYTES} bytes as JSON")]
    validator, coerce = _prepare(msgspec.json.encode(schema))
    faults = []
    for error in validator.iter_errors(attributes):
        faults.append(Fault(at + _point(error.instance_path), _shorten(error)))
        if len(faults) == MAX_FAULTS:
            return faults
    if faults:
        return faults
    try:
        coerce(attributes)
    except SchemaViolation as error:
        return [Fault(at + error.path, error.detail)]
    return []


def _widens(old: object, new: object) -> bool:
    if isinstance(old, ListOf) and isinstance(new, ListOf):
        return old.element == new.element and old.max_items <= new.max_items
    return isinstance(old, Scalar) and isinstance(new, Scalar) and old.kind == new.kind and new.nullable


@lru_cache(maxsize=512)
def _prepare(schema: bytes) -> tuple[jsonschema_rs.Validator, Coercer]:
    decoded = msgspec.json.decode(schema)
    return _build_validator(decoded), build_coercer(derive_type(decoded))


def _build_validator(schema: Mapping[str, object]) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(
        dict(schema),
        validate_formats=True,
        offline=True,
        pattern_options=jsonschema_rs.RegexOptions(size_limit=1_000_000, dfa_size_limit=1_000_000),
    )


def _find_references(part: object, pointer: str) -> Iterator[str]:
    if isinstance(part, Mapping):
        for name, below in part.items():
            if name in _REFERENCES:
                yield f"{pointer}/{name}"
            yield from _find_references(below, f"{pointer}/{name}")
    elif isinstance(part, list):
        for index, below in enumerate(part):
            yield from _find_references(below, f"{pointer}/{index}")


def _point(path: object) -> str:
    parts = path if isinstance(path, list) else []
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _shorten(error: Exception) -> str:
    return str(getattr(error, "message", error)).split("\n")[0][:300]
