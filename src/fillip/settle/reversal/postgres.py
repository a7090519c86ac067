"""Reversals in PostgreSQL, inside the transaction of settle."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from uuid import UUID

import asyncpg
from msgspec import json

from fillip.core.incentive import identify_incentive
from fillip.core.instance import Contribution
from fillip.core.limit import Counter, CounterKey, Use
from fillip.core.quest import Quest
from fillip.core.questing import InstanceKey
from fillip.core.reversal import Grant, Held, Past, Reverse, Rule
from fillip.core.undoing import Going, Undone
from fillip.core.wallet import Taking
from fillip.settle.quest.postgres import PostgresQuests, read_instance
from fillip.settle.reversal.stage import Asked, EventKey, Original, Reversed
from fillip.settle.wallet import PostgresWallets

SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
_orders = json.Decoder(Reverse)
_uses = json.Decoder(list[Use])
_quests = json.Decoder(Quest)
_PLACE = (*InstanceKey._fields[:3], "instance_key", "occurrence")


class PostgresReversals:
    """Reversals."""

    def __init__(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
        """`connection` is inside a transaction."""
        self._connection = connection

    async def meet_originals(self, asked: Sequence[Asked]) -> Mapping[EventKey, Original]:
        """See Reversals."""
        first = {each.original: each for each in reversed(asked)}
        await self._connection.execute(
            SQL["await_originals"], *_columns([_write_awaited(first[k]) for k in sorted(first)], 8)
        )
        rows = await self._fetch("lock_originals", sorted(first))
        return {(tenant, event): Original(user, action) for tenant, event, user, action in rows}

    async def find_waiting(self, originals: Collection[EventKey]) -> Sequence[Asked]:
        """See Reversals."""
        return [
            Asked(
                row["tenant_id"],
                row["reversal_id"],
                row["user_id"],
                _orders.decode(row["request"]),
                row["occurred_at"],
                row["received_at"],
            )
            for row in await self._fetch("find_reversals", originals, "waiting")
        ]

    async def read_past(self, originals: Collection[EventKey]) -> Mapping[EventKey, Past]:
        """See Reversals."""
        past: dict[EventKey, Past] = {}
        for row in await self._fetch("find_reversals", originals, "applied"):
            key, order = (row["tenant_id"], row["event_id"]), _orders.decode(row["request"])
            before = past.get(key, Past())
            share = Fraction(1) if order.share is None else before.share + order.share
            past[key] = Past(share, before.lines | order.line_names)
        return past

    async def lock_goings(self, originals: Sequence[tuple[str, str, str]]) -> dict[InstanceKey, Going]:
        """See Reversals."""
        rows = await self._connection.fetch(SQL["lock_goings"], *_columns(originals, 3))
        if not rows:
            return {}
        places = [InstanceKey(*(row[name] for name in _PLACE)) for row in rows]
        given: dict[InstanceKey, list[Contribution]] = {place: [] for place in places}
        for row in await self._connection.fetch(SQL["read_contributions"], *_columns(places, 5)):
            contribution = Contribution(*(row[name] for name in Contribution.__struct_fields__))
            given[InstanceKey(*(row[name] for name in _PLACE))].append(contribution)
        return {
            place: Going(_quests.decode(row["quest"]), read_instance(row), tuple(given[place]))
            for place, row in zip(places, rows, strict=True)
        }

    async def find_grants(self, originals: Collection[EventKey]) -> Mapping[EventKey, Sequence[Grant]]:
        """See Reversals."""
        rows = await self._fetch("find_grants", originals)
        held = await self._lock_incentives(rows)
        grants: dict[EventKey, list[Grant]] = {}
        for row in rows:
            incentives = held.get((row["tenant_id"], row["decision_id"]), [])
            grants.setdefault((row["tenant_id"], row["event_id"]), []).append(_read_grant(row, incentives))
        return grants

    async def share_rules(self, limits: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], Rule]:
        """See Reversals."""
        rows = await self._fetch("share_rules", limits)
        return {(tenant, limit): Rule(*rule) for tenant, limit, *rule in rows}

    async def take_points(self, takings: Sequence[Taking], at: datetime) -> Mapping[UUID, int]:
        """See Reversals."""
        answers = await PostgresWallets(self._connection).take_back(takings, at)
        return {incentive_id: answer.short for incentive_id, answer in answers.items() if answer.short}

    async def write(self, reversed_: Sequence[Reversed], counters: Mapping[CounterKey, tuple[Counter, int]]) -> None:
        """See Reversals."""
        noted = [_write_reversal(each) for each in reversed_]
        taken = [row for each in reversed_ for row in _write_taken(each)]
        moved = [_write_counter(key, *to) for key, to in counters.items()]
        columns = (*_columns(noted, 12), *_columns(taken, 4), *_columns(moved, 8))
        await self._connection.execute(SQL["write_reversals"], *columns)
        if undone := [u for each in reversed_ for u in each.undone]:
            await PostgresQuests(self._connection).write({u.place: u.instance for u in undone}, ())
            lowered = [(*u.place, each.step, each.event_id, each.reversed) for u in undone for each in u.lowered]
            await self._connection.execute(SQL["lower_contributions"], *_columns(lowered, 8))
        if told := [row for each in reversed_ for row in _write_told(each)]:
            await self._connection.execute(SQL["tell_reversed"], *_columns(told, 5))

    async def _lock_incentives(self, rows: Sequence[asyncpg.Record]) -> dict[tuple[str, UUID], list[Held]]:
        ids = sorted(
            (row["tenant_id"], identify_incentive(row["decision_id"], index))
            for row in rows
            for index in range(row["rewards"])
        )
        held: dict[tuple[str, UUID], list[Held]] = {}
        for row in await self._fetch("lock_incentives", ids) if ids else ():
            each = Held(*(row[name] for name in Held.__struct_fields__))
            held.setdefault((row["tenant_id"], row["decision_id"]), []).append(each)
        return held

    async def _fetch(self, name: str, keys: Collection[tuple[object, ...]], *more: object) -> list[asyncpg.Record]:
        return await self._connection.fetch(SQL[name], *_columns(keys, 2), *more)


def _columns(rows: Iterable[tuple[object, ...]], width: int) -> list[list[object]]:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]


def _read_grant(row: asyncpg.Record, incentives: Sequence[Held]) -> Grant:
    return Grant(
        row["decision_id"],
        row["campaign_id"],
        row["user_id"],
        row["instance"],
        row["give_back"],
        _uses.decode(row["limits"]),
        incentives,
    )


def _write_awaited(asked: Asked) -> tuple[object, ...]:
    when = (asked.occurred_at, asked.received_at)
    return (*asked.original, asked.user_id, "", *when, asked.partition, asked.offset)


def _write_reversal(done: Reversed) -> tuple[object, ...]:
    asked = done.asked
    return (
        asked.tenant_id,
        asked.reversal_id,
        asked.order.event_id,
        asked.user_id,
        json.encode(asked.order).decode(),
        done.state,
        done.reason,
        json.encode([taken for _, taken in done.taken]).decode(),
        json.encode(done.given).decode(),
        json.encode([_describe(undone) for undone in done.undone]).decode(),
        asked.occurred_at,
        asked.received_at,
    )


def _describe(undone: Undone) -> dict[str, object]:
    name, state = undone.instance.name, undone.instance.state
    taken = [{"step": step, "amount": amount} for step, amount in undone.taken.items()]
    quest = {"campaign_id": undone.place.campaign_id, "instance": name}
    return quest | {"was": undone.was, "state": state, "taken": taken}


def _write_taken(done: Reversed) -> Iterable[tuple[object, ...]]:
    for _, taken in done.taken:
        state = "reversed" if taken.whole else taken.was
        yield done.asked.tenant_id, taken.incentive_id, taken.value, state


def _write_told(done: Reversed) -> Iterable[tuple[object, ...]]:
    asked = done.asked
    for _, taken in done.taken:
        if taken.was != "expired":  # of its end the user was told before
            yield asked.tenant_id, taken.incentive_id, taken.value, asked.order.reason, asked.reversal_id


def _write_counter(key: CounterKey, counter: Counter, cap: int) -> tuple[object, ...]:
    name = (key.tenant_id, key.limit_id, key.user_id, key.key, key.window_start)
    return (*name, counter.used, counter.version, cap)
