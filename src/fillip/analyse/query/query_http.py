"""Read-only SQL over HTTP: a SELECT comes, its rows go back as JSON, CSV or Parquet."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from fillip.analyse.query.queries import Answer, Queries
from fillip.analyse.query.task import Column, Form
from fillip.core.ports import Freshness
from fillip.core.problem import read_fault
from fillip.http.body import JsonRequest
from fillip.http.errors import HttpRefused, Invalid
from fillip.http.problems import find_trace_id
from fillip.http.users_query import LONGEST_SQL

SCOPE = "facts:read"
FORMS: dict[str, Form] = {
    "application/json": "json",
    "text/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
}


class Query(Struct, frozen=True, forbid_unknown_fields=True):
    """One SELECT, perhaps with WITH, over your tenant's views."""

    sql: Annotated[
        str,
        Meta(min_length=1, max_length=LONGEST_SQL, examples=["SELECT action, count(*) AS n FROM events GROUP BY ALL"]),
    ]


class QueryAnswer(Struct, frozen=True):
    """The rows, each an object by column; instants are RFC 3339 in UTC."""

    columns: Sequence[Column]
    rows: msgspec.Raw
    watermark: Freshness


class NotAcceptable(HttpRefused):
    """406: no form that answers have."""

    status = 406
    kind = "not-acceptable"


async def read_query(request: Request) -> str:
    """The SQL of a request; raises HttpRefused."""
    taken = JsonRequest(request.scope, request.receive)
    body = await taken.body()
    if not body:
        raise Invalid('send {"sql": "SELECT …"}', at="")
    await taken.read_json()
    try:
        return msgspec.convert(await taken.json(), Query).sql
    except msgspec.ValidationError as error:
        fault = read_fault(error)
        raise Invalid(fault.message, at=fault.at) from None


def choose_form(request: Request) -> tuple[str, Form]:
    """The media type of the answer, and its form: the first of Accept that there is."""
    wanted = request.headers.get("accept", "*/*")
    for each in wanted.split(","):
        media_type = each.partition(";")[0].strip().lower()
        if media_type in ("*/*", "application/*"):
            return "application/json", "json"
        if form := FORMS.get(media_type):
            return media_type, form
    raise NotAcceptable(f"answers are {', '.join(FORMS)}", at="Accept")


async def answer_query(request: Request, queries: Queries, tenant_id: str) -> Response:
    """The answer to one query."""
    sql, (media_type, form) = await read_query(request), choose_form(request)
    async with queries.answer(tenant_id, sql, form) as answer:
        content = await asyncio.to_thread(answer.file.read_bytes)
        if form == "json":
            content = await asyncio.to_thread(_write_json, answer, content)
        return Response(content, 200, write_headers(request, answer), media_type)


def _write_json(answer: Answer, rows: bytes) -> bytes:
    freshness = Freshness(answer.files.received_at, answer.files.committed_at)
    return msgspec.json.encode(QueryAnswer(answer.outcome.columns, msgspec.Raw(rows), freshness))


def write_headers(request: Request, answer: Answer) -> dict[str, str]:
    """How many rows there are and how fresh, with the trace."""
    marks = {"Fillip-Received-At": answer.files.received_at, "Fillip-Committed-At": answer.files.committed_at}
    told = {name: msgspec.json.encode(mark).decode().strip('"') for name, mark in marks.items() if mark}
    return {"Trace-Id": find_trace_id(request), "Fillip-Rows": str(answer.outcome.row_count), **told}
