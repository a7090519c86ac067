"""The batches on their way through a worker: how many were taken, and how many of them are settled or dropped."""

import asyncio

from fillip.stream.belt import Batch, Source


class Passage:
    """A Source that passes on another, and counts. See Source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._taken = self._ended = self._spoiled = 0
        self._moved = asyncio.Condition()

    def __aiter__(self) -> "Passage":
        """Itself."""
        return self

    async def __anext__(self) -> Batch:
        """See Source."""
        batch = await anext(self._source)
        self._taken += 1
        return batch

    async def rewind(self, *, worked: int | None = None) -> None:
        """See Source: all that was taken is dropped."""
        await self._source.rewind(worked=worked)
        await self._end(self._taken)

    async def committed(self, batch: Batch) -> None:
        """See Source."""
        await self._end(min(self._taken, self._ended + 1))
        await self._source.committed(batch)

    async def close(self) -> None:
        """See Source."""
        await self._source.close()

    async def drain(self) -> None:
        """Return once every batch that was taken until now is settled or dropped."""
        taken = self._taken
        async with self._moved:
            await self._moved.wait_for(lambda: self._ended >= taken)

    def spoil(self) -> None:
        """The batches under way must not be settled."""
        self._spoiled = self._taken

    @property
    def is_spoiled(self) -> bool:
        """Whether the batch to be settled next is one of those."""
        return self._ended < self._spoiled

    async def _end(self, number: int) -> None:
        async with self._moved:
            self._ended = number
            self._moved.notify_all()
