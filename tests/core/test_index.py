"""The index finds every rule that is true, is sure only of those, and leaves out what it can."""

import math

import pytest
from hypothesis import given, settings

from fillip.core.index import RuleIndex, cells, read_clauses, rules
from fillip.core.named_list import NamedList
from fillip.core.rule import decode_rule
from tests.core.index_world import BOOKS, SITUATIONS, compare
from tests.core.rule_shop import BASKET, LISTS, check, read_event, read_user


def read(source):
    return read_clauses(decode_rule(check(source)).root)


def find(sources, user=None, cohorts=frozenset(), **event):
    """The places of the rules that the index finds for a basket with these changes."""
    index = RuleIndex([read(source) for source in sources], LISTS)
    return sorted(index.find(read_event(BASKET | event), read_user(user or {}), cohorts))


@settings(max_examples=300, deadline=None)
@given(BOOKS, SITUATIONS)
def test_index_and_brute_force_give_one_answer(sources, situations):
    compare(sources, situations)


@settings(max_examples=100, deadline=None)
@given(BOOKS, SITUATIONS)
def test_so_they_do_when_everything_is_hashed_and_dials_are_coarse(sources, situations):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "MANY", 1)
        patch.setattr(cells, "MAX_VALUES", 2)
        patch.setattr(cells, "MAX_STEPS", 3)
        patch.setattr(cells, "_FEW", 1)
        compare(sources, situations)


@settings(max_examples=60, deadline=None)
@given(BOOKS, SITUATIONS)
def test_so_they_do_for_what_is_not_a_number_and_for_attributes_of_another_shape(sources, situations):
    compare(sources, situations, lambda event: event | {"price": math.nan, "rate": math.nan})
    compare(sources, situations, lambda event: {name: event[name] for name in list(event)[::2]})
    compare(sources, situations, lambda event: event | {"category": [], "qty": "7"})


@pytest.mark.parametrize(
    "source",
    [
        "event.qty == 3",
        "3 <= event.qty && event.qty < 5",
        "event.category in ['a', 'b'] || 'x' in event.tags",
        "!(event.price > 2.5) && has(event.coupon)",
        "event.at >= timestamp('2026-01-01T00:00:00Z')",
        "user.tier == 'gold' && !('vip' in cohorts)",
        "event.coupon != null",
        "event.coupon in lists.words && !(user.tier in lists.words)",
        "!event.gift",
    ],
)
def test_what_atoms_say_in_full_needs_no_rule_to_run(source):
    assert read(source).exact


@pytest.mark.parametrize(
    ("source", "keys", "reason"),
    [
        ("event.qty % 2 == 1", set(), "'==' is not between one attribute and a literal"),
        ("event.category == 'a' && event.qty % 2 == 1", {"event.category"}, "'==' is not between one attribute and a literal"),
        ("event.category == 'a' || event.qty % 2 == 1", set(), "'==' is not between one attribute and a literal"),
        ("event.category.startsWith('a')", set(), "'startsWith' can't be looked up"),
        ("event.lines.exists(l, l.n > 1)", set(), "going through a list can't be looked up"),
        ("'a' in event.tags && 'b' in event.tags", {"event.tags"}, "two members of one list"),
        (" && ".join(f"(event.qty > {n} || event.stock > {n})" for n in range(5)),
         {"event.qty", "event.stock"}, "more than 16 alternatives together"),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_up_is_named(source, keys, reason):
    clauses = read(source)
    assert not clauses.exact
    assert {str(key) for key in clauses.keys} == keys
    assert reason in clauses.leftovers[0].reason


def test_only_rules_whose_atoms_hold_are_found():
    assert find(["event.qty == 1", "event.qty == 2", "event.qty >= 2 && event.gift", "true", "false"], qty=2) == [1, 3]


def test_null_is_below_nothing_and_above_nothing():
    assert find(["event.stock < 5", "!(event.stock < 5)", "event.stock != 5", "event.stock == null"]) == [2, 3]


def test_a_list_is_one_look_however_long_it_is():
    long = {"words": NamedList(1, [f"w{n}" for n in range(10_000)]), "numbers": NamedList(1, [])}
    sources = ["event.category in lists.words", "!(event.category in lists.words)", "event.stock in lists.numbers"]
    index = RuleIndex([read(source) for source in sources], long)
    for category, found in (("w9999", {0: True}), ("w10000", {1: True})):
        assert index.find(read_event(BASKET | {"category": category}), {}, frozenset()) == found
    assert len(index.loose) == 3, "no row for each item"


def test_not_a_number_is_not_less_so_its_opposite_holds():
    index = RuleIndex([read(s) for s in ("event.price < 5.0", "!(event.price < 5.0)", "event.price >= 5.0")])
    assert sorted(index.find(read_event(BASKET) | {"price": math.nan}, {}, frozenset())) == [1]


def test_a_selective_value_is_hashed_and_found_by_each_member_of_a_list():
    sources = [f"'t{n}' in event.tags && event.qty > {n % 3}" for n in range(rules.MANY)]
    assert find(sources, tags=["t4", "t7", "t5", "t4"], qty=2) == [4, 7]
    assert RuleIndex([read(source) for source in sources]).loose == []


def test_where_the_user_cannot_be_read_what_is_asked_of_it_stays_open():
    index = RuleIndex([read(s) for s in ("user.tier == 'gold'", "user.tier == 'gold' && event.qty == 9")])
    assert set(index.find(read_event(BASKET), None, frozenset())) == {0}
