"""Whether a new JSON Schema takes every document that the old one takes.

By keyword, as schema registries do it ("backward compatible"): what cannot be seen to be wider counts as a break. No
kept Python library compares schemas, and only the keywords below mean anything to a schema of attributes.
"""

from collections.abc import Iterator

from fillip.core.problem import Fault
from fillip.core.schema.types import ANNOTATIONS, Schema, find_part

_LOWEST = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_HIGHEST = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
_SETS = {"enum", "const"}
_STRUCTURE = {"type", "properties", "required", "items", "additionalProperties"}


def find_breaks(old: Schema, new: Schema, at: str = "/schema") -> list[Fault]:
    """Each place where `new` may refuse what `old` takes, with its JSON pointer below `at`; empty when it refuses none.

    A property that is added without being required is no break: extra members were taken untyped until now.
    """
    return list(_compare(old, new, at))


def _compare(old: Schema, new: Schema, at: str) -> Iterator[Fault]:
    yield from _compare_types(old, new, at)
    yield from _compare_sets(old, new, at)
    for name in sorted(new.keys() - _STRUCTURE - ANNOTATIONS - _SETS):
        if not _is_wider(name, old.get(name), new[name]):
            yield Fault(f"{at}/{name}", f"'{name}' was {_tell(old.get(name))} and would be {_tell(new[name])}")
    yield from _compare_members(old, new, at)
    if "items" in old or "items" in new:
        yield from _compare(find_part(old, "items"), find_part(new, "items"), f"{at}/items")


def _compare_types(old: Schema, new: Schema, at: str) -> Iterator[Fault]:
    before, after = _read_types(old), _read_types(new)
    if "number" in after:
        after = after | {"integer"}
    if after and (gone := (before or {"any"}) - after):
        yield Fault(f"{at}/type", f"values of type {', '.join(sorted(gone))} would no longer be taken")


def _compare_sets(old: Schema, new: Schema, at: str) -> Iterator[Fault]:
    for name in sorted(_SETS & new.keys()):
        taken, left = _list_taken(old), _Values(_list_taken(new) or [])
        if taken is None or not all(map(left.hold, taken)):
            yield Fault(f"{at}/{name}", f"'{name}' would take fewer values than before")


def _compare_members(old: Schema, new: Schema, at: str) -> Iterator[Fault]:
    before, after = find_part(old, "properties"), find_part(new, "properties")
    for name in sorted(_read_list(new, "required") - _read_list(old, "required")):
        yield Fault(f"{at}/required", f"'{name}' would be required: events without it would be rejected")
    closed = new.get("additionalProperties") is False
    if closed and old.get("additionalProperties") is not False:
        yield Fault(f"{at}/additionalProperties", "members that are not listed would be refused")
    for name in sorted(before):
        if name in after:
            yield from _compare(find_part(before, name), find_part(after, name), f"{at}/properties/{name}")
        elif closed:
            yield Fault(f"{at}/properties/{name}", f"'{name}' would be refused")


def _is_wider(name: str, old: object, new: object) -> bool:
    if name in _LOWEST | _HIGHEST and isinstance(old, int | float) and isinstance(new, int | float):
        return new <= old if name in _LOWEST else new >= old
    return old == new


class _Values:
    """Values of JSON to look others up in: as a set, but for lists and objects, which have no hash."""

    def __init__(self, values: list[object]) -> None:
        self._single = {value for value in values if not isinstance(value, list | dict)}
        self._others = [value for value in values if isinstance(value, list | dict)]

    def hold(self, value: object) -> bool:
        """Whether one of them equals `value`."""
        return value in (self._others if isinstance(value, list | dict) else self._single)


def _list_taken(schema: Schema) -> list[object] | None:
    """The values that enum or const leave, None when neither is there."""
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return list(values) if isinstance(values, list) else None


def _read_types(schema: Schema) -> set[str]:
    declared = schema.get("type", [])
    return set(declared) if isinstance(declared, list) else {str(declared)}


def _read_list(schema: Schema, name: str) -> set[str]:
    values = schema.get(name)
    return set(values) if isinstance(values, list) else set()


def _tell(value: object) -> str:
    return "not set" if value is None else repr(value)[:60]
