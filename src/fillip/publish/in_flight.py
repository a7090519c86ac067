"""Messages on their way to the broker: several pieces at once, in order, confirmed in order."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

LIMIT = 64
"""Pieces on their way: enough to keep the broker busy while the next piece is read."""


class InFlight:
    """Pieces of WAL whose messages the broker has not acknowledged yet."""

    def __init__(self, confirmed_lsn: int) -> None:
        self._confirmed_lsn = confirmed_lsn
        self._sendings: deque[tuple[asyncio.Task[None], int]] = deque()

    async def add(self, sending: Coroutine[Any, Any, None] | None, end_lsn: int) -> None:
        """Add a piece (None: one without messages) and wait while too many are on their way.

        `end_lsn` is 0 for a piece without the end of a transaction. Raises what `sending` of this or an earlier raises.
        """
        if sending is not None:
            self._sendings.append((asyncio.create_task(sending), end_lsn))
        elif self._sendings:
            task, before = self._sendings[-1]
            self._sendings[-1] = (task, max(before, end_lsn))
        else:
            self._confirmed_lsn = max(self._confirmed_lsn, end_lsn)
        while len(self._sendings) > LIMIT:
            await asyncio.wait([self._sendings[0][0]])
            self.settle()

    def settle(self) -> int:
        """The confirmable LSN: end of the longest acknowledged prefix. Raises what a sending has raised."""
        while self._sendings and self._sendings[0][0].done():
            task, end_lsn = self._sendings[0]
            task.result()
            self._sendings.popleft()
            self._confirmed_lsn = max(self._confirmed_lsn, end_lsn)
        return self._confirmed_lsn

    async def wait(self, within_s: float | None = None) -> None:
        """Wait until nothing is on its way any more, whether it arrived or failed; after `within_s` give up."""
        if self._sendings:
            await asyncio.wait([task for task, _ in self._sendings], timeout=within_s)
