"""Bytes → Event, or the reason why not. Pure: the same for the topic door and the HTTP door.

Reasons, in the order in which they are looked for: too_large, undecodable, too_deep, nul_character, not_an_event,
unknown_tenant, unknown_action, schema_violation, in_future. `undecidable` stands for what is no fault of the event.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, DecodeError, Meta, Struct, UnsetType, ValidationError, json

from fillip.core.book.book import Book, Unbuilt
from fillip.core.errors import Unreadable
from fillip.core.event import MAX_AHEAD, REVERSAL, Event, Place
from fillip.core.instant import read_instant
from fillip.core.json_text import count_colons, explain_broken, find_excess, find_repeated, repeats_name
from fillip.core.ledger.reversal import read_reversal
from fillip.core.naming import DOTS, MAX_ID_BYTES, MAX_SOURCE_BYTES, fits

MAX_EVENT_BYTES = 64 * 1024
MAX_DEPTH = 16
MAX_DETAIL = 500  # characters

_Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES)]
_NAMES = (("id", MAX_ID_BYTES), ("subject", MAX_ID_BYTES), ("type", MAX_ID_BYTES), ("source", MAX_SOURCE_BYTES))
_AT = re.compile(r" - at `\$(.*)`$")


class Envelope(Struct, frozen=True, omit_defaults=True):
    """A CloudEvents 1.0 event in structured JSON; extension attributes but the tenant are ignored."""

    specversion: Literal["1.0"]
    id: _Id
    source: Annotated[str, Meta(min_length=1, max_length=MAX_SOURCE_BYTES)]
    type: _Id
    subject: _Id
    time: str  # read below: the decoder would round what is finer than a microsecond
    tenantid: str | UnsetType = UNSET
    datacontenttype: str | UnsetType = UNSET
    data: dict[str, Any] = {}
    data_base64: Any = UNSET


class _Claim(Struct, frozen=True):
    tenantid: Any = None
    id: Any = None
    source: Any = None


_envelope = json.Decoder(Envelope)
_claim = json.Decoder(_Claim)
_encode = json.Encoder().encode


def open_envelope(value: bytes | None) -> Envelope:
    """The envelope of a message within all bounds; what it says is not yet looked up. Raises Unreadable."""
    if value is None:
        raise Unreadable("undecodable", "the message is empty (a tombstone)")
    check_size(value)
    try:
        envelope = _envelope.decode(value)
        escapes = b"\\u" in value
        if value.count(b"{") + value.count(b"[") > MAX_DEPTH or (escapes and b"\\u0000" in value):
            _check_excess(json.decode(value))  # reads the extensions too, which the envelope's decoder passes over
        # Written again, an envelope has as many colons where nothing was left out: no name that stood twice, no extension,
        # no default. To tell so takes a third of the time that knowing takes.
        colons = count_colons(value) if escapes else value.count(b":")
        if _encode(envelope).count(b":") != colons and repeats_name(value, json.decode(value)):
            repeated = find_repeated(value)
            raise Unreadable("not_an_event", repeated.message, at=repeated.at)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _explain_undecodable(value, error) from None
    if escapes or not value.isascii():  # else each character is one byte, and the decoder has counted them
        for name, most in _NAMES:
            if not fits(getattr(envelope, name), most):
                raise Unreadable("not_an_event", f"{name} is longer than {most} bytes in UTF-8", at=f"/{name}")
    if envelope.subject in DOTS or envelope.id in DOTS:
        name = "subject" if envelope.subject in DOTS else "id"
        raise Unreadable("not_an_event", f"{name} must not be . or .., which can't stand in a path", at=f"/{name}")
    if envelope.data_base64 is not UNSET or not _is_json_media(envelope.datacontenttype):
        raise Unreadable("not_an_event", "data must be a JSON object (application/json)", at="/data")
    return envelope


def check_size(value: bytes) -> None:
    """Raise Unreadable for more than 64 KiB."""
    if len(value) > MAX_EVENT_BYTES:
        raise Unreadable("too_large", f"{len(value)} bytes, at most {MAX_EVENT_BYTES} are taken")


def read_event(
    envelope: Envelope,
    books: Mapping[str, Book | Unbuilt],
    place: Place,
    received_at: datetime,
    taken_at: datetime,
    original: bytes,
) -> Event:
    """The event, validated against its tenant's book. Raises Unreadable."""
    occurred_at = _read_time(envelope.time)
    tenant_id = envelope.tenantid
    book = books.get(tenant_id) if tenant_id is not UNSET else None
    if book is None or tenant_id is UNSET:
        raise Unreadable("unknown_tenant", "there is no such tenant", at="/tenantid")
    if isinstance(book, Unbuilt):
        raise Unreadable("undecidable", f"the tenant's definitions can't be read: {book.why}")
    try:
        typed = _find_reader(book, envelope.type)(envelope.data)
    except Unreadable as error:
        at = error.at if error.reason == "unknown_action" else f"/data{error.at or ''}"
        raise Unreadable(error.reason, str(error), at=at) from None
    if occurred_at > received_at + MAX_AHEAD:
        raise Unreadable(
            "in_future", f"time is more than {MAX_AHEAD.seconds // 60} minutes ahead of its arrival", at="/time"
        )
    return Event(
        tenant_id, envelope.source, envelope.id, envelope.subject, envelope.type, occurred_at, received_at,
        envelope.data, typed, place, taken_at, book, original,
    )  # fmt: skip


def _find_reader(book: Book, action: str) -> Callable[[Mapping[str, object]], dict[str, object]]:
    if action == REVERSAL:
        return _check_reversal
    known = book.actions.get(action)
    if known is None:
        raise Unreadable("unknown_action", f"the tenant has no action {action[:100]!r}", at="/type")
    return known.read


def _check_reversal(data: Mapping[str, object]) -> dict[str, object]:
    read_reversal(data)
    return {}


def peek_claim(value: bytes | None) -> tuple[str | None, str | None, str | None]:
    """(tenant, event id, source) that an unreadable message claims for itself, where it can be told."""
    try:
        claim = _claim.decode(value or b"")
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None, None, None
    return _clean_name(claim.tenantid), _clean_name(claim.id), _clean_name(claim.source, MAX_SOURCE_BYTES)


def clean_detail(text: str) -> str:
    """`text` as the ledger can keep it: bounded, without NUL."""
    return text[:MAX_DETAIL].replace("\0", "\N{REPLACEMENT CHARACTER}")


def _clean_name(value: object, most: int = MAX_ID_BYTES) -> str | None:
    return value if isinstance(value, str) and value and fits(value, most) and "\0" not in value else None


def _read_time(text: str) -> datetime:
    try:
        return read_instant(text)
    except ValueError as error:
        raise Unreadable("not_an_event", f"time {error}", at="/time") from None


def _is_json_media(media_type: str | UnsetType) -> bool:
    if media_type is UNSET or media_type == "application/json":
        return True
    name = media_type.partition(";")[0].strip().lower()
    return name == "application/json" or name.endswith("+json")


def _explain_undecodable(value: bytes, error: Exception) -> Unreadable:
    """Tell bytes that are no JSON from JSON that is no event, and what is wrong inside from both."""
    try:
        _check_excess(json.decode(value))
    except Unreadable as found:
        return found
    except RecursionError:
        return _too_deep()
    except (DecodeError, UnicodeDecodeError) as broken:
        fault = explain_broken(value, broken)
        return Unreadable("undecodable", fault.message, at=fault.at or None)
    message = str(error)
    where = _AT.search(message)
    at = where[1].replace(".", "/") if where and isinstance(error, ValidationError) else None
    return Unreadable("not_an_event", message.partition(" - at `")[0], at=at)


def _too_deep() -> Unreadable:
    return Unreadable("too_deep", f"nested deeper than {MAX_DEPTH} levels")


def _check_excess(value: object) -> None:
    """Raise Unreadable for what no table can hold."""
    match find_excess(value, MAX_DEPTH):
        case "too_deep":
            raise _too_deep()
        case "nul_character":
            raise Unreadable("nul_character", "a string holds a NUL character (\\u0000)")
