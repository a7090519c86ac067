"""HTTP inside our own event loop."""

import asyncio
import socket
from contextlib import suppress
from email.utils import formatdate
from time import monotonic
from typing import cast

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.server import ServerState

from fillip.app.connection import Connection, configure
from fillip.app.deadline import WITHIN_S, BodyDeadline
from fillip.app.drain import Drain
from fillip.app.health import Health
from fillip.app.monitor import answer_health
from fillip.embedded.ports import require_free_port
from fillip.http.health import HEALTH_PATHS

CONNECTIONS = 512
"""Open at a time, idle ones too; more wait to be accepted. Of requests that wait for decisions there are fewer (see ingest/answer)."""
CHECK_EVERY_S = 1.0
LEAVE_WITHIN_S = 5.0
"""For the answers that are under way when the process is told to stop."""
AGAIN_AFTER_S = 0.1

log = structlog.get_logger()


async def serve_http(app: ASGIApp, host: str, port: int, stop: asyncio.Event, body_within_s: float = WITHIN_S) -> None:
    """Serve an ASGI application until `stop`. Raises Crash naming what holds the port when it is taken."""
    require_free_port(port, "HTTP")
    config, state = configure(BodyDeadline(Drain(app), body_within_s)), ServerState()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=CONNECTIONS) as listener:
        listener.setblocking(False)
        work = (_accept(listener, config, state), _keep_time(state), stop.wait())
        jobs = [asyncio.create_task(job) for job in work]
        try:
            ended, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
    await _leave(state)
    for job in ended:
        job.result()  # raises what ended it


async def _accept(listener: socket.socket, config: Config, state: ServerState) -> None:
    """Take in who connects, as long as there is room."""
    loop, room = asyncio.get_running_loop(), asyncio.Semaphore(CONNECTIONS)
    while True:
        await room.acquire()
        try:
            accepted, _ = await loop.sock_accept(listener)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(lambda: Connection(config, state, room), accepted)
        except OSError as error:  # no more files, or a client that has gone already
            room.release()
            log.warning("a connection could not be taken", error=str(error))
            await asyncio.sleep(AGAIN_AFTER_S)


async def _keep_time(state: ServerState) -> None:
    """The date of the answers, and an end to what takes too long."""
    while True:
        state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        for connection in list(state.connections):
            cast(Connection, connection).check(monotonic())
        await asyncio.sleep(CHECK_EVERY_S)


async def _leave(state: ServerState) -> None:
    """Let what is under way be answered."""
    for connection in list(state.connections):
        connection.shutdown()
    with suppress(TimeoutError):
        async with asyncio.timeout(LEAVE_WITHIN_S):
            await asyncio.gather(*state.tasks, return_exceptions=True)
    for connection in list(state.connections):
        connection.transport.abort()


def list_health_routes(health: Health) -> list[Route]:
    """/livez, /readyz and /healthz of a door."""

    async def answer(request: Request) -> Response:
        status, text = answer_health(request.url.path, health) or (404, "")
        return PlainTextResponse(text, status)

    return [Route(path, answer) for path in HEALTH_PATHS]
