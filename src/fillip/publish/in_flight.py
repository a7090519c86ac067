"""Messages on their way to the broker: several pieces at once, in order, confirmed in order."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeAlias

from fillip.stream.kafka import Offsets

LIMIT = 64
"""Pieces on their way: enough to keep the broker busy while the next piece is read."""

Sending: TypeAlias = Coroutine[Any, Any, Offsets]
"""Sends, and tells behind which offsets what it sent stands."""


class InFlight:
    """Pieces of WAL whose messages the broker has not acknowledged yet."""

    def __init__(self, confirmed_lsn: int, next_offsets: Mapping[tuple[str, int], int]) -> None:
        """`next_offsets` is where the topics end before the first piece is sent."""
        self._confirmed_lsn = confirmed_lsn
        self._next_offsets = dict(next_offsets)
        self._sendings: deque[tuple[asyncio.Task[Offsets], int]] = deque()

    async def add(self, sending: Sending | None, end_lsn: int) -> None:
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

    async def add_behind(self, send: Callable[[Offsets], Sending]) -> None:
        """Send something once all that was added before is acknowledged: `send` is told behind which offsets that stands."""
        before = [task for task, _ in self._sendings]
        await self.add(self._send_behind(before, send), 0)

    async def _send_behind(
        self, before: Sequence[asyncio.Task[Offsets]], send: Callable[[Offsets], Sending]
    ) -> Offsets:
        if before:
            await asyncio.wait(before)
        for task in before:  # those that are settled by now are among _next_offsets too, and none that came later
            self._next_offsets |= task.result()
        await send(dict(self._next_offsets))
        return {}

    def settle(self) -> int:
        """The confirmable LSN: end of the longest acknowledged prefix. Raises what a sending has raised."""
        while self._sendings and self._sendings[0][0].done():
            task, end_lsn = self._sendings[0]
            self._next_offsets |= task.result()
            self._sendings.popleft()
            self._confirmed_lsn = max(self._confirmed_lsn, end_lsn)
        return self._confirmed_lsn

    async def wait(self, within_s: float | None = None) -> None:
        """Wait until nothing is on its way any more, whether it arrived or failed; after `within_s` give up."""
        if self._sendings:
            await asyncio.wait([task for task, _ in self._sendings], timeout=within_s)
