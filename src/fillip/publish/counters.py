"""Rows of limit_counter on their way to the projection: they stay as the WAL has them until they are written there. Pure.

Many rows of one counter come to one write, so only that one is read.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from operator import itemgetter
from typing import Any, TypeAlias

from fillip.core.limit import CounterKey
from fillip.publish.pgoutput import Relation

CounterRow: TypeAlias = tuple[bytes, bytes, bytes, bytes, bytes]
"""Names one counter: tenant, limit, user, key, window_start."""

CounterState: TypeAlias = tuple[bytes, bytes]
"""used, version."""


_NAME = ("tenant_id", "limit_id", "user_id", "key", "window_start")


def find_counter(relation: Relation) -> Callable[[Sequence[Any]], tuple[CounterRow, CounterState]] | None:
    """What finds name and state among the values of a row; None for any other table."""
    if relation.name != "limit_counter":
        return None
    names = [column.name for column in relation.columns]
    name, state = itemgetter(*map(names.index, _NAME)), itemgetter(*map(names.index, ("used", "version")))
    return lambda values: (name(values), state(values))


def read_counters(rows: Mapping[CounterRow, CounterState]) -> dict[CounterKey, tuple[int, int]]:
    """(used, version) by counter. A day that Python has no words for is left out: its announcement was set aside."""
    read = {}
    for (tenant_id, limit_id, user_id, key, day), (used, version) in rows.items():
        try:
            window_start = date.fromisoformat(day.decode())
        except ValueError:
            continue
        name = CounterKey(tenant_id.decode(), limit_id.decode(), user_id.decode(), key.decode(), window_start)
        read[name] = (int(used), int(version))
    return read
