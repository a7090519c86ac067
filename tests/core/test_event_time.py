"""`event.time`: when an event happened, in rules, formulas and keys."""

from datetime import UTC, datetime

import pytest

from fillip.core.index import RuleIndex, read_clauses
from fillip.core.rule import RuleRefused, compile_rule, decode_rule, explain_rule
from fillip.core.schema.reader import build_event_coercer, build_event_reader
from fillip.core.schema.types import EMPTY, derive_event_type
from fillip.manage.rule.checker import check_rule

SCHEMA = {"type": "object", "properties": {"amount": {"type": "integer"}}}
TIMED = {"type": "object", "properties": {"amount": {"type": "integer"}, "time": {"type": "string"}}}
FRIDAY = datetime(2026, 3, 27, 16, 30, 0, 250_001, UTC)
"""17:30 in Berlin."""
HAPPY = "event.time.getHours('Europe/Berlin') == 17 && event.time.getDayOfWeek('Europe/Berlin') in [1, 2, 3, 4, 5]"


def run(source, at=FRIDAY, schema=SCHEMA, attributes=None, **expected):
    checked = check_rule(source, derive_event_type(schema), EMPTY, **expected).checked
    event = build_event_reader(schema)(attributes or {"amount": 1}, at)
    assert event == build_event_coercer(schema)(attributes or {"amount": 1}, at)
    return compile_rule(checked)(event, {}, frozenset())


def test_a_happy_hour_on_weekdays():
    assert run(HAPPY) is True
    assert run(HAPPY, at=datetime(2026, 3, 27, 17, 30, tzinfo=UTC)) is False
    assert run(HAPPY, at=datetime(2026, 3, 28, 16, 30, tzinfo=UTC)) is False
    summer = datetime(2026, 3, 30, 15, 30, tzinfo=UTC)
    assert run(HAPPY, at=summer) is True


def test_formulas_and_keys_read_it_too():
    assert run("event.time.getHours('Europe/Berlin') == 17 ? 2 * event.amount : event.amount", expect="int") == 2
    assert run("event.time.getDayOfWeek('Europe/Berlin')", expect="key") == 5
    assert run("string(event.time)", expect="key") == "2026-03-27T16:30:00.250001Z"


def test_it_is_never_null_and_has_microseconds():
    assert run("has(event.time) && event.time == timestamp('2026-03-27T16:30:00.250001Z')") is True


def test_an_attribute_of_the_name_is_what_it_reads():
    assert run("event.time == 'noon'", schema=TIMED, attributes={"time": "noon"}) is True
    with pytest.raises(RuleRefused, match="no matching overload for 'getHours'"):
        run("event.time.getHours() == 17", schema=TIMED)


def test_the_event_that_opened_a_quest_has_its_own():
    shape = derive_event_type(SCHEMA)
    rule = compile_rule(check_rule("event.time - start.time < duration('1h')", shape, EMPTY, start=shape).checked)
    read = build_event_coercer(SCHEMA)
    start = read({}, datetime(2026, 3, 27, 15, 30, 1, tzinfo=UTC))
    assert rule(read({}, FRIDAY), {}, frozenset(), start) is True
    assert rule(read({}, datetime(2026, 3, 27, 16, 30, 1, tzinfo=UTC)), {}, frozenset(), start) is False


def test_it_is_looked_up_where_it_is_compared_with_a_literal():
    source = "event.time < timestamp('2026-03-27T17:00:00Z') && event.amount > 0"
    root = decode_rule(check_rule(source, derive_event_type(SCHEMA), EMPTY).checked).root
    index, read = RuleIndex([read_clauses(root)]), build_event_coercer(SCHEMA)
    assert index.exact == [True]
    assert list(index.find(read({"amount": 1}, FRIDAY), {}, frozenset())) == [0]
    assert not index.find(read({"amount": 1}, datetime(2026, 3, 27, 17, tzinfo=UTC)), {}, frozenset())


def test_an_explanation_shows_it():
    source = "event.time.getHours('Europe/Berlin') == 18"
    checked = check_rule(source, derive_event_type(SCHEMA), EMPTY).checked
    [leaf] = explain_rule(source, checked, build_event_coercer(SCHEMA)({}, FRIDAY), {}, frozenset())
    assert (leaf.value, leaf.reads) == (False, {"event.time": "2026-03-27T16:30:00.250001Z"})
