"""Saving a rule: what is accepted, and where a refusal points."""

import pytest

from fillip.core.rule import RuleRefused, compile_rule, decode_rule
from fillip.core.schema.coerce import build_coercer
from fillip.core.schema.types import EMPTY, derive_type
from fillip.manage.rule.checker import check_rule
from fillip.manage.rule.names import read_cohorts

ACTION = derive_type(
    {
        "type": "object",
        "required": ["amount", "category", "foo_bar"],
        "properties": {
            "amount": {"type": "number"},
            "lines": {"type": "integer"},
            "category": {"type": "string"},
            "coupon": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "scores": {"type": "array", "items": {"type": "number"}},
            "address": {"type": "object", "properties": {"city": {"type": "string"}}},
            "foo_bar": {"type": "string"},
            "fooBar": {"type": "string"},
        },
    }
)
USER = derive_type({"type": "object", "properties": {"tier": {"type": "string"}, "vip": {"type": "boolean"}}})
read_event = build_coercer(ACTION)
EVENT = {"amount": 500, "category": "a", "foo_bar": "x", "tags": ["a"], "scores": [0.5, 2]}


def decide(source):
    return compile_rule(check_rule(source, ACTION, USER).checked)(read_event(EVENT), {}, frozenset())


def refuse(source, **expected):
    with pytest.raises(RuleRefused) as refused:
        check_rule(source, ACTION, USER, **expected)
    return refused.value


@pytest.mark.parametrize(
    ("source", "line", "column", "says"),
    [
        ("event.amnt > 1.0", 1, 6, "undefined field 'amnt'"),
        ("event.category >\n 'a' &&\n  event.category > 1.5", 3, 18, "'>' applied to '(string, double)'"),
        ("event.amount >= 500 &&\n event.amount < 3 || event.nope", 2, 27, "undefined field 'nope'"),
        ("'é𝄞' == event.category && event.nope", 1, 32, "undefined field 'nope'"),
        ("event.lines < 1.5", 1, 13, "put double() around the int"),
        ("event.amount > event.lines * 2", 1, 14, "put double() around the int"),
        ("event.amount >", 1, 15, "Syntax error"),
        ("event.lines.orValue('none') == 1", 1, 20, "'orValue' applied to '(wrapper(int), string)'"),
        ("event.category.matches('a(')", 1, 24, "not a regular expression (RE2): missing )"),
        ("event.category.matches(event.category)", 1, 29, "must be written out"),
        ("true &&\n type(event.lines) == int", 2, 6, "'type' of (int) is not supported"),
        ("event.address == event.address", 1, 15, "objects cannot be compared"),
        ("event.lines in [1, 'a']", 1, 16, "must have one type"),
        ("event.lines == dyn(1)", 1, 19, "'dyn'"),
        ("timestamp(event.category).getHours('Factory') == 1", 1, 36, "unknown time zone: 'Factory'"),
        ("true &&\n timestamp(event.category).getDate('localtime') == 1", 2, 36, "unknown time zone: 'localtime'"),
        ("event.amount > 1.0 && timestamp('2026-13-01') < timestamp(event.category)", 1, 33, "not a date-time"),
        ("timestamp(event.category) - timestamp(0) < duration('7d')", 1, 53, "there are no days"),
        ("event.category.lower() == 'tea'", 1, 21, "it is lowerAscii()"),
        ("event.foo()", 1, 10, "undeclared reference to 'foo'"),
        ("start.lines == 1", 1, 6, "undeclared reference to 'start.lines'"),
        ("[" * 40 + "]" * 40 + " == []", 1, 1, "nested too deep"),
        ("event.category == 'a\0'", 1, 21, "NUL"),
        ("event.category == '\ud800'", 1, 20, "Unicode"),
        ("", 1, 1, "Syntax error"),
        ("event.amount double 1", 1, 14, "Syntax error"),
    ],
)
def test_a_refusal_points_at_its_place(source, line, column, says):
    refused = refuse(source)
    assert (refused.line, refused.column) == (line, column), refused
    assert says in refused.message
    assert refused.at == f"{line}:{column}"


def test_a_source_has_a_size():
    names = ", ".join(f"'{number:06}'" for number in range(900))
    assert "at most 8192" in refuse(f"event.category in [{names}]").message
    assert check_rule(f"event.category in [{names[:2500]}]", ACTION, USER).kind == "bool"


@pytest.mark.parametrize(
    "source",
    [
        "event.amount >= 500",
        "500 == event.amount",
        "event.amount in [1, 500]",
        "event.amount * 2 > 999",
        "event.amount > -500",
        "event.amount > (event.category == 'x' ? 600 : 400)",
        "event.amount == 100 + 400",
        "event.scores.exists(s, s > 1)",
        "event.amount >= 500 &&\n event.amount < 1000 && event.scores.all(s, s < 3)",
    ],
)
def test_an_int_literal_beside_a_double_is_read_as_a_double(source):
    assert decide(source) is True


def test_places_after_a_widened_literal_are_those_of_the_source():
    refused = refuse("event.amount >= 500 && event.amount < 900 && event.nope")
    assert refused.column == 51
    checked = check_rule("event.amount >= 500 && event.amount < 900", ACTION, USER)
    assert checked.source == "event.amount >= 500 && event.amount < 900"


def test_the_result_must_be_what_is_wanted():
    assert check_rule("event.coupon", ACTION, USER, expect="key").kind == "string"
    assert check_rule("event.lines", ACTION, USER, expect="key").kind == "int"
    assert "must give bool" in refuse("event.lines").message
    assert "must give int or string" in refuse("event.amount", expect="key").message


def test_what_a_rule_reads_is_told():
    checked = check_rule("event.lines == 1 && user.vip", ACTION, USER)
    assert (checked.uses_user, checked.uses_cohorts, checked.uses_instance) == (True, False, False)
    assert check_rule("'vip' in cohorts", ACTION, USER).uses_cohorts


@pytest.mark.parametrize(
    ("source", "named", "asks_all"),
    [
        ("'vip' in cohorts", ["vip"], False),
        ("!('frozen' in cohorts) && (event.lines == 1 || 'vip' in cohorts)", ["frozen", "vip"], False),
        ("event.tags.exists(t, t == 'x' && 'vip' in cohorts)", ["vip"], False),
        ("event.category == 'cohorts' || 'cohorts' in ['vip']", [], False),
        ("event.tags.exists(cohorts, 'vip' in [cohorts])", [], False),
        ("event.category in cohorts", [], True),
        ("('v' + 'ip') in cohorts", [], True),
        ("'vip' in cohorts && size(cohorts) > 1", ["vip"], True),
        ("cohorts.exists(c, c == 'vip')", [], True),
        ("['vip', 'gold'].exists(c, c in cohorts)", [], True),
        ("cohorts[0] == 'vip'", [], True),
    ],
)
def test_what_a_rule_asks_of_cohorts_is_told(source, named, asks_all):
    reads = read_cohorts(decode_rule(check_rule(source, ACTION, USER).checked))
    assert (sorted(name for name, _ in reads.named), reads.all) == (named, asks_all)


def test_a_start_can_be_typed_and_no_schema_is_one():
    assert check_rule("event.category == start.category", ACTION, EMPTY, start=ACTION).uses_instance
    assert check_rule("true", EMPTY, EMPTY).kind == "bool"


def test_the_same_rule_gives_the_same_bytes():
    source = "event.amount > 1 && event.tags.exists(t, t == event.coupon)"
    assert check_rule(source, ACTION, USER).checked == check_rule(source, ACTION, USER).checked


def nest(macro, depth):
    return f"[1].{macro}(v{depth}, {nest(macro, depth - 1)})" if depth else "event.lines > 1"


@pytest.mark.parametrize(
    ("source", "accepted"),
    [
        ("(" * 10 + "event.lines" + " + 1)" * 10 + " > 0", True),
        ("(" * 100 + "event.lines" + " + 1)" * 100 + " > 0", False),
        (" && ".join(["event.lines > 1"] * 320), True),
        (" || ".join(["event.lines < 1 && event.lines > 0"] * 160 + ["true"]), True),
        (nest("all", 5), True),
        (nest("exists", 60), False),
        ("event.lines > 0 ? true : " * 10 + "false", True),
        ("event.lines > 0 ? true : " * 200 + "false", False),
        ("!" * 6 + "true", True),
        ("!" * 1990 + "true", True),
    ],
)
def test_what_is_saved_compiles_however_deep(source, accepted):
    if not accepted:
        assert "deep" in refuse(source).message
        return
    assert (
        compile_rule(check_rule(source, ACTION, USER).checked)(read_event(EVENT | {"lines": 2}), {}, frozenset())
        is True
    )
