"""`python -m fillip.app.backtest`: the process of one backtest. It reads the question from stdin, and writes lines to stdout.

Its own process, so that no event loop waits for it, and the kernel bounds what it takes.
"""

import asyncio
import gc
import os
import resource
import sys
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from time import monotonic

import asyncpg
import msgspec

from fillip.app.log import set_up_logs
from fillip.app.settings import Settings, read_settings
from fillip.core.backtest.past import build_past_book, list_replayed
from fillip.core.backtest.question import BacktestQuestion
from fillip.core.book.book import Book, Unbuilt
from fillip.core.errors import FillipError, Retry
from fillip.manage.analyse_http import open_client
from fillip.manage.backtest.history_http import AnalyseHistory
from fillip.manage.backtest.live_postgres import Comparison, LiveDecisions, load_others_use
from fillip.manage.backtest.past_postgres import PastLedger
from fillip.manage.backtest.recorded_postgres import load_recorded_books
from fillip.manage.backtest.replay import Replay
from fillip.manage.backtest.sample import explain_samples, write_samples
from fillip.manage.backtest.told import Failed, Progress, Told, Worked
from fillip.match import Meet
from fillip.match.numbers_postgres import PostgresNumbers
from fillip.match.postgres import PostgresBooks
from fillip.match.refusals import Reason, Refusals
from fillip.match.users_postgres import PostgresUsers

MEMORY_MB, LONGEST_S, NICE = 3_072, 3_600, 10
COLLECT_AFTER = 1_000_000, 20, 20
"""Garbage that is in a circle is seldom here: a portion's objects, and what is kept, are not looked through for it each time."""
TOLD_EVERY_S = 1.0


def main() -> None:
    """Answer one question."""
    set_up_logs("backtest")
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=BacktestQuestion)
    settings = read_settings()
    for what, most in ((resource.RLIMIT_AS, MEMORY_MB * 1024 * 1024), (resource.RLIMIT_CPU, LONGEST_S)):
        resource.setrlimit(what, (most, most))
    os.nice(NICE)
    gc.set_threshold(*COLLECT_AFTER)
    try:
        told: Told = asyncio.run(run_backtest(settings, question))
    except MemoryError:
        told = Failed(f"it needs more than {MEMORY_MB} MB of memory: ask for a shorter time", is_final=True)
    except FillipError as error:
        told = Failed(str(error), is_final=not isinstance(error, Retry))
    tell(told)


def tell(told: Told) -> None:
    """One line to who started this process."""
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()


async def run_backtest(settings: Settings, question: BacktestQuestion) -> Worked:
    """The result. Raises Retry and Refused."""
    began_at_s = monotonic()
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(_open_pool(settings))
        client = await stack.enter_async_context(open_client(settings.analyse_base, settings.analyse_key or ""))
        whole = await _load_book(pool, question.tenant_id)
        ledger, numbers = PastLedger(pool, question.tenant_id), PostgresNumbers(pool)
        asked, was_launched = await ledger.read_version(question, whole)
        book = build_past_book(whole, asked, question.first, question.until)
        refused: Counter[Reason] = Counter()

        def count(refusals: Refusals) -> None:
            refused.update(refusals.tell())

        meet = Meet(PostgresUsers(pool), numbers, count)
        recorded, versions = None, [asked]
        if question.definitions == "recorded":
            recorded = await load_recorded_books(ledger, whole, question.campaign_id)
            versions = [*recorded.versions.values()]
        live = LiveDecisions(ledger, question)
        comparison = Comparison(live) if was_launched and await live.has_any() else None
        others_use = await load_others_use(ledger, live, question.tenant_id, book.limits)
        replay = Replay(book, whole.campaign_versions, meet, others_use, datetime.now(UTC), recorded, comparison)
        history = AnalyseHistory(client, question, list_replayed(versions))
        await replay.play(history, _Progress(await history.count()).tell)
        result = await replay.sum_up(numbers, {str(reason): n for reason, n in refused.items()}, began_at_s)
        passed_over = replay.list_not_considered(result)
        differences = await comparison.finish() if comparison else None
        samples = await explain_samples(replay.tally.samples, book, numbers)
        whole_result = msgspec.structs.replace(result, not_considered=passed_over, differences=differences)
        return Worked(whole_result, write_samples(samples))


class _Progress:
    """Tells how far it is, once a second."""

    def __init__(self, of: int) -> None:
        self._of = of
        self._due_s = 0.0
        self.tell(0)

    def tell(self, done: int) -> None:
        """So many events are done."""
        if monotonic() >= self._due_s:
            tell(Progress(done, self._of))
            self._due_s = monotonic() + TOLD_EVERY_S


def _open_pool(settings: Settings) -> asyncpg.Pool:
    return asyncpg.create_pool(settings.dsn("fillip_worker"), min_size=0, max_size=3, command_timeout=60)


async def _load_book(pool: asyncpg.Pool, tenant_id: str) -> Book:
    book = (await PostgresBooks(pool).pin([tenant_id])).get(tenant_id)
    if not isinstance(book, Book):
        why = book.why if isinstance(book, Unbuilt) else "there is no such tenant"
        raise Retry(f"the tenant's definitions can't be read: {why}")
    return book


if __name__ == "__main__":
    main()
