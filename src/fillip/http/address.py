"""Addresses of requests: the segments of a path, and parameters that nobody reads.

A path is cut at its slashes before it is decoded, so that `%2F` is a character of a segment, and an id may hold it.
"""

from collections.abc import Collection, Iterable
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes

from fillip.core.problem import Fault
from fillip.http.errors import Invalid, Malformed

MAX_NAME = 100
"""Characters of a parameter's name that an answer repeats."""

_PLAIN = "!$&'()*+,;=:@"  # beside letters, digits and -._~, what a segment may hold as it is (RFC 3986)


def normalize_path(raw_path: bytes) -> str:
    """The path in one spelling: what a segment may hold as it is stands so, all else is percent-encoded.

    Routes are matched with it, then `read_segment` gives an id. Raises Malformed for what no table can hold.
    """
    return "/".join(quote(_decode_segment(segment), safe=_PLAIN) for segment in raw_path.split(b"/"))


def read_segment(segment: str) -> str:
    """What a segment of a normalized path says."""
    return unquote(segment)


def read_parameters(query: bytes) -> list[tuple[str, str]]:
    """The parameters of a query string, in order; raises Malformed for what no table can hold."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise _say_encoding() from None
    for name, value in pairs:
        _refuse_nul(name + value)
    return pairs


def list_parameters(query: bytes) -> list[str]:
    """Their names alone."""
    return [name for name, _ in read_parameters(query)]


def find_parameter_faults(names: Iterable[str], known: Collection[str]) -> list[Fault]:
    """One fault for each parameter that is not `known`, or stands there for the second time."""
    faults, seen, allowed = [], set(), ", ".join(sorted(known)) or "none"
    for name in names:
        if name not in known:
            faults.append(Fault(name[:MAX_NAME], f"unknown parameter; known here: {allowed}"))
        elif name in seen:
            faults.append(Fault(name[:MAX_NAME], "the parameter stands twice: send it once"))
        seen.add(name)
    return faults


def check_parameters(query: bytes, known: Collection[str] = ()) -> None:
    """Raise Invalid at each parameter of a query string that is not `known` or stands twice; Malformed as above."""
    if faults := find_parameter_faults(list_parameters(query), known):
        raise Invalid("the request does not fit: see errors", faults=faults)


def _decode_segment(part: bytes) -> str:
    try:
        text = unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise _say_encoding() from None
    _refuse_nul(text)
    return text


def _say_encoding() -> Malformed:
    return Malformed("the address is not UTF-8: send what is no ASCII as the percent-encoding of its UTF-8")


def _refuse_nul(text: str) -> None:
    if "\0" in text:
        raise Malformed("the address holds a NUL character")
