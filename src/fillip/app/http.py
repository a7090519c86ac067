"""HTTP by granian, inside our own event loop."""

import asyncio
from typing import Any

from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fillip.app.deadline import BodyDeadline
from fillip.app.drain import Drain
from fillip.app.health import Health
from fillip.app.monitor import answer_health
from fillip.embedded.ports import require_free_port
from fillip.http.health import HEALTH_PATHS

CONNECTIONS = 512
"""Open at a time, idle ones too; more wait to be accepted. Of requests that wait for decisions there are fewer (see ingest/answer)."""


async def serve_http(app: Any, host: str, port: int, stop: asyncio.Event) -> None:  # noqa: ANN401  # any ASGI app
    """Serve an ASGI application until `stop`. Raises Crash naming what holds the port when it is taken."""
    require_free_port(port, "HTTP")
    whole = BodyDeadline(Drain(app))
    server = Server(
        whole, address=host, port=port, interface=Interfaces.ASGI, websockets=False, log_enabled=False,
        backlog=CONNECTIONS, backpressure=CONNECTIONS,
    )  # fmt: skip
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.stop()  # type: ignore[no-untyped-call]
    await serving


def list_health_routes(health: Health) -> list[Route]:
    """/livez, /readyz and /healthz of a door."""

    async def answer(request: Request) -> Response:
        status, text = answer_health(request.url.path, health) or (404, "")
        return PlainTextResponse(text, status)

    return [Route(path, answer) for path in HEALTH_PATHS]
