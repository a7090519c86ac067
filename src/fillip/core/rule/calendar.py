"""Timestamps and durations in rules: int nanoseconds, with CEL's ranges. ValueError stands for CEL's errors."""

from collections.abc import Callable
from datetime import datetime

from fillip.core.instant import SECOND_NS, check_instant_ns, read_span_ns, tell_local
from fillip.core.rule.arithmetic import INT64_MAX, check_int

_MAX_SPAN_NS = 87_660_000 * 3600 * SECOND_NS + SECOND_NS - 1
_CYCLE_NS = 146_097 * 86_400 * SECOND_NS  # 400 years, after which dates and weekdays repeat
_MILLISECOND_NS = 1_000_000
_SPAN_UNITS_NS = {"hours": 3600 * SECOND_NS, "minutes": 60 * SECOND_NS, "seconds": SECOND_NS}

_PARTS: dict[str, Callable[[datetime], int]] = {
    "year": lambda local: local.year,
    "month": lambda local: local.month - 1,
    "day_of_month": lambda local: local.day - 1,
    "day_of_month_1_based": lambda local: local.day,
    "day_of_week": lambda local: local.isoweekday() % 7,
    "day_of_year": lambda local: local.timetuple().tm_yday - 1,
    "hours": lambda local: local.hour,
    "minutes": lambda local: local.minute,
    "seconds": lambda local: local.second,
    "milliseconds": lambda local: local.microsecond // 1000,
}
INSTANT_PARTS = tuple(_PARTS)
SPAN_PARTS = (*_SPAN_UNITS_NS, "milliseconds")


def tell_part(part: str, instant_ns: int, zone: str = "UTC") -> int:
    """One of INSTANT_PARTS of an instant in a zone; months, days and weekdays (Sunday) count from 0 as in CEL."""
    try:
        return _PARTS[part](tell_local(instant_ns, zone))
    except OverflowError:  # the local date lies outside the years 1 to 9999: read it one Gregorian cycle nearer
        years = 400 if instant_ns < 0 else -400
        told = _PARTS[part](tell_local(instant_ns + years // 400 * _CYCLE_NS, zone))
        return told - years if part == "year" else told


def count_span(part: str, span_ns: int) -> int:
    """A duration in whole hours, minutes or seconds, or the milliseconds of its last second, towards zero."""
    if part == "milliseconds":
        count = abs(span_ns) % SECOND_NS // _MILLISECOND_NS
    else:
        count = abs(span_ns) // _SPAN_UNITS_NS[part]
    return count if span_ns >= 0 else -count


def read_span(text: str) -> int:
    """Nanoseconds of a duration's text, at most 87,660,000 hours either way."""
    span_ns = read_span_ns(text)
    if abs(span_ns) > _MAX_SPAN_NS:
        raise ValueError("duration outside 10,000 years")
    return span_ns


def add_spans(left_ns: int, right_ns: int) -> int:
    """The sum of two durations, each and the sum within 64 bits of nanoseconds."""
    return check_int(check_int(left_ns) + check_int(right_ns))


def subtract_spans(left_ns: int, right_ns: int) -> int:
    """The difference of two durations, each and the difference within 64 bits of nanoseconds."""
    return check_int(check_int(left_ns) - check_int(right_ns))


def subtract_instants(left_ns: int, right_ns: int) -> int:
    """The duration between two instants, at most 64 bits of nanoseconds (292 years)."""
    return check_int(left_ns - right_ns)


def shift_instant(instant_ns: int, span_ns: int) -> int:
    """The instant moved by a duration, within the years 1 to 9999."""
    if abs(span_ns) > INT64_MAX:
        raise ValueError("integer overflow")
    return check_instant_ns(instant_ns + span_ns)


def seconds_to_instant(seconds: int) -> int:
    """An instant from seconds since 1970 UTC."""
    return check_instant_ns(seconds * SECOND_NS)


def instant_to_seconds(instant_ns: int) -> int:
    """Whole seconds since 1970 UTC, rounded down."""
    return instant_ns // SECOND_NS
