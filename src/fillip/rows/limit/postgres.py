"""Counters of limits in PostgreSQL: what a decision reads and locks, and an explanation reads."""

from collections.abc import Collection, MutableMapping
from operator import itemgetter
from pathlib import Path

from msgspec.structs import astuple, replace

from fillip.core.limit import Counter, CounterKey, Frame
from fillip.core.rolling import Parts
from fillip.core.tenant import LIFETIME
from fillip.rows.columns import list_columns, to_columns
from fillip.rows.connection import Connection

SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
_KEY = itemgetter(*CounterKey.__struct_fields__)


async def read_counters(connection: Connection, keys: Collection[CounterKey]) -> dict[CounterKey, Counter]:
    """Counters as they stand, without a lock; a missing one is at 0."""
    return await _fetch(connection, "read_counters", keys)


async def lock_counters(connection: Connection, keys: Collection[CounterKey]) -> dict[CounterKey, Counter]:
    """Counters, locked in the order of their keys; a missing one is at 0."""
    return await _fetch(connection, "lock_counters", keys)


async def read_parts(connection: Connection, frames: Collection[Frame]) -> dict[CounterKey, dict[int, int]]:
    """What is used in the parts of these frames, by counter and number of the part; nothing of those without any."""
    asked = [(*astuple(each.counter), each.first, each.last) for each in sorted(frames)]
    found: dict[CounterKey, dict[int, int]] = {}
    for row in await connection.fetch(SQL["read_parts"], *to_columns(asked, 7)):
        key = CounterKey(row["tenant_id"], row["limit_id"], row["user_id"], row["key"], LIFETIME)
        found.setdefault(key, {})[row["part"]] = row["used"]
    return found


async def know_parts(
    connection: Connection, counters: MutableMapping[CounterKey, Counter], frames: Collection[Frame]
) -> None:
    """Take note of what these counters, which are by rolling windows, have used when."""
    for key, used in (await read_parts(connection, frames)).items():
        counters[key] = replace(counters[key], parts=Parts(used))


async def _fetch(connection: Connection, name: str, keys: Collection[CounterKey]) -> dict[CounterKey, Counter]:
    found = {key: Counter(0, 0) for key in keys}
    for row in await connection.fetch(SQL[name], *list_columns(CounterKey, found)):
        found[CounterKey(*_KEY(row))] = Counter(row["used"], row["version"])
    return found
