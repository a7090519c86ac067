"""Schemas that may be saved, and attributes under them."""

from typing import Any

import pytest

from fillip.core.schema.check_schema import check_schema
from fillip.core.schema.reader import find_faults
from fillip.core.schema.types import SchemaUnusable, derive_type
from fillip.http.errors import Conflict
from fillip.manage.schema.schema import refuse_retyping


def shape(**properties: Any) -> dict[str, Any]:
    """An object schema of these properties."""
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"type": "string"}, ""),
        (shape(a={}), "/properties/a"),
        (shape(a={"type": "integer", "$ref": "http://127.0.0.1:1/x"}), "/properties/a/$ref"),
        (
            shape(a={"type": "array", "items": {"type": "string", "allOf": [{"$ref": "#"}]}}),
            "/properties/a/items/allOf/0/$ref",
        ),
        (shape(a={"type": "integer"}) | {"$schema": "http://json-schema.org/draft-04/schema#"}, "/$schema"),
        (shape(a={"type": "string", "maxLength": 1, "description": "x" * 70_000}), ""),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_with_its_place(schema: dict[str, Any], pointer: str) -> None:
    with pytest.raises(SchemaUnusable) as refused:
        check_schema(schema)
    assert refused.value.pointer == pointer


@pytest.mark.parametrize("part", [{"minimum": "x"}, {"pattern": "("}, {"pattern": r"(a)\1"}, {"pattern": "(?=a)b"}])
def test_keywords_must_be_right_and_patterns_linear(part: dict[str, Any]) -> None:
    with pytest.raises(SchemaUnusable):
        check_schema(shape(a={"type": "string"} | part))


def test_a_pattern_of_nested_repetition_is_no_trap() -> None:
    schema = shape(a={"type": "string", "pattern": "^(a+)+$"})
    check_schema(schema)
    assert find_faults(schema, {"a": "a" * 1000}) == []
    assert find_faults(schema, {"a": "a" * 1000 + "b"})[0].at == "/attributes/a"


def test_faults_name_their_places() -> None:
    schema = shape(a={"type": "integer", "minimum": 3}, at={"type": "string", "format": "date-time"}) | {
        "required": ["b"]
    }
    places = {fault.at: fault.message for fault in find_faults(schema, {"a": 2, "at": "yesterday"})}
    assert set(places) == {"/attributes", "/attributes/a", "/attributes/at"}
    assert find_faults(shape(big={"type": "integer"}), {"big": 2**63})[0].at == "/attributes/big"
    assert find_faults(shape(), {"x": "y" * 40_000})[0].message.startswith("larger than")


def test_an_attribute_keeps_its_type() -> None:
    old = shape(tier={"type": "string"}, age={"type": "integer"})
    refuse_retyping(old, derive_type(shape(tier={"type": "string"}, city={"type": "string"})))
    with pytest.raises(Conflict, match="'age'"):
        refuse_retyping(old, derive_type(shape(age={"type": "number"})))
    with pytest.raises(Conflict, match="'age'"):
        refuse_retyping(old, derive_type(shape(age={"type": "integer"}) | {"required": ["age"]}))


def test_a_text_of_users_may_become_longer_but_not_shorter() -> None:
    old = shape(
        tier={"type": "string", "maxLength": 10}, tags={"type": "array", "items": {"type": "string", "maxLength": 9}}
    )
    longer = {"type": "array", "items": {"type": "string"}}
    refuse_retyping(old, derive_type(shape(tier={"type": "string", "maxLength": 20}, tags=longer)))
    with pytest.raises(Conflict, match="'tier'"):
        refuse_retyping(old, derive_type(shape(tier={"type": "string", "maxLength": 9})))
