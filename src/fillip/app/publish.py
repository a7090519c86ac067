"""`fillip publish`: announces what the ledger stored."""

import asyncio

from fillip.app.health import Health, NotReady
from fillip.app.settings import Settings
from fillip.core.errors import Retry
from fillip.publish import Duty, publish
from fillip.stream.kafka import LogEnds
from fillip.stream.topics import Topics


async def run_publish(settings: Settings, stop: asyncio.Event, health: Health) -> None:
    """Announce until `stop`."""
    topics, duty = Topics(settings.topic_prefix), Duty()

    async def reach_wal() -> None:
        try:
            duty.check()
        except Retry as error:
            raise NotReady(str(error)) from None

    health.watch("WAL", reach_wal)
    health.watch("Kafka", LogEnds(settings.kafka_bootstrap, [topics.generated], settings.kafka_security).read)
    await publish(
        dsn=settings.dsn("fillip_publish"),
        bootstrap=settings.kafka_bootstrap,
        security=settings.kafka_security,
        topics=topics,
        valkey_url=settings.valkey_url,
        stop=stop,
        duty=duty,
    )
