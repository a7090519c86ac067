"""The form of an announcement: Debezium's envelope (`before`, `after`, `source`, `op`, `ts_ms`), with our names beside its own. Pure.

Of the envelope: https://debezium.io/documentation/reference/stable/connectors/postgresql.html, "Change event values".
"""

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct, json

from fillip import __version__
from fillip.publish.pgoutput import UNCHANGED, Begin, Relation, Row
from fillip.publish.rows import RowWriter

MAX_MESSAGE_BYTES = 900_000
"""Kafka's limit is 1 MB by default; a message over ours goes without its largest columns, which `omitted` names."""

Position: TypeAlias = tuple[int, int]
"""(commit LSN, index in the commit): rises along the WAL."""

NO_RELATION = Relation("", ())


class WalPlace(Struct, frozen=True):
    """Where in the WAL a change stands: its transaction, its number in it, its own LSN. `now_us` is when it was read."""

    begin: Begin
    index: int
    lsn: int
    now_us: int

    @property
    def position(self) -> Position:
        """What orders all changes."""
        return self.begin.commit_lsn, self.index


class SourceWriter:
    """Writes where announcements come from, as a member of their JSON object, and when they were written."""

    def __init__(self, epoch: str, database: str) -> None:
        name = json.encode(database).decode()
        self._server = f'"version":"{__version__}","connector":"fillip","name":"fillip","db":{name},"epoch":"{epoch}"'
        self._of: tuple[Relation, Begin, int, str] = (NO_RELATION, Begin(0, 0, 0), -1, "")
        self._form = b""

    def write(self, relation: Relation, place: WalPlace, op: str) -> bytes:
        """Debezium's fields, and ours: `epoch`, `commit_lsn`, `index`, `tx_id`, `committed_at_us`, `published_at_us`."""
        of = self._of
        if of[0] is not relation or of[1] is not place.begin or of[2] != place.now_us or of[3] != op:
            self._of = (relation, place.begin, place.now_us, op)
            self._form = self._write_form(relation, place, op)
        return self._form % (place.lsn, place.index)

    def _write_form(self, relation: Relation, place: WalPlace, op: str) -> bytes:
        """All that many rows have in common, with room for the LSN and the index."""
        begin, now_us = place.begin, place.now_us
        first = f'"source":{{{self._server},"schema":"{relation.schema}","table":"{relation.name}","lsn":'
        second = f',"commit_lsn":{begin.commit_lsn},"index":'
        last = (
            f',"txId":{begin.tx_id},"tx_id":{begin.tx_id},"ts_ms":{begin.committed_at_us // 1000},'
            f'"committed_at_us":{begin.committed_at_us},"published_at_us":{now_us},'
            f'"snapshot":"{"true" if op == "r" else "false"}"}},"ts_ms":{now_us // 1000}'
        )
        return b"%d".join(part.replace("%", "%%").encode() for part in (first, second, last))


def write_row(writer: RowWriter, row: Row, source: bytes) -> bytes:
    """The announcement of one row. `omitted` names what an update left as it was and the WAL therefore does not carry,
    and the largest columns of a message that would be too large; then it goes without the state before an update too.
    """
    columns, kept, before = row.relation.columns, row.values, row.before
    left_out = []
    if row.op == "u" and not row.complete:
        left_out = [column.name for column, value in zip(columns, kept, strict=True) if value is UNCHANGED]
    message = _join(row.op, None if before is None else writer.write(before), writer.write_row(row), left_out, source)
    kept = list(kept)
    while len(message) > MAX_MESSAGE_BYTES:
        if before is None:
            sizes = [len(value) if isinstance(value, bytes) else 0 for value in kept]
            large = sizes.index(max(sizes))
            kept[large] = UNCHANGED
            left_out.append(columns[large].name)
        before = None
        message = _join(row.op, None, writer.write(kept), left_out, source)
    return message


def write_truncate(source: bytes) -> bytes:
    """The announcement that all rows of a table are gone."""
    return b'{"op":"t","before":null,"after":null,%b}' % source


def write_heartbeat(next_offsets: Mapping[tuple[str, int], int], source: bytes) -> bytes:
    """All that was committed before the place of `source`, and nothing that came after it, stands below these offsets."""
    by_topic: dict[str, dict[str, int]] = {}
    for (topic, number), offset in sorted(next_offsets.items()):
        by_topic.setdefault(topic, {})[str(number)] = offset
    return b'{"op":"m","before":null,"after":{"next_offsets":%b},%b}' % (json.encode(by_topic), source)


def _join(op: str, before: bytes | None, row: bytes, omitted: list[str], source: bytes) -> bytes:
    named = b',"omitted":%b' % json.encode(omitted) if omitted else b""
    states = (row, b"null") if op == "d" else (before or b"null", row)
    return b'{"op":"%b","before":%b,"after":%b%b,%b}' % (op.encode(), *states, named, source)
