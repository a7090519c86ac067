"""`fillip worker`: the walk of an event on one page. ingest → match → limit → settle."""

import asyncio
import os
import socket
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from functools import partial

import asyncpg
from prometheus_client import Counter, Gauge

from fillip.app.health import Health, reach_pool
from fillip.app.lag import Lag
from fillip.app.passage import Passage
from fillip.app.refusals import RefusalMetrics
from fillip.app.settings import Settings
from fillip.app.valkey import connect_valkey
from fillip.core.errors import Busy, Crash, Fenced, Retry
from fillip.core.event import Rejection
from fillip.core.ledger.settlement import Settled
from fillip.core.match.candidate import Match
from fillip.core.ports import CampaignBook
from fillip.embedded.addresses import describe
from fillip.ingest import Ingest
from fillip.ingest.decode import peek_claim
from fillip.ingest.stage import give_up
from fillip.limit import Hint
from fillip.limit.hot_valkey import HotCounts
from fillip.limit.valkey import ValkeyLimitHints
from fillip.match import Meet, Resolve
from fillip.match.keeper_postgres import BookKeeper
from fillip.match.merged_postgres import PostgresMerged
from fillip.match.numbers_postgres import PostgresNumbers
from fillip.match.postgres import PostgresBooks
from fillip.match.users_postgres import PostgresUsers
from fillip.settle import Settle
from fillip.settle.postgres import PostgresLedger
from fillip.settle.reversal import SettledReversal
from fillip.stream.belt import Batch, Commit, Errors, Rewind, Stage, walk
from fillip.stream.kafka import KafkaSource, LogEnds
from fillip.stream.topics import Topics

GROUP = "fillip-worker"
ERRORS = Errors(away=(Retry,), busy=(Busy,), fatal=(Crash,))
SETTLED = Counter("fillip_settle_decisions_total", "Decisions committed", ["outcome", "reason"])
REJECTED = Counter("fillip_settle_rejections_total", "Events that could not be decided", ["reason"])
REVERSED = Counter("fillip_settle_reversals_total", "Reversals taken, by what came of them", ["state", "reason"])
NOT_READ = Gauge(
    "fillip_worker_partitions_refused", "Partitions held and not read: their log is another one; alarm on any"
)
DUPLICATES = Counter("fillip_settle_duplicates_total", "Events that came again")


async def run_worker(settings: Settings, stop: asyncio.Event, health: Health | None = None) -> None:
    """Decide events until `stop`. Raises Crash or StreamLost when going on could do harm."""
    topics = Topics(settings.topic_prefix)
    pool = await connect_ledger(settings.dsn("fillip_worker"))
    valkey = connect_valkey(settings.valkey_url)
    ledger = PostgresLedger(pool, f"{socket.gethostname()}:{os.getpid()}")
    log = KafkaSource(
        settings.kafka_bootstrap, settings.topic_prefix + GROUP, topics.received, ledger, retry_on=(Retry,),
        tell_refused=lambda refused: NOT_READ.set(len(refused)), extra=settings.kafka_security,
    )  # fmt: skip
    source = Passage(log)
    if health is not None:
        ends = LogEnds(settings.kafka_bootstrap, [topics.received], settings.kafka_security)
        health.watch("PostgreSQL", partial(reach_pool, pool))
        health.watch("Kafka", Lag(ends, lambda: log.places).measure)
    books = BookKeeper(PostgresBooks(pool), pool, decides=True, drain=source.drain, spoil=source.spoil)
    refusals, hot = RefusalMetrics(), HotCounts(valkey, settings.hot_terms)
    stages: list[Stage] = [
        Ingest(books),
        Resolve(PostgresMerged(pool)),
        Meet(PostgresUsers(pool), PostgresNumbers(pool), refusals.add),
        Hint(ValkeyLimitHints(valkey), hot.count_met),
    ]
    following = asyncio.create_task(books.run())
    settling = partial(commit, source, books, Settle(ledger, partial(report, hot.count_settled)))
    walking = asyncio.create_task(walk(source, stages, settling, partial(set_aside, books, settling), ERRORS))
    stopping = asyncio.create_task(stop.wait())
    telling, counting = asyncio.create_task(refusals.run()), asyncio.create_task(hot.run())
    ending = {following, walking, stopping, telling, counting}
    try:
        done, _ = await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
        await source.close()
        for task in done - {stopping}:
            task.result()
        await walking
    finally:
        for task in (following, stopping, telling, counting):
            task.cancel()
        await asyncio.gather(following, return_exceptions=True)  # it takes leave
        await valkey.aclose()
        await pool.close()


async def commit(
    passage: Passage, books: BookKeeper, settle: Settle, batch: Batch, items: Sequence[Match | Rejection]
) -> None:
    """Settle a batch; one that was settled before, or by another, sends the belt back to the stored offsets.

    One taken before this process was frozen is decided anew: changes of its books may have been answered meanwhile.
    Batches get smaller then, since they may be what held it up.
    """
    await books.renew()
    if passage.is_spoiled:
        text = "this worker was not heard of for seconds: what it held is decided anew under the newest books"
        raise Rewind(text, too_large=len(batch.records))
    try:
        await settle(batch, items)
    except Fenced as fenced:
        raise Rewind(str(fenced)) from fenced


async def set_aside(books: CampaignBook, settling: Commit, batch: Batch, error: Exception) -> None:
    """Settle a batch of one record as one that can't be decided: it is stored with the error, counted and announced."""
    [record] = batch.records
    claimed = peek_claim(record.value)[0]
    known = claimed is not None and claimed in await books.pin([claimed])
    await settling(batch, [give_up(record, error, claimed if known else None)])


async def connect_ledger(dsn: str) -> asyncpg.Pool:
    """The worker's connections. Raises Crash naming the server that is away or refuses."""
    try:
        return await asyncpg.create_pool(dsn, min_size=1, max_size=6, reset=keep_session)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Crash(f"{describe('PostgreSQL', dsn)} can't be used: {error}; is it up?") from error


async def keep_session(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Leave a connection as it is: all we set is local to a transaction, and a reset is a round trip a batch."""


def report(
    count_settled: Callable[[Sequence[Settled]], None],
    settled: Sequence[Settled],
    rejections: Sequence[Rejection],
    duplicates: int,
    reversals: Sequence[SettledReversal],
) -> None:
    """Add a committed batch to the metrics, and its decisions to the counts of hot campaigns."""
    count_settled(settled)
    counts = Tally((s.decision.outcome, s.decision.reason) for s in settled)
    for labels, count in counts.items():
        SETTLED.labels(*labels).inc(count)
    for rejection in rejections:
        REJECTED.labels(rejection.reason).inc()
    DUPLICATES.inc(duplicates)
    for each in reversals:
        REVERSED.labels(each.state, each.reason).inc()
