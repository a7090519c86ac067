"""Reports over HTTP: GET only, the tenant comes from the API key."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import structlog
from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fillip.analyse.openapi import DEFAULT_LINES, MAX_LINES, MAX_TEXT, describe_reports
from fillip.analyse.report import Bay, CampaignDay, Question, RejectionDay, Watermark
from fillip.core.errors import Refused, Retry
from fillip.core.ports import Caller, KeyRing, Rates
from fillip.core.problem import MEDIA_TYPE, Fault, describe_problem, encode_problem, read_trace_id
from fillip.core.quota import describe_rate, explain_rate
from fillip.http.address import AddressBroken, find_parameter_faults, list_parameters

SCOPE = "reports:read"
RETRY_AFTER_S = "2"
Line = TypeVar("Line", CampaignDay, RejectionDay)
log = structlog.get_logger()


class AskRefused(Refused):
    """A request that can't be answered; `status` is the HTTP status, `at` the parameter."""

    def __init__(
        self, kind: str, status: int, message: str, *, at: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, at=at)
        self.kind = kind
        self.status = status
        self.headers = headers


class _Cursor(Struct, array_like=True):
    day: date
    name: str


class _Page(Struct):
    items: Sequence[object]
    next_cursor: str | None


def build_app(bay: Bay, keys: KeyRing, rates: Rates, *, extra_routes: Sequence[BaseRoute] = ()) -> Starlette:
    """Routes: /v1/reports/campaign-days, /v1/reports/rejection-days, /v1/reports/watermark, /openapi.json, and those given.

    `extra_routes` are served beside them and answer for themselves.
    Days are of the tenant's calendar (rejections: UTC), `from` and `to` included; pages of `limit` lines by `cursor`.
    """
    desk = Desk(bay, keys, rates)
    routes = [
        Route("/v1/reports/campaign-days", desk.answer_campaign_days),
        Route("/v1/reports/rejection-days", desk.answer_rejection_days),
        Route("/v1/reports/watermark", desk.answer_watermark),
        Route("/openapi.json", _answer_document),
        *extra_routes,
    ]
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    app.router.redirect_slashes = False  # to an address made of the Host header
    return app


class Desk:
    """Answers one request at a time from the bay."""

    def __init__(self, bay: Bay, keys: KeyRing, rates: Rates) -> None:
        self._bay = bay
        self._keys = keys
        self._rates = rates

    async def answer_campaign_days(self, request: Request) -> Response:
        """Issued, denied by reason, spend and unique users by campaign and day."""
        return await self._answer_page(request, {"campaign_id"}, self._bay.report_campaign_days, _name_campaign)

    async def answer_rejection_days(self, request: Request) -> Response:
        """Events that could not be decided, by reason and day."""
        return await self._answer_page(request, set(), self._bay.report_rejection_days, _name_reason)

    async def answer_watermark(self, request: Request) -> Response:
        """When the ledger committed the newest that the reports hold of the tenant; null where they hold nothing."""
        caller = await self._admit(request)
        await _refuse_unknown(request, set())
        mark = await self._bay.read_mark(caller.tenant_id)
        return _answer(request, Watermark(mark.committed_at if mark else None))

    async def _answer_page(
        self,
        request: Request,
        more: Collection[str],
        report: Callable[[Question], Awaitable[Sequence[Line]]],
        name: Callable[[Line], str],
    ) -> Response:
        caller = await self._admit(request)
        await _refuse_unknown(request, {"from", "to", "limit", "cursor", *more})
        limit = _read_limit(request)
        lines = await report(_read_question(request, caller.tenant_id, limit + 1))
        last = lines[limit - 1] if len(lines) > limit else None
        cursor = _write_cursor(last.day, name(last)) if last else None
        return _answer(request, _Page(lines[:limit], cursor))

    async def _admit(self, request: Request) -> Caller:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        caller = await self._keys.authenticate(key) if scheme.lower() == "bearer" and len(key) <= MAX_TEXT else None
        if caller is None:
            headers = {"WWW-Authenticate": "Bearer"}
            raise AskRefused(
                "unauthorized", 401, "send a live API key: Authorization: Bearer fk_live_...", headers=headers
            )
        per_s = caller.quotas.requests_per_s
        taking = await self._rates.take(caller.tenant_id, "requests_per_s", per_s, 1)
        if taking.wait_s:
            headers = describe_rate("requests_per_s", per_s, taking)
            raise AskRefused("quota-exceeded", 429, explain_rate("requests_per_s", per_s, 1), headers=headers)
        if SCOPE not in caller.scopes:
            raise AskRefused("forbidden", 403, f"this key lacks the scope {SCOPE}")
        return caller


async def _refuse_unknown(request: Request, known: Collection[str]) -> None:
    """Raise AskRefused for a parameter that is not known, stands twice or is too long, and for a body."""
    try:
        faults = find_parameter_faults(list_parameters(request.scope["query_string"]), known)
    except AddressBroken as error:
        raise AskRefused("malformed", 400, str(error)) from None
    for fault in faults:
        raise AskRefused("invalid-query", 422, fault.message, at=fault.at)
    for name, value in request.query_params.items():
        if len(value) > MAX_TEXT:
            raise AskRefused("invalid-query", 422, f"longer than {MAX_TEXT} characters", at=name)
    try:
        async for piece in request.stream():
            if piece:
                raise AskRefused("invalid", 422, "this operation takes no body, send none", at="")
    except ClientDisconnect:
        raise AskRefused("too-slow", 408, "the request did not come whole") from None


def _read_question(request: Request, tenant_id: str, count: int) -> Question:
    first, last = _read_day(request, "from", date.min), _read_day(request, "to", date.max)
    if last < first:
        raise AskRefused("invalid-query", 422, "`to` is before `from`", at="to")
    campaign_id = request.query_params.get("campaign_id")
    return Question(tenant_id, first, last, campaign_id, count, _read_cursor(request))


def _read_day(request: Request, name: str, default: date) -> date:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        return msgspec.convert(text, date)
    except msgspec.ValidationError:
        raise AskRefused("invalid-query", 422, "not a day such as 2026-01-31", at=name) from None


def _read_limit(request: Request) -> int:
    text = request.query_params.get("limit", str(DEFAULT_LINES))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LINES):
        raise AskRefused("invalid-query", 422, f"not a number from 1 to {MAX_LINES}", at="limit")
    return int(text)


def _read_cursor(request: Request) -> tuple[date, str]:
    text = request.query_params.get("cursor")
    if text is None:
        return date.min, ""
    try:
        cursor = msgspec.json.decode(urlsafe_b64decode(text.encode()), type=_Cursor)
    except ValueError:  # of base64, of msgspec, of UTF-8
        raise AskRefused("invalid-query", 422, "not a `next_cursor` of a page before", at="cursor") from None
    return cursor.day, cursor.name


def _write_cursor(day: date, name: str) -> str:
    return urlsafe_b64encode(msgspec.json.encode(_Cursor(day, name))).decode()


def _name_campaign(line: CampaignDay) -> str:
    return line.campaign_id


def _name_reason(line: RejectionDay) -> str:
    return line.reason


def _trace(request: Request) -> str:
    return read_trace_id(request.headers.get("traceparent")) or uuid4().hex


def _answer(request: Request, body: Struct) -> Response:
    return Response(msgspec.json.encode(body), 200, {"Trace-Id": _trace(request)}, "application/json")


def _answer_problem(
    request: Request,
    status: int,
    kind: str,
    detail: str,
    *,
    at: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    trace_id = _trace(request)
    errors = (Fault(at, detail),) if at is not None else None
    problem = describe_problem(kind, status, detail, instance=request.url.path, trace_id=trace_id, errors=errors)
    return Response(encode_problem(problem), status, {"Trace-Id": trace_id, **(headers or {})}, MEDIA_TYPE)


async def _answer_refused(request: Request, error: AskRefused) -> Response:
    return _answer_problem(request, error.status, error.kind, str(error), at=error.at, headers=error.headers)


async def _answer_retry(request: Request, error: Retry) -> Response:
    return _answer_problem(request, 503, "unavailable", str(error), headers={"Retry-After": RETRY_AFTER_S})


async def _answer_http(request: Request, error: HTTPException) -> Response:
    kind = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "refused")
    return _answer_problem(request, error.status_code, kind, str(error.detail), headers=error.headers)


async def _answer_crash(request: Request, error: Exception) -> Response:
    log.error("report failed", path=request.url.path, error=repr(error))
    return _answer_problem(request, 500, "internal", "the report could not be made; the server's log tells why")


async def _answer_document(request: Request) -> Response:
    await _refuse_unknown(request, set())
    return Response(DOCUMENT, media_type="application/json")


DOCUMENT = msgspec.json.encode(describe_reports())
HANDLERS: dict[Any, Any] = {
    AskRefused: _answer_refused,
    Retry: _answer_retry,
    HTTPException: _answer_http,
    Exception: _answer_crash,
}
