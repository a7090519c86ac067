"""What was accepted lately, to tell a repeated event from a conflicting one before it enters the log."""

from collections.abc import Mapping

MAX_EVENTS = 200_000


class SeenEvents:
    """The newest 100,000 to 200,000 events. A best-effort duplicate check: the ledger decides."""

    def __init__(self, max_events: int = MAX_EVENTS) -> None:
        self._half = max_events // 2
        self._now: dict[int, int] = {}
        self._before: dict[int, int] = {}

    def find(self, key: int) -> int | None:
        """What the event of this key said, both as hashes; None when not known (any more)."""
        said = self._now.get(key)
        return self._before.get(key) if said is None else said

    def keep(self, events: Mapping[int, int]) -> None:
        """Remember accepted events: hash of the key -> hash of what it says."""
        self._now |= events
        if len(self._now) > self._half:
            self._before, self._now = self._now, {}
