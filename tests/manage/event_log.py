"""A log of events on the real broker, for the control plane in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg

from fillip.ingest.answer.postgres import PostgresAnswers
from fillip.ingest.answer.wait import Waits
from fillip.ingest.http import EventEntry
from fillip.match.postgres import PostgresBooks
from fillip.migrations import role_dsn
from fillip.stream.kafka import KafkaProducer
from fillip.stream.topics import Topics
from tests.own_topics import own_topics


@asynccontextmanager
async def open_event_log(dsn: str, bootstrap: str) -> AsyncIterator[tuple[EventEntry, str]]:
    """The log, and the topic that it writes to."""
    topics = Topics(prefix=f"t{uuid4().hex[:12]}.")
    async with own_topics(bootstrap, topics, 1):
        producer = KafkaProducer(bootstrap)
        try:
            async with asyncpg.create_pool(role_dsn(dsn, "fillip_worker"), min_size=0, max_size=2) as pool:
                waits = Waits(PostgresAnswers(pool, topics.received))
                yield EventEntry(PostgresBooks(pool), producer, topics.received, waits), topics.received
        finally:
            await producer.close()
