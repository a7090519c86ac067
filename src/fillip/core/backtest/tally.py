"""What a backtest adds up, decision by decision, and the decisions that it shows."""

from bisect import insort
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from datetime import date, datetime

from msgspec import Struct, field

from fillip.core.backtest.result import (
    Day,
    LimitBite,
    OthersGrants,
    Result,
    Spend,
)
from fillip.core.backtest.reversal import TakenBack, may_fall_short
from fillip.core.backtest.simulation import Decided
from fillip.core.ledger.decision import DecisionReason
from fillip.core.ledger.settlement import GrantRequest

SAMPLES = 10
"""Most decisions shown of those granted, and of those denied."""
OTHERS = 100
"""Most other campaigns that are told of."""
Unit = tuple[str, str | None]
"""(kind, currency) of a reward"""


class _DayTally(Struct):
    granted: int = 0
    reversed: int = 0
    denied: int = 0
    rewards: Counter[Unit] = field(default_factory=Counter)
    spend: Counter[Unit] = field(default_factory=Counter)
    taken: Counter[Unit] = field(default_factory=Counter)


class _BiteTally(Struct):
    first_at: datetime
    first_event_id: str
    denied: int = 0
    users: set[str] = field(default_factory=set)


class Tally:
    """Counts; `met` are the users who met the campaign. `may_fall_short`: less may have been taken back in fact."""

    def __init__(self) -> None:
        self.met: set[str] = set()
        self.may_fall_short = False
        self._events_met = 0
        self._rewards: Counter[Unit] = Counter()
        self._spend: Counter[Unit] = Counter()
        self._taken: Counter[Unit] = Counter()
        self._denied: Counter[DecisionReason] = Counter()
        self._users: set[str] = set()
        self._days: dict[date, _DayTally] = {}
        self._bites: dict[str, _BiteTally] = {}
        self._others: dict[str, Counter[str]] = {}
        self._granted = self._reversed = self._alone = self._codes = 0
        self._samples: dict[str, list[tuple[int, Decided]]] = {"granted": [], "denied": []}

    def add_met(self, user_ids: Sequence[str]) -> None:
        """An event of each of these users met the campaign."""
        self._events_met += len(user_ids)
        self.met.update(user_ids)

    def add(self, decided: Decided) -> None:
        """One decision. Those shown are the ones of the least ids, which are hashes: chance picks them, always the same."""
        decision = decided.decision
        day = self._days.setdefault(decision.local_day, _DayTally())
        if decision.outcome == "granted":
            self._add_granted(decided, day)
        else:
            self._add_denied(decided, day)
        shown, rank = self._samples[decision.outcome], decision.decision_id.int
        if len(shown) < SAMPLES or rank < shown[-1][0]:
            insort(shown, (rank, decided), key=lambda each: each[0])
            del shown[SAMPLES:]

    def take_back(self, taken: TakenBack) -> None:
        """What was taken of one of the grants that were added."""
        day = self._days[taken.day]
        self._reversed += taken.is_first
        day.reversed += taken.is_first
        for reward, value in taken.rewards:
            self._taken[reward.kind, reward.currency] += value
            day.taken[reward.kind, reward.currency] += value
            self.may_fall_short |= may_fall_short(reward)

    @property
    def samples(self) -> Sequence[Decided]:
        """Decisions to show, those granted first."""
        return [each for shown in self._samples.values() for _, each in shown]

    @property
    def users(self) -> Set[str]:
        """Who was granted something."""
        return self._users

    def sum_up(self) -> Result:
        """All of it; without what is not known here."""
        return Result(
            events_met=self._events_met,
            users_met=len(self.met),
            granted=self._granted,
            reversed=self._reversed,
            granted_users=len(self._users),
            spend=_list_spend(self._rewards, self._spend, self._taken),
            codes=self._codes,
            denied=dict(self._denied),
            days=[
                Day(each, day.granted, day.reversed, day.denied, _list_spend(day.rewards, day.spend, day.taken))
                for each, day in sorted(self._days.items())
            ],
            limits=[
                LimitBite(limit_id, bite.denied, len(bite.users), bite.first_at, bite.first_event_id)
                for limit_id, bite in sorted(self._bites.items())
            ],
            granted_alone=self._alone,
            overlap=[
                OthersGrants(campaign_id, counts["events"], counts["outranked"], counts["displaced"])
                for campaign_id, counts in sorted(self._others.items(), key=lambda each: (-each[1].total(), each[0]))[
                    :OTHERS
                ]
            ],
        )

    def _add_granted(self, decided: Decided, day: _DayTally) -> None:
        self._granted += 1
        self._users.add(decided.request.match.event.user_id)
        day.granted += 1
        for unit, value, has_code in _list_rewards(decided.request):
            self._rewards[unit] += 1
            day.rewards[unit] += 1
            self._codes += has_code
            if value:
                self._spend[unit] += value
                day.spend[unit] += value
        self._alone += not decided.granted
        for campaign_id in dict.fromkeys(decided.granted):
            self._count_other(campaign_id, "events")
        for campaign_id in dict.fromkeys(decided.displaced):
            self._count_other(campaign_id, "displaced")

    def _add_denied(self, decided: Decided, day: _DayTally) -> None:
        decision, event = decided.decision, decided.request.match.event
        self._denied[decision.reason] += 1
        day.denied += 1
        if decision.outranked_by:
            self._count_other(decision.outranked_by, "outranked")
        if decision.reason != "limit":
            return
        for use in decision.uses:
            if not use.fits:
                bite = self._bites.setdefault(use.limit_id, _BiteTally(event.occurred_at, event.event_id))
                bite.denied += 1
                bite.users.add(event.user_id)
                if event.occurred_at < bite.first_at:
                    bite.first_at, bite.first_event_id = event.occurred_at, event.event_id

    def _count_other(self, campaign_id: str, what: str) -> None:
        self._others.setdefault(campaign_id, Counter())[what] += 1


def _list_rewards(request: GrantRequest) -> Iterator[tuple[Unit, int, bool]]:
    for index, reward in request.rewards.items():
        yield (reward.kind, reward.currency), request.values[index], reward.pool is not None


def _list_spend(rewards: Counter[Unit], values: Counter[Unit], taken: Counter[Unit]) -> list[Spend]:
    units = sorted(rewards, key=lambda unit: (unit[0], unit[1] or ""))
    return [Spend(*unit, rewards[unit], values[unit], taken[unit]) for unit in units]
