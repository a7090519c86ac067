"""The belt's memory twin: a log in a list, under the same contract as Kafka. For tests and trials of a walk."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from fillip.stream.belt import Batch, Positions, Record, Span
from fillip.stream.size import Size


class MemoryLog:
    """One topic's partitions. Lives in one loop."""

    def __init__(self, topic: str, partitions: int = 1) -> None:
        self.topic = topic
        self.partitions: list[list[Record]] = [[] for _ in range(partitions)]
        self.members: list[MemorySource] = []

    def append(self, partition: int, value: bytes | None, key: bytes | None = None, at_ms: int | None = None) -> Record:
        """Put a message at the end of a partition; `at_ms` (Unix) is when, None is now."""
        log = self.partitions[partition]
        record = Record(self.topic, partition, len(log), value, key, at_ms or time.time_ns() // 1_000_000)
        log.append(record)
        for member in self.members:
            member.woken.set()
        return record

    def deal(self) -> None:
        """Spread the partitions over the members, as a group's coordinator would."""
        for index, member in enumerate(self.members):
            member.own({p for p in range(len(self.partitions)) if p % len(self.members) == index})


class MemorySource:
    """A member of the one group that reads a MemoryLog. See Source."""

    def __init__(self, log: MemoryLog, positions: Positions, *, max_records: int = 5_000) -> None:
        self.woken = asyncio.Event()
        self._log = log
        self._positions = positions
        self._size = Size(max_records)
        self._starts: dict[int, int] = {}
        self._generations: dict[int, int] = {}
        self._unclaimed: set[int] = set()
        self._closed = False
        log.members.append(self)
        log.deal()

    def own(self, partitions: set[int]) -> None:
        """Hold exactly these partitions from now on."""
        self._unclaimed = partitions - self._starts.keys()
        self._starts = {p: start for p, start in self._starts.items() if p in partitions}
        self.woken.set()

    def __aiter__(self) -> "MemorySource":
        """Itself."""
        return self

    async def __anext__(self) -> Batch:
        """See Source."""
        while not self._closed:
            self.woken.clear()
            self._starts |= await self._claim(self._unclaimed)
            self._unclaimed = self._unclaimed - self._starts.keys()
            if batch := self._assemble():
                return batch
            await self.woken.wait()
        raise StopAsyncIteration

    async def rewind(self, *, worked: int | None = None) -> None:
        """See Source."""
        self._starts |= await self._claim(set(self._starts))
        if worked is not None:
            self._size.fail(worked)

    async def committed(self, batch: Batch) -> None:
        """See Source."""
        self._size.commit(len(batch.records))

    async def close(self) -> None:
        """See Source."""
        self._closed = True
        self._log.members.remove(self)
        self._log.deal()
        self.woken.set()

    async def _claim(self, partitions: set[int]) -> Mapping[int, int]:
        claimed = {p: await self._positions.claim(self._log.topic, p, 0, "") for p in sorted(partitions)}
        self._generations |= {p: position.generation for p, position in claimed.items()}
        return {p: at.next_offset for p, at in claimed.items() if p in self._starts or p in self._unclaimed}

    def _assemble(self) -> Batch | None:
        records: list[Record] = []
        spans = []
        for partition, start in self._starts.items():
            part = self._log.partitions[partition][start : start + self._size.now - len(records)]
            if part:
                records += part
                spans.append(Span(self._log.topic, partition, start, part[-1].offset + 1, self._generations[partition]))
        self._starts |= {span.partition: span.end for span in spans}
        return Batch(records, spans, datetime.now(UTC)) if spans else None
