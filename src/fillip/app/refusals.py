"""Refusals of the worker's campaigns, added to the metrics beside the path."""

import asyncio

import structlog
from prometheus_client import Counter

from fillip.match.refusals import Refusals
from fillip.stream.belt import take_portions

TELL_EVERY_S = 2.0
"""A closed campaign refuses every event: thousands of counters change, however few events a batch has."""

log = structlog.get_logger()
REFUSED = Counter(
    "fillip_match_refusals_total", "Events that a campaign did not take", ["tenant", "campaign", "reason"]
)


class RefusalMetrics:
    """Gathers the refusals of batches; `run` adds them to the metrics every two seconds."""

    def __init__(self) -> None:
        self._waiting = Refusals()

    def add(self, refusals: Refusals) -> None:
        """Take those of a batch."""
        self._waiting.merge(refusals)

    async def run(self) -> None:
        """Never ends by itself."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            waiting, self._waiting = self._waiting, Refusals()
            try:
                await _tell(waiting)
            except Exception:
                log.exception("refusals could not be told")


async def _tell(refusals: Refusals) -> None:
    async for portion in take_portions(list(refusals.tell().items())):
        for labels, count in portion:
            REFUSED.labels(*labels).inc(count)
