"""Fixtures: topics of a test's own and a producer; an empty store of the facts, each of the two."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fillip.analyse.report import Bay
from fillip.embedded.addresses import Addresses
from tests.analyse.bay_world import BayWorld
from tests.analyse.stores import ABSENT, new_clickhouse, open_clickhouse, open_duckdb
from tests.own_topics import own_topics

BOTH = (
    "duckdb",
    pytest.param("clickhouse", marks=[pytest.mark.clickhouse, pytest.mark.skipif(bool(ABSENT), reason=ABSENT)]),
)


@pytest.fixture(params=BOTH)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bay]:
    """An empty store."""
    with ExitStack() as stack:
        is_duckdb = request.param == "duckdb"
        opened = open_duckdb(tmp_path) if is_duckdb else open_clickhouse(stack.enter_context(new_clickhouse()))
        async with opened as bay:
            yield bay


@pytest.fixture
async def bay_world(servers: Addresses, tmp_path: Path) -> AsyncIterator[BayWorld]:
    """Empty topics, no facts yet."""
    world = BayWorld(servers.kafka_bootstrap, tmp_path)
    async with own_topics(servers.kafka_bootstrap, world.topics, 2):
        yield world
        await world.producer.close()
