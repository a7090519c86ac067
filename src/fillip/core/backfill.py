"""A backfill: the events of before a campaign's launch, decided by it as if they came late."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import replace

from fillip.core.book.book import Book, index_triggers
from fillip.core.ledger.decision import DecisionReason
from fillip.core.ledger.settlement import Settled

PassedOver = Literal[
    "decided_before", "reversed", "rejected", "conflicting", "erased", "unreadable", "undecidable", "received_after"
]
"""Why an event of the past is not decided: see docs/guide/backfill.md."""


class BackfillOrder(Struct, frozen=True):
    """What one process is to do: the backfill of a campaign as run `run`, which it holds as `run_id`; `from_at` is since when."""

    tenant_id: str
    campaign_id: str
    book_version: int
    from_at: datetime
    run: int
    run_id: UUID


class Bounds(Struct, frozen=True):
    """What the past of a launch is: by partition, the offsets below `ends`; all of it was received until `until_at`."""

    ends: Mapping[int, int]
    until_at: datetime


class BackfillSpend(Struct, frozen=True):
    """Rewards of one kind and currency: how many, and their value in all, in minor units or points."""

    kind: str
    currency: str | None
    rewards: int
    value: int


class BackfillDay(Struct, frozen=True):
    """A day of the tenant's calendar, by the events' time."""

    day: str
    granted: int
    denied: int


class BackfillResult(Struct, frozen=True):
    """What a run has come to so far. `events_met` were decided or moved a quest on; `passed_over` are the others, by reason."""

    events_met: int = 0
    granted: int = 0
    spend: Sequence[BackfillSpend] = ()
    denied: Mapping[DecisionReason, int] = field(default_factory=dict)
    days: Sequence[BackfillDay] = ()
    passed_over: Mapping[PassedOver, int] = field(default_factory=dict)

    def add(
        self, events_met: int, settled: Iterable[Settled], passed_over: Mapping[PassedOver, int]
    ) -> "BackfillResult":
        """What it comes to with one portion more."""
        denied, days = Counter(self.denied), {each.day: each for each in self.days}
        spend = {(each.kind, each.currency): each for each in self.spend}
        granted = self.granted
        for one in settled:
            name, is_granted = one.decision.local_day.isoformat(), one.decision.outcome == "granted"
            day = days.get(name) or BackfillDay(name, 0, 0)
            days[name] = replace(day, granted=day.granted + is_granted, denied=day.denied + (not is_granted))
            granted += is_granted
            if not is_granted:
                denied[one.decision.reason] += 1
            for made in one.incentives:
                reward, value = one.request.rewards[made.reward_index], one.request.values[made.reward_index]
                unit = reward.kind, reward.currency
                known = spend.get(unit) or BackfillSpend(*unit, rewards=0, value=0)
                spend[unit] = replace(known, rewards=known.rewards + 1, value=known.value + value)
        return BackfillResult(
            events_met=self.events_met + events_met,
            granted=granted,
            spend=[spend[unit] for unit in sorted(spend, key=lambda unit: (unit[0], unit[1] or ""))],
            denied=dict(denied),
            days=[days[name] for name in sorted(days)],
            passed_over=dict(Counter(self.passed_over) + Counter(passed_over)),
        )


def narrow_book(book: Book, campaign_id: str) -> Book:
    """The book with this campaign alone, as it is in force."""
    mine = book.campaign_versions[campaign_id]
    return replace(
        book, campaign_versions={campaign_id: mine}, by_action=index_triggers([mine], {}, book.tenant.time_zone)
    )
