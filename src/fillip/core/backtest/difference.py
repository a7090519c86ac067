"""Where a backtest grants other than what was granted in fact."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from fillip.core.backtest.result import Difference, Differences, Said, Worth
from fillip.core.backtest.simulation import Decided
from fillip.core.event import Event

SAMPLES = 100
"""Most differences that are shown: the first in the order of receipt."""
_Pair = tuple[Said | None, Said | None]


class DifferenceTally:
    """Counts grants that only one of the two gave, and those of another value. Denials are not told apart by their reasons."""

    def __init__(self) -> None:
        self._only_live = self._only_backtest = self._other_value = 0
        self._samples: list[Difference] = []

    def compare(self, event: Event, live: Sequence[Said], backtest: Sequence[Said]) -> None:
        """All that both decided on an event."""
        for one, other in _pair(live, backtest):
            self._add(
                Difference(
                    event_source=event.source,
                    event_id=event.event_id,
                    user_id=event.user_id,
                    occurred_at=event.occurred_at,
                    live=one,
                    backtest=other,
                )
            )

    def add_live(self, difference: Difference) -> None:
        """A grant for an event on which the backtest decided nothing."""
        self._add(difference)

    def sum_up(self) -> Differences:
        """All of it."""
        return Differences(self._only_live, self._only_backtest, self._other_value, self._samples)

    def _add(self, difference: Difference) -> None:
        live, backtest = difference.live, difference.backtest
        granted, would = _is_grant(live), _is_grant(backtest)
        if not (granted or would):
            return
        if granted and would:
            if live and backtest and live.rewards == backtest.rewards:
                return
            self._other_value += 1
        elif granted:
            self._only_live += 1
        else:
            self._only_backtest += 1
        if len(self._samples) < SAMPLES:
            self._samples.append(difference)


def tell(decided: Decided) -> Said:
    """A decision of a backtest."""
    request, decision = decided.request, decided.decision
    granted = decision.outcome == "granted"
    rewards = [Worth(each.kind, each.currency, request.values[i]) for i, each in request.rewards.items()]
    return Said(
        outcome=decision.outcome,
        reason=decision.reason,
        instance=request.instance,
        rewards=rewards if granted else [],
        limit_id=next((use.limit_id for use in decision.uses if not use.fits), None),
    )


def _pair(live: Sequence[Said], backtest: Sequence[Said]) -> Iterator[_Pair]:
    """Grants with grants of instances of the same key. Occurrences don't tell: a backtest begins to count at its own start."""
    if len(live) == len(backtest) == 1:  # mostly
        yield live[0], backtest[0]
        return
    by_key: dict[str, tuple[list[Said], list[Said]]] = defaultdict(lambda: ([], []))
    for side, said in enumerate((live, backtest)):
        for each in said:
            by_key[each.instance.rpartition("#")[0]][side].append(each)
    for sides in by_key.values():
        yield from zip_longest(*(sorted(side, key=lambda each: not _is_grant(each)) for side in sides))


def _is_grant(said: Said | None) -> bool:
    return said is not None and said.outcome == "granted"
