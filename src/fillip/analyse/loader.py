"""The loop that keeps the facts up to date: announcements in batches, one transaction each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import structlog
from prometheus_client import Counter, Histogram

from fillip.analyse.event import add_events
from fillip.analyse.facts import sift
from fillip.analyse.report import Bay
from fillip.core.errors import Crash, Retry
from fillip.stream.belt import Record, StreamError
from fillip.stream.pause import Pause
from fillip.stream.topics import Partition

GATHER_S = 1.0
"""Most of a small load is spent on its statements, not on its rows."""
MAX_RECORDS = 5_000
WAITING_LISTS = 1
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
LOADED = Counter("fillip_analyse_records_total", "Announcements taken from the topics", ["outcome"])
SET_ASIDE = Counter(
    "fillip_analyse_set_aside_total",
    "Announcements that could not be loaded, by topic: an alarm at the first",
    ["topic"],
)
TOLD_AT_ONCE = 5
LOAD_S = Histogram("fillip_analyse_load_seconds", "Duration of one load")
log = structlog.get_logger()

Tail = AsyncIterator[Sequence[Record]]
OpenTail = Callable[[Mapping[Partition, int]], AbstractAsyncContextManager[Tail]]
"""Opens the tail of decisions and rejections at the given next offsets, other partitions at their beginning."""


async def keep_loading(bay: Bay, open_tail: OpenTail, received: str) -> None:
    """Load until cancelled. Whatever fails in between, each announcement counts once: positions are in the facts' file.

    `received` is the topic of events; the others hold announcements. What arrives within a second is one load. What can't be
    loaded is set aside, in the file too. Where a topic does not hold what comes next, loading goes on with what it does hold.
    Raises Crash when the file can't be used.
    """
    pause = Pause(FIRST_PAUSE_S, LONGEST_PAUSE_S)
    while True:
        try:
            offsets = {place: position.next_offset for place, position in (await bay.read_positions()).items()}
            async with open_tail(offsets) as tail:
                async for records in _gather(tail):
                    await _load_facts(bay, records, received)
                    pause.reset()
        except Crash:
            raise
        except Exception as error:
            told = None if isinstance(error, Retry | StreamError) else error
            log.warning("loading stopped, will go on from the stored offsets", error=str(error), exc_info=told)
        await pause.take()


async def _load_facts(bay: Bay, records: Sequence[Record], received: str) -> None:
    positions = await bay.read_positions()
    load = sift([record for record in records if record.topic != received], positions)
    await add_events(load, [record for record in records if record.topic == received], positions)
    with LOAD_S.time():
        await bay.load(load)
    for aside in load.asides:
        SET_ASIDE.labels(aside.topic).inc()
    for aside in load.asides[:TOLD_AT_ONCE]:
        place = {"topic": aside.topic, "partition": aside.partition, "offset": aside.record_offset}
        log.error("announcement set aside, see table set_aside", error=aside.error, **place)
    LOADED.labels("seen_before").inc(load.seen_before)
    LOADED.labels("loaded").inc(sum(map(len, load.rows.values())))


async def _gather(tail: Tail) -> AsyncIterator[list[Record]]:
    """What arrives within GATHER_S, about MAX_RECORDS at most: a small load costs nearly as much as a large one."""
    waiting: asyncio.Queue[Sequence[Record] | None] = asyncio.Queue(WAITING_LISTS)
    reading = asyncio.create_task(_fill(tail, waiting))
    try:
        while (first := await waiting.get()) is not None:
            records = list(first)
            until = asyncio.get_running_loop().time() + GATHER_S
            while len(records) < MAX_RECORDS and (more := await _next_before(waiting, until)):
                records += more
            yield records
        await reading  # raises what ended it
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _fill(tail: Tail, waiting: "asyncio.Queue[Sequence[Record] | None]") -> None:
    try:
        async for records in tail:
            await waiting.put(records)
    except Exception:
        await waiting.put(None)
        raise
    await waiting.put(None)


async def _next_before(waiting: "asyncio.Queue[Sequence[Record] | None]", until: float) -> Sequence[Record] | None:
    try:
        async with asyncio.timeout_at(until):
            more = await waiting.get()
    except TimeoutError:
        return None
    if more is None:
        waiting.put_nowait(None)  # the end is for the next turn
    return more
