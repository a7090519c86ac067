"""Every error as a problem (RFC 9457); what the server got wrong itself goes to the log, never to the caller."""

import logging
from collections.abc import Collection, Mapping
from urllib.parse import quote
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fillip.core.errors import Refused, Retry
from fillip.core.problem import MEDIA_TYPE, Fault, describe_problem, encode_problem, read_trace_id, write_pointer
from fillip.http.address import AddressBroken, find_parameter_faults, list_parameters, normalize_path
from fillip.http.errors import HttpRefused, Invalid, Malformed
from fillip.manage.store.engine import find_state, is_away

RETRY_AFTER_S = 2
MAX_FAULTS = 100
_KINDS = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}
_STATES = {
    "23505": (409, "conflict", "this object exists already"),
    "23503": (409, "conflict", "another object needs it"),
}

log = logging.getLogger(__name__)


def answer_problem(
    request: Request,
    status: int,
    kind: str,
    detail: str,
    faults: tuple[Fault, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response for one problem of this request."""
    trace_id, instance = request.scope.get("trace_id") or uuid4().hex, quote(request.url.path, safe="/%:")
    problem = describe_problem(
        kind, status, detail, instance=instance, trace_id=trace_id, errors=faults[:MAX_FAULTS] or None
    )
    return Response(encode_problem(problem), status, dict(headers or {}), MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Make `app` answer every error as a problem."""
    app.exception_handler(Refused)(_answer_refused)
    app.exception_handler(Retry)(_answer_retry)
    app.exception_handler(RequestValidationError)(_answer_invalid)
    app.exception_handler(HTTPException)(_answer_http)
    app.exception_handler(DBAPIError)(_answer_database)


class ProblemMiddleware:
    """The outermost middleware: gives each request its trace id and its path in one spelling, and turns whatever is left
    over into a plain 500. `bare` are paths of which nobody reads a parameter.
    """

    def __init__(self, app: ASGIApp, bare: Collection[str]) -> None:
        self._app = app
        self._bare = bare

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        trace_id = scope["trace_id"] = read_trace_id(request.headers.get("traceparent")) or uuid4().hex
        started = False

        async def send_traced(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message.setdefault("headers", []).append((b"trace-id", trace_id.encode()))
            await send(message)

        try:
            names = _read_address(scope)
            if scope["path"] in self._bare and (faults := find_parameter_faults(names, ())):
                raise Invalid("the request does not fit: see errors", faults=faults)
            await self._app(scope, receive, send_traced)
        except HttpRefused as error:
            await _answer_refused(request, error)(scope, receive, send_traced)
        except ClientDisconnect:
            log.info("%s %s: the client went away (trace %s)", request.method, request.url.path, trace_id)
        except Exception:
            log.exception("%s %s failed (trace %s)", request.method, request.url.path, trace_id)
            if started:
                raise
            problem = answer_problem(request, 500, "internal", f"the server failed; its log tells why under {trace_id}")
            await problem(scope, receive, send_traced)


def _read_address(scope: Scope) -> list[str]:
    """Give the request its path as routes are matched with it; the names of its parameters. Raises Malformed."""
    try:
        scope["path"] = normalize_path(scope.get("raw_path") or quote(scope["path"]).encode())
        return list_parameters(scope["query_string"])
    except AddressBroken as error:
        raise Malformed(str(error)) from None


def _answer_refused(request: Request, error: Refused) -> Response:
    if isinstance(error, HttpRefused):
        headers = {**error.headers, **({"WWW-Authenticate": "Bearer"} if error.status == 401 else {})}
        return answer_problem(request, error.status, error.kind, str(error), error.faults, headers)
    faults = (Fault(error.at, str(error)),) if error.at is not None else ()
    return answer_problem(request, 422, error.kind, str(error), faults)


def _answer_retry(request: Request, error: Retry) -> Response:
    return answer_problem(request, 503, "unavailable", str(error), headers={"Retry-After": str(RETRY_AFTER_S)})


def _answer_invalid(request: Request, error: RequestValidationError) -> Response:
    faults = tuple(Fault(_point(fault["loc"]), str(fault["msg"])) for fault in error.errors())
    return answer_problem(request, 422, "invalid", "the request does not fit: see errors", faults)


def _answer_http(request: Request, error: HTTPException) -> Response:
    kind, headers = _KINDS.get(error.status_code, "refused"), error.headers
    if error.status_code == 405:
        headers = {"Allow": ", ".join(sorted(_list_methods(request)))}
    return answer_problem(request, error.status_code, kind, str(error.detail), headers=headers)


def _list_methods(request: Request) -> set[str]:
    """What may be asked of this path: each of its methods has a route of its own, and only the first one is asked."""
    routes = iter_route_contexts(request.app.routes)
    return {
        method for route in routes if route.path_regex.match(request.scope["path"]) for method in route.methods or ()
    }


def _answer_database(request: Request, error: DBAPIError) -> Response:
    if is_away(error):
        return _answer_retry(request, Retry("the database does not answer: try again in a few seconds"))
    status, kind, detail = _STATES.get(find_state(error), (0, "", ""))
    if not status:
        raise error
    return answer_problem(request, status, kind, detail)


def _point(place: tuple[str | int, ...]) -> str:
    """A JSON pointer for a place in the body; the name of a parameter otherwise."""
    where, *rest = place
    if where != "body":
        return "/".join(str(part) for part in rest) or str(where)
    return write_pointer(rest)
