"""Work that is looked for again and again: queries of cohorts, backtests, erasures."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from fillip.core.errors import Retry

LOOK_EVERY_S, AWAY_FOR_S = 1.0, 5.0
log = structlog.get_logger()


async def keep_taking(take: Callable[[], Awaitable[bool]], *, waits: str, fails: str, quotes: bool = True) -> None:
    """Take what is due, each second anew where nothing was, until cancelled; what fails is told in the log and tried again.

    `take` does what is next, and says whether there was anything; it raises Retry where that can't be told or stored. `waits` and
    `fails` are the log's words for that and for all else, of which it has no text unless `quotes`: it may name a user.
    """
    while True:
        pause_s = 0.0
        try:
            if not await take():
                pause_s = LOOK_EVERY_S
        except Retry as error:
            log.warning(waits, error=str(error))
            pause_s = AWAY_FOR_S
        except Exception as error:
            if quotes:
                log.exception(fails)
            else:
                log.warning(fails, error=type(error).__name__)
            pause_s = AWAY_FOR_S
        await asyncio.sleep(pause_s)
