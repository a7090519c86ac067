"""Reports by GET, queries by POST: the tenant comes from the API key."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, date, datetime
from operator import attrgetter
from typing import TypeVar

import msgspec
import structlog
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fillip.analyse import parameters, uplift_http
from fillip.analyse.burn import LimitHoursQuestion, ask_burn
from fillip.analyse.funnel import FunnelQuestion
from fillip.analyse.level import LevelDay
from fillip.analyse.liability import Liability, LiabilityMovement, LiabilityQuestion, ask_expiries
from fillip.analyse.openapi import describe_reports
from fillip.analyse.parameters import MAX_LINES
from fillip.analyse.query import query_http
from fillip.analyse.query.queries import Queries
from fillip.analyse.report import Bay, CampaignDay, Question, RejectionDay, Watermark
from fillip.analyse.times import CampaignTimes
from fillip.core.instant import MAX_TIME, MIN_TIME
from fillip.core.ports import Caller, KeyRing, Rates
from fillip.http.bearer import authenticate, check_scope, read_bearer, take_request
from fillip.http.cursor import write_cursor
from fillip.http.problems import HANDLERS, answer_problem, find_trace_id

SCOPE = "reports:read"
Line = TypeVar("Line", CampaignDay, CampaignTimes, LevelDay, RejectionDay)
Balance = TypeVar("Balance", Liability, LiabilityMovement)
log = structlog.get_logger()


class _Page(Struct):
    items: Sequence[object]
    next_cursor: str | None


def build_app(
    bay: Bay, queries: Queries, keys: KeyRing, rates: Rates, *, extra_routes: Sequence[BaseRoute] = ()
) -> Starlette:
    """Routes: the reports below /v1/reports, /v1/reports/query, /openapi.json, and those given.

    `extra_routes` are served beside them and answer for themselves.
    Days are of the tenant's calendar (rejections: UTC), `from` and `to` included; pages of `limit` lines by `cursor`.
    """
    door = ReportsDoor(bay, queries, keys, rates)
    routes = [
        Route("/v1/reports/campaign-days", door.answer_campaign_days),
        Route("/v1/reports/campaign-variants", door.answer_campaign_variants),
        Route("/v1/reports/rejection-days", door.answer_rejection_days),
        Route("/v1/reports/level-days", door.answer_level_days),
        Route("/v1/reports/limit-burn", door.answer_limit_burn),
        Route("/v1/reports/limit-hours", door.answer_limit_hours),
        Route("/v1/reports/liability", door.answer_liability),
        Route("/v1/reports/liability-movements", door.answer_liability_movements),
        Route("/v1/reports/liability-expiries", door.answer_liability_expiries),
        Route("/v1/reports/campaign-times", door.answer_campaign_times),
        Route("/v1/reports/quest-funnel", door.answer_quest_funnel),
        Route("/v1/reports/uplift", door.answer_uplift),
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
        await parameters.refuse_unknown(request, {"from", "to", "campaign_id"})
        first_day, last_day = parameters.read_days(request)
        campaign_id = parameters.read_required(
            request, "campaign_id", "name the campaign whose variants are to be compared"
        )
        asked = Question(caller.tenant_id, first_day, last_day, campaign_id, MAX_LINES, (date.min, ""))
        return _answer_report(request, _Page(await self._bay.report_campaign_variants(asked), None))

    async def answer_campaign_times(self, request: Request) -> Response:
        """How long it took from event to grant to delivery to claim, by campaign and UTC day of the grant."""
        name = attrgetter("campaign_id")
        return await self._answer_page(request, {"campaign_id"}, self._bay.report_campaign_times, name)

    async def answer_rejection_days(self, request: Request) -> Response:
        """Events that could not be decided, by reason and day."""
        return await self._answer_page(request, set(), self._bay.report_rejection_days, attrgetter("reason"))

    async def answer_level_days(self, request: Request) -> Response:
        """How often users rose and fell on their ladders, by day and currency."""

        async def report(question: Question) -> Sequence[LevelDay]:
            zone = await self._bay.read_time_zone(question.tenant_id) or "UTC"
            return await self._bay.report_level_days(question, zone)

        return await self._answer_page(request, set(), report, attrgetter("currency"))

    async def answer_limit_burn(self, request: Request) -> Response:
        """How fast limits that users share are used up, and until when they last at that rate."""
        caller = await self._admit(request)
        await parameters.refuse_unknown(request, {"limit", "cursor"})
        limit, after = parameters.read_limit(request), parameters.read_limit_place(request)
        zone = await self._bay.read_time_zone(caller.tenant_id)
        if zone is None:
            return _answer_report(request, _Page([], None))
        lines = await self._bay.report_limit_burn(ask_burn(caller.tenant_id, zone, datetime.now(UTC), limit + 1, after))
        last = lines[limit - 1] if len(lines) > limit else None
        return _answer_report(request, _Page(lines[:limit], write_cursor([last.limit_id, last.key]) if last else None))

    async def answer_limit_hours(self, request: Request) -> Response:
        """What was used of one limit, hour by hour."""
        caller = await self._admit(request)
        await parameters.refuse_unknown(request, {"limit_id", "key", "from", "to", "limit", "cursor"})
        limit_id = parameters.read_required(request, "limit_id", "name the limit")
        begin, end = parameters.read_span(request)
        limit, after = parameters.read_limit(request), parameters.read_instant_place(request)
        key = request.query_params.get("key")
        lines = await self._bay.report_limit_hours(
            LimitHoursQuestion(caller.tenant_id, limit_id, key, begin, end, limit + 1, after)
        )
        cursor = write_cursor([lines[limit - 1].hour]) if len(lines) > limit else None
        return _answer_report(request, _Page(lines[:limit], cursor))

    async def answer_liability(self, request: Request) -> Response:
        """Points that users hold at an instant, by currency."""
        caller = await self._admit(request)
        await parameters.refuse_unknown(request, {"at", "limit", "cursor"})
        span = MIN_TIME, parameters.read_at(request, "at", MAX_TIME)
        return await self._answer_currencies(request, caller, span, self._bay.report_liability)

    async def answer_liability_movements(self, request: Request) -> Response:
        """What moved them between two instants."""
        caller = await self._admit(request)
        await parameters.refuse_unknown(request, {"from", "to", "limit", "cursor"})
        span = parameters.read_span(request)
        return await self._answer_currencies(request, caller, span, self._bay.report_liability_movements)

    async def answer_liability_expiries(self, request: Request) -> Response:
        """Points that users hold at an instant, by currency and month of expiry."""
        caller = await self._admit(request)
        await parameters.refuse_unknown(request, {"at", "limit", "cursor"})
        at = parameters.read_at(request, "at", datetime.now(UTC))
        limit, after = parameters.read_limit(request), parameters.read_expiry_place(request)
        zone = await self._bay.read_time_zone(caller.tenant_id) or "UTC"
        lines = await self._bay.report_liability_expiries(ask_expiries(caller.tenant_id, zone, at, limit + 1, after))
        last = lines[limit - 1] if len(lines) > limit else None
        return _answer_report(
            request, _Page(lines[:limit], write_cursor([last.currency, last.expires]) if last else None)
        )

    async def _answer_currencies(
        self,
        request: Request,
        caller: Caller,
        span: tuple[datetime, datetime],
        report: Callable[[LiabilityQuestion], Awaitable[Sequence[Balance]]],
    ) -> Response:
        limit, after = parameters.read_limit(request), parameters.read_name(request)
        lines = await report(LiabilityQuestion(caller.tenant_id, *span, limit + 1, after))
        cursor = write_cursor([lines[limit - 1].currency]) if len(lines) > limit else None
        return _answer_report(request, _Page(lines[:limit], cursor))

    async def answer_quest_funnel(self, request: Request) -> Response:
        """How many begin a quest, reach each of its steps and finish, by version."""
        caller = await self._admit(request)
        await parameters.refuse_unknown(request, {"campaign_id", "from", "to", "limit", "cursor"})
        campaign_id = parameters.read_required(request, "campaign_id", "name the quest")
        begin, end = parameters.read_span(request)
        limit, after, now = parameters.read_limit(request), parameters.read_version(request), datetime.now(UTC)
        question = FunnelQuestion(caller.tenant_id, campaign_id, begin, end, now, limit + 1, after)
        lines = await self._bay.report_quest_funnel(question)
        cursor = write_cursor([lines[limit - 1].campaign_version]) if len(lines) > limit else None
        return _answer_report(request, _Page(lines[:limit], cursor))

    async def answer_uplift(self, request: Request) -> Response:
        """What a campaign brings: who was offered it against who was not, and its variants."""
        caller = await self._admit(request)
        await parameters.refuse_unknown(request, uplift_http.KNOWN)
        question = uplift_http.read_question(request, caller.tenant_id)
        return _answer_report(request, await uplift_http.measure_uplift(question, self._bay, self._queries))

    async def answer_watermark(self, request: Request) -> Response:
        """When the ledger committed the newest that the reports hold of the tenant; null where they hold nothing."""
        caller = await self._admit(request)
        await parameters.refuse_unknown(request, set())
        mark = await self._bay.read_mark(caller.tenant_id)
        return _answer_report(request, Watermark(mark.committed_at if mark else None))

    async def answer_query(self, request: Request) -> Response:
        """The rows of one SELECT over the tenant's events, decisions, incentives, their reversals, and rejections."""
        caller = await self._admit(request, query_http.SCOPE)
        parameters.refuse_parameters(request, set())
        answer = await query_http.answer_query(request, self._queries, caller.tenant_id)
        answer.headers.update(request.state.room)
        return answer

    async def _answer_page(
        self,
        request: Request,
        more: Collection[str],
        report: Callable[[Question], Awaitable[Sequence[Line]]],
        name: Callable[[Line], str],
    ) -> Response:
        caller = await self._admit(request)
        await parameters.refuse_unknown(request, {"from", "to", "limit", "cursor", *more})
        limit = parameters.read_limit(request)
        first_day, last_day = parameters.read_days(request)
        campaign_id, place = request.query_params.get("campaign_id"), parameters.read_place(request)
        lines = await report(Question(caller.tenant_id, first_day, last_day, campaign_id, limit + 1, place))
        last = lines[limit - 1] if len(lines) > limit else None
        cursor = write_cursor([last.day, name(last)]) if last else None
        return _answer_report(request, _Page(lines[:limit], cursor))

    async def _admit(self, request: Request, scope: str = SCOPE) -> Caller:
        caller = await authenticate(self._keys, read_bearer(request.headers))
        request.state.room = await take_request(self._rates, caller)
        check_scope(caller, scope)
        return caller


def _answer_report(request: Request, report: Struct) -> Response:
    headers = {"Trace-Id": find_trace_id(request), **request.state.room}
    return Response(msgspec.json.encode(report), 200, headers, "application/json")


async def _answer_crash(request: Request, error: Exception) -> Response:
    log.error("report failed", path=request.url.path, error=repr(error))
    return answer_problem(request, 500, "internal", "the report could not be made; the server's log tells why")


async def _answer_document(request: Request) -> Response:
    await parameters.refuse_unknown(request, set())
    return Response(DOCUMENT, media_type="application/json")


DOCUMENT = msgspec.json.encode(describe_reports())
