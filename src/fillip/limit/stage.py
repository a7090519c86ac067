"""The one stage of limit: count what campaigns meet, and ask the projection once a batch which counters have no room."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from fillip.core.event import Rejection
from fillip.core.limit import CounterKey
from fillip.core.match.candidate import Match
from fillip.core.ports import LimitHints
from fillip.stream.belt import take_portions


class Hint:
    """Stage: marks matches with the counters that look full. Settle confirms each; a missing hint costs only time.

    There are none for rolling windows: what is full then is no one number.
    """

    def __init__(self, hints: LimitHints, count_met: Callable[[Sequence[Match | Rejection]], None]) -> None:
        """`hints` reads the projection; `count_met` counts the campaigns that events meet, at once."""
        self._hints, self._count_met = hints, count_met

    async def __call__(self, items: Sequence[Match | Rejection]) -> list[Match | Rejection]:
        """Never raises: without the projection there are no hints."""
        wanted: dict[CounterKey, tuple[int, int]] = {}
        async for portion in take_portions(items):
            self._count_met(portion)
            for item in portion:
                if isinstance(item, Match):
                    wanted.update({t.counter: (t.amount, t.cap) for t in item.charges if not t.part})
        full = await self._hints.find_full(wanted) if wanted else frozenset()
        return [_mark(item, full) if full and isinstance(item, Match) else item for item in items]


def _mark(match: Match, full: frozenset[CounterKey]) -> Match:
    mine = frozenset(t.counter for t in match.charges if t.counter in full)
    return replace(match, full=mine) if mine else match
