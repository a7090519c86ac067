"""Named lists in rules: constants of the compiled rule, cheap to ask, dear to go through."""

import pytest

from fillip.core.named_list import NamedList
from fillip.core.rule import RuleRefused, compile_rule, explain_rule
from fillip.core.rule.split import split_rule
from fillip.core.schema.types import EMPTY
from fillip.manage.rule.checker import check_rule
from tests.core.rule_shop import ACTION, BASKET, LIST_TYPES, LISTS, USER, check, read_event, run


def refuse(source, **expected):
    with pytest.raises(RuleRefused) as refused:
        check(source, **expected)
    return refused.value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("event.category in lists.words", True),
        ("event.category in lists.none", False),
        ("event.coupon in lists.words", False),
        ("!(event.coupon in lists.words)", True),
        ("event.qty in lists.numbers && event.lines.exists(lists, lists.sku in ['a'])", True),
        ("event.lines.exists(l, l.sku in lists.words)", True),
        ("event.tags.exists(lists, lists in ['red'])", True),
        ("has(lists.words) && !has(lists.none)", True),
        ("size(lists.numbers) == 4 && lists.numbers[0] == -7", True),
    ],
)
def test_a_rule_reads_a_list(source, value):
    assert run(source) is value


def test_a_list_is_read_by_keys_and_formulas_too():
    assert run("event.category in lists.words ? 'premium' : event.category", expect="key") == "premium"
    assert run("event.qty in lists.numbers ? 3 : 1", expect="int") == 3


def test_a_step_rule_that_is_cut_in_two_reads_lists_in_both():
    source = "event.category in lists.words && start.category in lists.none"
    early, late = split_rule(check(source, start=ACTION), LISTS)
    event = read_event(BASKET)
    assert early is not None
    assert late is not None
    assert early(event, {}, frozenset()) is True
    assert late(event, {}, frozenset(), event) is False


def test_what_a_list_holds_belongs_to_the_compiled_rule():
    code = check("event.category in lists.words")
    before, after = (compile_rule(code, {"words": NamedList(1, items)}) for items in (["books"], ["books", "toys"]))
    assert [rule(read_event(BASKET), {}, frozenset()) for rule in (before, after)] == [False, True]


def test_lists_that_are_read_are_told():
    rule = check_rule("event.category in lists.words || has(lists.none)", ACTION, USER, lists=LIST_TYPES)
    assert rule.uses_lists == ("none", "words")


@pytest.mark.parametrize(
    ("source", "line", "column", "says"),
    [
        ("event.gift &&\n event.category in lists.wrods", 2, 25, "there is no list 'wrods': make it first"),
        ("event.qty in lists.words", 1, 11, "'in' applied to '(int, list(string))'"),
        ("[lists].exists(l, event.category in l.words)", 1, 2, "name one of the lists"),
        ("event.lists.words == 1", 1, 6, "undefined field 'lists'"),
    ],
)
def test_a_refusal_points_at_its_place(source, line, column, says):
    refused = refuse(source)
    assert (refused.line, refused.column) == (line, column), refused
    assert says in refused.message


def test_where_there_is_no_list_at_all_none_is_known():
    with pytest.raises(RuleRefused, match="there is no list 'words'"):
        check_rule("event.category in lists.words", ACTION, EMPTY)


@pytest.mark.parametrize(
    "source",
    [
        "lists.words.exists(w, w == event.category)",
        "event.tags.exists(t, t in lists.words + ['x'])",
        "event.category in (event.gift ? lists.words : lists.none)",
        "lists.words == event.tags + lists.none",
        "sum(lists.numbers) > 1",
        "event.category in lists.words.distinct()",
        "event.category == lists.words.max()",
    ],
)
def test_going_through_a_list_costs_as_much_as_the_longest_has_items(source):
    assert "may cost" in refuse(source).message


def test_asking_a_list_costs_next_to_nothing():
    assert check(" && ".join(["event.category in lists.words"] * 200))
    assert check("event.lines.all(l, l.sku in lists.words)")


def test_an_explanation_names_the_list_and_not_its_items():
    source = "event.category in lists.words && event.qty in lists.numbers"
    leaves = explain_rule(source, check(source), read_event(BASKET | {"qty": 5}), {}, frozenset(), lists=LISTS)
    assert [(leaf.value, leaf.reads) for leaf in leaves] == [
        (True, {"event.category": "toys", "lists.words": {"version": 3, "size": 4}}),
        (False, {"event.qty": 5, "lists.numbers": {"version": 4, "size": 4}}),
    ]
