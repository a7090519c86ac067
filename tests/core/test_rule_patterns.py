"""Patterns and texts in rules: what is accepted is bounded, and answers as the engine by itself does."""

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from fillip.core.pattern import MAX_MATCHED_CHARS, MAX_PROGRAM, PatternRefused, measure_program, read_pattern
from fillip.core.rule import RuleError, RuleRefused, compile_rule
from fillip.core.rule.arithmetic import contains
from fillip.core.rule.cost import MAX_COST, MAX_PROGRAMS
from fillip.core.schema.coerce import build_coercer
from fillip.core.schema.types import EMPTY, derive_type
from fillip.manage.rule.checker import check_rule
from tests.core.worst import ACTION, COHORTS, list_worst_rules
from tests.core.worst import SCHEMA as WORST_SCHEMA

SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "code": {"type": "string", "maxLength": 40}},
    "required": ["text", "code"],
}
TEXT = derive_type(SCHEMA)
READ = build_coercer(TEXT)

_ATOMS = st.sampled_from(
    ["a", "b", "c", ".", "[ab]", "[^a]", r"\d", r"\w", r"\pL", "é", "^", "$", r"\b", "(?i)k", "x?"]
)
_COUNTS = st.sampled_from(["*", "+", "?", "*?", "{2}", "{0,3}", "{5,}", "{30}", "{0,900}", "{1001}"])
PATTERNS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, _COUNTS).map(lambda made: f"(?:{made[0]}){made[1]}"),
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=4).map(lambda made: f"({'|'.join(made)})"),
    ),
    max_leaves=12,
)
TEXTS = st.text(st.sampled_from("aabbckKé1 \n中"), max_size=60)


def ask(source, **values):
    checked = check_rule(source, TEXT, EMPTY).checked
    return compile_rule(checked)(READ({"text": "", "code": ""} | values), {}, frozenset())


@settings(max_examples=400, deadline=None)
@given(PATTERNS, TEXTS)
def test_an_accepted_pattern_is_bounded_and_answers_as_the_engine_does(pattern, text):
    options = re2.Options()
    options.log_errors = False
    try:
        rule = check_rule(f'event.code.matches(r"{pattern}")', TEXT, EMPTY)
    except RuleRefused as refused:
        assert refused.line == 1
        with pytest.raises((PatternRefused, RuleRefused)):
            read_pattern(pattern)
            raise refused
        return
    assert measure_program(read_pattern(pattern)) <= MAX_PROGRAM
    assert rule.cost <= MAX_COST
    answer = compile_rule(rule.checked)(READ({"text": "", "code": text}), {}, frozenset())
    assert answer is (re2.compile(pattern, options).search(text) is not None)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (r"event.code.matches('([ab]{0,900}){6}')", "invalid repetition"),
        ("event.code.matches('a{0,999}b{0,999}')", "at most|instructions"),
        ("event.code.matches('" + "a" * 513 + "')", "at most 512"),
        ("event.code.matches(event.text)", "written out"),
        ("event.code.matches('a' + 'b')", "written out"),
        ("event.code.matches(event.text == '' ? 'a' : 'b')", "written out"),
        ("'ab'.matches('[ab]{0,900}[ab]{0,900}')", "instructions"),
        ("event.text.matches('a[ab]{200}c')", "smaller maxLength"),
    ],
)
def test_a_pattern_that_may_cost_too_much_is_refused_where_it_stands(source, says):
    with pytest.raises(RuleRefused, match=says) as refused:
        check_rule(f"event.text == 'x' ||\n {source}", TEXT, EMPTY)
    assert refused.value.line == 2


def test_all_patterns_of_a_rule_are_bounded_together():
    one = "'a'.matches('a[ab]{400}c')"
    assert check_rule(" || ".join([one] * 4), TEXT, EMPTY)
    with pytest.raises(RuleRefused, match=f"at most {MAX_PROGRAMS:,}"):
        check_rule(" || ".join([one] * 5), TEXT, EMPTY)


def test_a_shorter_text_in_the_schema_allows_a_larger_pattern():
    assert check_rule("event.code.matches('a[ab]{200}c')", TEXT, EMPTY).cost < MAX_COST


def test_a_pattern_runs_over_no_longer_text():
    assert ask("event.text.matches('a+b')", text="a" * (MAX_MATCHED_CHARS - 1) + "b") is True
    with pytest.raises(RuleError, match="at most 1,024"):
        ask("event.text.matches('a+b')", text="a" * MAX_MATCHED_CHARS + "b")


@pytest.mark.parametrize("call", ["int", "uint", "double", "duration", "timestamp"])
def test_no_long_text_is_read_as_a_value(call):
    with pytest.raises(RuleError):
        ask(f"string({call}(event.text)) == ''" if call != "double" else "double(event.text) == 0.0", text="1" * 60_000)


def test_spans_are_read_as_before():
    for text, seconds in {"1h30m": 5400, "-1.5s": -1, "+.5m": 30, "0": 0, "1s1s1s": 3, "60000ms": 60}.items():
        assert ask(f"duration('{text}').getSeconds() == {seconds}")
    for text in ("", "1", "1.s1", "s", "1 s", "h1", ".s", "--1s"):
        with pytest.raises(RuleError):
            ask("duration(event.text) == duration('1s')", text=text)


@settings(max_examples=300, deadline=None)
@given(
    st.text("abc", max_size=8), st.integers(1, 4000), st.text("abc", max_size=8), st.integers(1, 4000), st.booleans()
)
def test_a_text_is_found_in_a_text(unit, times, part, part_times, planted):
    text, part = unit * times, part * part_times
    if planted:
        text = text[:7] + part + text[7:]
    assert contains(text, part) is (part in text)


def test_the_worst_rules_that_are_accepted_answer():
    read = build_coercer(ACTION)
    assert set(WORST_SCHEMA["required"]) == set(WORST_SCHEMA["properties"])
    for worst in list_worst_rules():
        assert worst.definition.cost <= MAX_COST
        try:
            assert compile_rule(worst.definition.checked)(read(worst.event), {}, COHORTS) in (True, False), worst.name
        except RuleError as error:
            assert "budget" not in str(error)
