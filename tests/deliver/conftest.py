"""Fixtures: a tenant with topics of its own, without and with a running gateway."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from fillip.embedded.addresses import Addresses
from tests.deliver.gateway_world import World
from tests.own_topics import own_topics


@pytest.fixture
async def closed_world(database: str, servers: Addresses) -> AsyncIterator[World]:
    """Tenant and topics; no gateway yet."""
    world = World(database, servers.kafka_bootstrap)
    async with (
        own_topics(servers.kafka_bootstrap, world.topics, 2),
        asyncpg.create_pool(database, min_size=1, max_size=2) as world.pool,
    ):
        await world.pool.execute("INSERT INTO tenant VALUES ('acme', 'Acme', 'UTC', 'EUR', 'live')")
        yield world


@pytest.fixture
async def open_world(closed_world: World) -> AsyncIterator[World]:
    """Tenant, topics and a running gateway."""
    async with closed_world.gateway():
        yield closed_world
