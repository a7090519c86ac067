"""JSON text that a decoder takes, or refuses without a place: told what is wrong, and where."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillip.core.json_text import EXPLAINED_BYTES, explain_broken, find_excess, find_repeated, repeats_name


class Pairs(list[tuple[str, Any]]):
    """An object, name by name."""


_names = st.lists(st.sampled_from(("a", ":", "\\", '"', "u003a", "u003A")), max_size=3).map("".join)
_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _names,
    lambda below: st.lists(below, max_size=3) | st.lists(st.tuples(_names, below), max_size=4).map(Pairs),
    max_leaves=12,
)


def write(value: object, colon: str) -> str:
    """`value` as JSON text, its colons in strings as `colon`, with white space here and there."""
    if isinstance(value, Pairs):
        return "{" + " ,".join(f"{write(n, colon)} : {write(v, colon)}" for n, v in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(write(each, colon) for each in value) + "]"
    return json.dumps(value).replace(":", colon) if isinstance(value, str) else json.dumps(value)


def list_repeated(value: object, at: str = "") -> Iterator[str]:
    """Where a name stands that stood in its object before."""
    if isinstance(value, Pairs):
        seen: set[str] = set()
        for name, below in value:
            here = f"{at}/{name.replace('~', '~0').replace('/', '~1')}"
            if name in seen:
                yield here
            seen.add(name)
            yield from list_repeated(below, here)
    elif isinstance(value, list):
        for place, below in enumerate(value):
            yield from list_repeated(below, f"{at}/{place}")


@given(_values, st.sampled_from((":", "\\u003a", "\\u003A")))
def test_a_name_that_stands_twice_is_seen_whatever_stands_around_it(value: object, colon: str) -> None:
    text = write(value, colon).encode()
    repeated = set(list_repeated(value))
    assert repeats_name(text, msgspec.json.decode(text)) == bool(repeated)
    if repeated:
        assert find_repeated(text).at in repeated


def test_of_a_long_text_the_place_is_not_told() -> None:
    text = b'{"a":1,"b":"' + b"x" * EXPLAINED_BYTES + b'","a":2}'
    assert repeats_name(text, msgspec.json.decode(text))
    assert find_repeated(text).at == ""


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        (rb'{"a": ["x", "\ud800"]}', "/a/1", "lone surrogate"),
        (rb'{"a": {"b/c": "\udc00\ud800"}}', "/a/b~1c", "lone surrogate"),
        (rb'{"a": {"\udfff": 1}}', "/a", "lone surrogate"),
        (rb'{"a": [1, -1e400]}', "/a/1", "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "/a", "too large"),
        (b'{"a": NaN}', "", "malformed"),
        (b'{"a": 1', "", "truncated"),
        (b'["\xff"]', "", "utf-8"),
        (b'{"a":' * 5000, "", "recursion|depth|truncated"),
        (b'["' + b"x" * EXPLAINED_BYTES + rb'", "\ud800"]', "", "."),
    ],
)
def test_what_is_no_value_is_named(text: bytes, at: str, message: str) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError, RecursionError)) as refused:
        msgspec.json.decode(text)
    fault = explain_broken(text, refused.value)
    assert (fault.at, bool(re.search(message, fault.message))) == (at, True), fault


def test_what_no_table_can_hold_is_found_from_the_outside_in() -> None:
    assert find_excess({"a": [1, "b", {"c": None}]}, 3) is None
    assert find_excess({"a": [1, "b", {"c": None}]}, 2) == "too_deep"
    assert find_excess({"a": [{"b\0": 1}]}, 3) == find_excess(["\0"], 1) == "nul_character"
    assert find_excess([[["\0"]]], 2) == "too_deep"
    assert find_excess(["\0", [[[1]]]], 2) == "nul_character"
