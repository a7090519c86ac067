"""`fillip gateway`: the WebSocket streams of end customers."""

import asyncio
from functools import partial

from fillip import deliver
from fillip.app.health import Health
from fillip.app.lag import Follower, watch_topics
from fillip.app.settings import Settings
from fillip.deliver.postgres import PostgresInbox
from fillip.stream.kafka import LogEnds, Tail
from fillip.stream.topics import Topics

LIVE_FETCH_WAIT_MS = 100


async def run_gateway(settings: Settings, stop: asyncio.Event, health: Health) -> None:
    """Serve WebSocket streams until `stop`."""
    topics, security = Topics(settings.topic_prefix), settings.kafka_security
    pushed = topics.pushed
    open_tail = partial(Tail, settings.kafka_bootstrap, pushed, fetch_wait_ms=LIVE_FETCH_WAIT_MS, extra=security)
    follower = Follower(open_tail)
    host, port, origins = settings.host, settings.gateway_port, settings.allowed_origins
    async with PostgresInbox.open(settings.dsn("fillip_gateway")) as inbox:
        health.watch("PostgreSQL", inbox.check)
        watch_topics(health, [follower], LogEnds(settings.kafka_bootstrap, pushed, security))
        await deliver.run_gateway(
            inbox,
            follower.open,
            topics,
            host,
            port,
            origins,
            stop,
            find_fault=health.find_fault,
        )
