"""The numbers among attributes, and of which of them a schema asks nothing but their type."""

from collections.abc import Iterator, Mapping
from math import isfinite

from msgspec import Struct

from fillip.core.schema.coerce import INT64_MAX, INT64_MIN
from fillip.core.schema.types import ANNOTATIONS, Kind, ObjectType, Scalar, Schema, derive_type, find_part

_OF_OBJECTS = ANNOTATIONS | {"type", "properties", "required", "additionalProperties", "dependentRequired"}
"""The keywords of an object that look at the names of its members alone."""
_OF_NUMBERS = ANNOTATIONS | {"type"}


class Number(Struct, frozen=True):
    """The number at `path`; where it is `plain`, its schema takes any in place of one that it took, whatever the rest is."""

    path: tuple[str, ...]
    kind: Kind
    plain: bool

    def takes(self, amount: float) -> bool:
        """Whether it is sure, without asking the schema, that this may stand there."""
        if self.kind is Kind.INT:
            return self.plain and isinstance(amount, int) and INT64_MIN <= amount <= INT64_MAX
        return self.plain and isfinite(amount)


def list_numbers(schema: Schema) -> tuple[Number, ...]:
    """All of attributes under this schema that are not in a list. Raises SchemaUnusable as derive_type does."""
    return tuple(_list_below(derive_type(schema), schema, (), plain=True))


def _list_below(shape: ObjectType, schema: Schema, above: tuple[str, ...], *, plain: bool) -> Iterator[Number]:
    plain = plain and schema.keys() <= _OF_OBJECTS
    for field in shape.fields:
        part: Mapping[str, object] = find_part(find_part(schema, "properties"), field.name)
        path = (*above, field.name)
        if isinstance(field.type, ObjectType):
            yield from _list_below(field.type, part, path, plain=plain)
        elif isinstance(field.type, Scalar) and field.type.kind in (Kind.INT, Kind.DOUBLE):
            yield Number(path, field.type.kind, plain and part.keys() <= _OF_NUMBERS)
