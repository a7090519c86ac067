"""Every error as a problem (RFC 9457); what the server got wrong itself goes to the log, never to the caller."""

from collections.abc import Collection, Mapping, Sequence
from os import urandom
from typing import Any
from urllib.parse import quote

import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fillip.core.errors import Refused, Retry
from fillip.core.problem import MEDIA_TYPE, Fault, describe_problem, encode_problem, read_trace_id
from fillip.http.address import check_parameters, list_parameters, normalize_path
from fillip.http.errors import HttpRefused

RETRY_AFTER_S = 2
MAX_FAULTS = 100
_KINDS = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}

log = structlog.get_logger()


def find_trace_id(request: Request) -> str:
    """The id that a request is traced by: its caller's (`traceparent`), or one that is made when it is first asked for."""
    if "trace_id" not in request.scope:
        request.scope["trace_id"] = read_trace_id(request.headers.get("traceparent")) or urandom(16).hex()
    return str(request.scope["trace_id"])


def answer_problem(
    request: Request,
    status: int,
    kind: str,
    detail: str,
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response for one problem of this request, its Trace-Id among the headers."""
    trace_id, errors = find_trace_id(request), tuple(faults[:MAX_FAULTS]) or None
    instance = quote(request.scope["path"], safe="/%:")
    problem = describe_problem(kind, status, detail, instance=instance, trace_id=trace_id, errors=errors)
    return Response(encode_problem(problem), status, {"Trace-Id": trace_id, **(headers or {})}, MEDIA_TYPE)


def answer_refused(request: Request, error: Refused) -> Response:
    """The response for a refusal; 422 for one of the core, which knows of no status."""
    if isinstance(error, HttpRefused):
        headers = {**error.headers, **({"WWW-Authenticate": "Bearer"} if error.status == 401 else {})}
        return answer_problem(request, error.status, error.kind, str(error), error.faults, headers)
    faults = [Fault(error.at, str(error))] if error.at is not None else []
    return answer_problem(request, 422, error.kind, str(error), faults)


def answer_retry(request: Request, error: Retry) -> Response:
    """503: nothing has happened, the same may be sent again. The log has what was in the way, by the names of errors alone."""
    trace_id, causes = find_trace_id(request), list_causes(error)
    log.warning("a request can't be answered now", path=request.scope["path"], trace_id=trace_id, causes=causes)
    return answer_problem(request, 503, "unavailable", str(error), headers={"Retry-After": str(RETRY_AFTER_S)})


def list_causes(error: BaseException) -> list[str]:
    """The names of the errors that led to this one, with their modules, the nearest first."""
    names, cause = [], error.__cause__
    while cause is not None:
        names.append(f"{type(cause).__module__}.{type(cause).__qualname__}")
        cause = cause.__cause__
    return names


def answer_http(request: Request, error: HTTPException) -> Response:
    """The response for what the router refuses: an address that is none, a method that it does not take."""
    kind, detail = _KINDS.get(error.status_code, "refused"), str(error.detail)
    if error.status_code == 404:
        detail = "there is nothing at this address: /openapi.json has all that there are"
    elif error.status_code == 405:
        detail = f"this address takes {(error.headers or {}).get('Allow', 'other methods')}"
    return answer_problem(request, error.status_code, kind, detail, headers=error.headers)


HANDLERS: dict[Any, Any] = {Refused: answer_refused, Retry: answer_retry, HTTPException: answer_http}
"""For a Starlette application: how it answers each error."""


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
        trace_id = find_trace_id(request)
        started = False

        async def send_traced(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(raw=message.setdefault("headers", [])).setdefault("Trace-Id", trace_id)
            await send(message)

        try:
            scope["path"] = path = normalize_path(scope.get("raw_path") or quote(scope["path"]).encode())
            if path in self._bare:
                check_parameters(scope["query_string"])
            else:
                list_parameters(scope["query_string"])
            await self._app(scope, receive, send_traced)
        except HttpRefused as error:
            await answer_refused(request, error)(scope, receive, send_traced)
        except ClientDisconnect:
            log.info("%s %s: the client went away (trace %s)", request.method, request.url.path, trace_id)
        except Exception:
            log.exception("%s %s failed (trace %s)", request.method, request.url.path, trace_id)
            if started:
                raise
            problem = answer_problem(request, 500, "internal", f"the server failed; its log tells why under {trace_id}")
            await problem(scope, receive, send_traced)
