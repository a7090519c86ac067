"""Answers of the HTTP door."""

from collections.abc import Mapping
from urllib.parse import quote
from uuid import uuid4

from starlette.types import Scope, Send

from fillip.core.problem import MEDIA_TYPE, Fault, describe_problem, encode_problem, read_trace_id

RETRY_AFTER_S = 2


class Refusal(Exception):
    """A request that gets a problem for an answer."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        faults: tuple[Fault, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.headers = headers or {}
        self.status = status
        self.kind = kind
        self.faults = faults


async def send_answer(
    scope: Scope, send: Send, status: int, body: bytes, media_type: str, *extra: tuple[bytes, bytes]
) -> None:
    """Send one whole response; with a Trace-Id unless an outer layer sees to it."""
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode()), *extra]
    if "trace_id" not in scope:
        headers.append((b"trace-id", _find_trace_id(scope).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_refusal(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Send a problem (RFC 9457)."""
    problem = describe_problem(
        refusal.kind,
        refusal.status,
        str(refusal),
        instance=quote(scope["path"]),
        trace_id=_find_trace_id(scope),
        errors=refusal.faults or None,
    )
    extra = [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
    if refusal.status == 401:
        extra.append((b"www-authenticate", b"Bearer"))
    if refusal.status == 503:
        extra.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    await send_answer(scope, send, refusal.status, encode_problem(problem), MEDIA_TYPE, *extra)


def find_header(scope: Scope, name: bytes) -> str:
    """The first header of this (lower-case) name, or ''."""
    for found, value in scope["headers"]:
        if found == name:
            return str(value.decode("latin-1"))
    return ""


def _find_trace_id(scope: Scope) -> str:
    known = scope.get("trace_id") or scope.get("fillip.trace_id")
    if known is None:
        known = scope["fillip.trace_id"] = read_trace_id(find_header(scope, b"traceparent")) or uuid4().hex
    return str(known)
