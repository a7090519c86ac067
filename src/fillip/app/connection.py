"""One connection of HTTP/1.1 on the event loop: its requests in turn, each of them one call of an ASGI application.

httptools (llhttp, as in Node.js) reads what comes. No thread stands between the socket and the application: a request costs no
wake-up but the loop's own.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from http import HTTPStatus
from time import monotonic
from typing import Any, cast
from urllib.parse import unquote

import httptools
import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message

MAX_HEADERS = 100
MAX_HEAD_BYTES = 64 * 1024
"""Of a head, or of trailers; and what one read of the socket may bring beyond it."""
HIGH_WATER_BYTES = 64 * 1024
"""Of a body that the application has not taken yet; as soon as there is more, no more is read."""
HEAD_WITHIN_S, IDLE_S, STALLED_S = 20.0, 75.0, 60.0
"""For a head that has begun; between requests; without the client's taking anything of an answer."""

_STATUS_LINES = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus}
_WITHOUT_BODY = frozenset({204, 304})
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_LAST_CHUNK = b"0\r\n\r\n"
log = structlog.get_logger()


class Service:
    """What all connections of a port have in common: the applications, and what is open and under way."""

    def __init__(self, app: ASGIApp, while_sending: ASGIApp, most: int) -> None:
        """`while_sending` serves the requests whose bodies are not there yet. `most` connections are open at a time."""
        self.app, self.while_sending = app, while_sending
        self.room = asyncio.Semaphore(most)
        self.connections: set[Connection] = set()
        self.running: dict[Exchange, asyncio.Task[None]] = {}
        self.date = b""
        self.ends = False


class Exchange:
    """One request and its answer: what an ASGI application receives and sends."""

    whole = begun = answered = False
    _gone = _taken_whole = _in_chunks = False
    _status = 500
    _headers: Iterable[tuple[bytes, bytes]] = ()
    _left: int | None = 0
    """Of the answer's body; None: to the end of the connection."""
    _news: asyncio.Event | None = None

    def __init__(self, connection: "Connection", scope: dict[str, Any], *, expects: bool, stays: bool) -> None:
        """`expects`: the client waits to be told to send its body. `stays`: the connection may be used again."""
        self._connection, self.scope, self._expects, self._stays = connection, scope, expects, stays
        self._body = bytearray()

    def take(self, piece: bytes) -> None:
        """More of the body."""
        self._body += piece
        if len(self._body) > HIGH_WATER_BYTES:
            self._connection.transport.pause_reading()
        self._wake()

    def end(self) -> None:
        """The body is whole."""
        self.whole = True
        self._wake()

    def lose(self) -> None:
        """The client is gone."""
        self._gone = True
        self._wake()

    async def run(self) -> None:
        """Let the application answer."""
        service = self._connection.service
        try:
            await (service.app if self.whole else service.while_sending)(self.scope, self.receive, self.send)
        except ClientDisconnect:
            pass
        except Exception:  # an application answers its own errors: this one had begun its answer
            log.exception("an answer broke off")
        finally:
            service.running.pop(self, None)
            if not (self.answered or self._gone):
                self._connection.transport.abort()

    async def receive(self) -> Message:
        """See ASGI."""
        while not (self._gone or self.answered):
            if self._body or self.whole > self._taken_whole:
                body, self._body, self._taken_whole = bytes(self._body), bytearray(), self.whole
                return {"type": "http.request", "body": body, "more_body": not self.whole}
            if self._expects and not self.whole:
                self._expects = False
                self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._connection.transport.resume_reading()
            self._news = self._news or asyncio.Event()
            self._news.clear()
            await self._news.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """See ASGI. The head goes with the first piece of the body."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], message.get("headers", ())
            return
        if self._gone or self.answered:
            return
        more = message.get("more_body", False)
        self._connection.transport.write(self._write(message.get("body", b""), more=more))
        if not more:
            if self._left:
                raise RuntimeError("the answer is shorter than its Content-Length")
            self.answered = True
            self._wake()
            self._connection.finish(stays=self._stays)
        elif self._connection.stalled_at is not None:
            await self._connection.drain()

    def _write(self, body: bytes, *, more: bool) -> bytes:
        head = b"" if self.begun else self._write_head(len(body), more=more)
        if self.scope["method"] == "HEAD":
            self._left = 0
            return head
        if self._in_chunks:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return head + chunk + (b"" if more else _LAST_CHUNK)
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("the answer is longer than its Content-Length")
        return head + body

    def _write_head(self, size: int, *, more: bool) -> bytes:
        """Its lines; an answer whose length is not told yet is told it, or goes in chunks."""
        lines, length = [_STATUS_LINES[self._status], b"date: ", self._connection.service.date, b"\r\n"], None
        count, self.begun = 2, True
        for name, value in self._headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"connection" and value.lower() == b"close":
                self._stays = False
                continue
            lines += (name, b": ", value, b"\r\n")
            count += 1
        if length is None and not more:
            length = size
            if self._status not in _WITHOUT_BODY:
                lines.append(b"content-length: %d\r\n" % size)
                count += 1
        elif length is None and self.scope["http_version"] != "1.0":
            length, self._in_chunks = 0, True
            lines.append(b"transfer-encoding: chunked\r\n")
            count += 1
        self._left = length
        if not self.whole or self._connection.service.ends:  # what is left of a body is not read any more
            self._stays = False
        if not self._stays:
            lines.append(b"connection: close\r\n")
            count += 1
        head = b"".join(lines)
        if head.count(b"\n") != count or head.count(b"\r") != count:
            raise RuntimeError("a header of the answer has a line break in it")
        return head + b"\r\n"

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()


class Connection(asyncio.Protocol):
    """What an asyncio transport and a parser of httptools call."""

    transport: asyncio.Transport

    def __init__(self, service: Service) -> None:
        self.service = service
        self.stalled_at: float | None = None
        self._parser: Any = httptools.HttpRequestParser(self)
        self._now: Exchange | None = None  # answered now
        self._reading: Exchange | None = None  # whose body comes
        self._waiting: deque[Exchange] = deque()
        self._writable: asyncio.Event | None = None
        self._in_head = self._moved = self._expects = self._last = False
        self._unread = 0
        self._since = monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by name
        self._client, self._server = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self.service.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self.service.connections.discard(self)
        self.service.room.release()
        for exchange in (self._now, *self._waiting):
            if exchange is not None:
                exchange.lose()
        self.resume_writing()
        self._waiting.clear()
        self._parser = None  # which holds this

    def data_received(self, data: bytes) -> None:
        """See asyncio. Whoever sends what is no request is told so once, and not read any more."""
        if self._last:
            return
        self._moved = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # is answered as if it had not been asked for
            self._last = True
        except httptools.HttpParserError:
            self._refuse(400)
        else:
            self._unread = 0 if self._moved else self._unread + len(data)
            if self._unread > MAX_HEAD_BYTES:
                self._refuse(431)

    def pause_writing(self) -> None:
        """See asyncio."""
        self.stalled_at = monotonic()
        self._writable = asyncio.Event()

    def resume_writing(self) -> None:
        """See asyncio."""
        self.stalled_at = None
        if self._writable is not None:
            self._writable.set()

    async def drain(self) -> None:
        """Return when the client has taken enough of what was written, or is gone."""
        if self._writable is not None:
            await self._writable.wait()

    def on_message_begin(self) -> None:
        """See httptools."""
        self._in_head = self._moved = True
        self._url, self._expects, self._since = b"", False, monotonic()
        self._headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        """See httptools."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools. Of trailers nobody reads any."""
        if not self._in_head:
            return
        if len(self._headers) == MAX_HEADERS:
            raise ValueError("too many headers")
        name = name.lower()
        if name == b"expect":
            self._expects = value.lower() == b"100-continue"
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._in_head, self._moved = False, True
        parser, url = self._parser, self._url.partition(b"#")[0]
        if not url.startswith(b"/"):  # what proxies are sent
            parsed = httptools.parse_url(url)
            url = (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
        raw_path, _, query = url.partition(b"?")
        path, version = raw_path.decode("ascii", "replace"), parser.get_http_version()
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": parser.get_method().decode("ascii"),
            "scheme": "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": self._client,
            "server": self._server,
        }
        stays = version == "1.1" and parser.should_keep_alive()
        self._reading = Exchange(self, scope, expects=self._expects, stays=stays)
        if self._now is None:
            self._begin(self._reading)
        else:
            self._waiting.append(self._reading)
            self.transport.pause_reading()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._moved = True
        if self._reading is not None:
            self._reading.take(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        if self._reading is not None:
            self._reading.end()
            self._reading = None

    def finish(self, *, stays: bool) -> None:
        """The answer that was under way is written: go on with the next request, or wait for one."""
        self._now, self._since = None, monotonic()
        if not stays or (self._last and not self._waiting):
            self.transport.close()
        elif self._waiting:
            self._begin(self._waiting.popleft())
        else:
            self.transport.resume_reading()

    def leave(self) -> None:
        """Close as soon as nothing is under way."""
        self._last = True
        if self._now is None:
            self.transport.close()

    def check(self, now_s: float) -> None:
        """Close what takes too long, by the monotonic clock."""
        if self.stalled_at is not None and now_s - self.stalled_at > STALLED_S:
            self.transport.abort()
        elif self._now is None and now_s - self._since > (HEAD_WITHIN_S if self._in_head else IDLE_S):
            self.transport.close()

    def _begin(self, exchange: Exchange) -> None:
        self._now = exchange
        self.service.running[exchange] = asyncio.get_running_loop().create_task(exchange.run())

    def _refuse(self, status: int) -> None:
        """Answer what is no HTTP, after what is under way; what still comes is thrown away, or a reset would overtake the answer."""
        self._last = True
        if self._now is not self._reading:  # the request before this one is answered yet, then all ends
            return
        begun = False
        if self._now is not None:
            begun = self._now.begun
            self._now.lose()
            self._now = None
        if begun:
            self.transport.abort()
            return
        self.transport.write(_STATUS_LINES[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.write_eof()
        self.transport.resume_reading()
        self._in_head, self._since = True, monotonic()
