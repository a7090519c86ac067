"""The port that the operator's machines look at: /metrics, /livez, /readyz, beside the event loop, on a thread of its own.

So a process that is stuck is still seen to be stuck.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import TypeAlias

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from fillip.app.health import Health
from fillip.embedded.ports import require_free_port
from fillip.http.health import HEALTH_PATHS, answer_readiness

MAX_REQUESTS = 16
REQUEST_WITHIN_S = 10.0
_Request: TypeAlias = socket | tuple[bytes, socket]
TEXT = "text/plain; charset=utf-8"


def answer_health(path: str, health: Health) -> tuple[int, str] | None:
    """Status and text for /livez, /readyz and /healthz, which says the same as /readyz; None for another path."""
    if path == "/livez":
        return (200, "ok\n") if health.is_alive() else (503, "the event loop does not turn\n")
    return answer_readiness(health.find_fault()) if path in HEALTH_PATHS else None


@contextmanager
def serve_monitor(health: Health, host: str, port: int) -> Iterator[None]:
    """Serve meanwhile. Raises Crash naming what holds the port when it is taken."""
    require_free_port(port, "metrics")
    handler = type("Handler", (_Handler,), {"health": health})
    with _Server((host, port), handler) as server:
        serving = threading.Thread(target=server.serve_forever, name="monitor", daemon=True)
        serving.start()
        try:
            yield
        finally:
            server.shutdown()
            serving.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # whoever is slow to read does not hold up the end

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._room = threading.BoundedSemaphore(MAX_REQUESTS)
        super().__init__(address, handler)

    def process_request(self, request: _Request, client_address: object) -> None:
        """Turn away what is more than a few at once."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: _Request, client_address: object) -> None:
        """Serve one request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: _Request, client_address: object) -> None:
        """A client that went away is nobody's fault."""


class _Handler(BaseHTTPRequestHandler):
    health: Health
    timeout = REQUEST_WITHIN_S
    server_version, sys_version = "fillip", ""

    def do_GET(self) -> None:
        """Answer one question."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, media_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(200, encode(REGISTRY), media_type)
        elif (found := answer_health(path, self.health)) is not None:
            self._answer(found[0], found[1].encode(), TEXT)
        else:
            self._answer(404, b"nothing here: ask /metrics, /livez or /readyz\n", TEXT)

    def log_message(self, *arguments: object) -> None:
        """Nobody reads who asked."""

    def _answer(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)
