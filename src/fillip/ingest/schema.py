"""Attributes against the JSON Schema of their action."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import jsonschema_rs

from fillip.core.coerce import SchemaViolation, build_coercer
from fillip.core.schema import derive_type

Reader: TypeAlias = Callable[[Mapping[str, object]], dict[str, object]]

REGEX_BYTES = 1_000_000  # of a compiled pattern; the engine is linear in time


def build_reader(schema: Mapping[str, object]) -> Reader:
    """A function that validates attributes and coerces them to what rules read, once per schema.

    It raises SchemaViolation (an Unreadable) with the JSON pointer of the first fault. Building raises SchemaUnusable
    where `schema` has no type, and jsonschema_rs.ValidationError where it is no JSON Schema.
    """
    coerce = build_coercer(derive_type(schema))
    validator = jsonschema_rs.validator_for(
        dict(schema),
        validate_formats=True,
        offline=True,
        pattern_options=jsonschema_rs.RegexOptions(size_limit=REGEX_BYTES, dfa_size_limit=REGEX_BYTES),
    )
    is_valid = validator.is_valid

    def read(attributes: Mapping[str, object]) -> dict[str, object]:
        if not is_valid(attributes):
            raise _find_violation(validator, attributes)
        return coerce(attributes)

    return read


def _find_violation(validator: jsonschema_rs.Validator, attributes: Mapping[str, object]) -> SchemaViolation:
    error = next(iter(validator.iter_errors(attributes)))
    return SchemaViolation(write_pointer(error.instance_path), error.message.split("\n")[0][:300])


def write_pointer(path: Iterable[str | int]) -> str:
    """The JSON pointer (RFC 6901) of a path."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
