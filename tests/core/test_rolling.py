"""Rolling windows: none of their length, wherever it begins, holds more than the cap; and nothing is refused that would not be near to that."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fillip.core.instant import LAST_TIME, MAX_TIME, MIN_TIME
from fillip.core.limit import Counter, CounterKey, LimitCharge, put_back, take, weigh
from fillip.core.rolling import MAX_SPAN_S, MIN_SPAN_S, find_part, tell_end
from fillip.core.tenant import LIFETIME

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = CounterKey("acme", "rolling", "ann", "", LIFETIME)
SPANS = st.sampled_from([60, 61, 3600, 86_400, 30 * 86_400, MAX_SPAN_S]) | st.integers(MIN_SPAN_S, 10_000)
USES = st.lists(st.tuples(st.floats(-3, 3), st.integers(1, 3), st.none() | st.integers(0, 30)), min_size=1, max_size=40)


def charge(rolling_s: int, at: datetime, amount: int, cap: int) -> LimitCharge:
    return LimitCharge(KEY, amount, cap, part=find_part(rolling_s, at))


@given(SPANS, USES, st.integers(0, 8))
def test_no_window_of_any_order_of_events_is_over_the_cap_and_no_refusal_is_far_from_it(rolling_s, uses, cap):
    counters = {KEY: Counter(0, 0)}
    span = timedelta(seconds=rolling_s)
    granted: list[tuple[datetime, int]] = []
    for spans, amount, gone in uses:
        if gone is not None and gone < len(granted):
            at, given_back = granted.pop(gone)
            put_back(KEY, given_back, find_part(rolling_s, at).number, counters)
        at = T0 + spans * span
        asked = [charge(rolling_s, at, amount, cap)]
        [use], refused_by = weigh(asked, counters)
        if refused_by is None:
            take(asked, counters)
            granted.append((at, amount))
        else:
            wider = span + timedelta(seconds=2 * find_part(rolling_s, at).width_s)
            starts = [first for first, _ in granted if first <= at < first + wider] + [at]
            most = max(sum(n for each, n in granted if start <= each < start + wider) for start in starts)
            assert most + amount > cap
            assert use.used_before == 0 or at < use.resets_at <= at + 2 * wider
        assert all(sum(n for each, n in granted if first <= each <= first + span) <= cap for first, _ in granted)
    assert counters[KEY].used == sum(amount for _, amount in granted)


def test_a_late_event_is_weighed_in_each_window_that_holds_it():
    counters = {KEY: Counter(0, 0)}
    day = timedelta(days=1)
    for at in (T0, T0 + 0.9 * day):  # no window of a day holds less than both
        take([charge(86_400, at, 1, 2)], counters)
    assert weigh([charge(86_400, T0 + 0.5 * day, 1, 2)], counters)[1], "two of them are around it"
    assert weigh([charge(86_400, T0 - 0.2 * day, 1, 2)], counters)[1] is None
    [use], refused_by = weigh([charge(86_400, T0 + 0.95 * day, 1, 2)], counters)
    assert refused_by and use.resets_at
    assert T0 + day < use.resets_at <= T0 + day + timedelta(minutes=4), (
        "when the first counts no more, by parts of 4 minutes"
    )
    assert weigh([charge(86_400, use.resets_at, 1, 2)], counters)[1] is None
    assert weigh([charge(86_400, use.resets_at - timedelta(microseconds=1), 1, 2)], counters)[1]


def test_what_is_not_kept_is_as_it_was():
    counters = {KEY: Counter(0, 0)}
    take([charge(60, T0, 5, 9)], counters)
    parts = counters[KEY].parts
    assert parts
    parts.keep()
    take([charge(60, T0, 2, 9), charge(60, T0 + timedelta(seconds=30), 2, 9)], counters)
    assert sorted(parts.changed.values()) == [2, 7]
    parts.roll_back()
    assert parts.changed == {}
    assert parts.weigh(find_part(60, T0)) == (5, find_part(60, T0).number)


@given(
    st.sampled_from([MIN_TIME, MAX_TIME]) | st.datetimes(MIN_TIME.replace(tzinfo=None), timezones=st.just(UTC)), SPANS
)
def test_every_instant_has_a_part_and_frames_around_it(at, rolling_s):
    if at > MAX_TIME:
        return
    part = find_part(rolling_s, at)
    assert at < tell_end(part, part.number) <= LAST_TIME
    [before, here, behind] = part.frames
    assert here[0] <= part.number <= here[1]
    assert before[0] <= part.number - part.reach and part.number + part.reach <= behind[1]
    assert part.reach * part.width_s >= rolling_s
