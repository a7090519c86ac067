"""Refusals of the worker's campaigns, added to the metrics beside the path."""

import asyncio

import structlog
from prometheus_client import Counter

from fillip.match.refusals import Refusals

TELL_EVERY_S = 2.0
"""Closed campaigns refuse every event: what they have in common is counted once for many batches."""

log = structlog.get_logger()
REFUSED = Counter("fillip_match_refusals_total", "Times that a campaign did not take an event", ["reason"])


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
                for reason, count in waiting.tell().items():
                    REFUSED.labels(reason).inc(count)
            except Exception:
                log.exception("refusals could not be told")
