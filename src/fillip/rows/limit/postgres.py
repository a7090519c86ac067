"""Counters of limits in PostgreSQL: what a decision reads and locks, and an explanation reads."""

from collections.abc import Collection
from operator import itemgetter
from pathlib import Path

from fillip.core.limit import Counter, CounterKey
from fillip.rows.columns import list_columns
from fillip.rows.connection import Connection

SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
_KEY = itemgetter(*CounterKey.__struct_fields__)


async def read_counters(connection: Connection, keys: Collection[CounterKey]) -> dict[CounterKey, Counter]:
    """Counters as they stand, without a lock; a missing one is at 0."""
    return await _fetch(connection, "read_counters", keys)


async def lock_counters(connection: Connection, keys: Collection[CounterKey]) -> dict[CounterKey, Counter]:
    """Counters, locked in the order of their keys; a missing one is at 0."""
    return await _fetch(connection, "lock_counters", keys)


async def _fetch(connection: Connection, name: str, keys: Collection[CounterKey]) -> dict[CounterKey, Counter]:
    found = {key: Counter(0, 0) for key in keys}
    for row in await connection.fetch(SQL[name], *list_columns(CounterKey, found)):
        found[CounterKey(*_KEY(row))] = Counter(row["used"], row["version"])
    return found
