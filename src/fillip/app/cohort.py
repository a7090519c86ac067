"""`fillip cohort`: counts events for the cohorts that have rules, and lets their lists follow."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial

from prometheus_client import Gauge

from fillip.app.follow import follow
from fillip.app.health import Health, reach_pool
from fillip.app.lag import Lag
from fillip.app.settings import Settings
from fillip.app.worker import connect_ledger
from fillip.cohort import Count, OfTenants
from fillip.cohort.backfill import Building, EventsRead, keep_building
from fillip.cohort.lead import Listing, keep_leading, keep_moving, keep_noting, keep_reversing
from fillip.cohort.postgres import PostgresTallies
from fillip.cohort.rules_postgres import PostgresRules
from fillip.cohort.stage import SKIPPED, Counted, ReversalSeen
from fillip.core.errors import Busy, Crash, Fenced, Retry
from fillip.ingest import Ingest
from fillip.ingest.decode import peek_claim
from fillip.manage.cohort.listing_postgres import bring_up, make_first_list
from fillip.manage.store.postgres import open_engine
from fillip.match.keeper_postgres import BookKeeper
from fillip.match.postgres import PostgresBooks
from fillip.stream.belt import Batch, Errors, Rewind, Stage, walk
from fillip.stream.kafka import KafkaSource, LogEnds, Tail
from fillip.stream.topics import Topics

GROUP = "fillip-cohort"
ERRORS = Errors(away=(Retry,), busy=(Busy,), fatal=(Crash,))
FETCH_WAIT_MS, FETCH_BYTES = 50, 100_000
"""Cohorts follow within a second: a fetch for each event would take from Kafka what those who decide need."""
NOT_READ = Gauge("fillip_cohort_partitions_refused", "Partitions held and not read: their log is another one")


async def run_cohort(settings: Settings, stop: asyncio.Event, health: Health) -> None:
    """Count until `stop`. Raises Crash or StreamLost when going on could do harm."""
    topics, bootstrap, security = Topics(settings.topic_prefix), settings.kafka_bootstrap, settings.kafka_security
    async with AsyncExitStack() as stack:
        pool = await connect_ledger(settings.dsn("fillip_cohort"))
        stack.push_async_callback(pool.close)
        book_pool = await connect_ledger(settings.dsn("fillip_worker"))
        stack.push_async_callback(book_pool.close)
        engine = open_engine(settings.dsn("fillip_api"), connections=6)
        stack.push_async_callback(engine.dispose)
        tallies, count = PostgresTallies(pool), Count(PostgresRules(pool))
        books = BookKeeper(PostgresBooks(book_pool, with_members=False), book_pool, decides=False)
        ingest, ends = Ingest(books), LogEnds(bootstrap, [topics.received], security)
        source = KafkaSource(
            bootstrap, settings.topic_prefix + GROUP, topics.received, tallies, fetch_wait_ms=FETCH_WAIT_MS,
            retry_on=(Retry,), tell_refused=lambda refused: NOT_READ.set(len(refused)),
            extra={"fetch.min.bytes": FETCH_BYTES, **security},
        )  # fmt: skip
        health.watch("PostgreSQL", partial(reach_pool, pool))
        health.watch("Kafka", Lag(ends, lambda: source.places).measure)

        async def finish(rule: Building, known_since: datetime | None) -> None:
            await make_first_list(engine, rule.tenant_id, rule.cohort_id, rule.rule_id, known_since)

        events = EventsRead(
            open_tail=lambda: Tail(bootstrap, [topics.received], from_end=False, extra=security),
            read_ends=ends.read,
            read=ingest,
            peek_tenant=peek_tenant,
        )
        stages: list[Stage] = [OfTenants(tallies.list_tenants, peek_tenant), ingest, count]
        jobs = (
            partial(keep_moving, tallies),
            partial(keep_reversing, tallies),
            partial(keep_noting, tallies, ends.read),
            partial(keep_building, tallies, count, events, finish),
            Listing(tallies, partial(bring_up, engine)).run,
        )
        await stack.enter_async_context(follow(books))
        leading = asyncio.create_task(keep_leading(tallies, jobs))
        counting = asyncio.create_task(
            walk(source, stages, partial(settle, tallies), partial(pass_over, tallies), ERRORS)
        )
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({leading, counting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await source.close()
            for task in done - {stopping}:
                task.result()
            await counting
        finally:
            for task in (leading, stopping):
                task.cancel()
            await asyncio.gather(leading, return_exceptions=True)


def peek_tenant(value: bytes | None) -> str | None:
    """Whose a record claims to be."""
    return peek_claim(value)[0]


async def settle(tallies: PostgresTallies, batch: Batch, counted: Sequence[Counted | ReversalSeen]) -> None:
    """Keep what a batch counts; one that another has counted sends the belt back to the stored positions."""
    try:
        await tallies.settle(batch, counted)
    except Fenced as fenced:
        raise Rewind(str(fenced)) from fenced


async def pass_over(tallies: PostgresTallies, batch: Batch, error: Exception) -> None:
    """Go on behind a record that can't be counted, as the belt's log says; the worker tells its tenant."""
    SKIPPED.inc()
    await settle(tallies, batch, ())
