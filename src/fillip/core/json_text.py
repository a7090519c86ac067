"""What is wrong with JSON that a decoder doesn't say: a name that stands twice in an object, and what no table can hold.

RFC 8259 leaves it to each reader which of two equal names counts, so two readers may take one text for two things.
"""

import json
import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from fillip.core.problem import Fault, write_pointer

_Place: TypeAlias = tuple[str | int, ...]

EXPLAINED_BYTES = 64 * 1024
"""Of a longer text, what is wrong is said without its place: finding that takes milliseconds."""

_MAX_DIGITS = 4300
"""Of a whole number, as msgspec and Python take it."""

_COLON = re.compile(rb"(?<!\\)(?:\\\\)*\\u003[aA]")
_encode = msgspec.json.Encoder().encode


def repeats_name(text: bytes, value: object) -> bool:
    """Whether an object of `text` has a name twice; `value` is what a decoder made of it, all of it.

    Each name stands before one colon; all others stand in strings. What a decoder has dropped is missing in `value`, so
    they are told apart by counting colons, in a fifth of the time of looking at each object. A value that leaves out parts
    of the text gives True where there may be none.
    """
    return count_colons(text) != _encode(value).count(b":")


def count_colons(text: bytes) -> int:
    """The colons of JSON text, those that are written as an escape too."""
    colons = text.count(b":")
    return colons + len(_COLON.findall(text)) if b"u003" in text else colons


def find_repeated(text: bytes) -> Fault:
    """The first name that stands twice in an object of JSON text which has one."""
    message = "a name stands twice in one object: which of the two counts?"
    if len(text) <= EXPLAINED_BYTES:
        tree = json.loads(text, object_pairs_hook=_Pairs, parse_int=_read_int)
        for at, part in _walk(tree):
            if isinstance(part, _Pairs) and (name := part.find_repeated()) is not None:
                return Fault(
                    write_pointer([*at, name]), "this name stands twice in one object: which of the two counts?"
                )
    return Fault("", message)


def explain_broken(text: bytes, error: Exception) -> Fault:
    """What is wrong with text that a decoder refused, and where, as far as it is JSON but for strings and numbers."""
    if len(text) <= EXPLAINED_BYTES:
        try:
            tree = json.loads(text, object_pairs_hook=_Pairs, parse_int=_read_int, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return Fault("", str(error))
        for at, part in _walk(tree):
            if part in (float("inf"), float("-inf")):
                return Fault(write_pointer(at), "the number is too large")
            if isinstance(part, str) and _has_surrogate(part):
                return Fault(write_pointer(at), "a lone surrogate (\\ud800 to \\udfff) is no character: send its pair")
    return Fault("", str(error))


def find_excess(value: object, max_depth: int) -> Literal["too_deep", "nul_character"] | None:
    """What no table can hold in a decoded value, the outermost first: more levels than `max_depth`, or a NUL in a text."""
    level = [value]
    for _ in range(max_depth + 1):
        below: list[object] = []
        for part in level:
            if isinstance(part, dict):
                below += part.keys()
                below += part.values()
            elif isinstance(part, list):
                below += part
            elif isinstance(part, str) and "\0" in part:
                return "nul_character"
        level = below
        if not level:
            return None
    return "too_deep"


class _Pairs:
    """An object as it is written."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        self.pairs = pairs

    def find_repeated(self) -> str | None:
        """The first name that stood in it before."""
        seen: set[str] = set()
        for name, _ in self.pairs:
            if name in seen:
                return name
            seen.add(name)
        return None


def _walk(tree: object) -> Iterator[tuple[_Place, object]]:
    """(where, part) of each object, name and value, in the order of the text; a name is where its object is."""
    waiting: list[tuple[_Place, object]] = [((), tree)]
    while waiting:
        at, part = waiting.pop()
        yield at, part
        if isinstance(part, _Pairs):
            for name, value in reversed(part.pairs):
                waiting += [((*at, name), value), (at, name)]
        elif isinstance(part, list):
            waiting += [((*at, place), value) for place, value in reversed(list(enumerate(part)))]


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _read_int(text: str) -> float:
    """No more of a whole number than is asked here: a long one costs time."""
    return 0.0 if len(text) <= _MAX_DIGITS else float("inf")


def _refuse(text: str) -> object:
    raise ValueError(f"{text} is no JSON")
