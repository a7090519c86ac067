"""Attributes against a JSON Schema, by jsonschema-rs, with our own patterns. What a schema may cost: schema_cost.py."""

from collections.abc import Mapping
from itertools import islice

import jsonschema_rs
from msgspec import Struct

from fillip.core.pattern import find_pattern, read_pattern
from fillip.core.problem import write_pointer

_TOLD_BYTES = 1_000_000  # of the values that go into faults, at most: each fault holds those that it is about
_ALL_TOLD_BYTES = 100_000
_SHOWN = 300  # characters of a message


class Violation(Struct, frozen=True):
    """A value that does not meet its schema: its JSON pointer and what is wrong."""

    at: str
    message: str


class _Pattern:
    """The keyword `pattern`, by the engine and within the bounds of rules; jsonschema-rs calls it for each value."""

    def __init__(self, _: Mapping[str, object], source: object, __: object) -> None:
        self._source = str(source)
        self._pattern = read_pattern(self._source)

    def validate(self, value: object) -> None:
        """Raise ValueError for a text in which the pattern does not occur, or which is too long for one."""
        if isinstance(value, str) and not find_pattern(self._pattern, value):
            raise ValueError(f"does not match {self._source!r}")


class Validator:
    """Whether attributes meet one schema. May be used by several threads."""

    def __init__(self, schema: Mapping[str, object]) -> None:
        """Raises jsonschema_rs.ValidationError or ValueError where `schema` is none, or has a pattern that is none."""
        self._validator = jsonschema_rs.validator_for(
            dict(schema), validate_formats=True, offline=True, keywords={"pattern": _Pattern}
        )
        self.is_valid = self._validator.is_valid
        self._keywords = count_keywords(schema)

    def find_violations(self, attributes: Mapping[str, object], most: int) -> list[Violation]:
        """The first faults of attributes that are typed, at most so many.

        More than one is looked for only where attributes are small; where even that one costs too much, no place is told.
        """
        if most > 1 and self.is_small(attributes):
            return [_describe_violation(error) for error in islice(self._validator.iter_errors(attributes), most)]
        if self._count_told(attributes) > _TOLD_BYTES:
            return [Violation("", "does not meet the schema; it is too large to tell where")]
        try:
            self._validator.validate(attributes)
        except jsonschema_rs.ValidationError as error:
            return [_describe_violation(error)]
        return []

    def is_small(self, attributes: Mapping[str, object]) -> bool:
        """Whether all faults may be looked for, whatever the types of the values are."""
        return self._count_told(attributes) <= _ALL_TOLD_BYTES

    def _count_told(self, attributes: Mapping[str, object]) -> int:
        return len(repr(attributes)) * self._keywords


def _describe_violation(error: jsonschema_rs.ValidationError) -> Violation:
    return Violation(write_pointer(error.instance_path), error.message.split("\n")[0][:_SHOWN])


def count_keywords(part: object) -> int:
    """The members of all objects in a schema."""
    if isinstance(part, Mapping):
        return len(part) + sum(map(count_keywords, part.values()))
    return sum(map(count_keywords, part)) if isinstance(part, list) else 0
