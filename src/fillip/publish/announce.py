"""Decides what is announced: WAL messages → messages for the topics and counters for the projection. Pure."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from typing import Literal, TypeAlias

from msgspec import Struct, field, json

from fillip.core.limit import CounterKey
from fillip.publish.aside import Aside, describe_aside, write_aside
from fillip.publish.murmur2 import choose_partition
from fillip.publish.pgoutput import UNCHANGED, Begin, Commit, Decoder, Heartbeat, Relation, Row, Truncate, Value
from fillip.publish.routes import Routes
from fillip.publish.rows import RowWriter

MAX_MESSAGE_BYTES = 900_000
"""Kafka's limit is 1 MB by default; a message over ours goes without its largest columns, which `omitted` names."""

HEARTBEATS_APART_US = 100_000
"""Of two heartbeats that were committed closer to each other the second is left out, whoever wrote it."""

NO_TENANT = b"-"
"""Key of a rejection whose tenant is not known; no tenant can have this id."""

Position: TypeAlias = tuple[int, int]
"""(commit LSN, index in the commit): rises along the WAL."""

Wal: TypeAlias = tuple[int, bytes]
"""(0, pgoutput message), or for a keepalive (LSN up to which everything has been sent, b"")."""

Message: TypeAlias = tuple[str, bytes, bytes] | tuple[str, None, bytes, int]
"""(topic, key, value), or (topic, None, value, partition) for what concerns each partition of a topic."""

Counters: TypeAlias = dict[CounterKey, tuple[int, int]]
"""(used, version) by counter."""


_OPS: dict[int, Literal["c", "u", "d"]] = {b"I"[0]: "c", b"U"[0]: "u", b"D"[0]: "d"}


class Done(Struct, frozen=True):
    """What earlier runs of the same epoch have produced: the newest position and the number of partitions, by topic."""

    newest: Mapping[tuple[str, int], Position]
    partitions: Mapping[str, int]


class WalPiece(Struct):
    """What a piece of WAL comes to. Once its messages are safe, everything up to `end_lsn` may be confirmed.

    `heartbeat` is the transaction of one that stands behind all of this. `committed_at_us` is of the oldest transaction
    with messages. `asides` are the rows that could not be announced; a message on the
    topic for them stands for each.
    """

    messages: list[Message] = field(default_factory=list)
    counters: Counters = field(default_factory=dict)
    asides: list[Aside] = field(default_factory=list)
    end_lsn: int = 0
    committed_at_us: int = 0
    heartbeat: Begin | None = None


class Scribe:
    """Writes the announcements of one epoch. Whatever is wrong with a row, it is the row that is set aside."""

    def __init__(self, epoch: str, routes: Routes, unannounced: str) -> None:
        """`unannounced` is the topic of rows that can't be announced."""
        self._routed = {(subject.partition("/")[0], op) for subject, op in routes}
        self._epoch = epoch
        self._routes = routes
        self._unannounced = unannounced
        self._writers: dict[str, RowWriter] = {}

    def is_routed(self, table: str, op: str) -> bool:
        """Whether some rows of a table are announced at all when this happens to them."""
        return (table, op) in self._routed

    def find_topic(self, table: str, op: str) -> str | None:
        """The topic of what happens to a table as a whole."""
        return self._routes.get((table, op))

    def find_place(self, row: Row) -> tuple[str, bytes] | None:
        """The topic and the key of a row's announcement; None where it has none."""
        writer = self._find_writer(row.relation)
        topic = self._routes.get((name_subject(writer, row.values), row.op))
        return (topic, name_key(writer, row)) if topic else None

    def announce(self, row: Row, topic: str, position: Position, begin: Begin, now_us: int) -> Message:
        """The announcement of one row on its topic."""
        writer = self._find_writer(row.relation)
        source = write_source(row.relation.name, self._epoch, position, begin, now_us)
        return topic, name_key(writer, row), write_value(writer, row, source)

    def announce_truncate(
        self, table: str, topic: str, number: int, position: Position, begin: Begin, now_us: int
    ) -> Message:
        """That all rows of a table are gone, for one partition of its topic."""
        source = write_source(table, self._epoch, position, begin, now_us)
        return topic, None, b'{"op":"t","before":null,"after":null,%b}' % source, number

    def set_aside(
        self, row: Row | bytes, error: Exception, position: Position, begin: Begin, now_us: int
    ) -> tuple[Aside, tuple[str, bytes, bytes]]:
        """What stands for the announcement of a row that can't be announced. Never raises."""
        aside = describe_aside(row, error, position[0])
        key = NO_TENANT
        with suppress(Exception):  # a row of which not even this can be told
            key = name_key(self._find_writer(row.relation), row) if isinstance(row, Row) else NO_TENANT
        source = write_source(aside.table, self._epoch, position, begin, now_us)
        return aside, (self._unannounced, key, write_aside(row, aside, source))

    def _find_writer(self, relation: Relation) -> RowWriter:
        writer = self._writers.get(relation.name)
        if writer is None or writer.relation is not relation:
            writer = self._writers[relation.name] = RowWriter(relation)
        return writer


class Announcer:
    """Reads the WAL of one replication connection from the slot's position on.

    The same WAL always gives the same positions, so whatever `done` shows as produced is left out.
    """

    def __init__(self, scribe: Scribe, done: Done) -> None:
        self._scribe = scribe
        self._done = done
        self._done_until = max(done.newest.values(), default=(0, 0))
        self._decoder = Decoder()
        self._begin: Begin | None = None
        self._index = 0
        self._beating, self._beat_at_us = False, 0

    def read(self, wal: Sequence[Wal], now_us: int) -> list[WalPiece]:
        """Take the next piece of WAL, which ends at each heartbeat; transactions may span pieces.

        `now_us` (since 1970) goes into the messages.
        """
        pieces = [WalPiece()]
        for sent_lsn, data in wal:
            piece = pieces[-1]
            if data[:1] in (b"I", b"U", b"D") and self._begin is not None:
                self._take_row(data, self._begin, piece, now_us)
            elif data:
                message = self._decoder.decode(data)
                if isinstance(message, Truncate) and self._begin is not None:
                    self._take_truncate(message, self._begin, piece, now_us)
                else:
                    self._take_bound(message, piece)
            elif self._begin is None:
                piece.end_lsn = max(piece.end_lsn, sent_lsn)
            if piece.heartbeat is not None:
                pieces.append(WalPiece())
        return pieces

    def _take_bound(self, message: object, piece: WalPiece) -> None:
        if isinstance(message, Begin):
            self._begin, self._index, self._beating = message, 0, False
        elif isinstance(message, Heartbeat):
            self._beating = True
        elif isinstance(message, Commit):
            if self._begin is not None and self._is_beat(self._begin):
                piece.heartbeat, self._beat_at_us = self._begin, self._begin.committed_at_us
            self._begin, piece.end_lsn = None, message.end_lsn

    def _is_beat(self, begin: Begin) -> bool:
        """Whether a heartbeat is to be told: not below what an earlier run has produced, since it can't tell up to where."""
        since_us = abs(begin.committed_at_us - self._beat_at_us)
        return self._beating and (begin.commit_lsn, 0) > self._done_until and since_us >= HEARTBEATS_APART_US

    def _take_row(self, data: bytes, begin: Begin, piece: WalPiece, now_us: int) -> None:
        """Whatever is wrong with this row, the next one gets the next position."""
        position = (begin.commit_lsn, self._index)
        self._index += 1
        row: Row | bytes = data
        try:
            if not self._scribe.is_routed(self._decoder.find_relation(data).name, _OPS[data[0]]):
                return
            row = self._decoder.decode_row(data)
            message = self._write(row, position, begin, piece, now_us)
        except Exception as error:  # noqa: BLE001 - foreseen or not: one row does not stop the others
            aside, message = self._scribe.set_aside(row, error, position, begin, now_us)
            if self._is_done(message[0], self._choose(message[0], message[1]), position):
                return
            piece.asides.append(aside)
        if message is not None:
            piece.committed_at_us = piece.committed_at_us or begin.committed_at_us
            piece.messages.append(message)

    def _write(self, row: Row, position: Position, begin: Begin, piece: WalPiece, now_us: int) -> Message | None:
        if row.relation.name == "limit_counter" and row.op != "d":
            counter, state = read_counter(row)
            piece.counters[counter] = state
        place = self._scribe.find_place(row)
        if place is None:
            return None
        topic, key = place
        if position <= self._done_until and self._is_done(topic, self._choose(topic, key), position):
            return None
        return self._scribe.announce(row, topic, position, begin, now_us)

    def _take_truncate(self, truncate: Truncate, begin: Begin, piece: WalPiece, now_us: int) -> None:
        """Rows of a table lie in each partition of its topic, so each is told, between what came before and after."""
        for relation in truncate.relations:
            position = (begin.commit_lsn, self._index)
            self._index += 1
            topic = self._scribe.find_topic(relation.name, "t")
            if topic is None:
                continue
            piece.committed_at_us = piece.committed_at_us or begin.committed_at_us
            piece.messages += [
                self._scribe.announce_truncate(relation.name, topic, number, position, begin, now_us)
                for number in range(self._done.partitions[topic])
                if not self._is_done(topic, number, position)
            ]

    def _choose(self, topic: str, key: bytes) -> int:
        return choose_partition(key, self._done.partitions[topic])

    def _is_done(self, topic: str, partition: int, position: Position) -> bool:
        return position <= self._done.newest.get((topic, partition), (0, 0))


def read_counter(row: Row) -> tuple[CounterKey, tuple[int, int]]:
    """Key and (used, version) of a row of limit_counter."""
    named = {
        column.name: value.decode()
        for column, value in zip(row.relation.columns, row.values, strict=True)
        if isinstance(value, bytes)
    }
    window_start = date.fromisoformat(named["window_start"])
    key = CounterKey(named["tenant_id"], named["limit_id"], named["user_id"], named["key"], window_start)
    return key, (int(named["used"]), int(named["version"]))


def name_key(writer: RowWriter, row: Row) -> bytes:
    """`tenant:user`, or the tenant alone for what belongs to no user, and for a deleted row that is known without its user.

    Raises ValueError where the WAL lacks one.
    """
    tenant = row.values[writer.positions["tenant_id"]]
    user_at = writer.positions.get("user_id")
    user = None if user_at is None else row.values[user_at]
    if row.op != "d" and (tenant is UNCHANGED or user is UNCHANGED):  # never of one whose replica identity holds both
        raise ValueError("the write-ahead log does not carry the row's tenant or user")
    key = tenant if isinstance(tenant, bytes) else NO_TENANT
    return b"%b:%b" % (key, user) if isinstance(user, bytes) else key


def name_subject(writer: RowWriter, values: Sequence[Value]) -> str:
    """What a row is about, for the routes: its table, and for a change of an incentive which kind, where that is known."""
    table = writer.relation.name
    if table != "incentive_change":
        return table
    change = values[writer.positions["change"]]
    return f"{table}/{change.decode()}" if isinstance(change, bytes) else table


def write_source(table: str, epoch: str, position: Position, begin: Begin, now_us: int) -> bytes:
    """Where an announcement comes from, as a member of its JSON object."""
    return (
        f'"source":{{"epoch":"{epoch}","commit_lsn":{position[0]},"index":{position[1]},"tx_id":{begin.tx_id},'
        f'"table":"{table}","committed_at_us":{begin.committed_at_us},"published_at_us":{now_us}}}'
    ).encode()


def write_heartbeat(epoch: str, begin: Begin, next_offsets: Mapping[tuple[str, int], int], now_us: int) -> bytes:
    """All that was committed before `begin`, and nothing that came after it, stands below these offsets."""
    by_topic: dict[str, dict[str, int]] = {}
    for (topic, number), offset in sorted(next_offsets.items()):
        by_topic.setdefault(topic, {})[str(number)] = offset
    source = write_source("", epoch, (begin.commit_lsn, 0), begin, now_us)
    return b'{"op":"m","after":{"next_offsets":%b},%b}' % (json.encode(by_topic), source)


def write_value(writer: RowWriter, row: Row, source: bytes) -> bytes:
    """The announcement of one row. `omitted` names what an update left as it was and the WAL therefore does not carry,
    and the largest columns of a message that would be too large.
    """
    columns, kept = row.relation.columns, list(row.values)
    left_out = [columns[at].name for at, value in enumerate(kept) if value is UNCHANGED] if row.op == "u" else []
    value = _join(row.op, writer.write(kept), left_out, source)
    while len(value) > MAX_MESSAGE_BYTES:
        sizes = [len(value) if isinstance(value, bytes) else 0 for value in kept]
        large = sizes.index(max(sizes))
        kept[large] = UNCHANGED
        left_out.append(columns[large].name)
        value = _join(row.op, writer.write(kept), left_out, source)
    return value


def _join(op: str, row: bytes, omitted: list[str], source: bytes) -> bytes:
    named = b',"omitted":%b' % json.encode(omitted) if omitted else b""
    states = b'"before":%b,"after":null' if op == "d" else b'"after":%b'
    return b'{"op":"%b",%b%b,%b}' % (op.encode(), states % row, named, source)
