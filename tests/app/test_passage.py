"""What a worker has under way: known batch by batch, so that a change can wait for it or forbid it."""

import asyncio

import pytest

from fillip.app.passage import Passage
from fillip.stream.belt import Position
from fillip.stream.memory import MemoryLog, MemorySource


class Beginnings:
    """Positions of a log that nobody has read."""

    async def claim(self, topic: str, partition: int, first_offset: int, topic_id: str) -> Position:
        return Position(first_offset, 0, topic_id)


@pytest.fixture
def memory_log() -> MemoryLog:
    """Three events, to be taken one by one."""
    made = MemoryLog("t")
    for value in (b"a", b"b", b"c"):
        made.append(0, value)
    return made


@pytest.fixture
def passage(memory_log: MemoryLog) -> Passage:
    """A passage of batches of one."""
    return Passage(MemorySource(memory_log, Beginnings(), max_records=1))


async def is_done(task: asyncio.Task[None]) -> bool:
    """Whether it has ended, once all that could run has run."""
    for _ in range(5):
        await asyncio.sleep(0)
    return task.done()


async def test_draining_waits_for_what_was_taken_and_for_nothing_later(passage: Passage):
    first, second = await anext(passage), await anext(passage)
    draining = asyncio.create_task(passage.drain())
    await passage.committed(first)
    assert not await is_done(draining)
    third = await anext(passage)
    await passage.committed(second)
    assert await is_done(draining)
    await passage.committed(third)
    await passage.drain()


async def test_what_is_dropped_is_not_waited_for(passage: Passage):
    await anext(passage)
    draining = asyncio.create_task(passage.drain())
    assert not await is_done(draining)
    await passage.rewind()
    assert await is_done(draining)


async def test_what_was_under_way_is_spoiled_and_what_is_taken_anew_is_not(passage: Passage):
    first = await anext(passage)
    passage.spoil()
    second = await anext(passage)
    assert passage.is_spoiled
    await passage.committed(first)
    assert not passage.is_spoiled
    passage.spoil()
    await passage.rewind()
    assert (await anext(passage)).spans == first.spans
    assert not passage.is_spoiled
    assert second is not None
