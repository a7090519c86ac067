"""One connection of one user: replay from the inbox, then live, always in order and never twice; beside it progress.

The order is Cursor's; here are the socket and the tasks. A replay goes at the client's pace: what he has not
read yet waits in the inbox, not here. However slowly he reads, he is not cut while he reads.
"""

import asyncio

import structlog
from prometheus_client import Counter, Histogram
from websockets.asyncio.server import ServerConnection, broadcast
from websockets.protocol import State

from fillip.core.errors import Retry
from fillip.deliver.cursor import PAGE_ENTRIES, Cursor
from fillip.deliver.frames import Closed, Hello, Live, encode_closed, write_entry
from fillip.deliver.inbox import Admission, Inbox, InboxEntry
from fillip.deliver.progress import ProgressWriter
from fillip.deliver.single_task import SingleTask
from fillip.stream.pause import Pause

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
        seen = admission.acked_seq if hello.cursor is None else hello.cursor
        if seen > admission.last_seq:
            newest = f"the inbox, whose newest is {admission.last_seq}"
            raise Closed("cursor-ahead", 409, f"cursor {seen} is ahead of {newest}", at="/cursor")
        self.user = admission.user
        self.sockets = admission.sockets
        self._cursor = Cursor(sent=seen, newest=admission.last_seq)
        self.progress = ProgressWriter(connection, inbox, admission.user, lambda: self._cursor.is_live)
        self._connection = connection
        self._inbox = inbox
        self._trace = hello.trace
        self._acked = self._ack_wanted = admission.acked_seq
        self._replay = SingleTask(self._replay_inbox)
        self._acking = SingleTask(self._store_acks)
        self._closing: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Send what the client has missed: before anything else, and when announcements may have been missed too."""
        self.catch_up()
        self.progress.catch_up()

    def push(self, live: Live) -> None:
        """Send an announced entry at once when it is the next; drop it when sent before; else go to the inbox."""
        arrival = self._cursor.arrive(live.entry.seq)
        if arrival == "gap":
            self.catch_up()
        elif arrival == "next":
            frame = write_entry(live.entry, live.trace if self._trace else None)
            self._send(frame, live.entry.seq)
            LIVE.inc()
            if self._connection.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
                self.catch_up()
            PUSH_S.observe(live.pushed_after_s)

    def catch_up(self) -> None:
        """Read the inbox from the last frame sent on, until nothing newer is known."""
        self._cursor.fall_behind()
        self._replay.start()

    def ack(self, seq: int) -> None:
        """Store that all frames up to `seq` were taken in; raises Closed (400) when that was never sent."""
        sent = self._cursor.sent
        if seq > sent:
            raise Closed("bad-ack", 400, f"ack of {seq}, but the last frame sent is {sent}", at="/seq")
        self._ack_wanted = max(self._ack_wanted, seq)
        if self._ack_wanted > self._acked:
            self._acking.start()

    def close(self, closed: Closed) -> None:
        """Begin to close the connection; for one that does not read, no error frame would get through."""
        if self._closing is None:
            CLOSED.labels(closed.kind).inc()
            log.info("session closed", tenant=self.user.tenant_id, reason=closed.kind)
            self._closing = asyncio.create_task(self._connection.close(closed.code, closed.kind))

    def send_away(self, closed: Closed) -> None:
        """Tell a client that reads why, and begin to close its connection."""
        if self._closing is None:
            broadcast([self._connection], encode_closed(closed), text=True)
            self.close(closed)

    async def finish(self) -> None:
        """The connection is gone: stop replaying, store the last ack if that can be done at once."""
        self.progress.finish()
        self._replay.cancel()
        self._acking.cancel()
        if self._ack_wanted > self._acked:
            try:
                await self._inbox.ack(self.user, self._acked, self._ack_wanted)
            except Retry:
                log.warning("last ack not stored, the client will be sent these frames again", seq=self._ack_wanted)

    def _send(self, frame: bytes, seq: int) -> None:
        broadcast([self._connection], frame, text=True)
        self._cursor.sent = seq

    async def _replay_inbox(self) -> None:
        pause = Pause(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        try:
            while self._closing is None and not self._cursor.is_live and self._connection.state is State.OPEN:
                if await self._replay_page():
                    pause.reset()
                    self.progress.resume()
                else:  # announced but not yet visible in PostgreSQL, or PostgreSQL is away
                    await pause.take()
        except TimeoutError:
            self.close(Closed("slow-reader", 408, "the client does not read what is sent"))

    async def _replay_page(self) -> bool:
        """Send the next page and go live after the last; False when nothing came of it and more must be there.

        Raises TimeoutError when the client does not read at all.
        """
        self._cursor.begin_page()
        try:
            entries = await self._inbox.read(self.user, self._cursor.sent, PAGE_ENTRIES)
        except Retry as error:
            log.warning("inbox can't be read, will try again", error=str(error))
            return False
        except Exception as error:
            log.error("inbox can't be read, will try again", exc_info=error)
            return False
        for entry in entries:  # as fast as the client reads
            if self._connection.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
                await self._await_reading()
            self._send(_encode_entry(entry), entry.seq)
            REPLAYED.inc()
        await self._await_reading()
        return self._cursor.end_page(len(entries))

    async def _await_reading(self) -> None:
        """Return when little is left of what waits for the client. Raises TimeoutError when it takes nothing for long."""
        measure = self._connection.transport.get_write_buffer_size
        waiting, idle_s, pause_s = measure(), 0.0, FIRST_LOOK_S
        while waiting > FEW_UNSENT_BYTES and self._connection.state is State.OPEN:
            await asyncio.sleep(pause_s)
            before, waiting = waiting, measure()
            # Not by the clock: a loop that was held up is not his fault.
            idle_s = 0.0 if waiting < before else idle_s + pause_s
            pause_s = min(2 * pause_s, LONGEST_LOOK_S)
            if idle_s > STALLED_FOR_S:
                raise TimeoutError

    async def _store_acks(self) -> None:
        pause = Pause(2 * FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while self._ack_wanted > self._acked:
            wanted = self._ack_wanted
            try:
                await self._inbox.ack(self.user, self._acked, wanted)
                self._acked = wanted
            except Exception as error:  # noqa: BLE001 - whatever it is: until the client is gone
                log.warning("an ack can't be stored, will try again", error=f"{type(error).__name__}: {error}")
                await pause.take()


def _encode_entry(entry: InboxEntry) -> bytes:
    try:
        return write_entry(entry)
    except Exception as error:
        log.error("an entry can't be written", seq=entry.seq, exc_info=error)
        return write_entry(InboxEntry(entry.seq, None))
