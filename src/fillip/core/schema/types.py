"""Types of attributes, derived from a tenant's JSON Schema: what rules may read, and how."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, cast

from fillip.core.errors import Refused

MAX_FIELDS = 256
MAX_DEPTH = 5
MAX_NAME_LENGTH = 100
MAX_LENGTH = 64 * 1024  # of a string without maxLength: fillip.ingest takes no larger event
MAX_ITEMS = 5000
DEFAULT_MAX_ITEMS = 256  # of a list without maxItems
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class SchemaUnusable(Refused):
    """A JSON Schema that cannot be typed for rules; `pointer` is the JSON pointer of the construct."""

    kind = "schema-unusable"

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(f"schema at '{pointer}': {reason}", at=pointer)
        self.pointer = pointer
        self.reason = reason


class Kind(StrEnum):
    """What a single value is. A timestamp is a string of format date-time."""

    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRING = "string"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value; nullable when it may be absent or null. A string has at most `max_length` characters."""

    kind: Kind
    nullable: bool
    max_length: int = MAX_LENGTH


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of at most `max_items` scalars or objects, never of null or lists; an absent list is an empty one."""

    element: "Scalar | ObjectType"
    max_items: int


@dataclass(frozen=True, slots=True)
class Field:
    """A named part of an object."""

    name: str
    type: "AttributeType"


@dataclass(frozen=True, slots=True)
class ObjectType:
    """An object with the named fields, in the order of the schema; hashable, so a cache key."""

    fields: tuple[Field, ...]
    nullable: bool = False


AttributeType: TypeAlias = Scalar | ListOf | ObjectType

Schema: TypeAlias = Mapping[str, object]
ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "$comment", "deprecated", "readOnly", "writeOnly"}
)
"""The keywords of a schema that ask nothing of a value."""
EMPTY = ObjectType(())
TIME = "time"
"""The field of an event, beside its attributes, that tells when it happened: `event.time`."""
_KINDS = {"boolean": Kind.BOOL, "integer": Kind.INT, "number": Kind.DOUBLE, "string": Kind.STRING}


def find_part(schema: Schema | None, name: str) -> Schema:
    """The schema that stands under a keyword; one that asks nothing where there is none."""
    part = (schema or {}).get(name)
    return part if isinstance(part, Mapping) else {}


def derive_type(schema: Mapping[str, object]) -> ObjectType:
    """The type of attributes that meet `schema`, the JSON Schema of an action or of a tenant's users.

    Read are: type (one, or one and "null"), properties, required, items, maxItems, maxLength and format date-time; others
    only narrow the values and are left to validation. A field that is not required, or lies below an object that is not,
    is nullable. Raises SchemaUnusable where a construct has no type, is too large or too deep.
    """
    root = _derive(schema, "", nullable=False, depth=0)
    if not isinstance(root, ObjectType):
        raise SchemaUnusable("", "the top must be of type 'object'")
    return root


def derive_event_type(schema: Mapping[str, object]) -> ObjectType:
    """What rules read of an event whose attributes meet `schema`: these, and the instant at which it happened as TIME.

    A schema with an attribute of that name keeps it: then there is no other. Raises SchemaUnusable as derive_type does.
    """
    attributes = derive_type(schema)
    if has_own_time(schema):
        return attributes
    return ObjectType((*attributes.fields, Field(TIME, Scalar(Kind.TIMESTAMP, nullable=False))))


def has_own_time(schema: Mapping[str, object]) -> bool:
    """Whether TIME is an attribute that events bring, by their action's schema."""
    return TIME in find_part(schema, "properties")


def _derive(schema: object, pointer: str, *, nullable: bool, depth: int) -> AttributeType:
    if not isinstance(schema, Mapping):
        raise SchemaUnusable(pointer, "must be an object with a 'type'")
    if depth > MAX_DEPTH:
        raise SchemaUnusable(pointer, f"nested deeper than {MAX_DEPTH}")
    name, may_be_null = _read_type(schema, pointer)
    nullable = nullable or may_be_null
    if name == "object":
        return _derive_object(schema, pointer, nullable=nullable, depth=depth)
    if name == "array":
        return _derive_list(schema, pointer, depth=depth)
    if name == "string" and schema.get("format") == "date-time":
        return Scalar(Kind.TIMESTAMP, nullable)
    if name == "string":
        longest = schema.get("maxLength", MAX_LENGTH)
        if not isinstance(longest, int | float) or longest != longest // 1 or longest < 0:
            raise SchemaUnusable(f"{pointer}/maxLength", "must be an integer from 0")
        return Scalar(Kind.STRING, nullable, int(min(longest, MAX_LENGTH)))
    return Scalar(_KINDS[name], nullable)


def _read_type(schema: Mapping[str, object], pointer: str) -> tuple[str, bool]:
    declared = schema.get("type")
    names = declared if isinstance(declared, list) else [declared]
    others = [name for name in names if name != "null"]
    if len(others) != 1 or others[0] not in (*_KINDS, "object", "array"):
        raise SchemaUnusable(pointer, f"give one 'type' of {', '.join((*_KINDS, 'object', 'array'))}, or one and null")
    return cast(str, others[0]), len(others) < len(names)


def _derive_object(schema: Mapping[str, object], pointer: str, *, nullable: bool, depth: int) -> ObjectType:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if not isinstance(properties, Mapping) or not isinstance(required, list):
        raise SchemaUnusable(pointer, "'properties' must be an object and 'required' a list")
    if len(properties) > MAX_FIELDS:
        raise SchemaUnusable(f"{pointer}/properties", f"more than {MAX_FIELDS} properties")
    fields = []
    for name, part in properties.items():
        at, may_be_null = f"{pointer}/properties/{name}", nullable or name not in required
        if not _NAME.match(name) or len(name) > MAX_NAME_LENGTH:
            message = f"letters, digits and '_', not begin with a digit, at most {MAX_NAME_LENGTH} long"
            raise SchemaUnusable(at, f"a name must be {message}")
        fields.append(Field(name, _derive(part, at, nullable=may_be_null, depth=depth + 1)))
    return ObjectType(tuple(fields), nullable)


def _derive_list(schema: Mapping[str, object], pointer: str, *, depth: int) -> ListOf:
    element = _derive(schema.get("items"), f"{pointer}/items", nullable=False, depth=depth + 1)
    if isinstance(element, ListOf):
        raise SchemaUnusable(f"{pointer}/items", "a list of lists has no type; use a list of objects")
    if element.nullable:
        raise SchemaUnusable(f"{pointer}/items", "items of a list cannot be null")
    most = schema.get("maxItems", DEFAULT_MAX_ITEMS)
    if not isinstance(most, int) or not 0 <= most <= MAX_ITEMS:
        raise SchemaUnusable(f"{pointer}/maxItems", f"must be an integer from 0 to {MAX_ITEMS}")
    return ListOf(element, most)
