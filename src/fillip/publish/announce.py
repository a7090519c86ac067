"""Decides what is announced: WAL messages → messages for the topics and counters for the projection. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TypeAlias

from msgspec import Struct, field, json

from fillip.core.limit import CounterKey
from fillip.publish.murmur2 import choose_partition
from fillip.publish.pgoutput import UNCHANGED, Begin, Commit, Decoder, Relation, Row, Value
from fillip.publish.rows import RowWriter

MAX_MESSAGE_BYTES = 900_000
"""Kafka's limit is 1 MB by default; a message over ours goes without its largest columns, which `omitted` names."""

NO_TENANT = b"-"
"""Key of a rejection whose tenant is not known; no tenant can have this id."""

Position: TypeAlias = tuple[int, int]
"""(commit LSN, index in the commit): rises along the WAL."""

Wal: TypeAlias = tuple[int, bytes]
"""(0, pgoutput message), or for a keepalive (LSN up to which everything has been sent, b"")."""

Message: TypeAlias = tuple[str, bytes, bytes]
"""(topic, key, value)."""

Counters: TypeAlias = dict[CounterKey, tuple[int, int]]
"""(used, version) by counter."""


class Done(Struct, frozen=True):
    """What earlier runs of the same epoch have produced: the newest position and the number of partitions, by topic."""

    newest: Mapping[tuple[str, int], Position]
    partitions: Mapping[str, int]


class Harvest(Struct):
    """What a piece of WAL comes to. Once its messages are safe, everything up to `end_lsn` may be confirmed.

    `committed_at_us` is of its oldest transaction.
    """

    messages: list[Message] = field(default_factory=list)
    counters: Counters = field(default_factory=dict)
    end_lsn: int = 0
    committed_at_us: int = 0


class Announcer:
    """Reads the WAL of one replication connection from the slot's position on.

    `routes` gives the topic of (subject, op), see `name_subject`; what is not in it has none. The same WAL always gives the same positions,
    so whatever `done` shows as produced is left out.
    """

    def __init__(self, epoch: str, routes: Mapping[tuple[str, str], str], done: Done) -> None:
        self._epoch = epoch
        self._routes = routes
        self._done = done
        self._done_until = max(done.newest.values(), default=(0, 0))
        self._decoder = Decoder()
        self._writers: dict[str, RowWriter] = {}
        self._begin: Begin | None = None
        self._index = 0

    def read(self, wal: Sequence[Wal], now_us: int) -> Harvest:
        """Take the next piece of WAL; transactions may span pieces. `now_us` (since 1970) goes into the messages."""
        harvest = Harvest()
        for sent_lsn, data in wal:
            message = self._decoder.decode(data) if data else None
            if isinstance(message, Row):
                self._take_row(message, harvest, now_us)
            elif isinstance(message, Begin):
                self._begin, self._index = message, 0
            elif isinstance(message, Commit):
                self._begin, harvest.end_lsn = None, message.end_lsn
            elif not data and self._begin is None:
                harvest.end_lsn = max(harvest.end_lsn, sent_lsn)
        return harvest

    def _take_row(self, row: Row, harvest: Harvest, now_us: int) -> None:
        if row.relation.name == "limit_counter":
            key, state = read_counter(row)
            harvest.counters[key] = state
        writer = self._find_writer(row.relation)
        topic = self._routes.get((name_subject(writer, row.values), row.op))
        if topic is None or self._begin is None:
            return
        position = (self._begin.commit_lsn, self._index)
        self._index += 1
        if position <= self._done_until and self._is_done(topic, name_key(writer, row.values), position):
            return
        harvest.committed_at_us = harvest.committed_at_us or self._begin.committed_at_us
        harvest.messages.append((topic, *write_message(writer, row, self._epoch, position, self._begin, now_us)))

    def _is_done(self, topic: str, key: bytes, position: Position) -> bool:
        partition = choose_partition(key, self._done.partitions[topic])
        return position <= self._done.newest.get((topic, partition), (0, 0))

    def _find_writer(self, relation: Relation) -> RowWriter:
        writer = self._writers.get(relation.name)
        if writer is None or writer.relation is not relation:
            writer = self._writers[relation.name] = RowWriter(relation)
        return writer


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


def name_key(writer: RowWriter, values: Sequence[Value]) -> bytes:
    """`tenant:user`, or the tenant alone for what belongs to no user."""
    tenant = values[writer.positions["tenant_id"]]
    user_at = writer.positions.get("user_id")
    user = None if user_at is None else values[user_at]
    key = tenant if isinstance(tenant, bytes) else NO_TENANT
    return b"%b:%b" % (key, user) if isinstance(user, bytes) else key


def name_subject(writer: RowWriter, values: Sequence[Value]) -> str:
    """What a row is about, for the routes: its table, and for a change of an incentive which one."""
    table = writer.relation.name
    if table != "incentive_change":
        return table
    change = values[writer.positions["change"]]
    return f"{table}/{change.decode()}" if isinstance(change, bytes) else table


def write_message(
    writer: RowWriter, row: Row, epoch: str, position: Position, begin: Begin, now_us: int, op: str | None = None
) -> tuple[bytes, bytes]:
    """(key, value): the announcement of one row; `op` overrides the row's own (`r` in a snapshot)."""
    head = f'{{"op":"{op or row.op}","after":'.encode()
    source = (
        f'"source":{{"epoch":"{epoch}","commit_lsn":{position[0]},"index":{position[1]},"tx_id":{begin.tx_id},'
        f'"table":"{row.relation.name}","committed_at_us":{begin.committed_at_us},"published_at_us":{now_us}}}'
    ).encode()
    value = b"%b%b,%b}" % (head, writer.write(row.values), source)
    if len(value) > MAX_MESSAGE_BYTES:
        value = _shorten(writer, row, head, source)
    return name_key(writer, row.values), value


def _shorten(writer: RowWriter, row: Row, head: bytes, source: bytes) -> bytes:
    """The message without its largest columns."""
    kept, omitted, value = list(row.values), [], b""
    while not value or len(value) > MAX_MESSAGE_BYTES:
        large = max(range(len(kept)), key=lambda index: _measure(kept[index]))
        kept[large] = UNCHANGED
        omitted.append(row.relation.columns[large].name)
        value = b'%b%b,"omitted":%b,%b}' % (head, writer.write(kept), json.encode(omitted), source)
    return value


def _measure(value: Value) -> int:
    return len(value) if isinstance(value, bytes) else 0
