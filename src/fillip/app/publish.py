"""`fillip publish`: announces what the ledger stored."""

import asyncio
from functools import partial

from fillip.app.health import Health
from fillip.app.settings import Settings
from fillip.core.errors import Retry
from fillip.publish.run import publish
from fillip.stream.kafka import LogEnds
from fillip.stream.topics import Topics


async def run_publish(settings: Settings, stop: asyncio.Event, health: Health) -> None:
    """Announce until `stop`."""
    topics, following = Topics(settings.topic_prefix), asyncio.Event()
    health.watch(
        "WAL",
        partial(_check, following),
        "the WAL is not being read: PostgreSQL or Kafka is away, or another publish has the slot",
    )
    health.watch("Kafka", LogEnds(settings.kafka_bootstrap, [topics.generated], settings.kafka_security).read)
    await publish(
        dsn=settings.dsn("fillip_publish"),
        bootstrap=settings.kafka_bootstrap,
        security=settings.kafka_security,
        topics=topics,
        valkey_url=settings.valkey_url,
        stop=stop,
        tell_following=lambda now: following.set() if now else following.clear(),
    )


async def _check(following: asyncio.Event) -> None:
    if not following.is_set():
        raise Retry("not following")
