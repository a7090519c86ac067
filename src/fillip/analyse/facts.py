"""From announcements to what is to be loaded: each once, a new snapshot in place of the old."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from fillip.stream.belt import Record
from fillip.stream.topics import Partition


class Position(Struct, frozen=True):
    """How far a partition is loaded: its next offset, and the newest announcement taken from it."""

    topic: str
    partition: int
    next_offset: int
    epoch: str = ""
    commit_lsn: int = -1
    index: int = -1


class Mark(Struct, frozen=True):
    """The newest announcement of one tenant that was taken."""

    tenant_id: str
    committed_at_us: int

    @property
    def committed_at(self) -> datetime:
        """When PostgreSQL committed it."""
        return datetime.fromtimestamp(self.committed_at_us / 1e6, UTC)


MAX_VALUE_BYTES = 10_000
UNKNOWN_STEPS = "its steps stand in an announcement that is not known"


class Aside(Struct, frozen=True):
    """A record that can't be loaded, and why; of its `value` the first MAX_VALUE_BYTES."""

    topic: str
    partition: int
    record_offset: int
    error: str
    value: bytes


class Load(Struct):
    """What one transaction has to do: forget `renewed`, add `rows` by topic, keep what can't be loaded, move on.

    `marks` are the newest of each tenant in it, by tenant.
    """

    renewed: set[Partition] = msgspec.field(default_factory=set)
    rows: dict[str, list[Record]] = msgspec.field(default_factory=dict)
    asides: list[Aside] = msgspec.field(default_factory=list)
    positions: dict[Partition, Position] = msgspec.field(default_factory=dict)
    marks: dict[str, Mark] = msgspec.field(default_factory=dict)
    seen_before: int = 0


_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Microseconds = Annotated[int, Meta(ge=0, le=253_402_300_799_999_999)]  # to the end of the year 9999


class _Source(Struct, frozen=True):
    epoch: str
    commit_lsn: _Count
    index: _Count
    table: str
    committed_at_us: _Microseconds


class _After(Struct, frozen=True):
    tenant_id: str | None = None


class _Header(Struct, frozen=True):
    op: Literal["c", "u", "d", "t", "r"]
    source: _Source
    after: _After | None = None


_LOADED = ("c", "r", "t")
"""What facts are made of, or emptied by; decisions, rejections and reversals are neither changed nor removed."""
_STANDING = frozenset({"quest_instance", "incentive", "inbox", "limit_counter"})
"""Tables whose facts are their rows as they stand: of these what is updated is loaded too."""

_DECODER = msgspec.json.Decoder(_Header)


def sift(records: Sequence[Record], positions: Mapping[Partition, Position]) -> Load:
    """The load that `records` (log order within each partition) make on top of what `positions` say is loaded.

    An announcement whose (commit LSN, index) is not above its partition's, in the same epoch, was loaded before. That all
    rows are gone (op `t`), with which a snapshot begins too, empties its partition. One that can't be read is set aside.
    """
    load = Load()
    for record in records:
        place = record.topic, record.partition
        known = load.positions.get(place) or positions.get(place) or Position(*place, 0)
        try:
            header = _DECODER.decode(record.value) if record.value is not None else None
            load.positions[place] = _take(load, record, header, known) if header else _skip(record, known)
        except Exception as error:  # noqa: BLE001 - foreseen or not: one record does not keep the others out
            load.asides.append(describe_aside(record, error))
            load.positions[place] = _skip(record, known)
    return load


def describe_aside(record: Record, error: Exception) -> Aside:
    """What is kept of a record that can't be loaded. Never raises."""
    said = f"{type(error).__name__}: {error}"[:1_000]
    return Aside(record.topic, record.partition, record.offset, said, (record.value or b"")[:MAX_VALUE_BYTES])


def _take(load: Load, record: Record, header: _Header, known: Position) -> Position:
    source = header.source
    is_loaded = header.op in _LOADED or (header.op == "u" and source.table in _STANDING)
    if not is_loaded or (header.after is None and header.op != "t"):
        return _skip(record, known)
    if source.epoch == known.epoch and (source.commit_lsn, source.index) <= (known.commit_lsn, known.index):
        load.seen_before += 1
        return _skip(record, known)
    rows = load.rows.setdefault(record.topic, [])
    if header.op == "t":
        load.renewed.add((record.topic, record.partition))
        rows[:] = [row for row in rows if row.partition != record.partition]
    else:
        rows.append(record)
    tenant_id = header.after.tenant_id if header.after else None  # of a rejection it may be unknown
    newest = load.marks.get(tenant_id) if tenant_id else None
    if tenant_id and (newest is None or newest.committed_at_us < source.committed_at_us):
        load.marks[tenant_id] = Mark(tenant_id, source.committed_at_us)
    taken = _skip(record, known)
    return replace(taken, epoch=source.epoch, commit_lsn=source.commit_lsn, index=source.index)


def _skip(record: Record, known: Position) -> Position:
    return replace(known, next_offset=record.offset + 1)
