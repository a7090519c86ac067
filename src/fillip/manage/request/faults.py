"""What is wrong with a request, in plain words and each at its place: a JSON pointer into the body, or a parameter's name."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError

from fillip.core.problem import NEEDED, UNKNOWN, Fault, write_pointer
from fillip.manage.request.known_fields import list_known_fields

_WORDS: Mapping[str, str] = {
    "extra_forbidden": UNKNOWN,
    "missing": NEEDED,
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "string_type": "must be a text, in quotes",
    "int_type": "must be a whole number, without quotes or a point",
    "bool_type": "must be true or false, without quotes",
}
"""By the type of the validator's error. All others say it themselves, behind an introduction."""
_OWN = "Value error, "
"""What the validator puts before the words of our own checks."""
_INTRODUCTION = re.compile(rf"(?:Input|String|List|Dictionary) should |{_OWN}")
PATTERNS: Mapping[str, str] = {
    "^[A-Za-z][A-Za-z0-9_.-]{0,99}$": "a letter, then letters, digits, _ . and -, 100 at most, such as PURCHASE",
    "^[a-z0-9][a-z0-9_-]{0,62}$": "small letters (a to z), digits, _ and -, neither of these first, 63 at most, such as spring-cashback",
    "^[a-z0-9][a-z0-9_-]{0,31}$": "small letters (a to z), digits, _ and -, neither of these first, 32 at most, such as daily",
    "^[a-z0-9][a-z0-9-]{0,62}$": "small letters (a to z), digits and -, which is not the first, 63 at most, such as grocer",
    "^[a-z][a-z0-9_]{0,62}$": "a small letter (a to z), then such letters, digits and _, 63 at most, such as premium_skus",
    "^[A-Z][A-Z0-9_]{0,31}$": "a capital (A to Z), then capitals, digits and _, 32 at most, such as EUR or STARS",
    "^[A-Za-z0-9._-]{1,64}$": "letters (A to Z, a to z), digits, . _ and -, 64 at most, such as SPRING-26",
    "^[A-Za-z0-9._:-]{1,100}$": "letters (A to Z, a to z), digits, . _ : and -, 100 at most, such as till-7:4711",
    r"^(0|[1-9][0-9]{0,3})(\.[0-9]{1,6})?$": 'a decimal with a point, at most 6 digits behind it and no sign, such as "2.5"',
    "^([01][0-9]|2[0-3]):[0-5][0-9]$": "a time from 00:00 to 23:59 with two digits for each, such as 09:30; midnight is 00:00",
    "^([A-Za-z0-9._-]*#){13,64}[A-Za-z0-9._-]*$": "letters, digits, . _ - and at least 13 times #, such as SPRING-####-####-####-####",
    "^https://[!-~]+$": "an address that begins with https://, such as https://shop.example/regular.svg",
}
"""What each pattern of a field takes."""


def list_faults(error: RequestValidationError, body_type: object) -> list[Fault]:
    """All that a request was refused for; `body_type` is the route's, None where it takes no body."""
    found = [_read(each, error.body, body_type) for each in error.errors()]
    deeper = {fault.at[: at + 1] for fault, _ in found for at, sign in enumerate(fault.at) if sign == "/"}
    told: dict[str, list[str]] = {}
    faults = []
    for fault, is_alternative in found:
        if not is_alternative:
            faults.append(fault)
        elif f"{fault.at}/" not in deeper:  # else another alternative was meant, which says what it lacks
            told.setdefault(fault.at, []).append(fault.message)
    return [*faults, *(Fault(at, ", or ".join(messages)) for at, messages in told.items())]


def _read(error: Mapping[str, Any], body: object, body_type: object) -> tuple[Fault, bool]:
    """The fault, and whether only one of several things that may stand there says so."""
    where, *rest = error["loc"]
    if where != "body":
        return Fault("/".join(str(part) for part in rest) or str(where), _word(error)), False
    path = list(_follow(rest, body, is_missing=error["type"] == "missing"))
    is_alternative = bool(rest) and (not path or path[-1] != rest[-1])
    message = _word(error)
    if error["type"] == "extra_forbidden" and (known := list_known_fields(body_type, rest[:-1])):
        message = f"unknown field; known here: {', '.join(known)}"
    return Fault(write_pointer(path), message), is_alternative


def _follow(place: Sequence[str | int], value: Any, *, is_missing: bool) -> Iterator[str | int]:  # noqa: ANN401
    """Of a place in the validator's words the steps that the body has; the names of alternatives are none."""
    for depth, step in enumerate(place, start=1):
        if step in value if isinstance(value, dict) else isinstance(value, list) and isinstance(step, int):
            value = value[step]
        elif not is_missing or depth < len(place):
            continue
        yield step


def _word(error: Mapping[str, Any]) -> str:
    if error["type"] == "string_pattern_mismatch":
        pattern = error["ctx"]["pattern"]
        return f"must be {PATTERNS[pattern]}" if pattern in PATTERNS else f"must match {pattern}"
    message = str(error["msg"]).replace(" after validation", "")
    if found := _INTRODUCTION.match(message):
        message = f"{'' if found[0] == _OWN else 'must '}{message[found.end() :]}"
    return _WORDS.get(error["type"], message)
