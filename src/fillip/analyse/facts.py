"""From announcements to what is to be loaded: each once, a new snapshot in place of the old."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import Struct

from fillip.core.errors import Crash
from fillip.stream.belt import Record

Place = tuple[str, int]
"""(topic, partition)"""


class Position(Struct, frozen=True):
    """How far a partition is loaded: its next offset, and the newest announcement taken from it."""

    topic: str
    partition: int
    next_offset: int
    epoch: str = ""
    commit_lsn: int = -1
    index: int = -1
    committed_at_us: int = 0

    @property
    def committed_at(self) -> datetime:
        """When PostgreSQL committed the newest announcement taken."""
        return datetime.fromtimestamp(self.committed_at_us / 1e6, UTC)


class Load(Struct):
    """What one transaction has to do: forget `renewed`, add `rows` (partition, JSON message) by topic, move on."""

    renewed: set[Place] = msgspec.field(default_factory=set)
    rows: dict[str, list[tuple[int, bytes]]] = msgspec.field(default_factory=dict)
    positions: dict[Place, Position] = msgspec.field(default_factory=dict)
    seen_before: int = 0


class _Source(Struct, frozen=True):
    epoch: str
    commit_lsn: int
    index: int
    committed_at_us: int


class _Header(Struct, frozen=True):
    op: Literal["c", "u", "r"]
    source: _Source


_DECODER = msgspec.json.Decoder(_Header)


def sift(records: Sequence[Record], positions: Mapping[Place, Position]) -> Load:
    """The load that `records` (log order within each partition) make on top of what `positions` say is loaded.

    An announcement whose (commit LSN, index) is not above its partition's, in the same epoch, was loaded before. A new
    epoch that begins with a snapshot (op `r`) replaces what its partition held. Raises Crash when one can't be read.
    """
    load = Load()
    for record in records:
        place = record.topic, record.partition
        known = load.positions.get(place) or positions.get(place) or Position(*place, 0)
        header = _read_header(record)
        load.positions[place] = _take(load, record, header, known) if header else _skip(record, known)
    return load


def _take(load: Load, record: Record, header: _Header, known: Position) -> Position:
    source = header.source
    if source.epoch == known.epoch and (source.commit_lsn, source.index) <= (known.commit_lsn, known.index):
        load.seen_before += 1
        return _skip(record, known)
    rows = load.rows.setdefault(record.topic, [])
    if header.op == "r" and source.epoch != known.epoch:
        load.renewed.add((record.topic, record.partition))
        rows[:] = [row for row in rows if row[0] != record.partition]
    assert record.value is not None
    rows.append((record.partition, record.value))
    return Position(
        record.topic,
        record.partition,
        record.offset + 1,
        source.epoch,
        source.commit_lsn,
        source.index,
        source.committed_at_us,
    )


def _skip(record: Record, known: Position) -> Position:
    return msgspec.structs.replace(known, next_offset=record.offset + 1)


def _read_header(record: Record) -> _Header | None:
    if record.value is None:
        return None
    try:
        return _DECODER.decode(record.value)
    except msgspec.DecodeError as error:
        where = f"{record.topic}/{record.partition} at offset {record.offset}"
        raise Crash(f"announcement on {where} can't be read ({error}): is something else producing there?") from None
