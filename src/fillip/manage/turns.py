"""Work that is looked for again and again, and held while it goes on: queries of cohorts, backtests, backfills, erasures."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

import structlog

from fillip.core.errors import Retry

LOOK_EVERY_S, AWAY_FOR_S = 1.0, 5.0
_Due = TypeVar("_Due")
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


async def take_portion(
    find_due: Callable[[], Awaitable[_Due | None]],
    move: Callable[[_Due], Awaitable[bool]],
    put_off: Callable[[_Due, Exception], Awaitable[None]],
) -> bool:
    """Do the portion of something large that is next; whether there was one. Raises Retry where that can't be told or stored.

    Where `move` fails, for whatever reason, `put_off` lets others go first. Half of the time is left to those who wait for a portion, or
    decide beside it.
    """
    due, began = await find_due(), monotonic()
    if due is None:
        return False
    try:
        is_moved = await move(due)
    except Exception as error:  # noqa: BLE001 - whatever it is, this goes on, and others before
        await put_off(due, error)
        return True
    if is_moved:
        await asyncio.sleep(monotonic() - began)
    return is_moved


async def hold_while(work: "asyncio.Task[Any]", hold: Callable[[], Awaitable[bool]], every_s: float) -> bool:
    """Hold the row of what is worked on, every so often, until the work ends; False at once where it is another's by now.

    `hold` says whether it is still ours; where it raises Retry that is not known, and the row is held for much longer than `every_s`.
    """
    while True:
        await asyncio.wait({work}, timeout=every_s)
        if work.done():
            return True
        with suppress(Retry):
            if not await hold():
                return False
