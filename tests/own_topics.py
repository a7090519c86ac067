"""Topics of a test's own on the broker that all share: it has little memory, so they go with the test."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from confluent_kafka.admin import AdminClient

from fillip.stream.kafka import ensure_topics
from fillip.stream.topics import Topics

GONE_WITHIN_S = 30


@asynccontextmanager
async def own_topics(bootstrap: str, topics: Topics, partitions: int) -> AsyncIterator[Topics]:
    """All of them while the context is open."""
    await ensure_topics(bootstrap, topics, partitions)
    try:
        yield topics
    finally:
        await asyncio.to_thread(_remove, bootstrap, list(topics.count_partitions(partitions)))


def _remove(bootstrap: str, names: Sequence[str]) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for gone in admin.delete_topics(list(names), operation_timeout=GONE_WITHIN_S).values():
        gone.result()
