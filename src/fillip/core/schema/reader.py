"""Attributes of events and users under the JSON Schema that they must meet."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import TypeAlias

import msgspec

from fillip.core.instant import count_ns
from fillip.core.problem import Fault
from fillip.core.schema.coerce import SchemaViolation, build_coercer
from fillip.core.schema.types import TIME, derive_type, has_own_time
from fillip.core.schema.validate import Validator, Violation

MAX_ATTRIBUTES_BYTES = 32_768
MAX_FAULTS = 20

Read: TypeAlias = Callable[[Mapping[str, object]], dict[str, object]]
ReadEvent: TypeAlias = Callable[[Mapping[str, object], datetime], dict[str, object]]
"""From an event's attributes, and when it happened, to what rules read: see core.schema.types.derive_event_type."""


class AttributeReader:
    """Reads attributes under one schema; may be used by several threads."""

    def __init__(self, schema: Mapping[str, object]) -> None:
        """Raises SchemaUnusable where `schema` has no type, jsonschema_rs.ValidationError where it is no JSON Schema."""
        self._coerce = build_coercer(derive_type(schema))
        self._validator = Validator(schema)

    def read(self, attributes: Mapping[str, object]) -> dict[str, object]:
        """What rules read; raises SchemaViolation (an Unreadable) with the JSON pointer of the first fault.

        Types and lengths of lists come first: the cost of what follows is bounded by them (fillip.core.schema.cost).
        """
        typed = self._coerce(attributes)
        if not self._validator.is_valid(attributes):
            fault = self._validator.find_violations(attributes, 1)[0]
            raise SchemaViolation(fault.at, fault.message)
        return typed

    def find_violations(self, attributes: Mapping[str, object], most: int) -> list[Violation]:
        """What is wrong with attributes, at most so many; of large ones the first alone is looked for."""
        try:
            self.read(attributes)
        except SchemaViolation as first:
            small = self._validator.is_small(attributes)
            found = self._validator.find_violations(attributes, most) if small else []
            return found or [Violation(first.path, first.detail)]
        return []


def build_reader(schema: Mapping[str, object]) -> Read:
    """The function that reads attributes under `schema`: see AttributeReader, also for its errors."""
    return AttributeReader(schema).read


def build_event_reader(schema: Mapping[str, object]) -> ReadEvent:
    """The function that reads events of an action with this schema: see AttributeReader, also for its errors."""
    return _tell_time(schema, AttributeReader(schema).read)


def build_event_coercer(schema: Mapping[str, object]) -> ReadEvent:
    """As build_event_reader, of events that were found valid before: it raises SchemaViolation for types alone."""
    return _tell_time(schema, build_coercer(derive_type(schema)))


def _tell_time(schema: Mapping[str, object], read: Read) -> ReadEvent:
    if has_own_time(schema):
        return lambda attributes, _: read(attributes)

    def read_event(attributes: Mapping[str, object], occurred_at: datetime) -> dict[str, object]:
        typed = read(attributes)
        typed[TIME] = count_ns(occurred_at)
        return typed

    return read_event


def find_faults(schema: Mapping[str, object], attributes: Mapping[str, object], at: str = "/attributes") -> list[Fault]:
    """What is wrong with `attributes` under a saved schema, each with its JSON pointer below `at`."""
    if len(msgspec.json.encode(attributes)) > MAX_ATTRIBUTES_BYTES:
        return [Fault(at, f"larger than {MAX_ATTRIBUTES_BYTES} bytes as JSON")]
    found = _build_cached(msgspec.json.encode(schema)).find_violations(attributes, MAX_FAULTS)
    return [Fault(at + fault.at, fault.message) for fault in found]


@lru_cache(maxsize=512)
def _build_cached(schema: bytes) -> AttributeReader:
    return AttributeReader(msgspec.json.decode(schema))
