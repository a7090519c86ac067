"""Quest instances in PostgreSQL, inside the ledger's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncpg
from msgspec import json

from fillip.core.instance import Contribution, Instance, StepState
from fillip.core.questing import InstanceKey, QuestKey, Wanted

_SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
_STEPS = json.Decoder(tuple[StepState, ...])
_PLAIN = tuple(name for name in Instance.__struct_fields__ if name not in ("key", "steps", "start"))


class PostgresQuests:
    """Locks and writes the instances of a batch."""

    def __init__(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
        """`connection` is inside the ledger's transaction."""
        self._connection = connection

    async def lock(self, wanted: Wanted) -> dict[QuestKey, list[Instance]]:
        """See LedgerTransaction.lock_instances."""
        quests = [(*quest, earliest) for quest, earliest in wanted.quests.items()]
        keys = [(*quest, key) for quest, key in wanted.keys]
        rows = await self._connection.fetch(_SQL["lock_instances"], *_columns(quests, 4), *_columns(keys, 4))
        found: dict[QuestKey, dict[tuple[str, int], Instance]] = {}
        for row in rows:
            place = (row["instance_key"], row["occurrence"])
            found.setdefault((row["tenant_id"], row["campaign_id"], row["user_id"]), {})[place] = read_instance(row)
        return {quest: list(instances.values()) for quest, instances in found.items()}

    async def write(
        self, instances: Mapping[InstanceKey, Instance], met: Sequence[tuple[InstanceKey, Contribution]]
    ) -> None:
        """Store the instances as they are now, and the contributions."""
        if not instances and not met:
            return
        moved = [_write(place, instance) for place, instance in instances.items()]
        given = [(*place, c.step, c.event_id, c.amount, c.day) for place, c in met]
        await self._connection.execute(_SQL["write_instances"], *_columns(moved, 14), *_columns(given, 9))


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]


def read_instance(row: asyncpg.Record) -> Instance:
    """An instance from a row of quest_instance, its JSON as text."""
    start = row["start_attributes"]
    return Instance(
        key=row["instance_key"],
        steps=_STEPS.decode(row["steps"]),
        start=start and json.decode(start),
        **{name: row[name] for name in _PLAIN},
    )


def _write(place: InstanceKey, instance: Instance) -> tuple[Any, ...]:
    plain = (getattr(instance, name) for name in _PLAIN if name != "occurrence")
    start = None if instance.start is None else json.encode(instance.start).decode()
    return (*place, *plain, json.encode(instance.steps).decode(), start)
