"""The pages that show an API's OpenAPI document: Swagger UI at /docs, ReDoc at /redoc, all of it from this machine."""

from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parent
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
REDOC_POLICY = POLICY | {"style-src": "'self' 'unsafe-inline'", "worker-src": "blob:"}
"""ReDoc writes its styles into the page, and searches in a worker that it makes itself."""


def page_routes() -> list[BaseRoute]:
    """Routes of /docs and /redoc, for an application that serves its document at /openapi.json.

    Swagger UI and ReDoc are files of the package fastapi-offline; the policy keeps both from loading from another host.
    """
    return [
        _serve("/docs", "swagger.html", "text/html", POLICY),
        _serve("/docs/swagger.js", "swagger.js", "text/javascript", POLICY),
        _serve("/redoc", "redoc.html", "text/html", REDOC_POLICY),
        Mount("/docs/files", StaticFiles(packages=[("fastapi_offline", "static")])),
    ]


def _serve(path: str, name: str, media_type: str, policy: Mapping[str, str]) -> Route:
    body = (FOLDER / name).read_bytes()
    headers = {
        "Content-Security-Policy": "; ".join(f"{kind} {allowed}" for kind, allowed in policy.items()),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }

    async def answer(request: Request) -> Response:
        return Response(body, headers=headers, media_type=media_type)

    return Route(path, answer)
