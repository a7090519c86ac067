"""What the campaign of a backtest has decided and taken in fact, as role fillip_worker; read in pages, without locks."""

from array import array
from bisect import bisect_left
from collections import Counter as Sums
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence, Set
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from uuid import UUID

import msgspec

from fillip.core.backtest.difference import DifferenceTally, tell
from fillip.core.backtest.question import BacktestQuestion
from fillip.core.backtest.result import Difference, Differences, Said, Worth
from fillip.core.backtest.simulation import Decided
from fillip.core.event import Event
from fillip.core.ledger.decision import identify_incentive
from fillip.core.ledger.reversal import (
    NOTHING_YET,
    WHOLE,
    Grant,
    GrantedIncentive,
    LimitTerms,
    Reevaluation,
    ReversedSoFar,
    give_back,
    read_terms,
)
from fillip.core.limit import Counter, CounterKey, CounterUse, Frame, Limit
from fillip.http.history_query import HistoryEvent
from fillip.manage.backtest.past_postgres import PastLedger
from fillip.rows.connection import Row

PAGE = 10_000
TOGETHER = 1_000
"""Events whose decisions are looked up together."""
_SQL = {
    name: Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
    for name in ("has_decided", "read_decided", "read_grants", "find_reversed")
}
_FIRST = datetime(1, 1, 2, tzinfo=UTC), UUID(int=0)
_LOW_BITS = 2**64 - 1
_read_worth = msgspec.json.Decoder(list[Worth]).decode
_read_reevaluations = msgspec.json.Decoder(list[Reevaluation]).decode
_read_uses = msgspec.json.Decoder(list[CounterUse]).decode


class LiveDecisions:
    """Those of the question's campaign on what happened in its time."""

    def __init__(self, ledger: PastLedger, question: BacktestQuestion) -> None:
        self._ledger = ledger
        self._campaign = question.tenant_id, question.campaign_id
        self._time = question.first, question.until

    async def has_any(self) -> bool:
        """Whether there are any. Raises Retry."""
        [row] = await self._ledger.fetch(_SQL["has_decided"], *self._campaign, *self._time)
        return bool(row["has_decided"])

    async def find(self, events: Collection[UUID]) -> Mapping[UUID, Sequence[Said]]:
        """All on events, by their keys. Raises Retry."""
        found: dict[UUID, list[Said]] = defaultdict(list)
        for row in await self._ledger.fetch(_SQL["read_decided"], *self._campaign, list(events)):
            found[row["event_key"]].append(_read_said(row))
        return found

    async def read_grants(self) -> AsyncIterator[Sequence[Row]]:
        """The rows of all grants, in the order of deciding. Raises Retry."""
        mark = _FIRST
        while rows := await self._ledger.fetch(_SQL["read_grants"], *self._campaign, *self._time, *mark, PAGE):
            yield rows
            if len(rows) < PAGE:
                return
            mark = rows[-1]["decided_at"], rows[-1]["decision_id"]


class Comparison:
    """Compares a backtest, as it goes on, with what was decided in fact."""

    def __init__(self, live: LiveDecisions) -> None:
        self._live = live
        self._tally = DifferenceTally()
        self._ends: dict[int, int] = {}
        self._waiting: dict[UUID, tuple[Event, list[Said]]] = {}
        self._compared = array("Q")
        """Low halves of the keys of events with grants of live: hashes, so that two are hardly ever the same; 8 bytes each."""

    def note(self, page: Sequence[HistoryEvent]) -> None:
        """These events were read. What lies behind the last of a partition, analyse had not loaded yet."""
        for each in page:
            self._ends[each.partition] = max(each.log_offset, self._ends.get(each.partition, -1))

    async def compare(self, decided: Sequence[Decided]) -> None:
        """All that the backtest decides on some events. Raises Retry."""
        for each in decided:
            event = each.request.match.event
            self._waiting.setdefault(event.key, (event, []))[1].append(tell(each))
        if len(self._waiting) >= TOGETHER:
            await self._compare_waiting()

    async def _compare_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        live = await self._live.find(waiting) if waiting else {}
        for key, (event, said) in waiting.items():
            found = live.get(key, ())
            self._tally.compare(event, found, said)
            if any(one.outcome == "granted" for one in found):
                self._compared.append(key.int & _LOW_BITS)

    async def finish(self) -> Differences:
        """What differs, with the grants for events on which the backtest decided nothing. Raises Retry."""
        await self._compare_waiting()
        compared = array("Q", sorted(self._compared))
        async for rows in self._live.read_grants():
            for row in rows:
                half = row["event_key"].int & _LOW_BITS
                place = bisect_left(compared, half)
                is_compared = place < len(compared) and compared[place] == half
                if not is_compared and row["log_offset"] <= self._ends.get(row["partition"], -1):
                    self._tally.add_live(_tell_grant(row))
        return self._tally.sum_up()


_Place = tuple[CounterKey, int | None]
"""A counter, and of one by rolling windows the number of a part."""


class OthersUse:
    """What others than the campaign itself have used of limits that it shares."""

    def __init__(self, ledger: PastLedger, own: Mapping[_Place, int]) -> None:
        self._ledger = ledger
        self._own = own

    async def read_counters(self, asked: Collection[CounterKey]) -> Mapping[CounterKey, Counter]:
        """What is used of them now, without what the campaign took for the time asked. Raises Retry."""
        found = await self._ledger.read_counters(asked)
        return {
            key: Counter(max(0, each.used - self._own.get((key, None), 0)), each.version) for key, each in found.items()
        }

    async def read_parts(self, frames: Collection[Frame]) -> Mapping[CounterKey, Mapping[int, int]]:
        """The same of counters by rolling windows in these frames, by part. Raises Retry."""
        found = await self._ledger.read_parts(frames)
        return {
            key: {part: max(0, used - self._own.get((key, part), 0)) for part, used in parts.items()}
            for key, parts in found.items()
        }


async def load_others_use(
    ledger: PastLedger, live: LiveDecisions, tenant_id: str, limits: Mapping[str, Limit]
) -> OthersUse:
    """Add up what the campaign's grants took of those `limits` that are shared, less what was given back of it. Raises Retry."""
    own: Sums[_Place] = Sums()
    shared = read_terms({limit_id: limit for limit_id, limit in limits.items() if limit.campaign_id is None})
    if not shared:
        return OthersUse(ledger, own)
    async for rows in live.read_grants():
        lost = await _find_lost(ledger, tenant_id, rows)
        for row in rows:
            grant = _read_grant(row)
            own.update(_add_up(tenant_id, grant, shared))
            for credit in give_back(tenant_id, grant, shared, NOTHING_YET, _read_reversed(row, lost)):
                own[credit.counter, credit.part] -= credit.amount
    return OthersUse(ledger, own)


async def _find_lost(ledger: PastLedger, tenant_id: str, rows: Sequence[Row]) -> set[UUID]:
    """The grants of quests that were taken back: of these all is, or nothing."""
    decisions = {
        identify_incentive(row["decision_id"], index): row["decision_id"]
        for row in rows
        if row["instance"]
        for index in range(row["rewards"])
    }
    found = await ledger.fetch(_SQL["find_reversed"], tenant_id, sorted(decisions)) if decisions else ()
    return {decisions[row["incentive_id"]] for row in found}


def _add_up(tenant_id: str, grant: Grant, shared: Mapping[str, LimitTerms]) -> Sums[_Place]:
    """What a grant took of shared limits."""
    taken: Sums[_Place] = Sums()
    for use in grant.uses:
        if terms := shared.get(use.limit_id):
            owner = grant.user_id if terms.per_user else ""
            taken[CounterKey(tenant_id, use.limit_id, owner, use.key, use.window_start), use.part] += use.amount
    return taken


def _read_grant(row: Row) -> Grant:
    """As it was granted."""
    rewards = zip(row["given"], _read_worth(row["reward_values"]), strict=True)
    return Grant(
        decision_id=row["decision_id"],
        campaign_id=row["campaign_id"],
        user_id=row["user_id"],
        instance=row["instance"],
        give_back=row["give_back"],
        uses=_read_uses(row["limits"]),
        incentives=[
            GrantedIncentive(
                incentive_id=identify_incentive(row["decision_id"], index),
                kind=each.kind,
                value=each.value,
                currency=each.currency,
                reversed_value=0,
                state="granted",
                reward_index=index,
                on_partial=row["on_partial"][index],
            )
            for index, each in rewards
        ],
    )


def _read_reversed(row: Row, lost: Set[UUID]) -> ReversedSoFar:
    """What was taken back of a grant; of a quest's all, or nothing."""
    if row["instance"]:
        return WHOLE if row["decision_id"] in lost else NOTHING_YET
    asked = _read_reevaluations(row["reevaluations"] or "[]")
    return ReversedSoFar(Fraction(row["share"] or 0), {}, {each.incentive_id: each for each in asked})


def _tell_grant(row: Row) -> Difference:
    return Difference(
        event_source=row["event_source"],
        event_id=row["event_id"],
        user_id=row["user_id"],
        occurred_at=row["occurred_at"],
        live=_read_said(row),
        backtest=None,
    )


def _read_said(row: Row) -> Said:
    uses = _read_uses(row["limits"])
    granted = row["outcome"] == "granted"
    return Said(
        outcome=row["outcome"],
        reason=row["reason"],
        instance=row["instance"],
        rewards=_read_worth(row["reward_values"]) if granted else [],
        limit_id=next((use.limit_id for use in uses if not use.fits), None),
    )
