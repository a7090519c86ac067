"""Instants and spans: reading RFC 3339 and CEL durations, writing them, the calendar.

What Fillip decides by (event time, schedules, expiry) has whole microseconds, as PostgreSQL keeps them; rules reckon in whole
nanoseconds, as CEL does. What is finer is cut off at every door, never rounded: rounding would move 23:59:59.9999999
into the next day.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

SECOND_NS = 1_000_000_000
MAX_CHARS, MAX_SPAN_CHARS = 128, 48
"""Of the text of an instant, and of a span, each of whose parts takes some µs to read."""
MIN_INSTANT_NS = -62_135_596_800 * SECOND_NS
MAX_INSTANT_NS = 253_402_300_800 * SECOND_NS - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIN_TIME, MAX_TIME = _EPOCH, datetime(9998, 12, 31, 23, 59, 59, 999_999, UTC)
"""What an event, a schedule or the broker may give as an instant: every zone has a calendar around it."""
LAST_TIME = datetime(9999, 12, 30, tzinfo=UTC)
"""What is reckoned from one ends here: it has a local day and a week in every zone, and is none of the driver's infinities."""
_INSTANT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_OFFSET = re.compile(r"([+-]?)(\d{2}):(\d{2})", re.ASCII)
_SPAN = re.compile(r"[+-]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|ms|s|m|h))+)", re.ASCII)
_SPAN_PART = re.compile(r"(\d*)\.?(\d*)(ns|us|ms|s|m|h)", re.ASCII)
_UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": SECOND_NS, "m": 60 * SECOND_NS, "h": 3600 * SECOND_NS}


def read_instant(text: str) -> datetime:
    """An RFC 3339 date-time (or with a space for the T) in UTC, cut off below the microsecond.

    Raises ValueError for anything else, and outside the years 1970 to 9998.
    """
    if len(text) > MAX_CHARS or not _INSTANT.fullmatch(text.replace(" ", "T", 1)):
        raise ValueError(f"must be a date-time such as 2026-01-31T09:30:00Z, not {text[:40]!r}")
    if text[16:19] == ":60":
        raise ValueError("must not be a leap second: send the second before, :59")
    return bound_time(datetime.fromisoformat(text.upper()))  # which cuts off, as it promises


def read_instant_ns(text: str) -> int:
    """Nanoseconds since 1970 UTC of an RFC 3339 date-time of the years 1 to 9999, cut off below; raises ValueError."""
    found = _INSTANT.fullmatch(text) if len(text) <= MAX_CHARS else None
    if found is None:
        raise ValueError(f"not a date-time: {text[:40]!r}")
    date, clock, fraction, sign, hours, minutes = found.groups()
    since = datetime.fromisoformat(f"{date}T{clock}+00:00") - _EPOCH
    whole_s = since.days * 86_400 + since.seconds
    if sign:
        offset_s = int(hours) * 3600 + int(minutes) * 60
        whole_s += offset_s if sign == "-" else -offset_s
    return check_instant_ns(whole_s * SECOND_NS + (int(fraction[:9].ljust(9, "0")) if fraction else 0))


def count_ns(instant: datetime) -> int:
    """Nanoseconds since 1970 UTC, as rules reckon."""
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND_NS + since.microseconds * 1_000


def check_instant_ns(instant_ns: int) -> int:
    """The same instant, or ValueError outside the years 1 to 9999."""
    if MIN_INSTANT_NS <= instant_ns <= MAX_INSTANT_NS:
        return instant_ns
    raise ValueError("timestamp outside the years 1 to 9999")


def bound_time(instant: datetime) -> datetime:
    """The same instant in UTC; ValueError outside the years 1970 to 9998."""
    if 1971 <= instant.year < 9998 or MIN_TIME <= instant <= MAX_TIME:
        return instant if instant.tzinfo is UTC else instant.astimezone(UTC)
    raise ValueError("must lie between the years 1970 and 9998")


def add_span(instant: datetime, span_s: float) -> datetime:
    """The instant `span_s` seconds (not below 0) later, LAST_TIME at most: never an overflow."""
    try:
        later = instant + timedelta(seconds=span_s)
    except OverflowError:
        return LAST_TIME
    return later if later < LAST_TIME else LAST_TIME


def read_span_ns(text: str) -> int:
    """Nanoseconds of a duration such as '1h30m' or '-1.5s' (units h, m, s, ms, us, ns); raises ValueError."""
    if len(text) > MAX_SPAN_CHARS or not _SPAN.fullmatch(text):
        raise ValueError(f"not a duration: {text[:40]!r}")
    total_ns = sum(_count_ns(*part.groups()) for part in _SPAN_PART.finditer(text))
    return -total_ns if text.startswith("-") else total_ns


def _count_ns(whole: str, fraction: str, unit: str) -> int:
    unit_ns = _UNITS_NS[unit]
    count_ns: int = int(whole or "0") * unit_ns + int(fraction or "0") * unit_ns // 10 ** len(fraction)
    return count_ns


def write_instant(instant_ns: int) -> str:
    """RFC 3339 in UTC with no, 3, 6 or 9 digits of fraction."""
    whole_s, rest_ns = divmod(instant_ns, SECOND_NS)
    stamp = (_EPOCH + timedelta(seconds=whole_s)).replace(tzinfo=None).isoformat()
    return f"{stamp}{_write_fraction(rest_ns)}Z"


def write_span(span_ns: int) -> str:
    """Seconds with no, 3, 6 or 9 digits of fraction and the letter s, such as '5400s'."""
    whole_s, rest_ns = divmod(abs(span_ns), SECOND_NS)
    return f"{'-' if span_ns < 0 else ''}{whole_s}{_write_fraction(rest_ns)}s"


def _write_fraction(rest_ns: int) -> str:
    digits = f"{rest_ns:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f".{digits}" if digits else ""


def tell_local(instant_ns: int, zone: str = "UTC") -> datetime:
    """The local time (to the microsecond) in an IANA zone or at an offset such as '+02:00'.

    Raises ValueError for an unknown zone, OverflowError where the local date leaves the years 1 to 9999.
    """
    return (_EPOCH + timedelta(microseconds=instant_ns // 1000)).astimezone(find_zone(zone))


@cache
def list_zones() -> frozenset[str]:
    """The names of IANA's zones, as the package tzdata lists them: the same on every machine.

    A machine's own database has more (localtime, posixrules, right/UTC), which mean something else on the next one.
    `Factory` is IANA's word for a zone that was never set.
    """
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()) - {"Factory"}


@lru_cache(maxsize=1024)
def find_zone(name: str) -> tzinfo:
    """The zone of an IANA name, '' (UTC) or an offset such as '+02:00'; raises ValueError for anything else."""
    if name in ("", "UTC"):
        return UTC
    if offset := _OFFSET.fullmatch(name):
        span = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(-span if offset[1] == "-" else span)
    if name not in list_zones():  # to look for a file takes 100 µs, and an event may name as many as it likes
        raise ValueError(f"unknown time zone: {name[:40]!r}")
    return ZoneInfo(name)
