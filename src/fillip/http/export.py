"""A page of a list as CSV, for who asks so by `Accept: text/csv`."""

import csv
from collections.abc import Mapping
from io import StringIO
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import Request, Response
from msgspec import json
from pydantic import BaseModel

from fillip.http.page import Answer, Page

MEDIA_TYPE = "text/csv"
CSV_TOO: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
        "headers": {
            "Link": {"schema": {"type": "string"}, "description": "With CSV: the address of the next page, rel=next"}
        },
    }
}
"""For the OpenAPI document, of a route that answers a page either way."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet takes for a formula."""


def answer_as_asked(request: Request, kind: type[Answer], page: Page[Answer]) -> Page[Answer] | Response:
    """The page, or where the caller takes CSV before JSON its items as lines, with the next page in `Link`.

    A column for each field of `kind`: texts, numbers, and as JSON what has parts. A text that a spreadsheet would take for a
    formula stands behind an apostrophe.
    """
    if not _wants_csv(request.headers.get("accept", "")):
        return page
    lines = StringIO()
    writer = csv.writer(lines)
    writer.writerow(kind.model_fields)
    writer.writerows(map(_write_line, page.items))
    headers = {} if page.next_cursor is None else {"Link": f'<{_point_at_next(request, page.next_cursor)}>; rel="next"'}
    return Response(lines.getvalue().encode(), headers=headers, media_type=f"{MEDIA_TYPE}; charset=utf-8")


def _wants_csv(accept: str) -> bool:
    taken = [each.partition(";")[0].strip().lower() for each in accept.split(",")]
    known = [each for each in taken if each in (MEDIA_TYPE, "application/json", "application/*", "*/*")]
    return known[:1] == [MEDIA_TYPE]


def _write_line(item: BaseModel) -> list[object]:
    fields: Mapping[str, object] = item.model_dump(mode="json")
    return [_write_cell(value) for value in fields.values()]


def _write_cell(value: object) -> object:
    if isinstance(value, list | dict):
        return json.encode(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _point_at_next(request: Request, cursor: str) -> str:
    asked = [each for each in parse_qsl(request.url.query) if each[0] != "cursor"]
    return f"{request.scope['path']}?{urlencode([*asked, ('cursor', cursor)])}"
