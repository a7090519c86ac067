"""The belt: batches come from a source, pass the stages, and are committed once, in order.

    source --batch--> stages --items--> commit: one transaction stores what was decided and the offsets
       ^                                  |
       +-- rewind: drop all in flight ----+-- refused, or failed: see `walk`

    the log of a partition:    39 40 41 | 42 43 44 45 | 46 47 | 48
                              committed   span of the   span of the batch
                                          batch that    that passes the
                                          commits       stages meanwhile

A batch has a span for each partition that it takes from. Its commit moves the stored offset from `start` to `end`, and
refuses where another than `start` is stored: somebody else was faster. So each record counts once, whoever reads it
how often. The belt keeps no metrics: rooms count what they decide, and who runs a source measures its lag.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from fillip.stream.pause import Pause

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
PORTION = 100  # items; about a millisecond of a stage's work
TRIES = 6  # at one record, while the server answers and does not do it
PACE_S = 0.008  # from one small batch to the next: each costs a commit, and all that follows it, whatever its size

Item = TypeVar("Item")

# Not structlog, here and in kafka/: commands that set up no logs use them too, and their stdout is not for warnings.
log = logging.getLogger(__name__)


class StreamError(Exception):
    """Root of what the belt raises on purpose; its text is the message for a person."""


class Rewind(StreamError):
    """Raised by a commit: the batch is not ours any more; go on from the stored offsets.

    `too_large`: the records of the batch, where it may have been their number that took too long; else 0.
    """

    def __init__(self, message: str, *, too_large: int = 0) -> None:
        super().__init__(message)
        self.too_large = too_large


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
    """What a batch takes of one partition: from `start` (the end of the batch before) up to, without, `end`.

    `generation` counts the logs that have had this name: offsets mean something within one alone.
    """

    topic: str
    partition: int
    start: int
    end: int
    generation: int = 0


class Batch(Struct, frozen=True):
    """Records in log order within each partition, and one span for each partition they come from."""

    records: Sequence[Record]
    spans: Sequence[Span]
    taken_at: datetime


class Position(Struct, frozen=True):
    """The stored next offset, in the log with this id; `generation` as in Span."""

    next_offset: int
    generation: int = 0
    topic_id: str = ""


class Positions(Protocol):
    """Where the stored truth of offsets is."""

    async def claim(self, topic: str, partition: int, first_offset: int, topic_id: str) -> Position:
        """What is stored; where nothing is yet, stores `first_offset` of the log with this id and returns that."""


class Source(Protocol):
    """Batches without end, from the partitions it holds at the time."""

    def __aiter__(self) -> "Source":
        """Itself."""

    async def __anext__(self) -> Batch:
        """The next batch, never empty, as soon as there is one. Stops after close(). Raises StreamLost."""

    async def rewind(self, *, worked: int | None = None) -> None:
        """Drop everything in flight and go on from the stored offset of every partition held.

        `worked`: a batch was more than the server would do, parts of so many records were not. See Size.
        """

    async def committed(self, batch: Batch) -> None:
        """Note that `batch` is settled, for those who watch the lag; decides nothing."""

    async def close(self) -> None:
        """Leave; the iteration ends."""


Stage: TypeAlias = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
Commit: TypeAlias = Callable[[Batch, Sequence[Any]], Awaitable[None]]
SetAside: TypeAlias = Callable[[Batch, Exception], Awaitable[None]]
"""Commits a batch of one record that nothing can be decided of, with what went wrong, in place of an outcome."""


async def take_portions(items: Sequence[Item]) -> AsyncIterator[Sequence[Item]]:
    """All items of a batch in order, some at a time: in between, the commit of the batch before can go on.

    A stage that computes through a whole batch would let each answer of the commit's server wait for its end.
    """
    for start in range(0, len(items), PORTION):
        if start:
            await asyncio.sleep(0)
        yield items[start : start + PORTION]


@dataclass(frozen=True)
class Errors:
    """What errors of stages, commits and the source's positions mean; subclasses count, `busy` goes before `away`.

    `away`: a server can't be reached; nothing is wrong with the batch. `busy`: the server answers, and a lock, a race
    or its patience stood in the way. `fatal`: going on could do harm. Any other is the fault of a record.
    """

    away: tuple[type[Exception], ...] = ()
    busy: tuple[type[Exception], ...] = ()
    fatal: tuple[type[Exception], ...] = ()

    def is_fault(self, error: Exception) -> bool:
        """Whether the batch is to be looked at, for a record that can't be taken or for its size."""
        if isinstance(error, (StreamError, *self.fatal)):
            return False
        return isinstance(error, self.busy) or not isinstance(error, self.away)


class _Failed(Exception):
    """A batch failed by itself."""

    def __init__(self, batch: Batch, error: Exception) -> None:
        super().__init__(str(error))
        self.batch = batch
        self.error = error


async def walk(
    source: Source, stages: Sequence[Stage], commit: Commit, set_aside: SetAside, errors: Errors = Errors()
) -> None:
    """Take batches through `stages` to `commit` until the source is closed.

    Commits are one at a time and in order. Large batches overlap: the next passes the stages while one commits. After a
    small one the next waits for its commit and PACE_S, so that what comes meanwhile is merged: fewer commits.

    Rewind from anywhere drops what is in flight and rewinds the source; an error of `errors.away` does so after a pause
    that doubles. Whatever else fails a batch never ends the walk: where the server was busy it is tried once more, then
    its halves are, in order, down to the record that fails by itself. That one goes to `set_aside`, at once or, while
    the server is busy, after TRIES. Where even that fails, all waits as if the server were away. StreamLost and
    `errors.fatal` end the walk, after the commit in flight.
    """
    await _Walk(source, stages, commit, set_aside, errors).run()


class _Walk:
    def __init__(
        self, source: Source, stages: Sequence[Stage], commit: Commit, set_aside: SetAside, errors: Errors
    ) -> None:
        self._source = source
        self._stages = stages
        self._commit = commit
        self._set_aside = set_aside
        self._errors = errors
        self._pause = Pause(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._worked: list[int] = []  # records of the parts of a failed batch that were committed
        self._too_large = 0  # records of the smallest batch that a busy server did not take; 0: none

    async def run(self) -> None:
        while True:
            try:
                try:
                    return await self._go_on()
                except _Failed as failed:
                    await self._mend(failed)
            except Rewind as reason:
                log.info("rewinding to the stored offsets: %s", reason)
                self._too_large = reason.too_large or self._too_large
            except _Failed as worse:
                log.error("a record can't even be set aside", exc_info=worse.error)
                await _wait(self._pause, worse.error)
            except self._errors.away as error:
                await _wait(self._pause, error)
            await self._rewind()

    async def _go_on(self) -> None:
        committing: asyncio.Task[None] | None = None
        try:
            while (batch := await _take(self._source, committing)) is not None:
                began_at = asyncio.get_running_loop().time()
                items = await self._pass(batch)
                if committing is not None:
                    await committing
                committing = asyncio.create_task(self._finish(batch, items))
                if len(batch.records) < PORTION:
                    await committing
                    await asyncio.sleep(began_at + PACE_S - asyncio.get_running_loop().time())
            if committing is not None:
                await committing
        finally:
            if committing is not None:  # never leave a commit alone, not even when cancelled
                await asyncio.gather(committing, return_exceptions=True)

    async def _pass(self, batch: Batch) -> Sequence[Any]:
        items: Sequence[Any] = batch.records
        with self._blaming(batch):
            for stage in self._stages:
                items = await stage(items)
        return items

    async def _finish(self, batch: Batch, items: Sequence[Any]) -> None:
        await self._commit_part(batch, items)
        await self._source.committed(batch)

    async def _commit_part(self, batch: Batch, items: Sequence[Any]) -> None:
        """Of a batch that failed the source is told nothing: it ends with the rewind that follows."""
        with self._blaming(batch):
            await self._commit(batch, items)
        self._pause.reset()

    @contextmanager
    def _blaming(self, batch: Batch) -> Iterator[None]:
        """Turns what is the fault of a record or of the batch's size into _Failed."""
        try:
            yield
        except Exception as error:
            if self._errors.is_fault(error):
                raise _Failed(batch, error) from error
            raise

    # ------------------------------------------------------------ what failed
    async def _mend(self, failed: _Failed) -> None:
        """Commit what can be committed of a batch that failed. Whatever comes of it, a rewind follows."""
        self._worked, self._too_large = [], 0
        if isinstance(failed.error, self._errors.busy) and len(failed.batch.records) > 1:
            await _wait(self._pause, failed.error)
            try:  # the whole once more: it may have lost a race, which says nothing of its size
                await self._commit_part(failed.batch, await self._pass(failed.batch))
                return
            except _Failed as again:
                failed = again
        await self._narrow(failed)

    async def _narrow(self, failed: _Failed) -> None:
        batch, error = failed.batch, failed.error
        if isinstance(error, self._errors.busy):
            self._too_large = len(batch.records)
        if len(batch.records) == 1:
            await self._insist(failed)
            return
        log.warning("a batch of %d failed, trying its halves: %s: %s", len(batch.records), type(error).__name__, error)
        for half in halve(batch):
            try:
                await self._commit_part(half, await self._pass(half))
                self._worked.append(len(half.records))
            except _Failed as narrower:
                await self._narrow(narrower)

    async def _insist(self, failed: _Failed) -> None:
        """Try one record again: once, or TRIES in all while the server is busy; then set it aside."""
        batch, pause, tries = failed.batch, Pause(FIRST_PAUSE_S, LONGEST_PAUSE_S), 1
        while tries < (TRIES if isinstance(failed.error, self._errors.busy) else 2):
            await _wait(pause, failed.error)
            tries += 1
            try:
                await self._commit_part(batch, await self._pass(batch))
                self._worked.append(1)
                return
            except _Failed as again:
                failed = again
        [record] = batch.records
        where = f"{record.topic}/{record.partition} at offset {record.offset}"
        log.error("set aside after %d tries, it can't be decided: %s", tries, where, exc_info=failed.error)
        with self._blaming(batch):
            await self._set_aside(batch, failed.error)
        self._pause.reset()

    async def _rewind(self) -> None:
        worked = None
        if self._too_large:  # the size in which the average record was committed
            squares = sum(size * size for size in self._worked)
            worked = squares // sum(self._worked) if self._worked else self._too_large // 2
            self._worked = []
        while True:
            try:
                await self._source.rewind(worked=worked)
                self._too_large = 0
                return
            except self._errors.away as error:
                await _wait(self._pause, error)


async def _wait(pause: Pause, error: Exception) -> None:
    log.warning("nothing committed, again in %.2f s: %s: %s", pause.next_s, type(error).__name__, error)
    await pause.take()


def halve(batch: Batch) -> tuple[Batch, Batch]:
    """A batch of several records as two, whose spans join: committed one after the other they are the batch."""
    middle = len(batch.records) // 2
    first, second = batch.records[:middle], batch.records[middle:]
    before = {(record.topic, record.partition) for record in first}
    cuts: dict[tuple[str, int], int] = {}
    for record in second:
        cuts.setdefault((record.topic, record.partition), record.offset)
    left, right = [], []
    for span in batch.spans:
        place = span.topic, span.partition
        cut = cuts.get(place, span.end) if place in before else span.start
        if place in before:
            left.append(replace(span, end=cut))
        if place in cuts:
            right.append(replace(span, start=cut))
    return replace(batch, records=first, spans=left), replace(batch, records=second, spans=right)


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
