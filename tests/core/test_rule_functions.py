"""Functions of texts, numbers and lists in rules, formulas and keys."""

import pytest

from fillip.core.rule import RuleError, RuleRefused
from fillip.core.schema.types import EMPTY, derive_type
from fillip.manage.limit.checks import MAX_KEY_COST
from fillip.manage.rule.checker import check_rule
from tests.core.rule_shop import check, run

LINES = [{"sku": "a", "n": 3}, {"sku": "b", "n": 4}, {"sku": "a", "n": -1}]
FULL = 2**63 - 1


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("' SPRING-É '.trim().lowerAscii()", "spring-É"),
        ("'späßé'.upperAscii()", "SPäßé"),
        ("'\\u00a0\\u2003x\\u200b\\u001f '.trim()", "x\u200b\x1f"),
        ("'a𝄞c'.substring(1) + 'a𝄞c'.substring(0, 1) + 'abc'.substring(0, 3) + 'abc'.substring(3)", "𝄞caabc"),
        ("'DE-1-x'.split('-')[1]", "1"),
        ("'DE-1-x'.split('-', 2)[1]", "1-x"),
        ("'a𝄞'.split('').join('.') + ','.split(',').join('.')", "a.𝄞."),
        ("'a-b-c'.replace('-', '') + 'a-b-c'.replace('-', '+', 1)", "abca+b-c"),
        ("['b', 'a', 'b'].distinct().join(',')", "b,a"),
        ("max(event.tags) + min(event.tags)", "rednew"),
    ],
)
def test_texts_are_worked_on(source, value):
    assert run(source, expect="key") == value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("sum(event.lines.filter(l, l.sku == 'a').map(l, l.n))", 2),
        ("event.lines.map(l, l.n).sum()", 6),
        ("sum(event.lines.filter(l, l.sku == 'z').map(l, l.n))", 0),
        ("min(event.lines.map(l, l.n)) * 10 + event.lines.map(l, l.n).max()", -6),
        ("size(distinct(event.lines.map(l, l.sku)))", 2),
        ("size(event.lines.filter(l, l.n > 0))", 2),
        ("math.least(event.qty, 5)", 2),
        ("math.greatest(1, event.qty, -3, 7)", 7),
        ("math.greatest(event.lines.map(l, l.n))", 4),
        (f"sum([{FULL}, 1, -1])", FULL),
    ],
)
def test_baskets_are_summed(source, value):
    assert run(source, event={"lines": LINES}, expect="int") == value


@pytest.mark.parametrize(
    "source",
    [
        "sum([duration('1h'), duration('30m')]) == duration('90m')",
        "max([timestamp('2026-01-01T00:00:00Z'), event.at]) == event.at",
        "min([duration('1h'), duration('-1s')]) == duration('-1s')",
        "distinct([true, false, true]) == [true, false]",
        "size(distinct([event.at, event.at])) == 1",
        "size(event.scores.map(s, s / s).distinct()) == 2 && distinct([0.0, -0.0]) == [0.0]",
        "sum([0.1, 0.2, 0.3]) == 0.1 + 0.2 + 0.3 && sum([0.1, 0.2, 0.3]) != 0.6",
        "sum(event.scores) == 0.0 && math.least(1.5, event.price) == 1.5",
    ],
)
def test_other_kinds_of_items_too(source):
    assert run(source, event={"scores": [0.0, 0.0]}) is True


@pytest.mark.parametrize(
    "source",
    [
        f"sum([{FULL}, event.qty]) > 0",
        f"sum([-{FULL}, -event.qty]) < 0",
        "sum([event.qty, event.stock]) == 2",
        "min([event.stock]) == 1",
        "max([event.stock]) == 1",
        "max([event.stock, event.qty]) == 2",
        "size(distinct([event.stock])) == 1",
        "size(distinct([event.rate])) == 1",
        "min(event.scores) > 0.0",
        "event.lines.map(l, l.n).max() == 1",
        "math.least(event.stock, 1) == 1",
        "math.greatest(event.scores) > 0.0",
        "event.coupon.lowerAscii() == 'a'",
        "'a b'.split(event.coupon) == ['a', 'b']",
        "event.coupon.split('a', 0) == []",
        "'abc'.substring(0, event.stock) == 'abc'",
        "'abc'.substring(-1) == 'c'",
        "'abc'.substring(2, 1) == ''",
        "'abc'.substring(0, 4) == 'abc'",
        "[event.coupon].join(',') == ''",
        "'a'.replace('a', event.coupon) == ''",
    ],
)
def test_an_error_is_an_error_not_a_value(source):
    with pytest.raises(RuleError):
        run(source)


LONG = derive_type({"type": "object", "required": ["code"], "properties": {"code": {"type": "string"}}})


@pytest.mark.parametrize(
    "source", ["{0}.lowerAscii()", "{0}.upperAscii()", "{0}.trim()", "{0}.split('a')[0]", "{0}.replace('a', 'b')"]
)
def test_a_long_text_is_not_gone_through(source):
    text = "event.tags.join()"
    assert run(source.format(text), event={"tags": ["x" * 1024]}, expect="key")
    with pytest.raises(RuleError, match="1025 characters: at most 1024"):
        run(source.format(text), event={"tags": ["x" * 1025]}, expect="key")


@pytest.mark.parametrize(
    "key", ["event.code.trim().lowerAscii()", "event.code.split('-')[0]", "event.code.substring(0, 2)"]
)
def test_the_key_of_a_limit_takes_them_of_any_text(key):
    assert check_rule(key, LONG, EMPTY, expect="key").cost <= MAX_KEY_COST


@pytest.mark.parametrize(
    ("source", "column", "says"),
    [
        ("sum(event.tags) > 1", 4, "no matching overload for 'sum' applied to '(list(string))'"),
        ("sum(event.lines) > 1", 4, "no matching overload for 'sum'"),
        ("math.least(event.price, 5) > 1.0", 11, "'math.least' of (double, int) is not supported: give them one type"),
        ("'a'.charAt(0) == 'a'", 11, "'charAt' of (string, int) is not supported"),
        ("count(event.tags) > 1", 6, "undeclared reference to 'count': size() counts"),
        ("event.tags.sort() == []", 16, "undeclared reference to 'sort'"),
    ],
)
def test_what_there_is_not_is_refused_at_its_place(source, column, says):
    with pytest.raises(RuleRefused) as refused:
        check(source)
    assert (refused.value.line, refused.value.column) == (1, column)
    assert says in refused.value.message
