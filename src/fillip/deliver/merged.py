"""Connections under the id of a user who was merged into another: they are told to come in again, as who the user is by now."""

import asyncio
from time import monotonic

import structlog

from fillip.core.errors import Retry
from fillip.deliver.feed import Feed
from fillip.deliver.inbox import Inbox

LOOK_EVERY_S, LOOK_BACK_S = 1.0, 15.0
"""Who was admitted just before a merge may join a little after it: each merge is seen some times."""
log = structlog.get_logger()


async def follow_merges(inbox: Inbox, feed: Feed) -> None:
    """Look each second, until cancelled; what happened while PostgreSQL was away is seen afterwards."""
    seen_at = monotonic()
    while True:
        began_at = monotonic()
        try:
            if feed.count:
                feed.leave_merged(await inbox.find_merged(began_at - seen_at + LOOK_BACK_S))
            seen_at = began_at
        except Retry as error:
            log.warning("merges can't be looked for, will try again", error=str(error))
        except Exception as error:
            log.error("merges can't be looked for, will try again", exc_info=error)
        await asyncio.sleep(LOOK_EVERY_S)
