"""From announcements to the rows of a load."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fillip.analyse.clickhouse.fact_row import Announced, FactRow, Told
from fillip.analyse.clickhouse.once import (
    BookChange,
    Decision,
    Drawn,
    Grant,
    LevelChange,
    Rejection,
    Reversal,
    Transfer,
)
from fillip.analyse.clickhouse.standing import Ack, Announcement, Claim, Counter, Instance
from fillip.analyse.facts import Aside, Load, describe_aside
from fillip.stream.belt import Record
from fillip.stream.topics import Topics

KINDS = (
    "decision",
    "reversal",
    "rejection",
    "transfer",
    "drawn",
    "grant",
    "limit",
    "zone",
    "ack",
    "quest",
    "counter",
    "use",
    "level",
)
"""Of rows that a snapshot replaces. It brings claims with the grants."""
STANDING = frozenset({"claim", "ack", "quest", "counter"})


class _Source(Struct, frozen=True):
    committed_at_us: int


class _Message(Struct, frozen=True):
    op: str
    source: _Source
    after: msgspec.Raw


_MESSAGES = msgspec.json.Decoder(_Message)


class Writer:
    """What a topic brings: rows of these `kinds` go when a snapshot begins."""

    def __init__(self, shape: type[Announced], *kinds: str) -> None:
        """Rows of the ledger are of this shape."""
        self.kinds = kinds
        self._rows = msgspec.json.Decoder[Announced](shape)

    def write(self, record: Record) -> tuple[FactRow | None, Told]:
        """The row that a record tells of, if any. Raises what is the matter with it."""
        message = _MESSAGES.decode(record.value or b"")
        told = Told(message.op, message.source.committed_at_us)
        return self._rows.decode(message.after).write(told), told


Writers = Mapping[str, Writer]


def list_writers(topics: Topics) -> Writers:
    """By topic."""
    return {
        topics.decided: Writer(Decision, "decision"),
        topics.reversed: Writer(Reversal, "reversal"),
        topics.rejected: Writer(Rejection, "rejection"),
        topics.moved: Writer(Transfer, "transfer"),
        topics.drawn: Writer(Drawn, "drawn"),
        topics.generated: Writer(Grant, "grant"),
        topics.changed: Writer(BookChange, "limit", "zone"),
        topics.incentives: Writer(Claim),
        topics.acked: Writer(Ack, "ack"),
        topics.progressed: Writer(Instance, "quest"),
        topics.used: Writer(Counter, "counter", "use"),
        topics.levels: Writer(LevelChange, "level"),
    }


class Written(Struct):
    """What a load brings: rows that stay as they are, announcements of rows that stand, and what can't be loaded."""

    once: list[tuple[FactRow, int]] = []
    standing: list[Announcement] = []
    asides: list[Aside] = []


def write_rows(load: Load, writers: Writers) -> Written:
    """Read its records; the order of each partition is kept."""
    written = Written()
    for topic in filter(writers.__contains__, load.rows):
        for record in load.rows[topic]:
            try:
                row, told = writers[topic].write(record)
            except Exception as error:  # noqa: BLE001 - foreseen or not: one record does not keep the others out
                written.asides.append(describe_aside(record, error))
                continue
            if row is not None and row.kind in STANDING:
                written.standing.append((row, told, record))
            elif row is not None:
                written.once.append((row, record.partition))
    return written


def number_rows(
    load: Load,
    number: int,
    since: Mapping[str, Sequence[int]],
    once: Sequence[tuple[FactRow, int]],
    standing: Mapping[UUID, tuple[FactRow, int]],
) -> Iterator[FactRow]:
    """The rows of load `number`, with its marks. `since`: as it stands after the load."""
    for place, (row, partition) in enumerate(once):
        own: dict[str, Any] = {"load": number, "number": place, "partition": partition}
        yield replace(row, id=UUID(int=number << 32 | place), **own)
    for row, partition in standing.values():
        snapshot = max(since.get(row.kind, ()), default=0)
        yield replace(row, load=number, version=snapshot << 64 | (row.revision or number), partition=partition)
    for mark in load.marks.values():
        yield FactRow(kind="mark", tenant_id=mark.tenant_id, version=mark.committed_at_us)
