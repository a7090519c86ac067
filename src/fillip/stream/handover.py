"""Records on their way from a polling thread to the asyncio loop: in order, bounded, woken without polling."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress

from fillip.stream.belt import Record

ROOM_BYTES = 8 * 1024 * 1024
"""Of what waits; what one read brings may come on top."""
RECORD_BYTES = 200  # of a record without its value and key


class Handover:
    """One thread gives, one loop takes. More than `room` records or ROOM_BYTES waiting: the thread should not read on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, room: int) -> None:
        self._loop = loop
        self._room = room
        self._waiting: deque[Record] = deque()
        self._arrived = asyncio.Event()
        self._freed = threading.Event()
        self._given = self._taken = 0  # each written on one side only
        self._given_bytes = self._taken_bytes = 0
        self._ended = False
        self._error: Exception | None = None

    # ------------------------------------------------------------ on the thread
    def tell(self, callback: Callable[..., object], *arguments: object) -> None:
        """Run `callback` on the loop, after all records given so far have arrived."""
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(callback, *arguments)

    def give(self, records: list[Record]) -> None:
        """Hand over records; never blocks."""
        self._given += len(records)
        self._given_bytes += sum(map(measure, records))
        self.tell(self._arrive, records)

    def has_room(self, timeout_s: float) -> bool:
        """Wait until the loop has taken enough; False when it has not within the time."""
        self._freed.clear()
        if self._is_roomy():
            return True
        self._freed.wait(timeout_s)
        return self._is_roomy()

    def _is_roomy(self) -> bool:
        return self._given - self._taken < self._room and self._given_bytes - self._taken_bytes < ROOM_BYTES

    def end(self, error: Exception | None) -> None:
        """Nothing more will come, because of `error` if there is one."""
        self.tell(self._end, error)

    # ------------------------------------------------------------ on the loop
    async def take(self, limit: int, limit_bytes: int = ROOM_BYTES) -> list[Record]:
        """Up to `limit` records and about `limit_bytes`, one at least, as soon as there is one; [] when all has ended.

        Raises the error that ended it.
        """
        while not self._waiting:
            if self._error:
                raise self._error
            if self._ended:
                return []
            self._arrived.clear()
            await self._arrived.wait()
        records: list[Record] = []
        taken_bytes = 0
        while self._waiting and len(records) < limit and taken_bytes < limit_bytes:
            records.append(record := self._waiting.popleft())
            taken_bytes += measure(record)
        self._free(len(records), taken_bytes)
        return records

    def discard(self, partitions: Collection[int]) -> None:
        """Drop what waits of these partitions."""
        dropped = [record for record in self._waiting if record.partition in partitions]
        self._waiting = deque(record for record in self._waiting if record.partition not in partitions)
        self._free(len(dropped), sum(map(measure, dropped)))

    def _free(self, count: int, size: int) -> None:
        self._taken += count
        self._taken_bytes += size
        self._freed.set()

    def _arrive(self, records: list[Record]) -> None:
        self._waiting.extend(records)
        self._arrived.set()

    def _end(self, error: Exception | None) -> None:
        self._ended, self._error = True, error
        self._arrived.set()


def measure(record: Record) -> int:
    """Bytes that a record takes in memory, about."""
    return RECORD_BYTES + len(record.value or b"") + len(record.key or b"")
