"""`fillip publish`: announces what the ledger stored."""

import asyncio

from fillip.app.settings import Settings
from fillip.publish.run import publish
from fillip.stream.topics import Topics


async def run_publish(settings: Settings, stop: asyncio.Event) -> None:
    """Announce until `stop`."""
    await publish(
        dsn=settings.dsn("fillip_publish"),
        bootstrap=settings.kafka_bootstrap,
        topics=Topics(settings.topic_prefix),
        valkey_url=settings.valkey_url,
        stop=stop,
    )
