"""One connection of HTTP/1.1 on the event loop: uvicorn's protocol over httptools (llhttp), with bounds on what a client may hold."""

import asyncio
from http import HTTPStatus
from time import monotonic
from typing import Any

from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

MAX_HEADERS = 100
MAX_HEAD_BYTES = 64 * 1024
"""Of a head, or of trailers; and what one read of the socket may bring beyond it."""
MAX_WAITING = 32
"""Requests of one connection that came before the one in front of them was answered."""
HEAD_WITHIN_S, IDLE_S, STALLED_S = 20.0, 75.0, 60.0
"""For a head that has begun; between requests; without the client's taking anything of an answer."""


def configure(app: ASGIApp) -> Config:
    """What uvicorn's protocol goes by: it reads and answers HTTP, and listens, logs and shuts down nothing."""
    config = Config(
        app,
        interface="asgi3",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_S,  # type: ignore[arg-type]  # seconds, as a loop takes them
    )
    config.load()
    return config


class Connection(HttpToolsProtocol):
    """What an asyncio transport and a parser of httptools call."""

    def __init__(self, config: Config, state: ServerState, room: asyncio.Semaphore) -> None:
        """`state` has all connections of a port; `room` is given back when this one is lost."""
        super().__init__(config, state, {})
        self._room = room
        self._stalled_at: float | None = None
        self._in_head = self._moved = self._last = False
        self._unread = 0
        self._since = monotonic()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        super().connection_lost(exc)
        self._room.release()

    def data_received(self, data: bytes) -> None:
        """See asyncio. Whoever sends what is no request is told so once, and not read any more."""
        if self._last:
            return
        self._moved = False
        super().data_received(data)
        self._unread = 0 if self._moved else self._unread + len(data)
        if self._unread > MAX_HEAD_BYTES and not self._last:
            self._refuse(431)

    def pause_writing(self) -> None:
        """See asyncio."""
        self._stalled_at = monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """See asyncio."""
        self._stalled_at = None
        super().resume_writing()

    def on_message_begin(self) -> None:
        """See httptools."""
        self._in_head = self._moved = True
        self._since = monotonic()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools. Of trailers nobody reads any."""
        if not self._in_head:
            return
        if len(self.headers) == MAX_HEADERS:
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._in_head, self._moved = False, True
        if len(self.pipeline) == MAX_WAITING:
            raise ValueError("too many requests in a row")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._moved = True
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls where the parser finds no HTTP."""
        self._refuse(400)

    def on_response_complete(self) -> None:
        """What uvicorn calls where an answer is written."""
        self._since = monotonic()
        super().on_response_complete()

    def check(self, now_s: float) -> None:
        """Close what takes too long, by the monotonic clock."""
        cycle = self.cycle
        is_idle = cycle is None or cycle.response_complete or cycle.disconnected
        if self._stalled_at is not None and now_s - self._stalled_at > STALLED_S:
            self.transport.abort()
        elif is_idle and now_s - self._since > (HEAD_WITHIN_S if self._in_head else IDLE_S):
            self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """What uvicorn calls where another protocol is asked for: it is answered as if it had not been, and nothing is read behind it."""
        self._last = True
        self.cycle.keep_alive = False

    def _refuse(self, status: int) -> None:
        """Answer what is no HTTP, after what is under way; what still comes is thrown away, or a reset would overtake the answer."""
        self._last = True
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:  # it is answered yet, then all ends
                cycle.keep_alive = False
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self.transport.abort()
                return
        line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
        self.transport.write(line + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.write_eof()
        self.flow.resume_reading()
        self._in_head, self._since = True, monotonic()
