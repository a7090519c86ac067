"""Decides what is announced: WAL messages → messages for the topics and counters for the projection. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct, field

from fillip.publish.aside import Aside
from fillip.publish.counters import CounterRow, CounterState
from fillip.publish.envelope import Position, WalPlace
from fillip.publish.live import RowCounter, Rows
from fillip.publish.murmur2 import choose_partition
from fillip.publish.pgoutput import (
    Begin,
    Commit,
    Decoder,
    Heartbeat,
    Relation,
    Row,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
    Truncate,
    split_streamed,
)  # fmt: skip
from fillip.publish.scribe import Message, Scribe, name_key
from fillip.publish.spool import Spool
from fillip.publish.touched import Touched, TouchReader

REPLAY_ROWS, REPLAY_BYTES = 2_000, 2 * 1024 * 1024
"""About what a piece of a streamed transaction has; in bytes at most one row more."""

_STREAM_STOP, _STREAM_COMMIT = b"E", b"c"

HEARTBEATS_APART_US = 100_000
"""Of two heartbeats that were committed closer to each other the second is left out, whoever wrote it."""

Wal: TypeAlias = tuple[int, bytes]
"""(LSN of a change, pgoutput message), or for a keepalive (LSN up to which everything has been sent, b"")."""

_OPS = {b"I": "c", b"U": "u", b"D": "d"}


class Done(Struct, frozen=True):
    """What earlier runs of the same epoch have produced: the newest position and the number of partitions, by topic."""

    newest: Mapping[tuple[str, int], Position]
    partitions: Mapping[str, int]


class WalPiece(Struct):
    """What a piece of WAL comes to. Once its messages are safe, everything up to `end_lsn` may be confirmed.

    `heartbeat` is the transaction of one that stands behind all of this. `committed_at_us` is of the oldest transaction
    with messages, `newest_us` of the newest of all, None where nothing is on its way. `decided` are the rows of decisions,
    incentives and reversals, see RowCounter; `touched` is for leaderboards. `asides` are the rows that could not be announced; a message on the
    topic for them stands for each.
    """

    messages: list[Message] = field(default_factory=list)
    counters: dict[CounterRow, CounterState] = field(default_factory=dict)
    decided: Rows = field(default_factory=dict)
    touched: Touched = field(default_factory=Touched)
    asides: list[Aside] = field(default_factory=list)
    end_lsn: int = 0
    committed_at_us: int = 0
    heartbeat: WalPlace | None = None
    newest_us: int | None = None

    def add(self, message: Message, place: WalPlace) -> None:
        """Add one more message."""
        self.committed_at_us = self.committed_at_us or place.begin.committed_at_us
        self.messages.append(message)


class Announcer:
    """Reads the WAL of one replication connection from the slot's position on.

    The same WAL always gives the same positions, whether a transaction comes as a whole or streamed before its commit; so
    whatever `done` shows as produced is left out. `spool` keeps what is not committed yet.
    """

    def __init__(self, scribe: Scribe, done: Done, spool: Spool) -> None:
        self._scribe = scribe
        self._done = done
        self._done_until = max(done.newest.values(), default=(0, 0))
        self._decoder, self._row_counter, self._touch_reader = Decoder(), RowCounter(), TouchReader()
        self._begin: Begin | None = None
        self._may_be_done = False
        self._index = 0
        self._beating, self._beat_at_us = False, 0
        self._spool, self._streamed = spool, 0
        self._piece = WalPiece()

    def read(self, wal: Sequence[Wal], now_us: int) -> Iterator[WalPiece]:
        """Take the next WAL, as pieces: one ends at each heartbeat, and in a streamed transaction after some thousand rows.

        `now_us` (since 1970) goes into the messages. Raises SpoolFull.
        """
        for lsn, data in wal:
            if self._streamed and data and data[:1] != _STREAM_STOP:
                sub_id, message = split_streamed(data)
                self._spool.add(tx_id=self._streamed, sub_id=sub_id, lsn=lsn, data=message)
            elif data[:1] == _STREAM_COMMIT:
                yield from self._replay(data, lsn, now_us)
            elif data[:1] in _OPS and self._begin is not None:
                self._take_row(data, WalPlace(self._begin, self._index, lsn, now_us), self._piece)
                continue
            else:
                self._take(lsn, data, now_us)
            if self._piece.heartbeat is not None:
                yield self._cut()
        yield self._cut()

    def _replay(self, data: bytes, lsn: int, now_us: int) -> Iterator[WalPiece]:
        """A streamed transaction is committed: as if all of it came now."""
        streamed = self._decoder.decode(data)
        if isinstance(streamed, StreamCommit):
            self._take_first(streamed.begin)
            size = 0
            for number, (at, message) in enumerate(self._spool.replay(streamed.begin.tx_id), 1):
                self._take(at, message, now_us)
                size += len(message)
                if number % REPLAY_ROWS == 0 or size > REPLAY_BYTES:
                    size = 0
                    yield self._cut()
            self._take_message(streamed.commit, WalPlace(streamed.begin, self._index, lsn, now_us), self._piece)

    def _cut(self) -> WalPiece:
        piece, self._piece = self._piece, WalPiece(newest_us=self._begin.committed_at_us if self._begin else None)
        return piece

    def _take(self, lsn: int, data: bytes, now_us: int) -> None:
        piece, begin = self._piece, self._begin
        if begin is None and not data:
            piece.end_lsn = max(piece.end_lsn, lsn)
        elif begin is not None and data[:1] in _OPS:
            self._take_row(data, WalPlace(begin, self._index, lsn, now_us), piece)
        elif data:
            message = self._decoder.decode(data)
            if begin is None:
                self._take_first(message)
            else:
                self._take_message(message, WalPlace(begin, self._index, lsn, now_us), piece)

    def _take_first(self, message: object) -> None:
        if isinstance(message, Begin):
            self._begin, self._index, self._beating = message, 0, False
            self._may_be_done = message.commit_lsn <= self._done_until[0]
            self._piece.newest_us = message.committed_at_us
        elif isinstance(message, StreamStart | StreamStop):
            self._streamed = message.tx_id if isinstance(message, StreamStart) else 0
        elif isinstance(message, StreamAbort):
            self._spool.abort(message.tx_id, message.sub_id)

    def _take_message(self, message: object, place: WalPlace, piece: WalPiece) -> None:
        if isinstance(message, Truncate):
            self._take_truncate(message, place, piece)
        elif isinstance(message, Relation):
            self._take_relation(message, place, piece)
        elif isinstance(message, Heartbeat):
            self._beating = True
        elif isinstance(message, Commit):
            if self._beating and self._is_due(place):
                piece.heartbeat, self._beat_at_us = place, place.begin.committed_at_us
            self._begin, piece.end_lsn = None, message.end_lsn

    def _is_due(self, place: WalPlace) -> bool:
        """Whether a heartbeat is to be told: not below what an earlier run has produced, since it can't tell up to where."""
        since_us = abs(place.begin.committed_at_us - self._beat_at_us)
        return place.position > self._done_until and since_us >= HEARTBEATS_APART_US

    def _take_row(self, data: bytes, place: WalPlace, piece: WalPiece) -> None:
        """Whatever is wrong with this row, the next one gets the next position."""
        self._index += 1
        row: Row | bytes = data
        message: Message | None
        try:
            table = self._scribe.find_table(self._decoder.find_relation(data))
            is_announced = _OPS[data[:1]] in table.ops
            if not is_announced and not self._touch_reader.wants(table.relation):
                return
            row = self._decoder.decode_row(data)
            self._touch_reader.read(row, place.begin.tx_id, piece.touched)
            if not is_announced:
                return
            if table.find_counter is not None and row.op != "d":
                if not row.complete:
                    raise ValueError("the write-ahead log does not carry the whole counter")
                counter, state = table.find_counter(row.values)
                piece.counters[counter] = state
            self._row_counter.count(row, place.begin.tx_id, piece.decided)
            topic = table.find_topic(row)
            if topic is None:
                return
            key = name_key(table.writer, row)
            if self._may_be_done and self._is_done(topic, self._choose(topic, key), place):
                return
            message = self._scribe.announce(row, topic, key, place)
        except Exception as error:  # noqa: BLE001 - foreseen or not: one row does not stop the others
            aside, message = self._scribe.set_aside(row, error, place)
            if self._is_done(message[0], self._choose(message[0], message[1]), place):
                return
            piece.asides.append(aside)
        piece.add(message, place)

    def _take_truncate(self, truncate: Truncate, place: WalPlace, piece: WalPiece) -> None:
        """Rows of a table lie in each partition of its topics, so each is told, between what came before and after."""
        for relation in truncate.relations:
            here = WalPlace(place.begin, self._index, place.lsn, place.now_us)
            self._index += 1
            for topic in self._scribe.find_table(relation).wholes:
                for number in range(self._done.partitions[topic]):
                    if not self._is_done(topic, number, here):
                        piece.add(self._scribe.announce_truncate(relation, topic, number, here), here)

    def _take_relation(self, relation: Relation, place: WalPlace, piece: WalPiece) -> None:
        """The server describes each table once a connection, and again when it was changed."""
        if self._scribe.find_table(relation).ops:
            piece.add(self._scribe.announce_schema(relation, place), place)

    def _choose(self, topic: str, key: bytes) -> int:
        return choose_partition(key, self._done.partitions[topic])

    def _is_done(self, topic: str, partition: int, place: WalPlace) -> bool:
        return place.position <= self._done.newest.get((topic, partition), (0, 0))
