"""Types from JSON Schema, and values coerced to them."""

import pytest

from fillip.core.instant import SECOND_NS, read_instant_ns, read_span_ns, write_instant
from fillip.core.schema.coerce import SchemaViolation, Unset, build_coercer
from fillip.core.schema.types import Field, Kind, ListOf, ObjectType, Scalar, SchemaUnusable, derive_type

ORDER = {
    "type": "object",
    "required": ["amount", "paid_at"],
    "properties": {
        "amount": {"type": "integer", "minimum": 0},
        "weight": {"type": "number"},
        "coupon": {"type": ["string", "null"]},
        "paid_at": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
        "gift": {"type": "boolean"},
        "address": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}},
        "lines": {
            "type": "array",
            "items": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}},
        },
    },
}


def test_a_schema_becomes_a_type():
    shape = derive_type(ORDER)
    assert shape.fields[:3] == (
        Field("amount", Scalar(Kind.INT, nullable=False)),
        Field("weight", Scalar(Kind.DOUBLE, nullable=True)),
        Field("coupon", Scalar(Kind.STRING, nullable=True)),
    )
    by_name = {field.name: field.type for field in shape.fields}
    assert by_name["paid_at"] == Scalar(Kind.TIMESTAMP, nullable=False)
    assert by_name["tags"] == ListOf(Scalar(Kind.STRING, nullable=False), max_items=5)
    assert by_name["address"] == ObjectType((Field("city", Scalar(Kind.STRING, nullable=True)),), nullable=True)
    assert hash(shape) == hash(derive_type(ORDER))


@pytest.mark.parametrize(
    ("properties", "pointer"),
    [
        ({"a": {}}, "/properties/a"),
        ({"a": {"type": ["integer", "string"]}}, "/properties/a"),
        ({"a": {"type": "array"}}, "/properties/a/items"),
        ({"a": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}}, "/properties/a/items"),
        ({"a": {"type": "array", "items": {"type": ["string", "null"]}}}, "/properties/a/items"),
        ({"a-b": {"type": "string"}}, "/properties/a-b"),
        ({f"a{i}": {"type": "string"} for i in range(257)}, "/properties"),
    ],
)
def test_what_has_no_type_is_refused_with_its_place(properties, pointer):
    with pytest.raises(SchemaUnusable) as refused:
        derive_type({"type": "object", "properties": properties})
    assert refused.value.pointer == pointer


def test_the_top_must_be_an_object():
    with pytest.raises(SchemaUnusable):
        derive_type({"type": "string"})


def test_values_become_what_rules_read():
    coerce = build_coercer(derive_type(ORDER))
    assert coerce({"amount": 5.0, "weight": 2, "paid_at": "1970-01-01T01:00:00.5+01:00", "unknown": 1}) == {
        "amount": 5,
        "weight": 2.0,
        "coupon": None,
        "paid_at": SECOND_NS // 2,
        "tags": [],
        "gift": None,
        "address": {"city": None},
        "lines": [],
    }


def test_an_absent_object_differs_from_an_empty_one():
    coerce = build_coercer(derive_type({"type": "object", "properties": {"a": {"type": "object", "properties": {}}}}))
    assert isinstance(coerce({})["a"], Unset)
    assert not isinstance(coerce({"a": {}})["a"], Unset)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"amount": True}, "/amount"),
        ({"amount": 2**63}, "/amount"),
        ({"amount": None}, "/amount"),
        ({"amount": 1.5}, "/amount"),
        ({"weight": 10**400}, "/weight"),
        ({"weight": True}, "/weight"),
        ({"gift": 1}, "/gift"),
        ({"coupon": 1}, "/coupon"),
        ({"paid_at": "2026-01-01"}, "/paid_at"),
        ({"paid_at": "2026-02-30T00:00:00Z"}, "/paid_at"),
        ({"tags": "a"}, "/tags"),
        ({"tags": ["a", 1]}, "/tags/1"),
        ({"lines": [{"sku": "a"}, {}]}, "/lines/1/sku"),
        ({"address": []}, "/address"),
    ],
)
def test_a_value_that_does_not_fit_is_named(change, path):
    coerce = build_coercer(derive_type(ORDER))
    with pytest.raises(SchemaViolation) as violation:
        coerce({"amount": 1, "paid_at": "2026-01-01T00:00:00Z"} | change)
    assert (violation.value.path, violation.value.reason) == (path, "schema_violation")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "2026-01-02T03:04:05.120Z"])
def test_instants_are_read_and_written_alike(text):
    assert write_instant(read_instant_ns(text)) == text


def test_spans_are_read_to_the_nanosecond():
    assert read_span_ns("-1h30m0.5s1ns") == -(5400 * SECOND_NS + SECOND_NS // 2 + 1)
    assert read_span_ns("0") == 0
    for text in ("", "1", "1d", "h", "1h-1m"):
        with pytest.raises(ValueError, match="not a duration"):
            read_span_ns(text)
