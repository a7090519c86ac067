"""Writes announcements: the topic, the key and the form of what happens to rows and tables. Pure."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TypeAlias

from fillip.publish.aside import Aside, describe_aside, write_aside
from fillip.publish.connect import write_schema
from fillip.publish.counters import find_counter
from fillip.publish.envelope import NO_RELATION, SourceWriter, WalPlace, write_heartbeat, write_row, write_truncate
from fillip.publish.pgoutput import UNCHANGED, Relation, Row
from fillip.publish.routes import Routes
from fillip.publish.rows import RowWriter
from fillip.stream.topics import Topics

NO_TENANT = b"-"
"""Key of a rejection whose tenant is not known; no tenant can have this id."""

Message: TypeAlias = tuple[str, bytes, bytes] | tuple[str, None, bytes, int]
"""(topic, key, value), or (topic, None, value, partition) for what concerns a partition as a whole."""


class Scribe:
    """Writes the announcements of one epoch. Whatever is wrong with a row, it is the row that is set aside."""

    def __init__(self, source: SourceWriter, routes: Routes, topics: Topics) -> None:
        """`topics` has those that are not of a table."""
        self._source, self._routes, self._topics = source, routes, topics
        self._tables: dict[str, Table] = {}

    def find_table(self, relation: Relation) -> "Table":
        """What is known of a table as it now is."""
        table = self._tables.get(relation.name)
        if table is None or table.relation is not relation:
            table = self._tables[relation.name] = Table(relation, self._routes)
        return table

    def announce(self, row: Row, topic: str, key: bytes, place: WalPlace) -> Message:
        """The announcement of one row."""
        source = self._source.write(row.relation, place, row.op)
        return topic, key, write_row(self.find_table(row.relation).writer, row, source)

    def announce_truncate(self, relation: Relation, topic: str, number: int, place: WalPlace) -> Message:
        """That all rows of a table are gone, for one partition of its topic."""
        return topic, None, write_truncate(self._source.write(relation, place, "t")), number

    def announce_schema(self, relation: Relation, place: WalPlace) -> Message:
        """What the announcements of a table look like from here on."""
        source = self._source.write(relation, place, "")
        return self._topics.schemas, relation.name.encode(), write_schema(relation, source)

    def announce_heartbeat(self, next_offsets: Mapping[tuple[str, int], int], place: WalPlace) -> Message:
        """Below which offsets all stands that was committed before."""
        source = self._source.write(NO_RELATION, place, "m")
        return self._topics.heartbeat, None, write_heartbeat(next_offsets, source), 0

    def set_aside(self, row: Row | bytes, error: Exception, place: WalPlace) -> tuple[Aside, tuple[str, bytes, bytes]]:
        """What stands for the announcement of a row that can't be announced. Never raises."""
        aside = describe_aside(row, error, place.begin.commit_lsn)
        key, relation, op = NO_TENANT, NO_RELATION, ""
        if isinstance(row, Row):
            relation, op = row.relation, row.op
            with suppress(Exception):  # a row of which not even this can be told
                key = name_key(self.find_table(relation).writer, row)
        source = self._source.write(relation, place, op)
        return aside, (self._topics.unannounced, key, write_aside(row, aside, source))


class Table:
    """A table as it is at one place of the WAL."""

    def __init__(self, relation: Relation, routes: Routes) -> None:
        self.relation, self.writer = relation, RowWriter(relation)
        mine = {subject: topic for subject, topic in routes.items() if subject[0].partition("/")[0] == relation.name}
        self.ops = frozenset(op for _, op in mine)
        """What happens to its rows and is announced, of some at least."""
        self.find_counter = find_counter(relation)
        self._topics = {op: topic for (subject, op), topic in mine.items() if subject == relation.name}
        self._routes = mine
        self.wholes = sorted(set(mine.values()))
        """The topics with rows of it: each is told what happens to the table as a whole."""
        self._change_at = self.writer.positions.get("change") if relation.name == "incentive_change" else None

    def find_topic(self, row: Row) -> str | None:
        """The topic of what happens to a row; None where it has none."""
        if self._change_at is not None and isinstance(change := row.values[self._change_at], bytes):
            topic = self._routes.get((f"{self.relation.name}/{change.decode()}", row.op))
            if topic is not None:
                return topic
        return self._topics.get(row.op)


def name_key(writer: RowWriter, row: Row) -> bytes:
    """`tenant:user`, or the tenant alone for what belongs to no user, and for a deleted row that is known without its user.

    Raises ValueError where the WAL lacks one.
    """
    tenant = row.values[writer.positions["tenant_id"]]
    user = None if writer.user_at is None else row.values[writer.user_at]
    if (
        not row.complete and row.op != "d" and (tenant is UNCHANGED or user is UNCHANGED)
    ):  # never of one whose replica identity holds both
        raise ValueError("the write-ahead log does not carry the row's tenant or user")
    key = tenant if isinstance(tenant, bytes) else NO_TENANT
    return b"%b:%b" % (key, user) if isinstance(user, bytes) else key
