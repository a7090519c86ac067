"""Requests at a steady rate, whatever their answers take: `python -m tests.bench.wait_client PORT KEY RATE COUNT START QUERY`.

A request is sent when its time has come, on a kept-alive connection, and waits where none of LINES is free. How long it took counts
from that time. Prints one JSON object.
"""

import asyncio
import sys
import time
from typing import cast

import uvloop
from msgspec import Struct, json

from tests.bench.client import encode_requests

LINES = 100


class Tally(Struct):
    """What the answers were: their times in ms, in order, and how many there were of each status."""

    cpu_s: float
    took_ms: list[float]
    statuses: dict[str, int]


class Line(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, free: asyncio.LifoQueue["Line"], tally: Tally) -> None:
        self._free, self._tally = free, tally
        self._answer, self._due = b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self._transport = cast(asyncio.Transport, transport)
        self._free.put_nowait(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The server must not hang up before the end."""
        self._tally.statuses["lost"] = self._tally.statuses.get("lost", 0) + 1

    def send(self, request: bytes, due: float) -> None:
        """Send one whose time was `due`."""
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Note the answer once it is whole."""
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            return
        self._tally.took_ms.append(1000 * (time.perf_counter() - self._due))
        status = head.split(b" ", 2)[1].decode()
        self._tally.statuses[status] = self._tally.statuses.get(status, 0) + 1
        self._answer = b""
        self._free.put_nowait(self)


async def main(port: int, key: str, rate: int, count: int, start: int, query: str) -> None:
    """Send them all, wait for the answers."""
    requests = encode_requests(key, 1, count, start, query)
    free, tally, loop = asyncio.LifoQueue[Line](), Tally(0.0, [], {}), asyncio.get_running_loop()
    for _ in range(LINES):
        await loop.create_connection(lambda: Line(free, tally), "127.0.0.1", port)
    began, cpu_s = time.perf_counter(), time.process_time()
    for number, request in enumerate(requests):
        due = began + number / rate
        if (early_s := due - time.perf_counter()) > 0:
            await asyncio.sleep(early_s)
        (await free.get()).send(request, due)
    while len(tally.took_ms) < count and not tally.statuses.get("lost"):
        await asyncio.sleep(0.01)
    tally.cpu_s = time.process_time() - cpu_s
    tally.took_ms.sort()
    sys.stdout.buffer.write(json.encode(tally))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), sys.argv[6]))
