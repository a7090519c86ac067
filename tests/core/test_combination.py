"""Cohorts that follow from others: what a set says, and no circle, however they are named."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from fillip.core.combination import MAX_DEPENDENT, Combination, check_combination, find_depth, list_dependents

NAMES = st.lists(st.sampled_from("abcd"), max_size=3, unique=True).map(tuple)
COMBINATIONS = st.builds(Combination, any_of=NAMES, all_of=NAMES, none_of=NAMES)
LISTS: dict[str, Combination | None] = dict.fromkeys("abcd")


@given(COMBINATIONS, st.fixed_dictionaries({name: st.sets(st.integers(0, 9)) for name in "abcd"}))
def test_who_is_in_it_is_what_its_words_say(combination: Combination, members: Mapping[str, set[int]]):
    faults = check_combination("x", combination, LISTS)
    if not combination.any_of and not combination.all_of:
        assert [fault.at for fault in faults] == ["/combination"]
        return
    assert faults == []
    found = set(combination.combine({name: BitMap(numbers) for name, numbers in members.items()}))
    for number in range(10):
        inside = {name for name in "abcd" if number in members[name]}
        any_of = not combination.any_of or bool(inside & set(combination.any_of))
        wanted = any_of and inside >= set(combination.all_of) and not inside & set(combination.none_of)
        assert (number in found) == wanted


@given(
    st.lists(
        st.tuples(st.sampled_from("uvwxyz"), st.lists(st.sampled_from("abuvwxyz"), min_size=1, max_size=3, unique=True))
    )
)
def test_whatever_is_saved_makes_no_circle_and_is_made_in_order(wanted: list[tuple[str, list[str]]]):
    graph: dict[str, Combination | None] = dict.fromkeys("ab")
    for name, named in wanted:
        combination = Combination(all_of=tuple(named))
        if not check_combination(name, combination, graph):
            graph[name] = combination
    for name in graph:
        order = list_dependents(name, graph)
        for place, each in enumerate(order):
            made = graph[each]
            assert made is not None
            assert made.named & {name, *order[:place]}
            assert not made.named & set(order[place:])
        assert 0 <= (find_depth(name, graph) or 0) <= 3


def test_what_can_not_be_is_refused_with_its_place():
    one = Combination(any_of=("a",))
    assert (
        check_combination("x", Combination(all_of=("a", "gone"), none_of=("x",)), LISTS)[0].at
        == "/combination/all_of/1"
    )
    assert (
        "circle"
        in check_combination("x", Combination(all_of=("y",)), {**LISTS, "y": Combination(all_of=("x",)), "x": one})[
            0
        ].message
    )
    deep = {**LISTS, "l1": one, "l2": Combination(all_of=("l1",)), "l3": Combination(all_of=("l2",))}
    assert "stand on each other" in check_combination("l4", Combination(all_of=("l3",)), deep)[0].message
    assert "stand on each other" in check_combination("l1", Combination(all_of=("m",)), {**deep, "m": one})[0].message
    wide = LISTS | {f"w{n}": one for n in range(MAX_DEPENDENT)}
    assert "would follow from cohort a" in check_combination("x", one, wide)[0].message
    assert (
        "more than 20 cohorts"
        in check_combination(
            "x", Combination(any_of=tuple(f"c{n}" for n in range(21))), {f"c{n}": None for n in range(21)}
        )[0].message
    )
