"""What a number may be without asking its schema: never what the schema would refuse."""

from math import inf
from typing import Any

import pytest

from fillip.core.errors import Unreadable
from fillip.core.schema.numbers import list_numbers
from fillip.core.schema.reader import build_reader

WHOLE, NUMBER = {"type": "integer"}, {"type": "number", "title": "Price"}
AMOUNTS: tuple[Any, ...] = (0, -1, 7, 2**63 - 1, 2**63, -(2**63) - 1, 0.5, -0.0, 1e308, inf)


def shape(**properties: Any) -> dict[str, Any]:
    """The schema of an object."""
    return {"type": "object", "properties": properties, "required": [*properties]}


@pytest.mark.parametrize(
    ("schema", "plain"),
    [
        (shape(a=WHOLE), True),
        (shape(a=NUMBER) | {"additionalProperties": False, "description": "A sale"}, True),
        (shape(a={"type": ["integer", "null"]}), True),
        (shape(a=WHOLE | {"maximum": 5}), False),
        (shape(a=NUMBER | {"multipleOf": 5}), False),
        (shape(a=WHOLE) | {"not": {"properties": {"a": {"const": 7}}}}, False),
        (shape(a=WHOLE) | {"enum": [1]}, False),
        (shape(a=WHOLE) | {"allOf": [{"properties": {"a": {"minimum": 1}}}]}, False),
        (shape(a=WHOLE) | {"if": {"properties": {"a": {"minimum": 9}}}, "then": {"required": ["b"]}}, False),
    ],
)
def test_a_plain_number_may_be_any_of_its_kind(schema: dict[str, Any], plain: bool) -> None:
    [number] = list_numbers(schema)
    assert (number.path, number.plain) == (("a",), plain)
    taken = [amount for amount in AMOUNTS if number.takes(amount)]
    assert bool(taken) is plain
    if plain:
        read = build_reader(schema)
        for amount in taken:
            assert _reads(read, amount), amount


def test_what_is_asked_of_an_object_is_asked_of_all_in_it() -> None:
    inner = shape(deep=WHOLE) | {"maxProperties": 1, "enum": [{"deep": 1}]}
    found = {number.path: number.plain for number in list_numbers(shape(a=NUMBER, inner=inner, outer=shape(b=WHOLE)))}
    assert found == {("a",): True, ("inner", "deep"): False, ("outer", "b"): True}


def _reads(read: Any, amount: Any) -> bool:
    try:
        read({"a": amount})
    except (Unreadable, ValueError):
        return False
    return True
