"""The envelope of an event: what every message of the log must be before a tenant's definitions are asked.

Reasons why not, in the order in which they are looked for: too_large, undecodable, too_deep, nul_character, not_an_event.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, DecodeError, Meta, Struct, UnsetType, json

from fillip.core.errors import Unreadable
from fillip.core.instant import read_instant
from fillip.core.json_text import count_colons, explain_broken, find_excess, find_repeated, repeats_name
from fillip.core.naming import DOTS, MAX_ID_BYTES, MAX_SOURCE_BYTES, fits
from fillip.core.problem import read_fault

MAX_EVENT_BYTES = 64 * 1024
MAX_DEPTH = 16

_Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES)]
_NAMES = (("id", MAX_ID_BYTES), ("subject", MAX_ID_BYTES), ("type", MAX_ID_BYTES), ("source", MAX_SOURCE_BYTES))


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


_envelope = json.Decoder(Envelope)
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


def read_time(text: str) -> datetime:
    """The instant of an envelope's `time`. Raises Unreadable."""
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
    fault = read_fault(error)
    if fault.at == "/specversion":
        return Unreadable("not_an_event", 'must be "1.0", the version of CloudEvents', at=fault.at)
    return Unreadable("not_an_event", fault.message, at=fault.at or None)


def _too_deep() -> Unreadable:
    return Unreadable("too_deep", f"nested deeper than {MAX_DEPTH} levels")


def _check_excess(value: object) -> None:
    """Raise Unreadable for what no table can hold."""
    match find_excess(value, MAX_DEPTH):
        case "too_deep":
            raise _too_deep()
        case "nul_character":
            raise Unreadable("nul_character", "a string holds a NUL character (\\u0000)")
