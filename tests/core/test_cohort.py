"""Members of cohorts in little room: membership is what a set says, and chunks come back as they were."""

from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from fillip.core.cohort import NOBODY, Cohort, find_changed, join_chunks, list_chunks, list_mine, take_chunk

NUMBERS = st.sets(st.one_of(st.integers(0, 2**31 - 1), st.integers(0, 200_000)), max_size=60)


@given(NUMBERS, NUMBERS)
def test_what_is_stored_of_a_change_makes_the_new_list_of_the_old(before: set[int], after: set[int]):
    changed = find_changed(BitMap(before), BitMap(after))
    assert set(changed) == {number >> 16 for number in before ^ after}
    assert set(join_chunks(BitMap(before), changed.items())) == after
    assert all(len(octets) <= 8_300 for octets in changed.values())


CHANGES = st.lists(st.tuples(st.sampled_from(["replace", "add", "remove"]), NUMBERS), max_size=6)


@given(CHANGES)
def test_changes_one_after_the_other_make_what_sets_make(changes: list[tuple[str, set[int]]]):
    stored: dict[int, bytes] = {}
    now: set[int] = set()
    for how, users in changes:
        after = {"replace": users, "add": now | users, "remove": now - users}[how]
        stored |= find_changed(BitMap(now), BitMap(after))
        now = after
        assert set(join_chunks(NOBODY, stored.items())) == now


@given(NUMBERS)
def test_the_chunks_of_a_list_are_all_of_it(numbers: set[int]):
    members = BitMap(numbers)
    chunks = list(list_chunks(members))
    assert chunks == sorted({number >> 16 for number in numbers})
    assert set(BitMap().union(*(take_chunk(members, chunk) for chunk in chunks))) == numbers


def test_a_full_chunk_and_every_other_number_are_within_the_bound():
    for numbers in (range(65_536), range(0, 65_536, 2), range(0, 65_536, 3), range(0, 8_192, 2)):
        assert len(BitMap(numbers).serialize()) <= 8_300


@given(NUMBERS, st.one_of(st.none(), st.integers(0, 200_000)))
def test_a_user_is_in_exactly_the_cohorts_that_list_it(numbers: set[int], number: int | None):
    cohorts = {"listed": Cohort(1, BitMap(numbers)), "empty": Cohort(1, NOBODY)}
    expected = {"listed"} if number in numbers else set()
    assert list_mine(number, cohorts, ["listed", "empty", "gone"]) == expected
