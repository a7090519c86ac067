"""What a schema may cost: bombs are refused where they stand, what is accepted is bounded, honest schemas are saved."""

from typing import Any

import pytest

from fillip.core.schema.check_schema import check_schema
from fillip.core.schema.coerce import SchemaViolation
from fillip.core.schema.cost import MAX_SCHEMA_COST, check_schema_cost
from fillip.core.schema.reader import build_reader, find_faults
from fillip.core.schema.types import SchemaUnusable
from tests.core.worst import list_worst_schemas


def shape(**properties: Any) -> dict[str, Any]:
    """An object schema of these properties."""
    return {"type": "object", "properties": properties}


def lists(**more: Any) -> dict[str, Any]:
    """A list of ints that must meet more."""
    return {"type": "array", "items": {"type": "integer"}, **more}


TEXT = {"type": "string"}
MANY = [{"minimum": number} for number in range(1, 3000)]
BOMBS: dict[str, tuple[dict[str, Any], str]] = {
    "a pattern repeated": (shape(a=TEXT | {"pattern": "[ab]{0,900}[ab]{0,900}c"}), "/properties/a/pattern"),
    "a pattern of many states": (shape(a=TEXT | {"pattern": "a[ab]{800}c", "maxLength": 60_000}), "/properties/a/pattern"),
    "a long pattern": (shape(a=TEXT | {"pattern": r"\pL" * 200}), "/properties/a/pattern"),
    "a pattern for each of many items": (
        shape(a={"type": "array", "items": TEXT | {"pattern": "a[ab]{20}c"}, "maxItems": 5000}),
        "/properties/a/items/pattern",
    ),
    "a pattern in an alternative": (
        shape(a=TEXT | {"anyOf": [{"pattern": "[ab]{0,900}[ab]{0,900}"}]}), "/properties/a/anyOf/0/pattern",
    ),
    "a format that compiles": (shape(a=TEXT | {"format": "regex"}), "/properties/a/format"),
    "alternatives": (shape(a={"type": "integer", "anyOf": MANY}), "/properties/a/anyOf/2998"),
    "alternatives for each item": (
        shape(a={"type": "array", "maxItems": 5000, "items": {"type": "integer", "allOf": MANY[:60]}}),
        "/properties/a/items/allOf",
    ),
    "alternatives that look at all items": (
        shape(a=lists(maxItems=5000, oneOf=[{"items": each} for each in MANY[:60]])),
        "/properties/a/oneOf",
    ),
    "alternatives for what has no type": (
        {"type": "object", "anyOf": [{"properties": {"x": {"items": {"multipleOf": 0.1}}}}]},
        "/anyOf/0/properties/x/items/multipleOf",
    ),
    "lists in an enum": (shape(a=lists(enum=[[number] for number in range(4000)])), "/properties/a/enum"),
    "names by pattern": (shape() | {"patternProperties": {f"a{n}": {} for n in range(3000)}}, "/patternProperties"),
    "names by schema": (shape() | {"propertyNames": {"pattern": "a"}}, "/propertyNames"),
    "what was not looked at": (shape() | {"unevaluatedProperties": False}, "/unevaluatedProperties"),
    "others by schema": (shape() | {"additionalProperties": {"type": "integer"}}, "/additionalProperties"),
    "many members for each item": (
        shape(a={"type": "array", "maxItems": 5000, "items": shape(**{f"p{n}": {"type": "integer"} for n in range(200)})}),
        "/properties/a/items/properties",
    ),
    "fractions": (shape(a=lists(maxItems=5000, items={"type": "number", "multipleOf": 1e-300})), "/properties/a/items/multipleOf"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_with_its_place(name: str) -> None:
    schema, pointer = BOMBS[name]
    with pytest.raises(SchemaUnusable) as refused:
        check_schema(schema)
    assert refused.value.pointer == pointer


@pytest.mark.parametrize(
    "schema",
    [
        shape(email=TEXT | {"pattern": r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$"}, sku=TEXT | {"pattern": "^[A-Z]{2}-[0-9]{4}$"}),
        shape(tier=TEXT | {"enum": ["gold", "silver"]}, at=TEXT | {"format": "date-time"}, link=TEXT | {"format": "uri"}),
        shape(lines={"type": "array", "maxItems": 1000, "items": shape(sku=TEXT, n={"type": "integer", "minimum": 1})}),
        shape(a={"type": "integer"}) | {"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "additionalProperties": False},
        shape(a={"type": "number", "multipleOf": 0.01}, tags={"type": "array", "items": TEXT, "uniqueItems": True}),
        shape(**{f"p{n}": TEXT | {"pattern": "^[a-z0-9-]+$", "maxLength": 64} for n in range(50)}),
    ],
)  # fmt: skip
def test_an_honest_schema_is_saved(schema: dict[str, Any]) -> None:
    check_schema(schema)


def test_the_worst_schemas_that_are_accepted_answer() -> None:
    for worst in list_worst_schemas():
        assert check_schema_cost(worst.definition) <= MAX_SCHEMA_COST
        read = build_reader(worst.definition)
        try:
            read(worst.event)
        except SchemaViolation as violation:
            assert violation.detail, worst.name


def test_types_and_lengths_come_before_what_costs() -> None:
    read = build_reader(shape(a=lists(maxItems=3, uniqueItems=True)))
    with pytest.raises(SchemaViolation, match="9 items, at most 3"):
        read({"a": [1] * 9})


def test_a_pattern_runs_over_no_longer_text() -> None:
    schema = shape(a=TEXT | {"pattern": "^a+$"})
    read = build_reader(schema)
    assert read({"a": "a" * 1024}) == {"a": "a" * 1024}
    with pytest.raises(SchemaViolation, match="at most 1,024") as violation:
        read({"a": "a" * 1025})
    assert violation.value.path == "/a"
    assert find_faults(schema, {"a": "b"})[0].message == "does not match '^a+$'"


def test_what_is_too_large_to_explain_is_refused_all_the_same() -> None:
    ints = {"type": "integer"}
    read = build_reader(shape(a=lists(maxItems=5000), **{f"p{n}": ints for n in range(60)}) | {"required": ["b"]})
    with pytest.raises(SchemaViolation, match="too large to tell where"):
        read({"a": [1] * 5000, **dict.fromkeys((f"p{n}" for n in range(60)), 1)})
