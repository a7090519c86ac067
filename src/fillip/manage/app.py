"""The control plane as one ASGI application."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route

from fillip.core.ports import (
    BoardRanks,
    CampaignBook,
    EventLog,
    HotCampaigns,
    KeyRing,
    LiveCounts,
    MeetEvent,
    Rates,
    ReceivedEvents,
    RefusedEvents,
    SeenCounts,
    UserQueries,
)
from fillip.http.problems import ProblemMiddleware
from fillip.manage.api import (
    actions,
    backfills,
    backtests,
    badges,
    balance_imports,
    campaigns,
    claims,
    cohort_queries,
    cohort_rules,
    cohorts,
    coupon_pools,
    decisions,
    eligibility,
    erasures,
    events,
    explain,
    gifts,
    grants,
    holds,
    hot,
    incentives,
    keys,
    ladders,
    leaderboards,
    limits,
    lists,
    live,
    merges,
    points,
    quests,
    quotas,
    redemptions,
    rejections,
    repairs,
    reversals,
    tenants,
    tickets,
    users,
    wallets,
)
from fillip.manage.request.problems import HANDLERS
from fillip.manage.request.route import AppState
from fillip.manage.store.postgres import Engine

ROUTERS: tuple[APIRouter, ...] = (
    tenants.router,
    quotas.router,
    keys.router,
    users.router,
    erasures.router,
    merges.router,
    actions.router,
    cohorts.router,
    cohort_queries.router,
    cohort_rules.router,
    lists.router,
    explain.router,
    eligibility.router,
    events.router,
    backfills.router,
    backtests.router,
    campaigns.router,
    hot.router,
    live.router,
    limits.router,
    decisions.router,
    incentives.router,
    coupon_pools.router,
    claims.router,
    redemptions.router,
    badges.router,
    quests.router,
    repairs.router,
    rejections.router,
    reversals.router,
    tickets.router,
    points.router,
    ladders.router,
    wallets.router,
    balance_imports.router,
    holds.router,
    gifts.router,
    grants.router,
    leaderboards.router,
)

DESCRIPTION = """The control plane of Fillip. Every key belongs to one tenant and sees that tenant alone.

Errors are problems (RFC 9457). A list is read page by page: pass `next_cursor` as `cursor`
until it is null; a filtered page may have fewer items than asked for, even none. A change of an existing
object needs `If-Match` with the ETag that you read (428 without, 412 when it has changed since; `*` takes any). A POST
with an `Idempotency-Key` may be repeated for 24 hours: it happens once, and its answer is given again.

A change of campaigns, limits, cohorts, lists, actions or the tenant is answered when every running worker decides under
it: `Fillip-In-Force: true`, with its `Fillip-Book-Version`. After 10 seconds it is answered with `false`, and
`in_force_version` of `GET /v1/tenant` tells when it is."""

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "trace_id"],
    "properties": {
        "type": {"type": "string", "format": "uri", "examples": ["https://fillip.dev/problems/not-found"]},
        "title": {"type": "string", "examples": ["Not found"]},
        "status": {"type": "integer", "examples": [404]},
        "detail": {"type": "string", "examples": ["there is no action PURCHASE"]},
        "instance": {"type": "string", "examples": ["/v1/actions/PURCHASE"]},
        "trace_id": {"type": "string", "examples": ["4bf92f3577b34da6a3ce929d0e0e4736"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["at", "message"],
                "properties": {"at": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
_ANY_ERROR: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An error, as a problem (RFC 9457)",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


def build_app(
    engine: Engine,
    owner_engine: Engine,
    operator_key: str,
    keys: KeyRing,
    *,
    gateway_url: str,
    event_log: EventLog | None = None,
    rates: Rates | None = None,
    hot_campaigns: HotCampaigns | None = None,
    live_counts: LiveCounts | None = None,
    board_ranks: BoardRanks | None = None,
    user_queries: UserQueries | None = None,
    seen_counts: SeenCounts | None = None,
    received_events: ReceivedEvents | None = None,
    refused_events: RefusedEvents | None = None,
    books: CampaignBook | None = None,
    meet: MeetEvent | None = None,
    extra_routes: Sequence[BaseRoute] = (),
    extra_paths: Mapping[str, object] | None = None,
    extra_schemas: Mapping[str, object] | None = None,
) -> FastAPI:
    """The application on role fillip_api's `engine`; the operator's routes work on `owner_engine`.

    `gateway_url` (ws://…/v1/stream) goes into tickets. Reversals go into `event_log`; without it they are answered 503.
    `rates` keeps tenants to their requests a second; without it they send as they like.
    `hot_campaigns` tells which campaigns are hot, `live_counts` what they decide hour by hour, `board_ranks` who stands where on
    leaderboards, `user_queries` whom a query selects; without them that is answered 503. `seen_counts` tells how many events they have seen; without it that is null.
    `received_events` and `refused_events` know events that are recorded nowhere; without them the story of such a one is answered 503.
    `books` are in force, and `meet` matches an event with one; without them what a user can earn is answered 503.
    `extra_routes` are served beside it and answer for themselves;
    `extra_paths` describe them, and what other processes serve: OpenAPI path -> item, with `extra_schemas` that they name. The engines stay the caller's to dispose of.
    """
    app = FastAPI(
        title="Fillip",
        version="1",
        description=DESCRIPTION,
        responses=_ANY_ERROR,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": "/", "description": "Where this document is served"}],
        generate_unique_id_function=_name_operation,
        exception_handlers=HANDLERS,
    )
    app.state.app_state = AppState(
        engine,
        owner_engine,
        keys,
        operator_key,
        gateway_url,
        event_log,
        rates,
        hot_campaigns,
        live_counts,
        user_queries,
        seen_counts,
        received_events,
        refused_events,
        books,
        meet,
        board_ranks,
    )
    for router in ROUTERS:
        app.include_router(router, prefix="/v1")
    app.router.routes.extend(extra_routes)
    pages = (route for route in app.router.routes if isinstance(route, Route) and "GET" in (route.methods or ()))
    app.add_middleware(ProblemMiddleware, bare={route.path for route in pages})
    _extend_openapi(app, dict(extra_paths or {}), dict(extra_schemas or {}))
    return app


def list_paths(extra: Iterable[str] = ()) -> list[str]:
    """The paths of all routes as they stand in the OpenAPI document, and those of `extra`."""
    return [
        f"/v1{route.path_format}" for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)
    ] + [*extra]


def _name_operation(route: APIRoute) -> str:
    """What clients that are generated call it: `listCampaigns` for the function list_campaigns."""
    first, *more = route.name.split("_")
    return first + "".join(map(str.capitalize, more))


def _extend_openapi(app: FastAPI, paths: dict[str, object], schemas: dict[str, object]) -> None:
    """Add what FastAPI cannot derive: the shape of problems, and the routes that are not its own."""
    derive = app.openapi

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = derive()
            components = schema.setdefault("components", {})
            components["schemas"] = schemas | components.get("schemas", {}) | {"Problem": _PROBLEM}
            schema["paths"] |= paths
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]
