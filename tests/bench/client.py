"""A load generator for POST /v1/events, a process of its own: `python -m tests.bench.client PORT KEY SIZE COUNT LINES START`.

All requests are encoded before the clock starts; each of LINES kept-alive connections has one request in flight.
Prints one JSON object.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from typing import cast

import uvloop
from msgspec import json

from tests.bench.load import draw_events

ACCEPTED = b"HTTP/1.1 202"


class Line(asyncio.Protocol):
    """One connection: sends the next request when the last was answered."""

    def __init__(self, requests: Iterator[bytes], latencies: list[float]) -> None:
        self._requests = requests
        self._latencies = latencies
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name
        self._answer = b""
        self._send()

    def data_received(self, data: bytes) -> None:
        """Note how long the answer took once it is whole: an answer here is a few hundred bytes."""
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            return
        if not head.startswith(ACCEPTED):
            self.ended.set_exception(RuntimeError(self._answer.decode(errors="replace")))
            return
        self._latencies.append(time.perf_counter() - self._sent_at)
        self._answer = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """The server must not hang up before the end."""
        if not self.ended.done():
            self.ended.set_exception(error or RuntimeError("the server closed the connection"))

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self.ended.set_result(None)
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)


def encode_requests(key: str, size: int, count: int, start: int, query: str = "") -> list[bytes]:
    """`count` requests of `size` events each; a single event goes without an array."""
    events = [json.encode(event) for event in draw_events(size * count, start)]
    requests = []
    for at in range(0, len(events), size):
        body = events[at] if size == 1 else b"[" + b",".join(events[at : at + size]) + b"]"
        head = (
            f"POST /v1/events{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        requests.append(head.encode() + body)
    return requests


async def main(port: int, key: str, size: int, count: int, lines: int, start: int) -> None:
    """Send them all; print seconds, CPU seconds of this process, and p50 and p99 in ms."""
    requests = iter(encode_requests(key, size, count, start))
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    began, cpu_s = time.perf_counter(), time.process_time()
    opened = [await loop.create_connection(lambda: Line(requests, latencies), "127.0.0.1", port) for _ in range(lines)]
    await asyncio.gather(*(line.ended for _, line in opened))
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * part)] * 1000 for part in (0.5, 0.99))
    sys.stdout.buffer.write(json.encode({"seconds": seconds, "cpu_s": cpu_s, "p50_ms": p50, "p99_ms": p99}))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])))
