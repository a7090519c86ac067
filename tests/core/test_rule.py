"""Compiled rules: values, absorbed errors, budgets, explanations."""

import pytest
from google.protobuf.any_pb2 import Any as Envelope

from fillip.core.rule import RuleError, compile_rule, explain_rule
from fillip.core.rule.decode import decode_rule
from fillip.core.rule.tree import Fold, walk
from fillip.core.schema.coerce import build_coercer
from fillip.manage.rule.checker import check_rule
from tests.core.rule_shop import ACTION, BASKET, ENVIRONMENT, USER, WIDE, read_event, read_user, run


def test_the_rule_of_a_marketer():
    source = 'event.qty >= 2 && event.category in ["toys", "books"] && user.tier == "gold" && "vip" in cohorts'
    assert run(source, user={"tier": "gold"}, cohorts=frozenset({"vip"})) is True
    assert run(source, user={"tier": "gold"}) is False
    assert run(source, event={"qty": 1}, user={"tier": "gold"}, cohorts=frozenset({"vip"})) is False


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("event.coupon", "SAVE5"),
        ("event.category + '/' + string(event.qty)", "toys/2"),
        ("event.gift ? 'gift' : 'own'", "own"),
    ],
)
def test_key_expressions_give_strings(source, value):
    assert run(source, event={"coupon": "SAVE5"}, expect="key") == value


def test_a_key_that_is_null_is_an_error():
    with pytest.raises(RuleError, match="null"):
        run("event.coupon", expect="key")


@pytest.mark.parametrize(
    "source",
    [
        "event.stock > 1",
        "event.stock + 1 == 2",
        "event.member",
        "!event.member",
        "event.member && true",
        "event.member ? true : true",
        "(event.gift ? true : event.member) || false",
        "event.coupon.startsWith('a')",
        "event.coupon.contains('a')",
        "size(event.coupon) == 0",
        "event.tags[2] == 'x'",
        "event.tags[-1] == 'new'",
        "{'a': 1}[event.category] == 1",
        "event.coupon in {'a': 1}",
        "event.qty / 0 == 1",
        "event.qty % 0 == 1",
        "event.qty * 9223372036854775807 > 0",
        "-(-9223372036854775807 - event.qty) > 0",
        "uint(-event.qty) > 0u",
        "int(event.price * 1e300) > 0",
        "timestamp(event.category) < event.at",
        "event.at + duration('87000000h') > event.at",
        "event.at.getHours(event.category) == 1",
        "[event.member].filter(m, m).size() == 0",
    ],
)
def test_an_error_is_an_error_not_a_value(source):
    with pytest.raises(RuleError):
        run(source)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("event.stock > 1 || event.qty == 2", True),
        ("event.qty == 2 || event.stock > 1", True),
        ("event.stock > 1 && event.qty == 3", False),
        ("!(event.stock > 1 && event.qty == 3)", True),
        ("event.lines.exists(l, l.n > 1 || l.sku == 'b')", True),
        ("event.lines.exists(l, 1 / (l.n - 1) == 5 || l.sku == 'b')", True),
        ("event.lines.all(l, l.n > 1 && 1 / 0 == 1)", False),
        ("[0, 1].exists(x, 1 / x == 1)", True),
        ("[0, 1].all(x, 1 / x == 2)", False),
    ],
)
def test_errors_are_absorbed_when_the_other_side_decides(source, value):
    event = {"lines": [{"sku": "a", "n": 1}, {"sku": "b", "n": 1}]}
    assert run(source, event=event) is value


def test_errors_stay_when_no_side_decides():
    for source in ("event.stock > 1 || event.qty == 3", "event.stock > 1 && event.qty == 2", "[0].all(x, 1 / x == 1)"):
        with pytest.raises(RuleError):
            run(source)


def test_has_is_false_for_null_and_for_an_empty_list():
    assert run("has(event.stock) || has(event.scores) || has(user.tier)") is False
    assert run("has(event.stock) && has(event.scores) && has(event.gift)", event={"stock": 0, "scores": [0.0]}) is True


def test_null_equals_only_null():
    assert run("event.coupon == null && event.coupon != 'a' && !(event.coupon in event.tags)") is True


def test_not_a_number_equals_nothing_even_in_lists():
    assert run("event.scores.map(s, s / s) == event.scores.map(s, s / s)", event={"scores": [0.0]}) is False
    assert run("event.scores.map(s, s / s).exists(n, n in [n])", event={"scores": [0.0]}) is False


def test_inner_names_do_not_meet_outer_ones():
    source = "event.tags.exists(event, event == 'new') && [1].all(a, [2].all(b, [a].all(a, a < b))) && event.qty == 2"
    assert run(source) is True


def test_months_days_and_zones_as_in_cel():
    assert (
        run("event.at.getMonth() == 2 && event.at.getDayOfWeek() == 0 && event.at.getHours('Asia/Tokyo') == 21") is True
    )


def test_what_is_null_can_be_given_a_value():
    assert (
        run("user.tier.orValue('none') == 'none' && event.stock.orValue(7) == 7 && event.rate.orValue(2) == 2.0")
        is True
    )
    assert run("user.tier.orValue('none') == 'gold' && event.qty.orValue(9) == 2", user={"tier": "gold"}) is True
    with pytest.raises(RuleError, match="null"):
        run("event.coupon.orValue(user.tier) == 'a'")


def test_a_local_date_may_leave_the_years_of_timestamps():
    last = {"at": "9999-12-31T23:59:59Z"}
    assert (
        run("event.at.getFullYear('Asia/Tokyo') == 10000 && event.at.getHours('Asia/Tokyo') == 8", event=last) is True
    )
    first = {"at": "0001-01-01T00:00:00Z"}
    assert run("event.at.getFullYear('-02:00') == 0 && event.at.getDayOfWeek('-02:00') == 0", event=first) is True


def test_patterns_are_searched_as_re2_has_them():
    assert (
        run("event.category.matches('^t.y') && matches(event.category, 'OY|oy') && !event.category.matches('^oy')")
        is True
    )
    with pytest.raises(RuleError):
        run("event.coupon.matches('a')")


def test_cohorts_read_as_a_sorted_list():
    source = "cohorts == ['a', 'b'] && cohorts.exists(c, c + 'x' == 'bx') && size(cohorts) == 2 && cohorts[1] == 'b'"
    assert run(source, cohorts=frozenset("ba")) is True


def test_a_rule_has_a_budget_that_nothing_absorbs():
    big = build_coercer(WIDE)(BASKET | {"tags": ["x"] * 120})
    unsaved = ENVIRONMENT.compile("event.tags.all(a, event.tags.all(b, a == b)) || true")
    rule = compile_rule(Envelope.FromString(unsaved.serialize()).value)
    with pytest.raises(RuleError, match="10000 list items"):
        rule(big, read_user({}), frozenset())


def test_macros_are_told_apart():
    source = (
        "event.tags.all(t, t != '') && event.tags.exists(t, t == 'new') && event.tags.exists_one(t, t == 'new') && "
        "event.tags.map(t, t + t).size() == 2 && event.tags.map(t, t == 'new', t + t) == ['newnew'] && "
        "event.tags.filter(t, t == 'new') == ['new']"
    )
    root = decode_rule(check_rule(source, ACTION, USER).checked).root
    kinds = [node.kind for node in walk(root) if isinstance(node, Fold)]
    assert kinds == ["all", "exists", "exists_one", "map", "map", "filter"]
    assert run(source) is True


def test_the_start_of_a_quest_can_be_read():
    checked = check_rule("event.qty > start.qty", ACTION, USER, start=ACTION)
    rule = compile_rule(checked.checked)
    assert checked.uses_instance
    assert rule(read_event(BASKET | {"qty": 3}), read_user({}), frozenset(), read_event(BASKET)) is True


def explain(source, event, user=None, cohorts=frozenset()):
    checked = check_rule(source, ACTION, USER).checked
    return explain_rule(source, checked, read_event(BASKET | event), read_user(user or {}), cohorts)


def test_each_leaf_is_explained_with_place_and_values():
    source = "!(event.price >= 500) &&\n ((user.tier == 'a)&&' || 'vip' in cohorts) && event.stock > 1)"
    leaves = explain(source, {"price": 20}, cohorts=frozenset({"new"}))
    assert [(leaf.line, leaf.column, leaf.text) for leaf in leaves] == [
        (1, 3, "event.price >= 500"),
        (2, 4, "user.tier == 'a)&&'"),
        (2, 27, "'vip' in cohorts"),
        (2, 48, "event.stock > 1"),
    ]
    assert [(leaf.wanted, leaf.value) for leaf in leaves] == [
        (False, False),
        (True, False),
        (True, False),
        (True, None),
    ]
    assert leaves[0].reads == {"event.price": 20.0}
    assert leaves[2].reads == {"cohorts": ["new"]}
    assert leaves[3].error == "a value that is needed is null"


def test_a_leaf_keeps_parentheses_of_its_own():
    leaves = explain("((event.qty + 1) * 2 == 6) && (event.qty + 1) * 2 == (1 + 5)", {})
    assert [leaf.text for leaf in leaves] == ["(event.qty + 1) * 2 == 6", "(event.qty + 1) * 2 == (1 + 5)"]
    assert explain("(event.gift)", {})[0].text == "event.gift"


def test_instants_are_explained_readably_and_bound_names_left_out():
    (leaf,) = explain("event.lines.exists(l, l.n > event.qty && event.at > timestamp(0))", {})
    assert set(leaf.reads) == {"event.lines", "event.qty", "event.at"}
    assert leaf.reads["event.at"] == "2026-03-01T12:00:00Z"


def test_an_explanation_shows_no_more_of_a_value_than_fits_a_page():
    checked = check_rule("size(event.tags) == 1 || event.category == 'x'", WIDE, USER)
    basket = BASKET | {"tags": ["t" * 1000] * 200, "category": "c" * 60_000}
    leaves = explain_rule(checked.source, checked.checked, build_coercer(WIDE)(basket), {}, frozenset())
    tags, category = leaves[0].reads["event.tags"], leaves[1].reads["event.category"]
    assert tags == [*(["t" * 256 + "…"] * 16), "… 200 in all"]
    assert category == "c" * 256 + "…"
