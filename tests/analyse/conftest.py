"""Fixture: topics of a test's own and a producer."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fillip.embedded.addresses import Addresses
from tests.analyse.bay_world import BayWorld
from tests.own_topics import own_topics


@pytest.fixture
async def bay_world(servers: Addresses, tmp_path: Path) -> AsyncIterator[BayWorld]:
    """Empty topics, no facts yet."""
    world = BayWorld(servers.kafka_bootstrap, tmp_path)
    async with own_topics(servers.kafka_bootstrap, world.topics, 2):
        yield world
        await world.producer.close()
