"""What a report is asked by: days, instants, pages. Each is read whole or refused by its name."""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request

from fillip.core.instant import MAX_TIME, MIN_TIME, read_instant
from fillip.http.address import find_parameter_faults, list_parameters
from fillip.http.cursor import read_cursor
from fillip.http.errors import Invalid, TooSlow

DEFAULT_LINES, MAX_LINES = 50, 500
MAX_TEXT = 2_000
BEFORE_ALL = MIN_TIME - timedelta(microseconds=1)


class InvalidQuery(Invalid):
    """422: a parameter that can't be taken; `at` is its name."""

    kind = "invalid-query"


async def refuse_unknown(request: Request, known: Collection[str]) -> None:
    """Raise HttpRefused for a parameter that is not known, stands twice or is too long, and for a body."""
    refuse_parameters(request, known)
    try:
        async for piece in request.stream():
            if piece:
                raise Invalid("this operation takes no body, send none", at="")
    except ClientDisconnect:
        raise TooSlow("the request did not come whole") from None


def refuse_parameters(request: Request, known: Collection[str]) -> None:
    """The same without looking for a body."""
    for fault in find_parameter_faults(list_parameters(request.scope["query_string"]), known):
        raise InvalidQuery(fault.message, at=fault.at)
    for name, value in request.query_params.items():
        if len(value) > MAX_TEXT:
            raise InvalidQuery(f"longer than {MAX_TEXT} characters", at=name)


def read_days(request: Request) -> tuple[date, date]:
    """`from` and `to`, both included; everything where they are left out."""
    first_day, last_day = _read_day(request, "from", date.min), _read_day(request, "to", date.max)
    if last_day < first_day:
        raise InvalidQuery("`to` is before `from`", at="to")
    return first_day, last_day


def _read_day(request: Request, name: str, default: date) -> date:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        return msgspec.convert(text, date)
    except msgspec.ValidationError:
        raise InvalidQuery("not a day such as 2026-01-31", at=name) from None


def read_limit(request: Request) -> int:
    """Most lines of the page."""
    text = request.query_params.get("limit", str(DEFAULT_LINES))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LINES):
        raise InvalidQuery(f"not a number from 1 to {MAX_LINES}", at="limit")
    return int(text)


def read_place(request: Request) -> tuple[date, str]:
    """The day and the name after which the page begins."""
    day, name = _read_cursor(request, (date.min, ""))
    return day, name


def read_name(request: Request) -> str:
    """The name after which the page begins."""
    return str(_read_cursor(request, ("",))[0])


def read_version(request: Request) -> int:
    """The version after which the page begins."""
    return int(_read_cursor(request, (0,))[0])


def read_limit_place(request: Request) -> tuple[str, str]:
    """The limit and the key of it after which the page begins."""
    limit_id, key = _read_cursor(request, ("", ""))
    return limit_id, key


def read_expiry_place(request: Request) -> tuple[str, str]:
    """The currency and the month of expiry after which the page begins."""
    currency, expires = _read_cursor(request, ("", ""))
    return currency, expires


def read_instant_place(request: Request) -> datetime:
    """The instant after which the page begins."""
    instant: datetime = _read_cursor(request, (BEFORE_ALL,))[0]
    if instant.tzinfo is None:
        raise InvalidQuery("not a cursor of this list: use `next_cursor` of a page as it is", at="cursor")
    return instant


def _read_cursor(request: Request, first: tuple[object, ...]) -> tuple[Any, ...]:
    """The place in the cursor, of the same types as the `first` one, which it is where there is none."""
    cursor = request.query_params.get("cursor")
    if cursor is None:
        return first
    try:
        return read_cursor(cursor, [type(each) for each in first])
    except Invalid as error:
        raise InvalidQuery(str(error), at="cursor") from None


def read_required(request: Request, name: str, said: str) -> str:
    """A text without which nothing is answered; `said` tells what to name."""
    value = request.query_params.get(name)
    if not value:
        raise InvalidQuery(said, at=name)
    return value


def read_at(request: Request, name: str, default: datetime) -> datetime:
    """An instant, RFC 3339."""
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        return read_instant(text)
    except ValueError as error:
        raise InvalidQuery(str(error), at=name) from None


def read_span(request: Request) -> tuple[datetime, datetime]:
    """The instants `from` and `to`; everything where they are left out."""
    begin, end = read_at(request, "from", MIN_TIME), read_at(request, "to", MAX_TIME)
    if end < begin:
        raise InvalidQuery("`to` is before `from`", at="to")
    return begin, end
