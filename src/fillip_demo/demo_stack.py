"""What every part of the demo stands on."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from fillip.app.up import Stack
from fillip.core.errors import Crash, FillipError
from fillip.stream.belt import StreamError
from fillip.stream.kafka import KafkaProducer
from fillip.stream.topics import Topics

GIVE_UP_AFTER_S = 60

Job = Coroutine[Any, Any, None]


@dataclass(frozen=True)
class DemoStack:
    """A running stack with its tenants set up; `first` where this machine had to fetch Kafka first."""

    stack: Stack
    screen: Console
    began: float
    grocer_key: str
    probe_key: str
    first: bool

    @property
    def topics(self) -> Topics:
        """The topics' names."""
        return Topics(self.stack.settings.topic_prefix)

    @asynccontextmanager
    async def open_producer(self, linger_ms: float) -> AsyncIterator[KafkaProducer]:
        """A producer for direct events, closed afterwards."""
        bootstrap = self.stack.settings.kafka_bootstrap
        producer = KafkaProducer(bootstrap, linger_ms=linger_ms, give_up_after_s=GIVE_UP_AFTER_S)
        try:
            yield producer
        finally:
            await producer.close()


@asynccontextmanager
async def beside(*jobs: Job) -> AsyncIterator[None]:
    """Run jobs beside the body until it ends; an error of one of them ends the body. Raises Crash."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
            yield
            for task in tasks:
                task.cancel()
    except* (FillipError, StreamError, OSError) as failed:
        raise Crash(f"the demo can't go on: {failed.exceptions[0]}") from failed
