"""Attributes against the JSON Schema of their action."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from fillip.core.schema.coerce import SchemaViolation, build_coercer
from fillip.core.schema.types import derive_type
from fillip.core.schema.validate import Validator

Reader: TypeAlias = Callable[[Mapping[str, object]], dict[str, object]]


def build_reader(schema: Mapping[str, object]) -> Reader:
    """A function that coerces attributes to what rules read and validates them, once per schema.

    Types and lengths of lists come first: the cost of what follows is bounded by them (fillip.core.schema.cost). It
    raises SchemaViolation (an Unreadable) with the JSON pointer of the first fault. Building raises SchemaUnusable where
    `schema` has no type, and jsonschema_rs.ValidationError where it is no JSON Schema.
    """
    coerce = build_coercer(derive_type(schema))
    validator = Validator(schema)
    is_valid = validator.is_valid

    def read(attributes: Mapping[str, object]) -> dict[str, object]:
        typed = coerce(attributes)
        if not is_valid(attributes):
            fault = validator.find_violations(attributes, 1)[0]
            raise SchemaViolation(fault.at, fault.message)
        return typed

    return read
