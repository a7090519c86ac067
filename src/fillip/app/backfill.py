"""`python -m fillip.app.backfill`: the process of one turn at a backfill. It reads the order from stdin, and tells on stdout how it ended.

Its own process, so that no event loop waits for it, and the kernel bounds what it takes.
"""

import asyncio
import gc
import os
import resource
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg
import httpx
import msgspec

from fillip.app.log import set_up_logs
from fillip.app.settings import Settings, read_settings
from fillip.core.backfill import BackfillOrder, Bounds
from fillip.core.backtest.past import list_actions
from fillip.core.backtest.question import BacktestQuestion
from fillip.core.book.book import Book
from fillip.core.errors import FillipError, Retry
from fillip.core.event import MAX_AHEAD, Event, Rejection
from fillip.core.match.candidate import Match
from fillip.manage.analyse_http import open_client
from fillip.manage.backfill.analyse_http import read_offsets
from fillip.manage.backfill.told import AllDone, BackfillFailed, BackfillTold, GoesOn, Waits
from fillip.manage.backtest.history_http import AnalyseHistory
from fillip.match import Meet, Resolve
from fillip.match.keeper_postgres import BookKeeper
from fillip.match.merged_postgres import PostgresMerged
from fillip.match.numbers_postgres import PostgresNumbers
from fillip.match.postgres import PostgresBooks
from fillip.match.users_postgres import PostgresUsers
from fillip.settle.backfill import BackfillWalk, CampaignEnded, SettlePast
from fillip.settle.backfill.postgres import PostgresBackfill
from fillip.stream.topics import Topics

MEMORY_MB, LONGEST_S, NICE = 3_072, 600, 10
TURN_S = 60.0
"""Then others have theirs."""
_MICROSECOND = timedelta(microseconds=1)


def main() -> None:
    """Take one turn."""
    set_up_logs("backfill")
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=BackfillOrder)
    settings = read_settings()
    for what, most in ((resource.RLIMIT_AS, MEMORY_MB * 1024 * 1024), (resource.RLIMIT_CPU, LONGEST_S)):
        resource.setrlimit(what, (most, most))
    os.nice(NICE)
    gc.set_threshold(50_000, 20, 20)
    try:
        told: BackfillTold = asyncio.run(take_turn(settings, order))
    except FillipError as error:
        told = Waits(str(error)) if isinstance(error, Retry) else BackfillFailed(str(error))
    sys.stdout.buffer.write(msgspec.json.encode(told))


async def take_turn(settings: Settings, order: BackfillOrder) -> BackfillTold:
    """Go on for a while. Raises Retry where it can't, and Refused where it never can."""
    async with AsyncExitStack() as stack:
        dsn, topic = settings.dsn("fillip_worker"), Topics(settings.topic_prefix).received
        pool = await stack.enter_async_context(asyncpg.create_pool(dsn, min_size=0, max_size=5, command_timeout=60))
        client = await stack.enter_async_context(open_client(settings.analyse_base, settings.analyse_key or ""))
        backfill = PostgresBackfill(pool, order, topic)
        progress = await backfill.read()
        if progress.bounds is None:
            return Waits("a worker does not decide under the launch yet")
        if not (await read_offsets(client)).reach(progress.bounds.ends):
            return Waits("analyse has not loaded all that was received before the launch")
        meet = Meet(PostgresUsers(pool), PostgresNumbers(pool), lambda refusals: None)
        resolve = Resolve(PostgresMerged(pool))

        async def meet_resolved(events: Sequence[Event | Rejection]) -> Sequence[Match | Rejection]:
            return await meet(await resolve(events))

        walk = BackfillWalk(order, progress.bounds, meet_resolved, SettlePast(backfill, order))
        books = walk.books = BookKeeper(PostgresBooks(pool), pool, decides=True, drain=walk.drain, spoil=walk.spoil)
        following = asyncio.create_task(books.run())
        try:
            history = await open_history(client, order, progress.bounds, books)
            if not progress.done:
                await backfill.tell_events(await history.count())
            is_over = await walk.play(history, progress.done, progress.mark, TURN_S)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)  # it takes leave
    return AllDone() if is_over else GoesOn()


async def open_history(
    client: httpx.AsyncClient, order: BackfillOrder, bounds: Bounds, books: BookKeeper
) -> AnalyseHistory:
    """The past of the campaign as it is now."""
    book = (await books.pin([order.tenant_id])).get(order.tenant_id)
    version = book.campaign_versions.get(order.campaign_id) if isinstance(book, Book) else None
    if version is None:
        raise CampaignEnded("the campaign is not in force any more")
    until = bounds.until_at + MAX_AHEAD + _MICROSECOND
    question = BacktestQuestion(order.tenant_id, order.campaign_id, version.version, order.from_at, until)
    return AnalyseHistory(client, question, list_actions([version]))


if __name__ == "__main__":
    main()
