"""Quest instances in PostgreSQL, inside the ledger's transaction."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
from msgspec import json

from fillip.core.errors import Retry
from fillip.core.quest.batch import InstanceKey, InstancesToLock, QuestKey
from fillip.core.quest.instance import MAX_OPEN, Contribution, Instance
from fillip.rows.columns import to_columns
from fillip.rows.quest.postgres import PLAIN, read_instance

WRITTEN_AT_ONCE = 2_000  # rows; some 20 ms of encoding

_SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
_PLACE = ("tenant_id", "campaign_id", "user_id", "instance_key", "occurrence")
_WRITTEN = tuple(name for name in PLAIN if name != "occurrence")
INSTANCE_ROW = (*_PLACE, *_WRITTEN, "steps", "start_attributes", "fresh")
CONTRIBUTION_ROW = (*_PLACE, "step", "event_key", "amount", "day", "value")


class PostgresQuests:
    """Locks and writes the instances of a batch."""

    def __init__(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
        """`connection` is inside the ledger's transaction."""
        self._connection = connection

    async def lock(self, wanted: InstancesToLock) -> dict[QuestKey, list[Instance]]:
        """The instances that may matter, by quest, locked in the order of their keys."""
        routes = [(*quest, route) for quest, route in wanted.routes]
        keys = [(*quest, key) for quest, key in wanted.keys]
        spans = [(*quest, span.first, span.last) for quest, span in wanted.quests.items()]
        columns = (*to_columns(wanted.whole, 3), *to_columns(routes, 4), *to_columns(keys, 4), *to_columns(spans, 5))
        found: dict[QuestKey, list[Instance]] = {}
        for row in await self._connection.fetch(_SQL["lock_instances"], *columns):
            quest = (row["tenant_id"], row["campaign_id"], row["user_id"])
            found.setdefault(quest, []).append(read_instance(row))
        return found

    async def count_open(self, quests: Mapping[QuestKey, datetime]) -> dict[QuestKey, int]:
        """How many instances of each are open that end no earlier than the instant given, at most MAX_OPEN; no lock."""
        pending = to_columns([(*quest, first) for quest, first in quests.items()], 4)
        rows = await self._connection.fetch(_SQL["count_open"], *pending, MAX_OPEN)
        return {(tenant, campaign, user): count for tenant, campaign, user, count in rows}

    async def write(
        self,
        instances: Mapping[InstanceKey, Instance],
        met: Sequence[tuple[InstanceKey, Contribution]],
        fresh: Collection[InstanceKey] = (),
    ) -> None:
        """Store the instances as they are now, and the contributions; `fresh` are those that were missing under the lock.

        Raises Retry when another writer made one of them meanwhile.
        """
        moved = [(*_write(place, instance), place in fresh) for place, instance in instances.items()]
        given = [(*place, *(getattr(each, name) for name in CONTRIBUTION_ROW[5:])) for place, each in met]
        for start in range(0, max(len(moved), len(given)), WRITTEN_AT_ONCE):
            end = start + WRITTEN_AT_ONCE
            await self._write(moved[start:end], given[start:end])

    async def _write(self, moved: Sequence[tuple[Any, ...]], given: Sequence[tuple[Any, ...]]) -> None:
        columns = (*to_columns(moved, len(INSTANCE_ROW)), *to_columns(given, len(CONTRIBUTION_ROW)))
        written = await self._connection.fetchval(_SQL["write_instances"], *columns)
        if written != len(moved):
            raise Retry("another writer made a quest instance of this batch first")


def _write(place: InstanceKey, instance: Instance) -> tuple[Any, ...]:
    plain = (getattr(instance, name) for name in _WRITTEN)
    start = None if instance.start is None else json.encode(instance.start).decode()
    return (*place, *plain, json.encode(instance.steps).decode(), start)
