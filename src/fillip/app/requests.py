"""HTTP requests in numbers: by route, method and status, never by what a client has made up."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE, NO_METHOD, PARAMETER = "none", "other", "{}"
BOUNDS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
REQUESTS = Counter("fillip_http_requests_total", "Requests answered", ["route", "method", "status"])
SECONDS = Histogram(
    "fillip_http_request_seconds",
    "From the request's head to the end of its answer",
    ["route", "method"],
    buckets=BOUNDS_S,
)


class Counted:
    """ASGI: counts every request by the route that took it, as it stands in the OpenAPI document: /v1/users/{user_id}."""

    def __init__(self, app: ASGIApp, paths: Iterable[str]) -> None:
        """`paths` are those of all routes; what meets none of them is counted as `none`."""
        self._app = app
        self._routes = _Segment()
        self._plain = {path.encode(): path for path in paths if PARAMETER[0] not in path}
        for path in paths:
            self._routes.plant(path, path.split("/"))
        self._children: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Scope, status: int, took_s: float) -> None:
        path = scope.get("raw_path") or scope["path"].encode()  # as it was sent: an id may have a slash in it, encoded
        route = self._plain.get(path) or self._find(path.decode("ascii", "replace"))
        method = scope["method"] if scope["method"] in METHODS else NO_METHOD
        key = (route, method, status)
        if key not in self._children:  # as many as there are routes: finding them each time takes longer than counting
            self._children[key] = REQUESTS.labels(route, method, str(status)), SECONDS.labels(route, method)
        requests, seconds = self._children[key]
        requests.inc()
        seconds.observe(took_s)

    def _find(self, path: str) -> str:
        return self._routes.find(path.partition("?")[0].split("/")) or NO_ROUTE


class _Segment:
    """Routes by the parts of their paths; a part that is written out goes before a parameter."""

    def __init__(self) -> None:
        self._path: str | None = None
        self._next: dict[str, _Segment] = {}

    def plant(self, path: str, parts: Sequence[str]) -> None:
        if not parts:
            self._path = path
            return
        part = PARAMETER if parts[0].startswith("{") else parts[0]
        self._next.setdefault(part, _Segment()).plant(path, parts[1:])

    def find(self, parts: Sequence[str]) -> str | None:
        if not parts:
            return self._path
        nodes = (self._next[part] for part in (parts[0], PARAMETER) if part in self._next)
        return next((found for node in nodes if (found := node.find(parts[1:]))), None)
