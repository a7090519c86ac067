"""Records on their way from a polling thread to the asyncio loop: in order, bounded, woken without polling."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from itertools import islice

from fillip.stream.belt import Record


class Handover:
    """One thread gives, one loop takes. More than `room` records waiting: the thread should not read on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, room: int) -> None:
        self._loop = loop
        self._room = room
        self._waiting: deque[Record] = deque()
        self._arrived = asyncio.Event()
        self._freed = threading.Event()
        self._given = self._taken = 0  # each written on one side only
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
        self.tell(self._arrive, records)

    def has_room(self, timeout_s: float) -> bool:
        """Wait until the loop has taken enough; False when it has not within the time."""
        self._freed.clear()
        if self._given - self._taken < self._room:
            return True
        self._freed.wait(timeout_s)
        return self._given - self._taken < self._room

    def end(self, error: Exception | None) -> None:
        """Nothing more will come, because of `error` if there is one."""
        self.tell(self._end, error)

    # ------------------------------------------------------------ on the loop
    async def take(self, limit: int) -> list[Record]:
        """Up to `limit` records as soon as there is one; [] when all has ended. Raises the error that ended it."""
        while not self._waiting:
            if self._error:
                raise self._error
            if self._ended:
                return []
            self._arrived.clear()
            await self._arrived.wait()
        records = list(islice(self._waiting, limit))
        if len(records) == len(self._waiting):
            self._waiting.clear()
        else:
            for _ in records:
                self._waiting.popleft()
        self._free(len(records))
        return records

    def discard(self, partitions: Collection[int]) -> None:
        """Drop what waits of these partitions."""
        kept = [record for record in self._waiting if record.partition not in partitions]
        dropped = len(self._waiting) - len(kept)
        self._waiting = deque(kept)
        self._free(dropped)

    def _free(self, count: int) -> None:
        self._taken += count
        self._freed.set()

    def _arrive(self, records: list[Record]) -> None:
        self._waiting.extend(records)
        self._arrived.set()

    def _end(self, error: Exception | None) -> None:
        self._ended, self._error = True, error
        self._arrived.set()
