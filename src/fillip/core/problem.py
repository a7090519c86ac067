"""The one shape of every error that leaves by HTTP or a socket: a problem as in RFC 9457."""

import re
from collections.abc import Iterable
from http import HTTPStatus

import msgspec
from msgspec import Struct

PROBLEM_TYPE = "https://fillip.dev/problems/"
MEDIA_TYPE = "application/problem+json"
_NAMES = re.compile(r"[^.\[\]`]+")
"""The names and positions in a place as msgspec writes it: .lines[0].amount, with a ` behind it."""

NEEDED, UNKNOWN = "is needed", "unknown field: mind its spelling, or leave it out"
"""What is told of a field that is not there, and of one that nobody reads."""
_FIELD = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
"""What msgspec says of a field without its place: that of the object."""


class Fault(Struct, frozen=True):
    """One thing that is wrong, and where: a JSON pointer into the body, `line:column`, or a parameter's name."""

    at: str
    message: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """`type` is stable and what clients branch on; `title` says the same to a person; `detail` says what to do."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    trace_id: str
    errors: tuple[Fault, ...] | None = None


def describe_problem(
    kind: str, status: int, detail: str, *, instance: str, trace_id: str, errors: tuple[Fault, ...] | None = None
) -> Problem:
    """A problem of type `https://fillip.dev/problems/<kind>`; its title is the kind in words."""
    title = kind.replace("-", " ").capitalize() if kind else HTTPStatus(status).phrase
    return Problem(PROBLEM_TYPE + kind, title, status, detail, instance, trace_id, errors)


def encode_problem(problem: Problem) -> bytes:
    """The JSON body, to be sent as `application/problem+json`."""
    return msgspec.json.encode(problem)


def read_fault(error: Exception) -> Fault:
    """What msgspec's ValidationError says, at its JSON pointer; '' where it is about the whole."""
    message, _, place = str(error).partition(" - at `$")
    path = _NAMES.findall(place)
    if field := _FIELD.fullmatch(message):
        message = NEEDED if field[1] == "missing required" else UNKNOWN
        path.append(field[2])
    return Fault(write_pointer(path), message)


def write_pointer(path: Iterable[str | int]) -> str:
    """The JSON pointer (RFC 6901) of a path: names and positions from the outside in."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def read_trace_id(traceparent: str | None) -> str | None:
    """The trace id of a W3C `traceparent` header (32 hex digits, not all 0); None when absent or malformed."""
    parts = (traceparent or "").split("-")
    if len(parts) < 4 or len(parts[1]) != 32 or parts[1] == "0" * 32:
        return None
    return parts[1] if all(c in "0123456789abcdef" for c in parts[1]) else None
