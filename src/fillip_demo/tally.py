"""What the demo knows while it runs: counted where it happens, shown by the board, checked at the end."""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

RECENT = 4_000
RATE_OVER_S = 5.0


@dataclass
class Tally:
    """Counts so far; `outcomes` and `told` are as announced by publish, `settled` as the ledger stores it."""

    total: int
    phones: int
    began_at: float = field(default_factory=time.monotonic)
    sent: int = 0
    settled: int = 0
    unannounced_bytes: int = 0
    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    told: int = 0  # incentives announced for the connected phones
    frames: int = 0  # of these, those that arrived
    latencies_ms: list[float] = field(default_factory=list)
    kills: int = 0
    crashes: list[str] = field(default_factory=list)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def decisions(self) -> int:
        """All decisions announced."""
        return self.outcomes.total()

    @property
    def elapsed_s(self) -> float:
        """Since the replay began."""
        return time.monotonic() - self.began_at

    def tell(self) -> None:
        """Something has moved: look again, whoever waits."""
        self._moved.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait for it; looked at whenever `tell` is called."""
        while not reached():
            self._moved.clear()
            await self._moved.wait()

    def count(self, outcome: str) -> Counter[str]:
        """Decisions with that outcome, by reason."""
        counted: Counter[str] = Counter()
        for (_, found, reason), number in self.outcomes.items():
            if found == outcome:
                counted[reason] += number
        return counted

    def recent_ms(self) -> list[float]:
        """Event to frame of the frames that came last."""
        return self.latencies_ms[-RECENT:]


class Rates:
    """Events a second over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()

    def note(self, tally: Tally) -> tuple[float, float]:
        """Look at the tally now; (sent, settled) a second."""
        now = time.monotonic()
        self._seen.append((now, tally.sent, tally.settled))
        while len(self._seen) > 2 and now - self._seen[1][0] >= RATE_OVER_S:
            self._seen.popleft()
        since, sent, settled = self._seen[0]
        for_s = max(now - since, 1e-3)
        return (tally.sent - sent) / for_s, (tally.settled - settled) / for_s


def percentile(values: Collection[float], share: float) -> float:
    """The smallest value that `share` (0..1) of all do not exceed; 0 when there are none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
