"""Schemas that change: no break is found exactly where nothing valid becomes invalid."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillip.core.schema.compatibility import find_breaks

NAMES = ["a", "b"]
numbers = st.integers(-3, 3)
texts = st.sampled_from(["", "x", "yy", "zzz"])


@st.composite
def schemas(draw: st.DrawFn, depth: int = 0) -> dict[str, Any]:
    kind = draw(st.sampled_from(["integer", "number", "string", "boolean"] + ["object", "array"] * (depth < 2)))
    schema: dict[str, Any] = {"type": draw(st.sampled_from([kind, [kind, "null"]]))}
    bounds = {"integer": ["minimum", "exclusiveMaximum"], "number": ["maximum"], "string": ["minLength", "maxLength"]}
    for name in bounds.get(kind, []):
        if draw(st.booleans()):
            schema[name] = draw(st.integers(0, 3))
    if kind == "string" and draw(st.booleans()):
        schema["enum"] = draw(st.lists(texts, min_size=1, unique=True))
    if kind == "array":
        schema["items"] = draw(schemas(depth + 1))
    if kind == "object":
        schema["properties"] = draw(st.dictionaries(st.sampled_from(NAMES), schemas(depth + 1)))
        schema["required"] = draw(st.lists(st.sampled_from(NAMES), unique=True))
        schema["additionalProperties"] = False
    return schema


def instances(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of the schema's type; bounds may make some of them invalid."""
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    members = {name: instances(part) for name, part in schema.get("properties", {}).items()}
    needed = set(schema.get("required", [])) & members.keys()
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "integer": numbers,
        "number": numbers | st.floats(-3, 3),
        "string": texts,
        "boolean": st.booleans(),
        "null": st.none(),
        "array": st.lists(instances(schema["items"]), max_size=2) if "items" in schema else st.nothing(),
        "object": st.fixed_dictionaries(
            {name: members[name] for name in needed},
            optional={name: part for name, part in members.items() if name not in needed},
        ),
    }
    return st.one_of([kinds[name] for name in names])


@given(schemas(), schemas(), st.data())
def test_where_a_valid_document_becomes_invalid_a_break_is_found(
    old: dict[str, Any], new: dict[str, Any], data: st.DataObject
) -> None:
    document = data.draw(instances(old))
    if jsonschema_rs.is_valid(old, document) and not jsonschema_rs.is_valid(new, document):
        assert find_breaks(old, new)


@given(schemas())
def test_a_schema_does_not_break_itself(schema: dict[str, Any]) -> None:
    assert find_breaks(schema, schema) == []


@pytest.mark.parametrize(
    ("old", "new", "at"),
    [
        ({"type": "integer"}, {"type": "string"}, "/schema/type"),
        ({"type": "number"}, {"type": "integer"}, "/schema/type"),
        ({"type": ["string", "null"]}, {"type": "string"}, "/schema/type"),
        ({"type": "string"}, {"type": "string", "format": "date-time"}, "/schema/format"),
        ({"type": "string"}, {"type": "string", "enum": ["x"]}, "/schema/enum"),
        ({"type": "integer", "maximum": 9}, {"type": "integer", "maximum": 8}, "/schema/maximum"),
        (
            {"type": "array", "items": {"type": "string"}},
            {"type": "array", "items": {"type": "string", "maxLength": 3}},
            "/schema/items/maxLength",
        ),
    ],
)
def test_a_break_is_named_with_its_place(old: dict[str, Any], new: dict[str, Any], at: str) -> None:
    assert [fault.at for fault in find_breaks(old, new)] == [at]


def test_wider_is_no_break() -> None:
    old = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
    new = {"type": "object", "properties": {"n": {"type": "number"}, "shop": {"type": "string", "title": "Shop"}}}
    assert find_breaks(old, new) == []
