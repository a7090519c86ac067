"""A body that comes too slowly ends its request, at every door that takes one, on the real HTTP server."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from fillip.analyse import build_app as build_reports
from fillip.app.deadline import BodyDeadline
from fillip.app.http import serve_http
from fillip.app.valkey import connect_valkey
from fillip.core.ports import Caller
from fillip.core.quota import Quotas
from fillip.embedded.ports import choose_free_port
from fillip.ingest.http import EventsDoor
from fillip.limit.rates_valkey import ValkeyRates
from fillip.manage.app import build_app
from fillip.manage.store.postgres import open_engine
from tests.manage.conftest import ALL_SCOPES

WITHIN_S = 0.3
ENDLESS_S = 60.0


class Keys:
    """Takes every key."""

    async def authenticate(self, key: str) -> Caller | None:
        return Caller(uuid.uuid4(), "acme", frozenset(ALL_SCOPES), Quotas())


def build_doors() -> dict[str, Any]:
    """The real applications; no request of these tests gets so far as a server."""
    away, rates = (
        open_engine("postgresql://nobody:x@127.0.0.1:1/none"),
        ValkeyRates(connect_valkey("redis://127.0.0.1:1/0")),
    )
    absent: Any = None
    return {
        "events": Starlette(
            routes=[EventsDoor(Keys(), rates, absent, absent, "t", waits=absent, refusals=absent).route]
        ),
        "manage": build_app(away, away, "operator", Keys(), gateway_url="ws://127.0.0.1"),
        "analyse": build_reports(absent, absent, Keys(), rates),
    }


@asynccontextmanager
async def serve(app: Any, within_s: float) -> AsyncIterator[int]:
    """The port that `app` is served on."""
    port, stop = choose_free_port(), asyncio.Event()
    serving = asyncio.create_task(serve_http(app, "127.0.0.1", port, stop, within_s))
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            break
        await asyncio.sleep(0.01)
    yield port
    stop.set()
    await serving


async def begin(port: int, method: str, path: str, length: str, sent: bytes) -> tuple[str, dict[str, Any]]:
    """(head, problem) that comes while the body is not all there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
    writer.write(head.encode() + sent)
    async with asyncio.timeout(ENDLESS_S):
        told = await reader.readuntil(b"\r\n\r\n")
        body = await reader.read()  # to the end: the connection is not used again
    writer.close()
    return told.decode().lower(), json.loads(body)


DOORS = {
    "events": ("POST", "/v1/events"),
    "manage": ("PUT", "/v1/users/ada"),
    "analyse": ("GET", "/v1/reports/watermark"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("length", "sent"),
    [
        ("Content-Length: 100", b""),
        ("Transfer-Encoding: chunked", b"5\r\n     \r\n"),
        ("Transfer-Encoding: chunked", b""),
    ],
)
async def test_a_body_that_does_not_come_ends_its_request(door: str, length: str, sent: bytes) -> None:
    if door == "analyse" and sent:
        sent = b"1"  # half a chunk: one that has come is refused at once
    async with serve(build_doors()[door], WITHIN_S) as port:
        told, problem = await begin(port, *DOORS[door], length, sent)
    assert told.startswith("http/1.1 408 ")
    assert "connection: close" in told
    assert problem["type"] == "https://fillip.dev/problems/too-slow"
    assert problem["instance"] == DOORS[door][1]


async def test_what_has_come_gives_time_for_the_rest() -> None:
    """Given no time at all but what the bytes give, when 1 MiB is there at once, then the rest may be waited for."""
    pieces, sent = [b"x" * 1_048_576, b"x"], []

    async def receive() -> Message:
        if len(pieces) == 1:
            for _ in range(10):
                await asyncio.sleep(0)
        body = pieces.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(pieces)}

    async def send(message: Message) -> None:
        sent.append(message)

    async def count(scope: Scope, receive: Receive, send: Send) -> None:
        size = len(await Request(scope, receive).body())
        await PlainTextResponse(str(size))(scope, receive, send)

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
    await BodyDeadline(count, within_s=0)(scope, receive, send)
    assert (sent[0]["status"], sent[1]["body"]) == (200, b"1048577")
