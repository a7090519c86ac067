"""HTTP inside our own event loop."""

import asyncio
import socket
from contextlib import suppress
from email.utils import formatdate
from time import monotonic

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from fillip.app.connection import Connection, Service
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
    service = Service(app, BodyDeadline(Drain(app), body_within_s), CONNECTIONS)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=CONNECTIONS) as listener:
        listener.setblocking(False)
        jobs = [asyncio.create_task(job) for job in (_accept(listener, service), _keep_time(service), stop.wait())]
        try:
            ended, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
    await _leave(service)
    for job in ended:
        job.result()  # raises what ended it


async def _accept(listener: socket.socket, service: Service) -> None:
    """Take in who connects, as long as there is room."""
    loop = asyncio.get_running_loop()
    while True:
        await service.room.acquire()
        try:
            accepted, _ = await loop.sock_accept(listener)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(lambda: Connection(service), accepted)
        except OSError as error:  # no more files, or a client that has gone already
            service.room.release()
            log.warning("a connection could not be taken", error=str(error))
            await asyncio.sleep(AGAIN_AFTER_S)


async def _keep_time(service: Service) -> None:
    """The date of the answers, and an end to what takes too long."""
    while True:
        service.date = formatdate(usegmt=True).encode()
        for connection in list(service.connections):
            connection.check(monotonic())
        await asyncio.sleep(CHECK_EVERY_S)


async def _leave(service: Service) -> None:
    """Let what is under way be answered."""
    service.ends = True
    for connection in list(service.connections):
        connection.leave()
    with suppress(TimeoutError):
        async with asyncio.timeout(LEAVE_WITHIN_S):
            await asyncio.gather(*service.running.values(), return_exceptions=True)
    for connection in list(service.connections):
        connection.transport.abort()


def list_health_routes(health: Health) -> list[Route]:
    """/livez, /readyz and /healthz of a door."""

    async def answer(request: Request) -> Response:
        status, text = answer_health(request.url.path, health) or (404, "")
        return PlainTextResponse(text, status)

    return [Route(path, answer) for path in HEALTH_PATHS]
