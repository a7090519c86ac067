"""The announcements of a snapshot: that all is told anew, then each row as it was."""

import time
from collections.abc import Iterator, Sequence

from fillip.publish.aside import tell_asides
from fillip.publish.envelope import WalPlace
from fillip.publish.pgoutput import Begin, Relation, Row
from fillip.publish.postgres import ANNOUNCED
from fillip.publish.routes import Routes
from fillip.publish.scribe import Message, Scribe, name_key
from fillip.stream.topics import Partition

FIRST_INDEX = len(ANNOUNCED)
"""Of rows: the indexes before are those of `list_marks`."""


def list_marks(scribe: Scribe, routes: Routes, partitions: Sequence[Partition], lsn: int) -> Iterator[Message]:
    """That all rows of each table are gone, for each partition: what a reader keeps that the snapshot lacks was deleted."""
    for index, table in enumerate(ANNOUNCED):
        topics = {topic for (subject, op), topic in routes.items() if op == "r" and subject.partition("/")[0] == table}
        place = _place(lsn, index)
        for topic, number in partitions:
            if topic in topics:
                yield scribe.announce_truncate(Relation(table, ()), topic, number, place)


def write_snapshot(scribe: Scribe, rows: Sequence[Row], lsn: int, index: int, *, described: bool) -> list[Message]:
    """The announcements of rows of a table as they were at `lsn`, the first of them being number `index` of the snapshot.

    The table's schema comes before them unless it is `described` already.
    """
    messages, asides = list[Message](), []
    if not described:
        messages.append(scribe.announce_schema(rows[0].relation, _place(lsn, index)))
    place = _place(lsn, index)
    for number, row in enumerate(rows, index):
        here = WalPlace(place.begin, number, lsn, place.now_us)
        try:
            table = scribe.find_table(row.relation)
            topic = table.find_topic(row)
            if topic is None:
                raise LookupError("there is no topic for it")
            messages.append(scribe.announce(row, topic, name_key(table.writer, row), here))
        except Exception as error:  # noqa: BLE001 - foreseen or not: one row does not stop the others
            aside, message = scribe.set_aside(row, error, here)
            asides.append(aside)
            messages.append(message)
    tell_asides(asides)
    return messages


def _place(lsn: int, index: int) -> WalPlace:
    """Below all that the slot sends: its first commit may begin at `lsn` itself."""
    now_us = time.time_ns() // 1000
    return WalPlace(Begin(lsn - 1, now_us, 0), index, lsn, now_us)
