"""Errors of the control plane's framework and database as problems; all others are answered as at each door."""

from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from fillip.core.errors import Retry
from fillip.http import problems
from fillip.http.problems import answer_http, answer_problem, answer_retry
from fillip.manage.request.faults import list_faults
from fillip.manage.store.postgres import describe_away, find_state, is_away

_STATES = {
    "23505": (409, "conflict", "this object exists already"),
    "23503": (409, "conflict", "another object needs it"),
}


def _answer_invalid(request: Request, error: RequestValidationError) -> Response:
    field = getattr(request.scope.get("route"), "body_field", None)
    faults = list_faults(error, field.field_info.annotation if field else None)
    return answer_problem(request, 422, "invalid", "the request does not fit: see errors", faults)


def _answer_http(request: Request, error: HTTPException) -> Response:
    if error.status_code == 405:  # each method of a path has a route of its own, and only the first one is asked
        path = request.scope["path"]
        routes = [route for route in iter_route_contexts(request.app.routes) if route.path_regex.match(path)]
        named = [route for route in routes if route.path == path]  # rather than as the value of another one's parameter
        methods = {method for route in named or routes for method in route.methods or ()}
        error.headers = {"Allow": ", ".join(sorted(methods))}
    return answer_http(request, error)


def _answer_database(request: Request, error: DBAPIError) -> Response:
    if is_away(error):
        away = Retry(describe_away(error))
        away.__cause__ = error
        return answer_retry(request, away)
    status, kind, detail = _STATES.get(find_state(error), (0, "", ""))
    if not status:
        raise error
    return answer_problem(request, status, kind, detail)


HANDLERS: dict[Any, Any] = problems.HANDLERS | {
    RequestValidationError: _answer_invalid,
    HTTPException: _answer_http,
    DBAPIError: _answer_database,
}
"""For the FastAPI application: how it answers each error."""
