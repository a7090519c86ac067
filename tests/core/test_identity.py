"""An event's key: the same for the same name alone, wherever one part ends and the next begins."""

from hypothesis import given
from hypothesis import strategies as st

from fillip.core.identity import identify_event

NAMES = st.tuples(*[st.text("ab/1", max_size=3)] * 3)


@given(NAMES, NAMES)
def test_two_names_have_one_key_only_if_they_are_the_same(one: tuple[str, str, str], other: tuple[str, str, str]):
    assert (identify_event(*one) == identify_event(*other)) == (one == other)


def test_what_a_source_calls_its_own_is_apart_from_all_others():
    keys = {identify_event("acme", source, "1") for source in ("/pos-1", "/pos-2", "/pos-", "")}
    assert len(keys | {identify_event("other", "/pos-1", "1"), identify_event("acme", "/pos-", "11")}) == 6
