"""Values at and beyond the bounds of everything, and documents in which one or more of them stand."""

import json
from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

INSTANTS = ["0001-01-01T00:00:00Z", "0001-01-01", "0000-00-00T00:00:00Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00+14:00", "9998-12-31T23:59:59Z", "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59-23:59",
            "2011-12-30T12:00:00Z", "2016-12-31T23:59:60Z", "2026-03-29T01:30:00.123456789Z", "2026-02-30T00:00:00Z", "-infinity",
            "infinity", "now", "2026-11-26", "12026-01-01T00:00:00Z", "2026-11-26T10:00:00+99:99"]  # fmt: skip
TEXTS = ["", " ", "a" * 256, "a" * 257, "𝄞" * 64, "𝄞" * 65, "𝄞" * 256, "é" * 128, "a\0b", "\u202etxet", "\ufeff", "\u2028", "..", ".",
         "../../etc", "a/b", "a%2Fb", "%", "a:b", "a,b", '"', "'; DROP TABLE event_met; --", "{}", "null", "NaN", "a\nb", "\ud800",
         "x" * 70_000, "e\u0301" * 100, "\x7f", "\u0085", "-0", "1e400", "true"]  # fmt: skip
NUMBERS = [0, -1, 1, 255, 256, 2**31 - 1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30, 0.1, -0.0,
           1e308, 5e-324, 1e18, 9.3e18]  # fmt: skip
OTHERS: list[Any] = [None, True, False, [], {}, [[]], [None], {"": None}, list(range(1_000)), ["x"] * 300]
RAW = [b"", b"{", b"[]", b"null", b"\xff\xfe{", b"\xef\xbb\xbf{}", b"[" * 5_000, b'{"a":1e400}', b'{"a":1,"a":2}', b'"\\ud800"',
       b"\0", b"x" * 1_000_000, b"[" + b"0," * 50_000 + b"0]", b"-", b"NaN", b"Infinity"]  # fmt: skip


def draw_value(random: Random) -> Any:
    """One extreme of any type."""
    kind = random.choice((INSTANTS, TEXTS, NUMBERS, OTHERS, "nest", "huge"))
    if kind == "nest":
        return nest(random.choice((5, 31, 32, 33, 200)))
    if kind == "huge":
        return {f"k{number}": number for number in range(random.choice((50, 2_000)))}
    return deepcopy(random.choice(kind))


def nest(levels: int) -> object:
    """A list in an object in a list …"""
    inner: object = 1
    for level in range(levels):
        inner = {"n": inner} if level % 2 else [inner]
    return inner


def spoil(random: Random, document: Any) -> Any:
    """A copy in which one to three places hold an extreme, are gone, or are joined by a place that is unknown."""
    spoilt = deepcopy(document)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = list(list_places(spoilt))
        if not places:
            return draw_value(random)
        holder, key = random.choice(places)
        how = random.randrange(10)
        if how == 0:
            del holder[key]
        elif how == 1 and isinstance(holder, dict):
            holder[str(draw_value(random))[:300]] = draw_value(random)
        else:
            holder[key] = draw_value(random)
    return spoilt


def list_places(document: Any) -> Iterator[tuple[Any, Any]]:
    """(holder, key or index) of everything in a document."""
    keys = document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in keys:
        yield document, key
        if not isinstance(document[key], list) or len(document[key]) < 50:
            yield from list_places(document[key])


def encode(document: object) -> bytes:
    """JSON in which a lone surrogate stays one, as a careless client sends it."""
    return json.dumps(document).encode()


def damage(random: Random, body: bytes) -> bytes:
    """Bytes that were cut, doubled or overwritten somewhere."""
    if not body or random.randrange(4) == 0:
        return random.choice(RAW)
    at = random.randrange(len(body))
    return random.choice((body[:at], body[:at] + body, body[:at] + random.choice(RAW)[:100] + body[at + 1 :]))
