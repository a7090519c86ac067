"""Decoder of PostgreSQL's logical replication messages, plugin pgoutput, protocol version 2 with streaming, values as text.

Source of the formats: PostgreSQL manual, "Logical Replication Message Formats".
"""

from enum import Enum
from struct import Struct as Layout
from typing import Literal, TypeAlias

from msgspec import Struct

from fillip.core.errors import Crash

EPOCH_OFFSET_US = 946_684_800_000_000
"""Microseconds from 1970 to 2000, where PostgreSQL's clock starts."""

_BEGIN = Layout(">QqI").unpack_from
_COMMIT = Layout(">BQQq").unpack_from
_IDS = Layout(">II").unpack_from
_ID = Layout(">I").unpack_from
_COUNT = Layout(">H").unpack_from
_COLUMN = Layout(">Ii").unpack_from
_TEXT, _NULL, _UNCHANGED = b"tnu"
_INSERT, _DELETE = b"ID"
_KEY, _NEW = b"KN"
_IN_A_TRANSACTION = 1
HEARTBEAT = "fillip.heartbeat"
"""The prefix of the logical messages that emit_heartbeat.sql writes."""


class UnreadableWal(Crash):
    """The server sent a message that was not asked for: it is newer than this program, or set up otherwise."""


class Unchanged(Enum):
    """Stands for a large value that an update left as it was: the WAL does not carry it."""

    UNCHANGED = "unchanged"


UNCHANGED: Literal[Unchanged.UNCHANGED] = Unchanged.UNCHANGED
Value: TypeAlias = bytes | Literal[Unchanged.UNCHANGED] | None


class Column(Struct, frozen=True):
    """Name and type (OID in pg_type) of one column; whether the old row of an update or delete has it."""

    name: str
    type_oid: int
    identifies: bool = False


class Relation(Struct, frozen=True):
    """A table as it is at this place of the WAL."""

    name: str
    columns: tuple[Column, ...]
    schema: str = "public"


class Begin(Struct, frozen=True):
    """A transaction's changes follow. `commit_lsn` rises from one transaction to the next."""

    commit_lsn: int
    committed_at_us: int
    tx_id: int


class Commit(Struct, frozen=True):
    """The transaction's changes are complete; `end_lsn` is what to confirm once they are safe elsewhere."""

    end_lsn: int


class Heartbeat(Struct, frozen=True):
    """The transaction that is being read is a heartbeat of publish."""


class Row(Struct, frozen=True):
    """A row after an insert (op `c`) or update (op `u`), before a delete (`d`), or of a snapshot (`r`); one value a column.

    A deleted row has no more than its replica identity: the other values are UNCHANGED. So has `before`, what an update
    found, where the WAL carries it: where the key was changed, or the replica identity is the full row. `complete`: it is
    known that no value is UNCHANGED.
    """

    relation: Relation
    op: Literal["c", "u", "d", "r"]
    values: list[Value]
    before: list[Value] | None = None
    complete: bool = False


class StreamStart(Struct, frozen=True):
    """Messages of a transaction follow that is not committed yet, each with the id of its part of the transaction."""

    tx_id: int


class StreamStop(Struct, frozen=True):
    """They end for now; those of other transactions may follow."""


class StreamAbort(Struct, frozen=True):
    """A transaction that was sent before, or one of its parts, was rolled back."""

    tx_id: int
    sub_id: int


class StreamCommit(Struct, frozen=True):
    """A transaction that was sent before is committed."""

    begin: Begin
    commit: Commit


class Truncate(Struct, frozen=True):
    """All rows of these tables were removed at once."""

    relations: tuple[Relation, ...]


Decoded: TypeAlias = (
    Begin | Commit | Heartbeat | Relation | Row | StreamAbort | StreamCommit | StreamStart | StreamStop | Truncate
)


class Decoder:
    """Keeps the relations that one replication connection has described."""

    def __init__(self) -> None:
        self._relations: dict[bytes, Relation] = {}

    def decode(self, data: bytes) -> Decoded | None:
        """One message; None for those that announce nothing. Raises UnreadableWal."""
        kind = data[:1]
        if kind in (b"I", b"U", b"D"):
            return self.decode_row(data)
        if kind == b"B":
            lsn, at_us, tx_id = _BEGIN(data, 1)
            return Begin(lsn, at_us + EPOCH_OFFSET_US, tx_id)
        if kind == b"C":
            return Commit(_COMMIT(data, 1)[2])
        if kind == b"R":
            relation = self._relations[data[1:5]] = _read_relation(data)
            return relation
        if kind == b"M":
            return _read_heartbeat(data)
        if kind == b"T":
            (count,) = _ID(data, 1)
            return Truncate(tuple(self._relations[data[at : at + 4]] for at in range(6, 6 + 4 * count, 4)))
        if kind in (b"S", b"E", b"A", b"c"):
            return _read_stream(kind, data)
        if kind not in (b"Y", b"O"):  # type, origin
            raise UnreadableWal(f"replication message {kind!r} is unknown: it was not asked for")
        return None

    def find_relation(self, data: bytes) -> Relation:
        """The table of the message of a row."""
        return self._relations[data[1:5]]

    def decode_row(self, data: bytes) -> Row:
        """The message of an insert, an update or a delete."""
        relation = self._relations[data[1:5]]
        values, at, complete = _read_values(data, 6)
        kind, part = data[0], data[5]
        if kind == _INSERT:
            return Row(relation, "c", values, None, complete)
        if part == _NEW:
            return Row(relation, "u", values, None, complete)
        old = values
        if part == _KEY:
            columns = zip(relation.columns, values, strict=True)
            old = [value if column.identifies else UNCHANGED for column, value in columns]
        if kind == _DELETE:
            return Row(relation, "d", old)
        # A large key value that stayed as it was is left out of the new row: the old key, sent before it, has it.
        pairs = zip(old, _read_values(data, at + 1)[0], strict=True)
        new = [was if now is UNCHANGED and was is not None else now for was, now in pairs]
        return Row(relation, "u", new, old, UNCHANGED not in new)


def _read_values(data: bytes, at: int) -> tuple[list[Value], int, bool]:
    """The values of a row that begins at `at`, where it ends, and whether none of them is UNCHANGED."""
    (count,) = _COUNT(data, at)
    at += 2
    values: list[Value] = []
    complete = True
    for _ in range(count):
        kind = data[at]
        if kind == _TEXT:
            start = at + 5
            at = start + _ID(data, at + 1)[0]
            values.append(data[start:at])
        else:
            values.append(None if kind == _NULL else UNCHANGED)
            complete = complete and kind == _NULL
            at += 1
    return values, at, complete


def _read_relation(data: bytes) -> Relation:
    schema, at = _read_name(data, 5)
    name, at = _read_name(data, at)
    (count,) = _COUNT(data, at + 1)  # behind the replica identity
    at += 3
    columns = []
    for _ in range(count):
        flags = data[at]
        column, at = _read_name(data, at + 1)
        columns.append(Column(column, _COLUMN(data, at)[0], bool(flags & 1)))
        at += 8
    return Relation(name, tuple(columns), schema)


def split_streamed(data: bytes) -> tuple[int, bytes]:
    """Of a message between StreamStart and StreamStop: its part of the transaction, and the message as it is elsewhere."""
    return _ID(data, 1)[0], data[:1] + data[5:]


def _read_stream(kind: bytes, data: bytes) -> StreamAbort | StreamCommit | StreamStart | StreamStop:
    if kind == b"S":
        return StreamStart(_ID(data, 1)[0])
    if kind == b"E":
        return StreamStop()
    if kind == b"A":
        return StreamAbort(*_IDS(data, 1))
    _, lsn, end_lsn, at_us = _COMMIT(data, 5)
    return StreamCommit(Begin(lsn, at_us + EPOCH_OFFSET_US, _ID(data, 1)[0]), Commit(end_lsn))


def _read_heartbeat(data: bytes) -> Heartbeat | None:
    prefix, _ = _read_name(data, 10)  # behind the flags and the LSN
    return Heartbeat() if prefix == HEARTBEAT and data[1] & _IN_A_TRANSACTION else None


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(), end + 1
