"""The one stage of limit: ask the projection once a batch which counters have no room."""

from collections.abc import Sequence

from msgspec.structs import replace

from fillip.core.event import Rejection
from fillip.core.limit import CounterKey
from fillip.core.match.candidate import Match
from fillip.core.ports import LimitHints


class Hint:
    """Stage: marks matches with the counters that look full. Settle confirms each; a missing hint costs only time."""

    def __init__(self, hints: LimitHints) -> None:
        """`hints` reads the projection."""
        self._hints = hints

    async def __call__(self, items: Sequence[Match | Rejection]) -> list[Match | Rejection]:
        """Never raises: without the projection there are no hints."""
        wanted: dict[CounterKey, tuple[int, int]] = {}
        for item in items:
            if isinstance(item, Match):
                wanted.update({t.counter: (t.amount, t.cap) for t in item.charges})
        full = await self._hints.find_full(wanted) if wanted else frozenset()
        return [_mark(item, full) if full and isinstance(item, Match) else item for item in items]


def _mark(match: Match, full: frozenset[CounterKey]) -> Match:
    mine = frozenset(t.counter for t in match.charges if t.counter in full)
    return replace(match, full=mine) if mine else match
