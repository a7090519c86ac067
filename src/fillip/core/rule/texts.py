"""What CEL's functions of strings do (its extension library `strings`). ValueError stands for CEL's errors, TypeError comes of null.

What goes through a text takes at most so many characters as patterns do: so that it costs little where a schema says nothing.
"""

from collections.abc import Sequence

from fillip.core.pattern import MAX_MATCHED_CHARS
from fillip.core.rule.arithmetic import need

_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
"""Of Unicode's White_Space; Python's own are four more."""


def bound_worked(text: str) -> str:
    """The same text, or ValueError where it is longer than those that functions go through."""
    if len(text) > MAX_MATCHED_CHARS:
        raise ValueError(f"{len(text)} characters: at most {MAX_MATCHED_CHARS}")
    return text


def lower_ascii(text: str) -> str:
    """The letters A to Z as a to z, all else as it is."""
    text = bound_worked(text)
    return text.lower() if text.isascii() else text.encode().lower().decode()  # bytes know ASCII's letters alone


def upper_ascii(text: str) -> str:
    """The letters a to z as A to Z, all else as it is."""
    text = bound_worked(text)
    return text.upper() if text.isascii() else text.encode().upper().decode()


def trim(text: str) -> str:
    """Without the white space of Unicode at both ends."""
    return bound_worked(text).strip(_SPACES)


def substring(text: str, start: int, end: int | None = None) -> str:
    """The characters from `start` on, up to before `end`, both counted from 0; ValueError where they lie outside."""
    last = len(text) if end is None else end
    if not 0 <= start <= last <= len(text):
        raise ValueError(f"substring from {start} to {last} of {len(text)} characters")
    return text[start:last]


def split(text: str, separator: str, most: int = -1) -> list[str]:
    """The parts between separators, its characters where that is empty; at most so many, the last with all the rest."""
    text, separator = bound_worked(text), need(separator)  # Python splits by white space where it is None
    if most == 0:
        return []
    if separator:
        return text.split(separator, most - 1 if most > 0 else -1)
    if not text or not 0 < most < len(text):
        return list(text) or [text]
    return [*text[: most - 1], text[most - 1 :]]


def replace(text: str, old: str, new: str, most: int = -1) -> str:
    """The text with `new` for `old`, at most so often from the left; an empty `old` is before, between and after characters."""
    return bound_worked(text).replace(old, new, most)


def join(items: Sequence[str], separator: str = "") -> str:
    """The items one behind the other; TypeError for null."""
    return separator.join(items)
