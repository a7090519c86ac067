"""Bytes → Event or Rejection: every way to be bad has its reason, and never harms a neighbour."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fillip.core.book.book import Unbuilt
from fillip.core.event import Event, Rejection, fingerprint
from fillip.core.instant import MAX_TIME, MIN_TIME, count_ns
from fillip.ingest import Ingest
from fillip.ingest.stage import give_up
from fillip.stream.belt import Record
from tests.ingest.world import NOW, Books, make_event

NOW_MS = round(NOW.timestamp() * 1000)
BOOKS = Books()


def decode(*values: bytes | None) -> list[Event | Rejection]:
    records = [Record("t", 3, 10 + i, value, None, NOW_MS) for i, value in enumerate(values)]
    return asyncio.run(Ingest(BOOKS)(records))


def nest(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def dump(**changes: Any) -> bytes:
    return json.dumps(make_event(**changes)).encode()


def test_a_good_event_is_typed_and_keeps_what_was_sent() -> None:
    value = dump(extension="x", data={"amount": 500, "rate": 2, "undeclared": 10**30})
    [event] = decode(value)
    assert isinstance(event, Event)
    assert (event.tenant_id, event.event_id, event.user_id, event.action) == ("acme", "e1", "u1", "PURCHASE")
    assert event.occurred_at == datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    assert event.occurred_at.tzinfo is UTC
    assert event.received_at == NOW
    assert event.attributes == {"amount": 500, "rate": 2, "undeclared": 10**30}
    assert event.typed == {
        "amount": 500,
        "category": None,
        "rate": 2.0,
        "tags": [],
        "time": count_ns(event.occurred_at),
    }
    assert type(event.typed["rate"]) is float
    assert (event.place.partition, event.place.offset, event.original) == (3, 10, value)
    assert fingerprint(event) == fingerprint(event)


@pytest.mark.parametrize("fraction", ["999999", "9999999", "999999500", "99999999999999999999"])
def test_below_the_microsecond_the_time_is_cut_off_and_says_the_same(fraction: str) -> None:
    [event, same] = decode(dump(time=f"2026-01-30T23:59:59.{fraction}Z"), dump(time="2026-01-31T00:59:59.999999+01:00"))
    assert isinstance(event, Event)
    assert isinstance(same, Event)
    assert event.occurred_at == datetime(2026, 1, 30, 23, 59, 59, 999_999, UTC)
    assert fingerprint(event) == fingerprint(same)


@pytest.mark.parametrize(
    ("action", "order"),
    [
        ("fillip.grant", {"campaign_id": "welcome", "reason": "the parcel came late"}),
        (
            "fillip.repair",
            {"campaign_id": "visits", "step": "visit", "day": "2026-01-30", "reason": "the shop was shut"},
        ),
    ],
)
def test_what_is_asked_by_hand_says_the_same_whoever_asks_for_it_and_whenever(
    action: str, order: dict[str, str]
) -> None:
    name = {"type": action, "source": action}
    one, other, another = decode(
        dump(**name, data=order | {"by": "one"}),
        dump(**name, data=order | {"by": "other"}, time="2026-01-31T09:00:00Z"),
        dump(**name, data=order | {"by": "one", "reason": "another"}),
    )
    assert isinstance(one, Event) and isinstance(other, Event) and isinstance(another, Event)
    assert fingerprint(one) == fingerprint(other) != fingerprint(another)


BAD = {
    "tombstone": (None, "undecodable", None),
    "empty": (b"", "undecodable", None),
    "not UTF-8": (b'{"id": "\xff"}', "undecodable", None),
    "not UTF-8 in an extension, of many levels": (
        dump(trail=[[]] * 40, extra="?").replace(b'"extra"', b'"\xff"'),
        "undecodable",
        "acme",
    ),
    "half": (dump()[:-9], "undecodable", None),
    "NaN": (dump(data={"amount": float("nan")}), "undecodable", None),
    "raw NUL": (dump().replace(b"till", b"\0"), "undecodable", None),
    "half a surrogate": (dump().replace(b"till", b"\\ud800"), "undecodable", None),
    "endless integer": (b'{"id": ' + b"9" * 5000 + b"}", "undecodable", None),
    "64 KiB": (dump(data={"amount": 1, "x": "y" * 65536}), "too_large", "acme"),
    "17 levels": (dump(data={"amount": 1, "x": nest(15)}), "too_deep", "acme"),
    "17 levels beside data": (dump(extension=nest(16)), "too_deep", "acme"),
    "bottomless": (b'{"data":' + b"[" * 30000 + b"]" * 30000 + b"}", "too_deep", None),
    "NUL": (dump(subject="a\0b"), "nul_character", "acme"),
    "NUL in a name": (dump(data={"amount": 1, "a\0": 1}), "nul_character", "acme"),
    "a list": (b"[]", "not_an_event", None),
    "a number": (b"7", "not_an_event", None),
    "no id": (dump(id=None), "not_an_event", "acme"),
    "empty id": (dump(id=""), "not_an_event", "acme"),
    "long id": (dump(id="x" * 257), "not_an_event", "acme"),
    "id is a number": (dump(id=5), "not_an_event", "acme"),
    "other CloudEvents": (dump(specversion="0.3"), "not_an_event", "acme"),
    "no time": (dump(time=None), "not_an_event", "acme"),
    "local time": (dump(time="2026-01-31T09:30:00"), "not_an_event", "acme"),
    "no such day": (dump(time="2026-02-30T09:30:00Z"), "not_an_event", "acme"),
    "long id in bytes": (dump(id="\N{MUSHROOM}" * 65), "not_an_event", "acme"),
    "long user in bytes": (dump(subject="é" * 129), "not_an_event", "acme"),
    "long action in bytes": (dump(type="é" * 129), "not_an_event", "acme"),
    "long source in bytes": (dump(source="é" * 513), "not_an_event", "acme"),
    "before year 1": (dump(time="0001-01-01T00:00:00+05:00"), "not_an_event", "acme"),
    "after year 9999": (dump(time="9999-12-31T23:59:59-05:00"), "not_an_event", "acme"),
    "year 1, a date never set": (dump(time="0001-01-01T00:00:00Z"), "not_an_event", "acme"),
    "before 1970": (dump(time="1969-12-31T23:59:59.999999Z"), "not_an_event", "acme"),
    "before 1970 in Greenwich": (dump(time="1970-01-01T00:00:00+00:01"), "not_an_event", "acme"),
    "after 9998": (dump(time="9999-01-01T00:00:00Z"), "not_an_event", "acme"),
    "after 9998 in Greenwich": (dump(time="9998-12-31T23:59:59-00:01"), "not_an_event", "acme"),
    "a leap second": (dump(time="2016-12-31T23:59:60Z"), "not_an_event", "acme"),
    "a user that is no segment": (dump(subject=".."), "not_an_event", "acme"),
    "an id that is no segment": (dump(id="."), "not_an_event", "acme"),
    "data is a list": (dump(data=[1]), "not_an_event", "acme"),
    "data is XML": (dump(datacontenttype="text/xml"), "not_an_event", "acme"),
    "data in base64": (dump(data=None, data_base64="e30="), "not_an_event", "acme"),
    "unknown tenant": (dump(tenantid="nobody"), "unknown_tenant", None),
    "no tenant": (dump(tenantid=None), "unknown_tenant", None),
    "unknown action": (dump(type="DANCE"), "unknown_action", "acme"),
    "missing attribute": (dump(data={}), "schema_violation", "acme"),
    "wrong type": (dump(data={"amount": "5"}), "schema_violation", "acme"),
    "a bool is no integer": (dump(data={"amount": True}), "schema_violation", "acme"),
    "below the minimum": (dump(data={"amount": -1}), "schema_violation", "acme"),
    "beyond 64 bits": (dump(data={"amount": 2**63}), "schema_violation", "acme"),
    "ahead of its arrival": (dump(time="2026-01-31T09:35:00.001Z"), "in_future", "acme"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_has_its_reason_and_leaves_its_neighbours_alone(name: str) -> None:
    value, reason, tenant_id = BAD[name]
    before, bad, after = decode(dump(), value, dump(id="e2"))
    assert isinstance(bad, Rejection)
    assert (bad.reason, bad.tenant_id) == (reason, tenant_id)
    assert bad.original == (value or b"")
    assert (bad.place.offset, bad.received_at) == (11, NOW)
    assert bad.detail
    assert "\0" not in bad.detail + (bad.event_id or "")
    assert isinstance(before, Event)
    assert isinstance(after, Event)


def test_bounds_are_inside() -> None:
    on_time = dump(time="2026-01-31T09:35:00Z")
    deep = dump(data={"amount": 1, "x": nest(14)})
    escaped = dump(subject="a\\u0000b")  # a backslash, not a NUL
    longest = dump(id="x" * 256)
    wide = dump(id="\N{MUSHROOM}" * 64, subject="é" * 128, source="é" * 512)
    first = dump(time="1970-01-01T00:00:00Z")
    assert all(isinstance(event, Event) for event in decode(on_time, deep, escaped, longest, wide, first))


@pytest.mark.parametrize("appended_at_ms", [-(2**63), -1, 0, 2**63 - 1])
def test_no_clock_of_the_log_is_too_much(appended_at_ms: int) -> None:
    """A topic that keeps its producers' time may say anything."""
    [event] = asyncio.run(Ingest(BOOKS)([Record("t", 0, 0, dump(time="1970-01-01T00:00:00Z"), None, appended_at_ms)]))
    assert isinstance(event, Event)
    assert MIN_TIME <= event.received_at <= MAX_TIME


def test_of_a_tenant_whose_definitions_can_not_be_read_nothing_is_decided() -> None:
    books = Books()
    books.books["acme"] = Unbuilt("KeyError: 'rewards'")
    records = [Record("t", 0, n, dump(tenantid=tenant), None, NOW_MS) for n, tenant in enumerate(("acme", "other"))]
    bad, good = asyncio.run(Ingest(books)(records))
    assert isinstance(bad, Rejection)
    assert (bad.reason, bad.tenant_id, bad.event_id) == ("undecidable", "acme", "e1")
    assert "KeyError" in bad.detail
    assert isinstance(good, Event)


def test_what_no_stage_could_take_keeps_its_bytes_and_the_error() -> None:
    record = Record("t", 3, 10, dump(), None, NOW_MS)
    given_up = give_up(record, ValueError("x" * 9000 + "\0\nand more"), "acme")
    assert (given_up.reason, given_up.event_id, given_up.original) == ("undecidable", "e1", record.value)
    assert given_up.event_source == "/till"
    assert given_up.detail.startswith("ValueError: xxx")
    assert len(given_up.detail) <= 500
    assert give_up(Record("t", 3, 11, None, None, NOW_MS), KeyError(), None).detail == "KeyError: "


def test_a_rejection_says_where() -> None:
    [bad] = decode(dump(data={"amount": 1, "tags": ["a", 7]}))
    assert isinstance(bad, Rejection)
    assert bad.detail.startswith("/data/tags/1: ")
    assert (bad.event_id, bad.event_source) == ("e1", "/till")


TWICE = "this name stands twice in one object: which of the two counts?"
SAID = {
    "a name twice": (dump().replace(b'"amount": 500', b'"amount": 1, "amount": 500'), f"/data/amount: {TWICE}"),
    "of the envelope": (dump().replace(b'"id"', b'"id": "e0", "id"'), f"/id: {TWICE}"),
    "of the tenant": (dump().replace(b'"id"', b'"tenantid": "other", "id"'), f"/tenantid: {TWICE}"),
    "of an extension": (dump().replace(b'"id"', b'"trace": 1, "trace": 1, "id"'), f"/trace: {TWICE}"),
    "by another spelling": (dump().replace(b'"id"', rb'"\u0069d": ":", "id"'), f"/id: {TWICE}"),
    "beside an escaped colon": (
        dump(source="/a:").replace(b"/a:", rb"/a\u003a").replace(b'"rate"', b'"amount": 1, "rate"'),
        f"/data/amount: {TWICE}",
    ),
    "at an offset from Greenwich": (
        dump(time="2026-01-31T10:30:00+0100").replace(b'"rate"', b'"amount": 1, "rate"'),
        f"/data/amount: {TWICE}",
    ),
    "a number without end": (dump().replace(b"500", b"1e400"), "/data/amount: the number is too large"),
    "half a surrogate": (
        dump().replace(b"/till", rb"\ud800"),
        r"/source: a lone surrogate (\ud800 to \udfff) is no character: send its pair",
    ),
    "a leap second": (
        dump(time="2016-12-31T23:59:60Z"),
        "/time: time must not be a leap second: send the second before, :59",
    ),
    "a user": (dump(subject=".."), "/subject: subject must not be . or .., which can't stand in a path"),
}


@pytest.mark.parametrize("name", SAID)
def test_a_rejection_says_what_is_wrong(name: str) -> None:
    value, detail = SAID[name]
    [bad] = decode(value)
    assert isinstance(bad, Rejection)
    assert bad.detail == detail


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "urn:a:b", "data": {"amount": 1, "a:b": ["c:d", {":": ":"}]}},
        {"trace": "00-1:2", "time": "2026-01-31T10:30:00+01:00"},
        {"datacontenttype": "application/json"},
        {"type": "FREE", "data": {}},
    ],
)
def test_colons_and_extensions_are_no_names_that_stand_twice(changes: dict[str, Any]) -> None:
    [event] = decode(dump(**changes))
    assert isinstance(event, Event) or event.reason == "unknown_action"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below),
    max_leaves=8,
)
ODD_EVENTS = st.fixed_dictionaries(
    {},
    optional={name: JSON | st.just(value) for name, value in make_event().items()} | {"data_base64": JSON, "x": JSON},
).map(lambda event: json.dumps(event).encode())


@given(st.lists(st.none() | st.binary() | JSON.map(lambda v: json.dumps(v).encode()) | ODD_EVENTS, max_size=5))
@example([b"\xef\xbb\xbf{}"])
@settings(max_examples=150, deadline=None)
def test_whatever_comes_is_an_event_or_a_rejection(values: list[bytes | None]) -> None:
    results = decode(*values, dump())
    assert len(results) == len(values) + 1
    assert isinstance(results[-1], Event)
    for result in results:
        text = (result.event_id or "") + (result.tenant_id or "")
        assert "\0" not in text
        text.encode()  # raises for half a surrogate
        if isinstance(result, Rejection):
            assert result.reason
        else:
            assert len(fingerprint(result)) == 16


@given(JSON.map(lambda v: {"amount": 1, "undeclared": v}))
@settings(max_examples=150, deadline=None)
def test_attributes_come_through_as_sent(data: dict[str, Any]) -> None:
    [event] = decode(dump(data=data))
    if isinstance(event, Event):
        assert event.attributes == json.loads(json.dumps(data))
    else:
        assert event.reason in {"undecodable", "too_deep", "nul_character", "too_large"}


def test_an_event_of_fillips_own_must_have_its_own_source() -> None:
    data = {"amount": 1}
    [refused] = decode(dump(type="fillip.redemption", data=data))
    assert isinstance(refused, Rejection)
    assert refused.reason == "unknown_action"
    assert "events of fillip.redemption are Fillip's own: ask for one by POST /v1/redemptions" in refused.detail
