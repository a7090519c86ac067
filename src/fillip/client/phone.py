"""A real WebSocket client of one end customer: says hello with a ticket, keeps its place, acknowledges, resumes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct, json
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from fillip.client.api import ApiClient
from fillip.core.errors import Crash

ACK_EVERY = 25
OPEN_WITHIN_S = 20
PAUSE_S = 0.2


class Trace(Struct, frozen=True):
    """When each step passed it on, microseconds since 1970 UTC."""

    received_at_us: int
    taken_at_us: int
    granted_at_us: int
    committed_at_us: int
    published_at_us: int
    pushed_at_us: int


class Incentive(Struct, frozen=True):
    """What was granted, as far as a phone here looks."""

    incentive_id: str
    event_id: str


class Frame(Struct, frozen=True):
    """Any frame of the gateway."""

    type: str
    seq: int = 0
    incentive: Incentive | None = None
    trace: Trace | None = None
    problem: dict[str, object] | None = None


Watch = Callable[[Incentive, Trace | None, int], None]
"""Told each new incentive, its trace if any, and when it came (microseconds since 1970)."""

_FRAMES = json.Decoder(Frame)


class Phone:
    """One user's client; `received` is its inbox as it came: (seq, incentive id)."""

    def __init__(self, api: str, key: str, user_id: str, watch: Watch, *, trace: bool = False) -> None:
        """`key` may make tickets at `api`."""
        self.user_id = user_id
        self.received: list[tuple[int, str]] = []
        self.resumed = -1
        self.ready = asyncio.Event()
        self._api, self._key = api, key
        self._watch = watch
        self._trace = trace
        self._acked = 0
        self._socket: ClientConnection | None = None

    @property
    def last_seq(self) -> int:
        """The newest frame's number, 0 before the first."""
        return self.received[-1][0] if self.received else 0

    async def listen(self) -> None:
        """Stay connected until cancelled; after a break go on from the last frame. Raises Crash when refused."""
        while True:
            with ApiClient(self._api, self._key) as api:
                ticket = await asyncio.to_thread(api.post, "/v1/tickets", {"user_id": self.user_id})
            self.resumed += 1
            try:
                async with connect(ticket["url"], compression=None, open_timeout=OPEN_WITHIN_S) as self._socket:
                    await self._converse(self._socket, ticket["ticket"])
            except (ConnectionClosed, InvalidHandshake, OSError):
                await asyncio.sleep(PAUSE_S)

    async def acknowledge(self) -> None:
        """Tell the gateway that all was taken in; harmless while disconnected."""
        if self._socket is not None and self.last_seq > self._acked:
            self._acked = self.last_seq
            try:
                await self._socket.send(json.encode({"type": "ack", "seq": self._acked}), text=True)
            except ConnectionClosed:
                self._acked = 0

    async def _converse(self, socket: ClientConnection, ticket: str) -> None:
        hello = {"type": "hello", "ticket": ticket, "cursor": self.last_seq, "trace": self._trace}
        await socket.send(json.encode(hello), text=True)
        async for message in socket:
            now_us = time.time_ns() // 1000
            frame = _FRAMES.decode(message)
            if frame.incentive is not None:
                self.received.append((frame.seq, frame.incentive.incentive_id))
                self._watch(frame.incentive, frame.trace, now_us)
            elif frame.problem is not None:
                raise Crash(f"the gateway refused {self.user_id}: {frame.problem.get('detail')}")
            elif frame.type == "welcome":
                self.ready.set()
            if self.last_seq >= self._acked + ACK_EVERY:
                await self.acknowledge()


@asynccontextmanager
async def connected(phones: Sequence[Phone]) -> AsyncIterator[None]:
    """Hold all phones connected; entered when all are welcome. Raises Crash."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(phone.listen()) for phone in phones]
            async with asyncio.timeout(OPEN_WITHIN_S):
                for phone in phones:
                    await phone.ready.wait()
            yield
            for task in tasks:
                task.cancel()
    except* Crash as refused:
        raise refused.exceptions[0] from None
