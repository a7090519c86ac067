"""A cohort's users in little room: membership is what a set says."""

from hypothesis import given
from hypothesis import strategies as st

from fillip.core.cohort import Members

IDS = st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), min_size=1, max_size=6)


def bundle(ids: set[str], size: int) -> Members:
    """Parts of so many ids, as PostgreSQL sorts and joins them."""
    encoded = sorted(user_id.encode() for user_id in ids)
    parts = [encoded[at : at + size] for at in range(0, len(encoded), size)]
    return Members((part[0], b"\n%b\n" % b"\n".join(part)) for part in parts)


@given(st.sets(IDS), st.sets(IDS), st.integers(1, 5))
def test_a_user_is_in_exactly_the_cohorts_that_list_it(ids: set[str], others: set[str], size: int):
    members = bundle(ids, size)
    assert len(members) == len(ids)
    asked = {*ids, *others, *(user_id[:-1] for user_id in ids), *(user_id + "x" for user_id in ids), ""}
    assert {user_id for user_id in asked if user_id in members} == ids


def test_two_neighbours_are_not_a_third():
    assert "a\nb" not in bundle({"a", "b"}, 2)
    assert "\n" not in bundle({"a", "b"}, 2)
    assert 7 not in bundle({"7"}, 1)
