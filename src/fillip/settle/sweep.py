"""The sweep: what is due by the clock is moved in portions. Nothing that is decided waits for it."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from fillip.core.errors import Retry

EVERY_S = 1.0
AWAY_FOR_S = 5.0

log = logging.getLogger(__name__)


class Due(Protocol):
    """Something that becomes due with time."""

    async def move_due(self, at: datetime) -> int:
        """Move one portion of what is due by `at`, in a transaction of its own; how many rows. Raises Retry."""


async def sweep(dues: Sequence[Due], stop: asyncio.Event) -> None:
    """Move what is due, again each second, until `stop`. Several at once share the work."""
    while not stop.is_set():
        try:
            moved = sum([await due.move_due(datetime.now(UTC)) for due in dues])
            pause_s = 0.0 if moved else EVERY_S
        except Retry as error:
            log.warning("the sweep waits, again in %.0f s: %s", AWAY_FOR_S, error)
            pause_s = AWAY_FOR_S
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause_s)
