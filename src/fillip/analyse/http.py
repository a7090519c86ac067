"""Reports by GET, queries by POST: the tenant comes from the API key."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import date
from operator import attrgetter
from typing import TypeVar

import msgspec
import structlog
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fillip.analyse import query_http
from fillip.analyse.openapi import DEFAULT_LINES, MAX_LINES, MAX_TEXT, describe_reports
from fillip.analyse.queries import Queries
from fillip.analyse.report import Bay, CampaignDay, Question, RejectionDay, Watermark
from fillip.core.ports import Caller, KeyRing, Rates
from fillip.http.address import find_parameter_faults, list_parameters
from fillip.http.bearer import authenticate, check_scope, read_bearer, take_request
from fillip.http.cursor import read_cursor, write_cursor
from fillip.http.errors import Invalid, TooSlow
from fillip.http.problems import HANDLERS, answer_problem, find_trace_id

SCOPE = "reports:read"
Line = TypeVar("Line", CampaignDay, RejectionDay)
log = structlog.get_logger()


class InvalidQuery(Invalid):
    """422: a parameter that can't be taken; `at` is its name."""

    kind = "invalid-query"


class _Page(Struct):
    items: Sequence[object]
    next_cursor: str | None


def build_app(
    bay: Bay, queries: Queries, keys: KeyRing, rates: Rates, *, extra_routes: Sequence[BaseRoute] = ()
) -> Starlette:
    """Routes: /v1/reports/campaign-days, campaign-variants, rejection-days, watermark and query, /openapi.json, and those given.

    `extra_routes` are served beside them and answer for themselves.
    Days are of the tenant's calendar (rejections: UTC), `from` and `to` included; pages of `limit` lines by `cursor`.
    """
    door = ReportsDoor(bay, queries, keys, rates)
    routes = [
        Route("/v1/reports/campaign-days", door.answer_campaign_days),
        Route("/v1/reports/campaign-variants", door.answer_campaign_variants),
        Route("/v1/reports/rejection-days", door.answer_rejection_days),
        Route("/v1/reports/watermark", door.answer_watermark),
        Route("/v1/reports/query", door.answer_query, methods=["POST"]),
        Route("/openapi.json", _answer_document),
        *extra_routes,
    ]
    app = Starlette(routes=routes, exception_handlers=HANDLERS | {Exception: _answer_crash})
    app.router.redirect_slashes = False  # to an address made of the Host header
    return app


class ReportsDoor:
    """Answers one request at a time from the bay."""

    def __init__(self, bay: Bay, queries: Queries, keys: KeyRing, rates: Rates) -> None:
        self._bay = bay
        self._queries = queries
        self._keys = keys
        self._rates = rates

    async def answer_campaign_days(self, request: Request) -> Response:
        """Issued, denied by reason, spend and unique users by campaign and day."""
        name = attrgetter("campaign_id")
        return await self._answer_page(request, {"campaign_id"}, self._bay.report_campaign_days, name)

    async def answer_campaign_variants(self, request: Request) -> Response:
        """Users, grants and spend of one campaign by variant: a page of at most 8 lines, and the only one."""
        caller = await self._admit(request)
        await _refuse_unknown(request, {"from", "to", "campaign_id"})
        first_day, last_day = _read_days(request)
        campaign_id = request.query_params.get("campaign_id")
        if not campaign_id:
            raise InvalidQuery("name the campaign whose variants are to be compared", at="campaign_id")
        asked = Question(caller.tenant_id, first_day, last_day, campaign_id, MAX_LINES, (date.min, ""))
        return _answer_report(request, _Page(await self._bay.report_campaign_variants(asked), None))

    async def answer_rejection_days(self, request: Request) -> Response:
        """Events that could not be decided, by reason and day."""
        return await self._answer_page(request, set(), self._bay.report_rejection_days, attrgetter("reason"))

    async def answer_watermark(self, request: Request) -> Response:
        """When the ledger committed the newest that the reports hold of the tenant; null where they hold nothing."""
        caller = await self._admit(request)
        await _refuse_unknown(request, set())
        mark = await self._bay.read_mark(caller.tenant_id)
        return _answer_report(request, Watermark(mark.committed_at if mark else None))

    async def answer_query(self, request: Request) -> Response:
        """The rows of one SELECT over the tenant's events, decisions, incentives, their reversals, and rejections."""
        caller = await self._admit(request, query_http.SCOPE)
        _refuse_parameters(request, set())
        return await query_http.answer_query(request, self._queries, caller.tenant_id)

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
        first_day, last_day = _read_days(request)
        campaign_id, place = request.query_params.get("campaign_id"), _read_place(request)
        lines = await report(Question(caller.tenant_id, first_day, last_day, campaign_id, limit + 1, place))
        last = lines[limit - 1] if len(lines) > limit else None
        cursor = write_cursor([last.day, name(last)]) if last else None
        return _answer_report(request, _Page(lines[:limit], cursor))

    async def _admit(self, request: Request, scope: str = SCOPE) -> Caller:
        caller = await authenticate(self._keys, read_bearer(request.headers))
        await take_request(self._rates, caller)
        check_scope(caller, scope)
        return caller


async def _refuse_unknown(request: Request, known: Collection[str]) -> None:
    """Raise HttpRefused for a parameter that is not known, stands twice or is too long, and for a body."""
    _refuse_parameters(request, known)
    try:
        async for piece in request.stream():
            if piece:
                raise Invalid("this operation takes no body, send none", at="")
    except ClientDisconnect:
        raise TooSlow("the request did not come whole") from None


def _refuse_parameters(request: Request, known: Collection[str]) -> None:
    for fault in find_parameter_faults(list_parameters(request.scope["query_string"]), known):
        raise InvalidQuery(fault.message, at=fault.at)
    for name, value in request.query_params.items():
        if len(value) > MAX_TEXT:
            raise InvalidQuery(f"longer than {MAX_TEXT} characters", at=name)


def _read_days(request: Request) -> tuple[date, date]:
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


def _read_limit(request: Request) -> int:
    text = request.query_params.get("limit", str(DEFAULT_LINES))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LINES):
        raise InvalidQuery(f"not a number from 1 to {MAX_LINES}", at="limit")
    return int(text)


def _read_place(request: Request) -> tuple[date, str]:
    """The day and the name after which the page begins."""
    cursor = request.query_params.get("cursor")
    if cursor is None:
        return date.min, ""
    try:
        day, name = read_cursor(cursor, (date, str))
    except Invalid as error:
        raise InvalidQuery(str(error), at="cursor") from None
    return day, name


def _answer_report(request: Request, report: Struct) -> Response:
    return Response(msgspec.json.encode(report), 200, {"Trace-Id": find_trace_id(request)}, "application/json")


async def _answer_crash(request: Request, error: Exception) -> Response:
    log.error("report failed", path=request.url.path, error=repr(error))
    return answer_problem(request, 500, "internal", "the report could not be made; the server's log tells why")


async def _answer_document(request: Request) -> Response:
    await _refuse_unknown(request, set())
    return Response(DOCUMENT, media_type="application/json")


DOCUMENT = msgspec.json.encode(describe_reports())
