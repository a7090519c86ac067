"""When something that ended is started again: at once the first time, later and later where it keeps ending."""

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
CALM_AFTER_S = 60.0
"""What has run for so long after a start has recovered: the next start is at once again."""


class Patience:
    """Starts by name. What ends at each start is tried each half minute, not each second, and nobody is flooded."""

    def __init__(self) -> None:
        self._starts: dict[str, tuple[float, float]] = {}

    def allows(self, name: str, now_s: float) -> bool:
        """Whether it may be started again at `now_s` (of a monotonic clock)."""
        started_at, pause_s = self._starts.get(name, (now_s, 0.0))
        return now_s >= started_at + pause_s

    def note_start(self, name: str, now_s: float) -> None:
        """It was started again at `now_s`."""
        started_at, pause_s = self._starts.get(name, (now_s - CALM_AFTER_S, 0.0))
        recovered = now_s - started_at >= CALM_AFTER_S
        self._starts[name] = now_s, FIRST_PAUSE_S if recovered else min(2 * pause_s, LONGEST_PAUSE_S)
