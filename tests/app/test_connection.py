"""HTTP/1.1 as it comes over real sockets: in pieces, too large, in a row, broken off, and slowly read."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import wraps
from typing import Any

import pytest
import uvloop
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fillip.app import connection, http
from fillip.app.http import serve_http
from fillip.embedded.ports import choose_free_port

ENDLESS_S = 30.0
LARGE = 8 * 1024 * 1024

Answer = Callable[[Request], Awaitable[Response]]


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """As the processes of Fillip run."""

    @wraps(test)
    def run(**given: object) -> None:
        uvloop.run(test(**given))

    return run


def answer_by(answer: Answer) -> ASGIApp:
    """An application of one function; of a client that has gone it says so to nobody."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (await answer(Request(scope, receive)))(scope, receive, send)

    return app


async def repeat(request: Request) -> Response:
    """What was sent, where to."""
    return PlainTextResponse(
        f"{request.method} {request.url.path}?{request.url.query} {(await request.body()).decode()}"
    )


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def ask(self, *pieces: bytes) -> tuple[str, bytes]:
        """(head, body) of the answer to a request that is sent in these pieces."""
        for piece in pieces:
            self.writer.write(piece)
            await asyncio.sleep(0.01)  # each comes by itself
        return await self.read()

    async def read(self) -> tuple[str, bytes]:
        """(head, body) of the next answer."""
        async with asyncio.timeout(ENDLESS_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
            _, told, rest = head.partition("content-length: ")
            if "transfer-encoding: chunked" in head:
                return head, await self._read_chunks()
            return head, await self._reader.readexactly(int(rest.split("\r\n")[0]) if told else 0)

    async def read_to_end(self) -> bytes:
        """All until the server hangs up."""
        async with asyncio.timeout(ENDLESS_S):
            return await self._reader.read()

    async def _read_chunks(self) -> bytes:
        body = b""
        while size := int(await self._reader.readline(), 16):
            body += await self._reader.readexactly(size)
            await self._reader.readline()
        await self._reader.readline()
        return body


@asynccontextmanager
async def serve(answer: Answer) -> AsyncIterator[tuple[Callable[[], Awaitable[Client]], asyncio.Event]]:
    """What connects to a server with this application, and what stops it."""
    port, stop, clients = choose_free_port(), asyncio.Event(), list[Client]()
    serving = asyncio.create_task(serve_http(answer_by(answer), "127.0.0.1", port, stop))

    async def connect() -> Client:
        while True:
            with suppress(ConnectionRefusedError):
                clients.append(Client(*await asyncio.open_connection("127.0.0.1", port)))
                return clients[-1]
            await asyncio.sleep(0.01)

    yield connect, stop
    for client in clients:
        client.writer.close()
    stop.set()
    async with asyncio.timeout(ENDLESS_S):
        await serving


@on_uvloop
async def test_requests_of_a_connection_are_read_however_they_come() -> None:
    whole = b"POST /a%2Fb?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    chunked = b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
    async with serve(repeat) as (connect, _):
        client = await connect()
        assert await client.ask(whole) == await client.ask(*(whole[at : at + 9] for at in range(0, len(whole), 9)))
        head, body = await client.ask(chunked[:60], chunked[60:])
        assert (body, "connection: close" in head, "date: " in head) == (b"POST /c? hello", False, True)
        head, _ = await client.ask(b"POST /d HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert head.startswith("http/1.1 100 ")
        assert (await client.ask(b"hi"))[1] == b"POST /d? hi"
        client.writer.write(b"HEAD /e HTTP/1.1\r\n\r\nGET http://x/f?y HTTP/1.0\r\n\r\n")
        told = await client.read_to_end()
        assert (told.count(b"HTTP/1.1 200 "), told.count(b"HEAD /e"), told[-9:]) == (2, 0, b"GET /f?y ")


@on_uvloop
async def test_requests_in_a_row_are_answered_in_their_order() -> None:
    async def answer(request: Request) -> Response:
        if request.url.path == "/slow":
            await asyncio.sleep(0.05)
        return await repeat(request)

    async with serve(answer) as (connect, _):
        client = await connect()
        client.writer.write(
            b"GET /slow HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET /c HTTP/1.0\r\n\r\nGET /d HTTP/1.1\r\n\r\n"
        )
        assert [(await client.read())[1] for _ in range(3)] == [b"GET /slow? ", b"POST /b? x", b"GET /c? "]
        assert await client.read_to_end() == b""  # HTTP/1.0 asks for one


@on_uvloop
async def test_of_too_many_requests_in_a_row_the_first_are_answered() -> None:
    go_on = asyncio.Event()

    async def answer(request: Request) -> Response:
        await go_on.wait()
        return await repeat(request)

    async with serve(answer) as (connect, _):
        client = await connect()
        client.writer.write(b"GET /a HTTP/1.1\r\n\r\n" * 1_000)
        go_on.set()
        assert (await client.read_to_end()).count(b"GET /a?") == 1 + connection.MAX_WAITING


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01 this is TLS", 400),
        (b"GET / HTTP/1.1\r\n!", 400),
        (b"GET / HTTP/1.1\r\nx: ~", 431),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: ~", 431),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nno chunk", 400),
    ],
)
@on_uvloop
async def test_what_is_no_request_is_told_so_and_not_read_on(sent: bytes, status: int) -> None:
    async with serve(repeat) as (connect, _):
        client = await connect()
        client.writer.write(sent.replace(b"~", b"y" * LARGE).replace(b"!", b"x: y\r\n" * 101 + b"\r\n"))
        head, _ = await client.read()
        assert head.startswith(f"http/1.1 {status} ")
        assert "connection: close" in head


@on_uvloop
async def test_a_body_is_read_as_fast_as_it_is_taken() -> None:
    """Given an application that waits, when a large body is sent, then the server holds little of it."""
    go_on, held = asyncio.Event(), []

    async def answer(request: Request) -> Response:
        await go_on.wait()
        return PlainTextResponse(str(len(await request.body())))

    async with serve(answer) as (connect, _):
        client = await connect()
        client.writer.write(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % LARGE + bytes(LARGE))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.writer.drain()
        held.append(client.writer.transport.get_write_buffer_size())
        go_on.set()
        assert (await client.read())[1] == str(LARGE).encode()
    assert held[0] > LARGE // 4


@on_uvloop
async def test_a_large_answer_waits_for_who_reads_it() -> None:
    made = 0

    async def make() -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(LARGE // 65_536):
            made += 65_536
            yield b"x" * 65_536

    async def answer(request: Request) -> Response:
        return StreamingResponse(make())

    async with serve(answer) as (connect, _):
        client = await connect()
        client.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await asyncio.sleep(0.3)
        assert made < LARGE
        head, body = await client.read()
        assert ("transfer-encoding: chunked" in head, len(body)) == (True, LARGE)


@on_uvloop
async def test_an_application_hears_that_its_client_has_gone() -> None:
    heard = asyncio.Event()

    async def answer(request: Request) -> Response:
        try:
            await request.body()
        except ClientDisconnect:
            heard.set()
            raise
        return PlainTextResponse("")

    async with serve(answer) as (connect, _):
        client = await connect()
        client.writer.write(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel")
        await asyncio.sleep(0.05)
        client.writer.close()
        async with asyncio.timeout(ENDLESS_S):
            await heard.wait()


@on_uvloop
async def test_who_comes_when_all_places_are_taken_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CONNECTIONS", 1)
    async with serve(repeat) as (connect, _):
        first, second = await connect(), await connect()
        assert (await first.ask(b"GET /1 HTTP/1.1\r\n\r\n"))[1] == b"GET /1? "
        second.writer.write(b"GET /2 HTTP/1.1\r\n\r\n")
        reading = asyncio.create_task(second.read())
        assert (await first.ask(b"GET /3 HTTP/1.1\r\n\r\n"))[1] == b"GET /3? "
        assert not reading.done()
        first.writer.close()
        assert (await reading)[1] == b"GET /2? "


@on_uvloop
async def test_who_is_idle_or_slow_gives_up_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CHECK_EVERY_S", 0.02)
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.1)
    monkeypatch.setattr(connection, "IDLE_S", 0.2)
    async with serve(repeat) as (connect, _):
        idle, slow = await connect(), await connect()
        slow.writer.write(b"GET / HTT")
        assert await slow.read_to_end() == b""
        assert await idle.read_to_end() == b""
        empty = await connect()
        await empty.ask(b"GET / HTTP/1.1\r\n\r\n")
        empty.writer.write(b"\r\n")  # which no request begins with
        assert await empty.read_to_end() == b""


@on_uvloop
async def test_what_is_under_way_is_answered_before_the_end() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request: Request) -> Response:
        begun.set()
        await go_on.wait()
        return PlainTextResponse("done")

    async with serve(answer) as (connect, stop):
        idle, busy = await connect(), await connect()
        busy.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await begun.wait()
        stop.set()
        assert await idle.read_to_end() == b""
        go_on.set()
        head, body = await busy.read()
        assert ("connection: close" in head, body) == (True, b"done")


@on_uvloop
async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one() -> None:
    async def make() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError

    async def answer(request: Request) -> Response:
        return StreamingResponse(make()) if request.url.path == "/half" else Response(headers={"X": "a\r\nb: c"})

    async with serve(answer) as (connect, _):
        for path in (b"/half", b"/split"):
            client = await connect()
            client.writer.write(b"GET %b HTTP/1.1\r\n\r\n" % path)
            with suppress(ConnectionResetError):
                assert not (await client.read_to_end()).endswith(b"0\r\n\r\n")
