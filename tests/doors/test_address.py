"""Paths in one spelling, and parameters that nobody reads."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillip.http.address import find_parameter_faults, list_parameters, normalize_path, read_segment
from fillip.http.errors import Malformed

_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@given(st.lists(_texts, min_size=1, max_size=4), st.sampled_from(("", "/:@", "!$&'()*+,;=:@")))
def test_every_text_can_be_a_segment_of_a_path(texts: list[str], plain: str) -> None:
    raw = "/".join(quote(text, safe=plain.replace("/", "")) for text in texts)
    assert [read_segment(segment) for segment in normalize_path(raw.encode()).split("/")] == texts


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/v1/users%3Abulk", "/v1/users:bulk"),
        (b"/v1/%75sers/a%2fb", "/v1/users/a%2Fb"),
        (b"/v1%2Fusers", "/v1%2Fusers"),
        (b"/v1/users%0A", "/v1/users%0A"),
        ("/é %zz".encode(), "/%C3%A9%20%25zz"),
    ],
)
def test_a_path_has_one_spelling(raw: bytes, path: str) -> None:
    assert normalize_path(raw) == path


@pytest.mark.parametrize("broken", [b"a%00", b"a%ff", b"\xff", b"a%C3"])
def test_what_is_no_text_is_no_address(broken: bytes) -> None:
    with pytest.raises(Malformed):
        normalize_path(b"/v1/users/" + broken)
    with pytest.raises(Malformed):
        list_parameters(b"user_id=" + broken)


def test_each_parameter_is_read_once_or_refused() -> None:
    names = list_parameters(b"limit=1&user=ada&=2&limit=3&user_id&a+b=c")
    assert names == ["limit", "user", "", "limit", "user_id", "a b"]
    faults = find_parameter_faults(names, {"limit", "user_id"})
    assert [fault.at for fault in faults] == ["user", "", "limit", "a b"]
    assert faults[0].message == "unknown parameter; known here: limit, user_id"
