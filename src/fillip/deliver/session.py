"""One connection of one user: replay from the inbox, then live, always in order and never twice; beside it progress.

replaying --inbox read to its end, nothing newer announced--> live
live --an announcement leaves a gap, the tail was broken, or the client reads too slowly--> replaying

A replay goes at the client's pace: what he has not read yet waits in the inbox, not here. However slowly he reads, he is not
cut while he reads.
"""

import asyncio
from collections.abc import Sequence

import structlog
from prometheus_client import Counter, Histogram
from websockets.asyncio.server import ServerConnection, broadcast
from websockets.protocol import State

from fillip.core.errors import Retry
from fillip.deliver.frames import Closed, Hello, Live, Trace, write_entry
from fillip.deliver.inbox import Admission, Entry, Inbox
from fillip.deliver.progress import ProgressWriter

PAGE_ENTRIES = 100
MAX_UNSENT_BYTES, FEW_UNSENT_BYTES = 64 * 1024, 16 * 1024
"""In the process, beside what the kernel holds. Above the first nothing more is put there until it is below the second."""

STALLED_FOR_S = 30.0
"""A client that for so long has taken not one byte of what waits for it does not read."""

FIRST_LOOK_S, LONGEST_LOOK_S = 0.005, 0.5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.002, 1.0
FRAMES = Counter("fillip_deliver_frames_total", "Incentive frames pushed", ["origin"])
PUSH_S = Histogram(
    "fillip_deliver_push_seconds",
    "From announced (publish) to pushed, live frames",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5),
)
CLOSED = Counter("fillip_deliver_closed_total", "Connections that the gateway ended, by reason", ["reason"])
LIVE, REPLAYED = FRAMES.labels("live"), FRAMES.labels("replay")
log = structlog.get_logger()


class Session:
    """What has been sent to one connection, and what still has to be. Lives in the event loop's thread."""

    def __init__(self, connection: ServerConnection, inbox: Inbox, admission: Admission, hello: Hello) -> None:
        """Nothing is sent before `begin`. Raises Closed (409) when the cursor is ahead of the inbox."""
        cursor = admission.acked_seq if hello.cursor is None else hello.cursor
        if cursor > admission.last_seq:
            newest = f"the inbox, whose newest is {admission.last_seq}"
            raise Closed("cursor-ahead", 409, f"cursor {cursor} is ahead of {newest}", at="/cursor")
        self.user = admission.user
        self.sockets = admission.sockets
        self.progress = ProgressWriter(connection, inbox, admission.user, lambda: self._live)
        self._connection = connection
        self._inbox = inbox
        self._trace = hello.trace
        self._sent = cursor
        self._announced = admission.last_seq
        self._live = False
        self._asked = False  # whether to read on after the page that is being read now
        self._acked = self._ack_wanted = admission.acked_seq
        self._replay: asyncio.Task[None] | None = None
        self._acking: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Send what the client has missed: before anything else, and when announcements may have been missed too."""
        self.catch_up()
        self.progress.catch_up()

    def push(self, live: Live) -> None:
        """Send an announced entry at once when it is the next; drop it when sent before; else go to the inbox."""
        seq = live.entry.seq
        if not self._live or seq > self._sent + 1:
            self._announced = max(self._announced, seq)
            self.catch_up()
        elif seq == self._sent + 1:
            self._write(live.entry, live.trace if self._trace else None)
            PUSH_S.observe(live.pushed_after_s)

    def catch_up(self) -> None:
        """Read the inbox from the last frame sent on, until nothing newer is known."""
        self._live = False
        self._asked = True
        if self._replay is None or self._replay.done():
            self._replay = asyncio.create_task(self._replay_inbox())

    def ack(self, seq: int) -> None:
        """Store that all frames up to `seq` were taken in; raises Closed (400) when that was never sent."""
        if seq > self._sent:
            raise Closed("bad-ack", 400, f"ack of {seq}, but the last frame sent is {self._sent}", at="/seq")
        self._ack_wanted = max(self._ack_wanted, seq)
        if self._ack_wanted > self._acked and (self._acking is None or self._acking.done()):
            self._acking = asyncio.create_task(self._store_acks())

    def close(self, closed: Closed) -> None:
        """Begin to close the connection; for one that does not read, no error frame would get through."""
        if self._closing is None:
            CLOSED.labels(closed.kind).inc()
            log.info("session closed", tenant=self.user.tenant_id, reason=closed.kind)
            self._closing = asyncio.create_task(self._connection.close(closed.code, closed.kind))

    async def finish(self) -> None:
        """The connection is gone: stop replaying, store the last ack if that can be done at once."""
        self.progress.finish()
        for task in (self._replay, self._acking):
            if task:
                task.cancel()
        if self._ack_wanted > self._acked:
            try:
                await self._inbox.ack(self.user, self._acked, self._ack_wanted)
            except Retry:
                log.warning("last ack not stored, the client will be sent these frames again", seq=self._ack_wanted)

    def _write(self, entry: Entry, trace: Trace | None) -> None:
        broadcast([self._connection], write_entry(entry, trace), text=True)
        self._sent = entry.seq
        LIVE.inc()
        if self._connection.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.catch_up()

    async def _replay_inbox(self) -> None:
        pause_s = FIRST_PAUSE_S
        try:
            while self._closing is None and not self._live and self._connection.state is State.OPEN:
                if await self._replay_page():
                    pause_s = FIRST_PAUSE_S
                    self.progress.resume()
                    continue
                # Announced but not yet visible in PostgreSQL, or PostgreSQL is away: ask again a little later.
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        except TimeoutError:
            self.close(Closed("slow-reader", 408, "the client does not read what is sent"))

    async def _replay_page(self) -> bool:
        """Send the next page and go live after the last; False when nothing came of it and more must be there."""
        self._asked = False
        try:
            entries = await self._inbox.read(self.user, self._sent, PAGE_ENTRIES)
        except Retry as error:
            log.warning("inbox can't be read, will try again", error=str(error))
            return False
        except Exception as error:
            log.error("inbox can't be read, will try again", exc_info=error)
            return False
        await self._send_page(entries)
        self._live = len(entries) < PAGE_ENTRIES and self._sent >= self._announced and not self._asked
        return bool(entries) or self._live or self._asked

    async def _send_page(self, entries: Sequence[Entry]) -> None:
        """Send them as fast as the client reads. Raises TimeoutError when it does not read at all."""
        for entry in entries:
            if self._connection.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
                await self._await_reading()
            broadcast([self._connection], _encode(entry), text=True)
            self._sent = entry.seq
            REPLAYED.inc()
        await self._await_reading()

    async def _await_reading(self) -> None:
        """Return when little is left of what waits for the client. Raises TimeoutError when it takes nothing for long."""
        measure = self._connection.transport.get_write_buffer_size
        waiting, idle_s, pause_s = measure(), 0.0, FIRST_LOOK_S
        while waiting > FEW_UNSENT_BYTES and self._connection.state is State.OPEN:
            await asyncio.sleep(pause_s)
            before, waiting = waiting, measure()
            idle_s = (
                0.0 if waiting < before else idle_s + pause_s
            )  # not by the clock: a loop that was held up is not his fault
            pause_s = min(2 * pause_s, LONGEST_LOOK_S)
            if idle_s > STALLED_FOR_S:
                raise TimeoutError

    async def _store_acks(self) -> None:
        pause_s = FIRST_PAUSE_S
        while self._ack_wanted > self._acked:
            wanted = self._ack_wanted
            try:
                await self._inbox.ack(self.user, self._acked, wanted)
                self._acked = wanted
            except Exception as error:  # noqa: BLE001 - whatever it is: until the client is gone
                log.warning("an ack can't be stored, will try again", error=f"{type(error).__name__}: {error}")
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                await asyncio.sleep(pause_s)


def _encode(entry: Entry) -> bytes:
    try:
        return write_entry(entry)
    except Exception as error:
        log.error("an entry can't be written", seq=entry.seq, exc_info=error)
        return write_entry(Entry(entry.seq, None))
