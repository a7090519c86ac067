"""The belt: batches come from a source, pass the stages, and are committed once, in order."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVar

from msgspec import Struct

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
PORTION = 100  # items; about a millisecond of a stage's work
PACE_S = 0.008  # from one small batch to the next: each costs a commit, and all that follows it, whatever its size

Item = TypeVar("Item")

log = logging.getLogger(__name__)


class StreamError(Exception):
    """Root of what the belt raises on purpose; its text is the message for a person."""


class Rewind(StreamError):
    """Raised by a commit: the batch is not ours any more; go on from the stored offsets."""


class StreamLost(StreamError):
    """Reading cannot go on (an offset that is gone, a missing topic): end the process."""


class Unsent(StreamError):
    """The broker has not confirmed a message in time; it may or may not be in the log. Send it again."""


class Record(Struct, frozen=True, gc=False):
    """One message of the log; `appended_at_ms` is the broker's append time (Unix, UTC)."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None
    appended_at_ms: int


class Span(Struct, frozen=True):
    """What a batch takes of one partition: from `start` (the end of the batch before) up to, without, `end`."""

    topic: str
    partition: int
    start: int
    end: int


class Batch(Struct, frozen=True):
    """Records in log order within each partition, and one span for each partition they come from."""

    records: Sequence[Record]
    spans: Sequence[Span]
    taken_at: datetime


class Positions(Protocol):
    """Where the stored truth of offsets is."""

    async def claim(self, topic: str, partition: int, first_offset: int) -> int:
        """The stored next offset; where none is stored yet, stores `first_offset` and returns it."""
        ...


class Source(Protocol):
    """Batches without end, from the partitions it holds at the time."""

    def __aiter__(self) -> "Source":
        """Itself."""
        ...

    async def __anext__(self) -> Batch:
        """The next batch, never empty, as soon as there is one. Stops after close(). Raises StreamLost."""
        ...

    async def rewind(self, *, smaller: bool = False) -> None:
        """Drop everything in flight and go on from the stored offset of every partition held.

        `smaller`: batches have at most half as many records from here on, and twice as many with each one committed.
        """
        ...

    async def committed(self, batch: Batch) -> None:
        """Note that `batch` is settled, for those who watch the lag; decides nothing."""
        ...

    async def close(self) -> None:
        """Leave; the iteration ends."""
        ...


Stage: TypeAlias = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
Commit: TypeAlias = Callable[[Batch, Sequence[Any]], Awaitable[None]]


async def take_portions(items: Sequence[Item]) -> AsyncIterator[Sequence[Item]]:
    """All items of a batch in order, some at a time: in between, the commit of the batch before can go on.

    A stage that computes through a whole batch would let each answer of the commit's server wait for its end.
    """
    for start in range(0, len(items), PORTION):
        if start:
            await asyncio.sleep(0)
        yield items[start : start + PORTION]


async def walk(
    source: Source, stages: Sequence[Stage], commit: Commit, *, retry_on: tuple[type[Exception], ...] = ()
) -> None:
    """Take batches through `stages` to `commit` until the source is closed.

    Commits are one at a time and in order. After a large batch the next one passes the stages meanwhile; after a small
    one, what comes during its commit and within PACE_S is one batch: fewer commits, and nobody waits for two. Rewind from anywhere drops what
    is in flight and rewinds the source; an error of `retry_on` does so after a pause that doubles, with smaller batches:
    one that takes longer than a server waits would do so for ever. No batch is skipped.
    Any other error ends the walk, after the commit in flight has ended.
    """
    pause = _Pause()
    while True:
        failed = False
        try:
            return await _walk_on(source, stages, commit, pause)
        except Rewind as reason:
            log.info("rewinding to the stored offsets: %s", reason)
        except retry_on as error:
            failed = True
            await pause.take(error)
        await _rewind(source, retry_on, pause, smaller=failed)


async def _rewind(source: Source, retry_on: tuple[type[Exception], ...], pause: "_Pause", *, smaller: bool) -> None:
    while True:
        try:
            return await source.rewind(smaller=smaller)
        except retry_on as error:
            await pause.take(error)


class _Pause:
    """Waits longer after each failure in a row."""

    def __init__(self) -> None:
        self._next_s = FIRST_PAUSE_S

    def reset(self) -> None:
        """Something went well."""
        self._next_s = FIRST_PAUSE_S

    async def take(self, error: Exception) -> None:
        """Say why, and wait."""
        log.warning("nothing committed, again in %.2f s: %s", self._next_s, error)
        await asyncio.sleep(self._next_s)
        self._next_s = min(self._next_s * 2, LONGEST_PAUSE_S)


async def _walk_on(source: Source, stages: Sequence[Stage], commit: Commit, pause: _Pause) -> None:
    committing: asyncio.Task[None] | None = None
    try:
        while (batch := await _take(source, committing)) is not None:
            began_at = asyncio.get_running_loop().time()
            items: Sequence[Any] = batch.records
            for stage in stages:
                items = await stage(items)
            if committing is not None:
                await committing
            committing = asyncio.create_task(_finish(source, batch, items, commit, pause))
            if len(batch.records) < PORTION:
                await committing
                await asyncio.sleep(began_at + PACE_S - asyncio.get_running_loop().time())
        if committing is not None:
            await committing
    finally:
        if committing is not None:  # never leave a commit alone, not even when cancelled
            await asyncio.gather(committing, return_exceptions=True)


async def _finish(source: Source, batch: Batch, items: Sequence[Any], commit: Commit, pause: _Pause) -> None:
    await commit(batch, items)
    pause.reset()
    await source.committed(batch)


async def _take(source: Source, committing: asyncio.Task[None] | None) -> Batch | None:
    """The next batch, None after the last; the error of the commit in flight, should it fail meanwhile."""
    taking = asyncio.ensure_future(_next(source))
    try:
        if committing is not None:
            await asyncio.wait({taking, committing}, return_when=asyncio.FIRST_COMPLETED)
            if committing.done():
                committing.result()
        return await taking
    finally:
        taking.cancel()


async def _next(source: Source) -> Batch | None:
    try:
        return await anext(source)
    except StopAsyncIteration:
        return None
