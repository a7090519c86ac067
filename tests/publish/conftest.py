"""A database, topics and a place in Valkey of the test's own; the publisher as the app runs it."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from msgspec import json
from redis.asyncio import Redis

from fillip.core.limit import CounterKey
from fillip.core.projection import name_counter
from fillip.embedded.addresses import Addresses
from fillip.migrations import make_slot, role_dsn
from fillip.publish import Duty, publish
from fillip.stream.kafka import Tail, read_last
from fillip.stream.topics import Topics
from tests.own_topics import own_topics
from tests.publish import rows

WITHIN_S = 60.0


@dataclass
class Site:
    """One tenant's database, its topics, and what they hold."""

    owner_dsn: str
    addresses: Addresses
    topics: Topics
    tenant: str

    @property
    def dsn(self) -> str:
        return role_dsn(self.owner_dsn, "fillip_publish")

    def run(self, *statements: str, **values: Any) -> None:
        """Run statements in one transaction, as the owner."""
        with psycopg.connect(self.owner_dsn) as connection:
            for statement in statements:
                connection.execute(statement, {"tenant": self.tenant} | values)

    def grant(self, *numbers: int) -> None:
        """A transaction with a decision and an incentive for each number."""
        self.run(*(part for number in numbers for part in rows.grant(number)))

    def start(self, duty: Duty | None = None) -> tuple[asyncio.Task[None], asyncio.Event]:
        stop = asyncio.Event()
        running = publish(
            dsn=self.dsn,
            topics=self.topics,
            stop=stop,
            bootstrap=self.addresses.kafka_bootstrap,
            valkey_url=self.addresses.valkey_url,
            duty=duty,
        )
        return asyncio.create_task(running), stop

    async def break_off(self, chance: random.Random) -> None:
        """A publisher begins three times, and is killed after a second or two."""
        for _ in range(3):
            task, _ = self.start()
            await asyncio.sleep(1.0 + chance.random())  # how far it is then is chance: it must not matter
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """The publisher runs meanwhile, and is stopped the clean way."""
        task, stop = self.start()
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(task, WITHIN_S)

    async def read(self, topic: str, count: int, *, emptied: bool = False) -> list[dict[str, Any]]:
        """All messages of a topic, once there are at least `count`; with `emptied` also those that all rows are gone."""
        async with asyncio.timeout(WITHIN_S):
            found: list[dict[str, Any]] = []
            async with Tail(self.addresses.kafka_bootstrap, [topic], from_end=False) as tail:
                while len(found) < count:
                    messages = [json.decode(record.value or b"") for record in await anext(tail)]
                    found += [message for message in messages if emptied or message.get("op") != "t"]
            return found

    async def count(self) -> Counter[str]:
        """How many messages each topic holds now."""
        names = [self.topics.generated, self.topics.decided, self.topics.rejected]
        names += [self.topics.progressed, self.topics.changed, self.topics.users]
        last = await read_last(self.addresses.kafka_bootstrap, names)
        return Counter({n: sum(r.offset + 1 for (t, _), r in last.items() if t == n and r) for n in names})

    async def read_projection(self, *keys: CounterKey) -> list[Any]:
        """What Valkey holds for these counters: "used version"."""
        async with Redis.from_url(self.addresses.valkey_url, decode_responses=True) as client:
            return [await client.get(name_counter(key)) for key in keys]


async def wait_until(holds: Callable[[], Any]) -> None:
    """Return when `holds` (a function or coroutine function) does; fail after WITHIN_S."""
    async with asyncio.timeout(WITHIN_S):
        while not await holds():
            await asyncio.sleep(0.02)


@pytest.fixture
async def site(database: str, servers: Addresses) -> AsyncIterator[Site]:
    """A tenant in a fresh database with its slot, and topics with 4 partitions."""
    topics = Topics(prefix=f"t{uuid.uuid4().hex[:12]}.")
    async with own_topics(servers.kafka_bootstrap, topics, 4):
        made = Site(database, servers, topics, f"tenant-{uuid.uuid4().hex[:12]}")
        assert make_slot(database)
        made.run(rows.TENANT)
        yield made
