"""Answers read in PostgreSQL, as role fillip_worker, over a connection of their own."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from time import monotonic
from typing import TypeAlias
from uuid import UUID

import asyncpg
from msgspec import Raw, Struct, convert, json
from msgspec.structs import replace

from fillip.core.campaign.reward_kind import KINDS
from fillip.core.errors import Retry
from fillip.core.identity import name_instance
from fillip.core.ledger.decision import identify_incentive
from fillip.core.ledger.points import identify_grant
from fillip.core.limit import has_start
from fillip.ingest.answer.answer import (
    BalanceTold,
    DecisionTold,
    EventAnswer,
    IncentiveTold,
    QuestTold,
    RejectionTold,
    ReversalTold,
    RewardTold,
    StepTold,
    UseTold,
)
from fillip.ingest.answer.receipt import Receipt, point_at, point_at_story
from fillip.ingest.answer.wait import End, Ends
from fillip.rows.columns import to_columns
from fillip.rows.transient_postgres import TRANSIENT_ERRORS

MOST_DECISIONS, MOST_ROWS, MOST_INSTANCES = 100, 1_000, 100
"""Decisions told of an event; rows read at once, of all events together; quest instances told of an event."""
PLANS_FOR_S = 1.0
"""A plan of a table that was empty may walk over all of a tenant's rows: none is kept for long."""

SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
_Incentives: TypeAlias = Mapping[UUID, Sequence[IncentiveTold]]
_Balances: TypeAlias = Mapping[Receipt, Mapping[str, BalanceTold]]


class _Reward(Struct, frozen=True):
    """What tells whether a reward goes into a wallet."""

    kind: str
    currency: str | None = None


class _StoredUse(UseTold, frozen=True, gc=False):
    """A use as the ledger has it: `part` is of rolling windows."""

    part: int | None = None


_PLAIN = [name for name in DecisionTold.__struct_fields__ if name not in ("rewards", "limits", "incentives")]
_rewards, _uses, _steps = json.Decoder(list[RewardTold]), json.Decoder(list[_StoredUse]), json.Decoder(list[StepTold])
_kinds = json.Decoder(list[_Reward])


class PostgresAnswers:
    """Ledger of the waits. `topic` is where events are received."""

    def __init__(self, pool: asyncpg.Pool, topic: str) -> None:
        self._pool = pool
        self._topic = topic

    @asynccontextmanager
    async def open(self) -> AsyncIterator["AnswersView"]:
        """A connection for as long as it is read. Raises Retry."""
        with _retrying():
            async with self._pool.acquire() as connection:
                yield AnswersView(connection, self._topic, await connection.prepare(SQL["read_ends"]))


class AnswersView:
    """View."""

    def __init__(
        self,
        connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]",
        topic: str,
        ends: "asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]",
    ) -> None:
        """`ends` is the statement that is asked most, hundreds of times a second."""
        self._connection = connection
        self._topic = topic
        self._ends = ends
        self._tenants = ""
        self._planned_at = monotonic()

    async def read_ends(self) -> Ends:
        """Up to where each partition is decided now."""
        rows = await self._ends.fetch(self._topic)
        return {partition: End(generation, next_offset) for partition, generation, next_offset in rows}

    async def read_answers(self, receipts: Sequence[Receipt], ends: Ends) -> Sequence[EventAnswer]:
        """What came of decided events, of all or of the first ones: one at least."""
        await self._see({receipt.tenant_id for receipt in receipts})
        places = ((r.place.partition, ends[r.place.partition].generation, r.place.offset) for r in receipts)
        names = ((receipt.tenant_id, receipt.event_key, receipt.user_id) for receipt in receipts)
        columns = to_columns((name + place for name, place in zip(names, places, strict=True)), 6)
        limits = MOST_DECISIONS + 1, MOST_ROWS
        rows = await self._connection.fetch(SQL["read_outcomes"], *columns, *limits, self._topic)
        by_receipt = [(receipts[number - 1], list(found)) for number, found in groupby(rows, lambda row: row["number"])]
        if len(rows) == MOST_ROWS:  # the last one's may not be all
            by_receipt.pop()
        return await self._describe(by_receipt)

    async def _see(self, tenant_ids: set[str]) -> None:
        """Name tenants to row-level security, for this session: it serves nothing else. Drops plans that are old."""
        if monotonic() - self._planned_at > PLANS_FOR_S:
            await self._connection.execute("DISCARD PLANS")
            self._planned_at = monotonic()
        named = ",".join(sorted(tenant_ids))
        if named != self._tenants:
            await self._connection.execute("SELECT set_config('app.tenants', $1, false)", named)
            self._tenants = named

    async def _describe(self, found: Sequence[tuple[Receipt, list[asyncpg.Record]]]) -> list[EventAnswer]:
        granted = [(r, row) for r, rows in found for row in rows if row["outcome"] == "granted"]
        incentives, balances = await self._read_given(granted) if granted else ({}, {})
        counted = [(receipt, rows[0]["owner"]) for receipt, rows in found if rows[0]["counted"]]
        quests = await self._read_quests(counted) if counted else {}
        return [
            _answer(receipt, rows, incentives, balances.get(receipt, {}), quests.get(receipt, ()))
            for receipt, rows in found
        ]

    async def _read_given(self, granted: Iterable[tuple[Receipt, asyncpg.Record]]) -> tuple[_Incentives, _Balances]:
        """Incentives by decision, in the order of the rewards; and by receipt, each wallet as the last of its grants left it."""
        owners = defaultdict[tuple[str, UUID, UUID | None], list[Receipt]](list)  # an event may have come twice
        for receipt, row in granted:
            for index, reward in enumerate(_kinds.decode(row["rewards"] or "[]")):
                incentive_id = identify_incentive(row["decision_id"], index)
                currency = KINDS[reward.kind].find_wallet(reward.currency)
                wallet = (receipt.tenant_id, row["user_id"], currency) if currency else None
                transfer_id = identify_grant(wallet, incentive_id) if wallet else None
                owners[receipt.tenant_id, incentive_id, transfer_id].append(receipt)
        keys = list(owners)
        rows = await self._connection.fetch(SQL["read_given"], *to_columns(keys, 3))
        incentives = defaultdict[UUID, list[IncentiveTold]](list)
        for row in rows:
            incentives[row["decision_id"]].append(_read_incentive(row))
        last = defaultdict[Receipt, dict[str, BalanceTold]](dict)
        for row in sorted((row for row in rows if row["seq"]), key=itemgetter("seq")):
            for receipt in owners[keys[row["number"] - 1]]:
                last[receipt][row["wallet"]] = BalanceTold(row["wallet"], row["pending_after"], row["active_after"])
        return incentives, last

    async def _read_quests(self, counted: Sequence[tuple[Receipt, str]]) -> Mapping[Receipt, Sequence[QuestTold]]:
        """Of receipts, each with who its user is by now."""
        keys = to_columns(((receipt.tenant_id, receipt.event_key, owner) for receipt, owner in counted), 3)
        quests = defaultdict[Receipt, list[QuestTold]](list)
        for row in await self._connection.fetch(SQL["read_progress"], *keys, MOST_INSTANCES):
            quests[counted[row["number"] - 1][0]].append(_read_quest(row))
        return quests


def _answer(
    receipt: Receipt,
    rows: Sequence[asyncpg.Record],
    incentives: _Incentives,
    balances: Mapping[str, BalanceTold],
    quests: Sequence[QuestTold],
) -> EventAnswer:
    first = rows[0]
    if first["rejection_id"]:
        rejection = RejectionTold(first["rejection_id"], first["rejected_for"], first["detail"])
        return EventAnswer(receipt.event_id, receipt.event_source, "rejected", rejection=rejection)
    if first["put_off"]:
        see = point_at_story(receipt.event_id, receipt.event_source)
        return EventAnswer(receipt.event_id, receipt.event_source, "pending", see=see)
    decisions = [_read_decision(row, incentives) for row in rows[:MOST_DECISIONS] if row["decision_id"]]
    reversal = first["reversal_state"] and ReversalTold(first["reversal_state"], first["reversal_reason"])
    more = point_at(receipt.event_id, receipt.event_source) if len(rows) > MOST_DECISIONS else None
    by_currency = [balances[currency] for currency in sorted(balances)]
    return EventAnswer(
        receipt.event_id, receipt.event_source, "decided", decisions, by_currency, quests, reversal or None, see=more
    )


def _read_decision(row: asyncpg.Record, incentives: _Incentives) -> DecisionTold:
    return DecisionTold(
        **{name: row[name] for name in _PLAIN},
        rewards=_rewards.decode(row["reward_values"]),
        limits=[_tell_use(use) for use in _uses.decode(row["limits"])],
        incentives=incentives.get(row["decision_id"], ()),
    )


def _tell_use(use: _StoredUse) -> UseTold:
    begins = has_start(use.window_start or "", use.part, use.resets_at)
    return convert(use if begins else replace(use, window_start=None), UseTold, from_attributes=True)


def _read_incentive(row: asyncpg.Record) -> IncentiveTold:
    return IncentiveTold(
        incentive_id=row["incentive_id"],
        reward_index=row["reward_index"],
        kind=row["kind"],
        value=row["value"],
        currency=row["currency"],
        payload=Raw(row["payload"] or "null"),
        coupon_code=row["coupon_code"],
        expires_at=row["expires_at"],
    )


def _read_quest(row: asyncpg.Record) -> QuestTold:
    return QuestTold(
        campaign_id=row["campaign_id"],
        campaign_version=row["campaign_version"],
        instance=name_instance(row["instance_key"], row["occurrence"]),
        state=row["state"],
        started_at=row["started_at"],
        ends_at=row["ends_at"],
        steps=_steps.decode(row["steps"]),
        revision=row["revision"],
    )


@contextmanager
def _retrying() -> Iterator[None]:
    try:
        yield
    except TRANSIENT_ERRORS as error:
        raise Retry(f"{type(error).__name__}: {error}") from error
