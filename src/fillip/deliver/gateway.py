"""The WebSocket door: who may come in, and what clients may say."""

import asyncio
import socket
from collections.abc import Callable, Sequence

import structlog
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Origin

from fillip.core.errors import Retry
from fillip.deliver.feed import Feed, OpenTail
from fillip.deliver.frames import PATH, Ack, Closed, Hello, Pong, Welcome, encode_closed, encode_frame, read_frame
from fillip.deliver.inbox import Inbox
from fillip.deliver.merged import follow_merges
from fillip.deliver.session import CLOSED, Session
from fillip.http.address import find_parameter_faults, list_parameters
from fillip.http.errors import Malformed
from fillip.http.health import HEALTH_PATHS, UNREAD, answer_readiness
from fillip.stream.topics import Topics

HELLO_WITHIN_S = 5.0
MAX_INBOUND_BYTES = 16 * 1024
INBOUND_PER_S, INBOUND_BURST = 200.0, 400.0
MAX_CONNECTIONS = 15_000
SEND_BUFFER_BYTES = 64 * 1024  # the kernel's, per socket: a client that does not read must not cost megabytes
PING_EVERY_S, PONG_WITHIN_S = 20, 120
"""A pong comes when the client has read all that lies before the ping, which may be some hundred kB on a slow line."""

GONE_AFTER_MS = 45_000
"""A client whose host has for so long not confirmed what was sent to it is gone: the kernel notices, before any pong is due."""

log = structlog.get_logger()


async def run_gateway(
    inbox: Inbox,
    open_tail: OpenTail,
    topics: Topics,
    host: str,
    port: int,
    allowed_origins: Sequence[str],
    stop: asyncio.Event,
    *,
    find_fault: Callable[[], str | None] = lambda: None,
) -> None:
    """Serve until `stop` is set; then close every connection with 1001 so that clients resume elsewhere.

    `open_tail` opens those of the `topics` that are pushed.
    Browsers are let in from exactly `allowed_origins`; a request without an Origin header is a native app's.
    `find_fault` says what else is amiss, for /readyz. Raises OSError when the port is taken.
    """
    feed = Feed(open_tail, topics)
    gateway = Gateway(inbox, feed, find_fault)
    with _listen(host, port) as listener:
        following = [asyncio.create_task(each) for each in (feed.run(), follow_merges(inbox, feed))]
        try:
            async with serve(
                gateway.receive,
                sock=listener,
                origins=[*map(Origin, allowed_origins), None],
                compression=None,
                max_size=MAX_INBOUND_BYTES,
                process_request=gateway.screen,
                open_timeout=HELLO_WITHIN_S,
                ping_interval=PING_EVERY_S,
                ping_timeout=PONG_WITHIN_S,
                close_timeout=2,
                server_header=None,
            ):
                log.info("gateway is open", host=host, port=port)
                await stop.wait()
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)


class Gateway:
    """Connections from the handshake to their end."""

    def __init__(self, inbox: Inbox, feed: Feed, find_fault: Callable[[], str | None]) -> None:
        self._inbox = inbox
        self._feed = feed
        self._find_fault = find_fault
        self._open = 0

    def screen(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer what is no stream: /livez, /readyz, /healthz, other paths and methods, parameters, and a full house (503 with
        Retry-After).
        """
        path, _, query = request.path.partition("?")
        if path not in (*HEALTH_PATHS, PATH):
            return connection.respond(404, f"nothing here: open a WebSocket on {PATH}\n")
        if request.method != "GET":
            refused = connection.respond(405, "only GET is taken here\n")
            refused.headers["Allow"] = "GET"
            return refused
        if query and (wrong := _describe_query(query)):
            return connection.respond(422, wrong)
        if path == "/livez":
            return connection.respond(200, "ok\n")
        if path in HEALTH_PATHS:
            return connection.respond(*answer_readiness(self._find_fault() if self._feed.live else UNREAD))
        if self._open >= MAX_CONNECTIONS:
            full = connection.respond(503, "too many connections\n")
            full.headers["Retry-After"] = "5"
            return full
        return None

    async def receive(self, connection: ServerConnection) -> None:
        """Serve one connection to its end."""
        self._open += 1
        try:
            await self._converse(connection)
        except Closed as closed:
            CLOSED.labels(closed.kind).inc()
            await _tell_why(connection, closed)
        except ConnectionClosed:
            return
        finally:
            self._open -= 1

    async def _converse(self, connection: ServerConnection) -> None:
        session, welcome = await self._admit(connection)
        self._feed.join(session)  # before the inbox is read: nothing falls between replay and live
        try:
            await connection.send(encode_frame(welcome), text=True)
            session.begin()
            await _listen_to(connection, session)
        finally:
            self._feed.leave(session)
            await session.finish()

    async def _admit(self, connection: ServerConnection) -> tuple[Session, Welcome]:
        try:
            async with asyncio.timeout(HELLO_WITHIN_S):
                hello = read_frame(await connection.recv())
                if not isinstance(hello, Hello):
                    raise Closed("bad-frame", 400, "the first frame must be a hello")
                admission = await self._inbox.admit(hello.ticket)
        except TimeoutError:
            raise Closed("hello-timeout", 408, f"no hello within {HELLO_WITHIN_S:.0f} s") from None
        except Retry:
            raise Closed("unavailable", 503, "the inbox can't be reached: try again with the same ticket") from None
        if admission is None:
            raise Closed("bad-ticket", 401, "ticket unknown, expired or already used: ask for a new one")
        welcome = Welcome(admission.user.user_id, admission.last_seq)
        return Session(connection, self._inbox, admission, hello), welcome


def _describe_query(query: str) -> str:
    """What is wrong with a query string, where no parameter is read; '' where it says nothing."""
    try:
        faults = find_parameter_faults(list_parameters(query.encode()), ())
    except Malformed as error:
        return f"{error}\n"
    return "".join(f"{fault.at}: {fault.message}\n" for fault in faults)


async def _listen_to(connection: ServerConnection, session: Session) -> None:
    allowance, asked_at = INBOUND_BURST, asyncio.get_running_loop().time()
    async for message in connection:
        now = asyncio.get_running_loop().time()
        allowance = min(INBOUND_BURST, allowance + (now - asked_at) * INBOUND_PER_S) - 1
        asked_at = now
        if allowance < 0:
            raise Closed("too-many-frames", 429, f"more than {INBOUND_PER_S:.0f} frames a second: ack less often")
        frame = read_frame(message)
        if isinstance(frame, Ack):
            session.ack(frame.seq)
        elif isinstance(frame, Hello):
            raise Closed("bad-frame", 400, "hello comes once, as the first frame")
        else:
            await connection.send(encode_frame(Pong()), text=True)


async def _tell_why(connection: ServerConnection, closed: Closed) -> None:
    try:
        async with asyncio.timeout(HELLO_WITHIN_S):
            await connection.send(encode_closed(closed), text=True)
            await connection.close(closed.code, closed.kind)
    except (TimeoutError, ConnectionClosed):
        log.info("connection went before it could be told why", reason=closed.kind)


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.create_server((host, port), backlog=1024)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # accepted sockets inherit it
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_AFTER_MS)
    return listener
