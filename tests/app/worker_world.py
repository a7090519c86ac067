"""A whole worker in this process, on real servers, with one tenant's shop to decide for."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fillip.app.settings import Settings
from fillip.app.worker import run_worker
from fillip.embedded.addresses import Addresses
from fillip.stream.kafka import KafkaProducer
from fillip.stream.topics import Topics
from tests.match.conftest import Shop
from tests.own_topics import own_topics

WITHIN_S = 60
PARTITIONS = 2


@dataclass
class Worker:
    """What goes in, and what has come of it."""

    shop: Shop
    topics: Topics
    producer: KafkaProducer
    running: "asyncio.Task[None]"

    async def buy(self, *event_ids: str, tenant: str = "acme", **attributes: Any) -> None:
        """Purchases made now, one user an event, in this order."""
        await self.send([self.write(event_id, tenant, **attributes) for event_id in event_ids])

    def write(self, event_id: str, tenant: str = "acme", **attributes: Any) -> bytes:
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": "till",
            "type": "BUY",
            "subject": f"user-{event_id}",
            "time": datetime.now(UTC).isoformat(),
            "tenantid": tenant,
            "data": attributes,
        }
        return json.dumps(event).encode()

    async def send(self, values: Sequence[bytes]) -> None:
        await self.producer.send_many([(self.topics.received, f"k{n}", value) for n, value in enumerate(values)])

    def read_granted(self, tenant: str = "acme") -> set[str]:
        rows = self.shop.owner.execute("SELECT event_id FROM decision WHERE tenant_id = %s", [tenant])
        return {event_id for (event_id,) in rows}

    def read_aside(self) -> dict[str, tuple[str, str]]:
        """(reason, detail) by event."""
        rows = self.shop.owner.execute("SELECT event_id, reason, detail FROM rejection")
        return {event_id: (reason, detail) for event_id, reason, detail in rows}

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition; fails at once when the worker ends."""
        deadline = time.monotonic() + WITHIN_S
        while not holds():
            if self.running.done():
                self.running.result()
                raise AssertionError("the worker has ended")
            assert time.monotonic() < deadline, (self.read_granted(), self.read_aside())
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running_worker(shop: Shop, database: str, servers: Addresses, **changes: Any) -> AsyncIterator[Worker]:
    """A worker on topics of its own, with these settings besides; told to stop at the end, which must be without an error."""
    topics = Topics(f"{uuid.uuid4().hex[:8]}.")
    settings = Settings(
        postgres_dsn=database,
        valkey_url=servers.valkey_url,
        kafka_bootstrap=servers.kafka_bootstrap,
        topic_prefix=topics.prefix,
        **changes,
    )
    async with own_topics(servers.kafka_bootstrap, topics, PARTITIONS):
        producer, stop = KafkaProducer(servers.kafka_bootstrap), asyncio.Event()
        running = asyncio.create_task(run_worker(settings, stop))
        try:
            yield Worker(shop, topics, producer, running)
        finally:
            stop.set()
            await producer.close()
            await running
