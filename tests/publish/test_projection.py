"""Limit counters in Valkey: as in PostgreSQL when quiet, whatever happened to Valkey meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from fillip.core.limit import CounterKey
from fillip.core.projection import name_counter, name_epoch
from fillip.embedded.addresses import Addresses, External
from fillip.migrations import role_dsn
from fillip.publish.postgres import PostgresCounters
from fillip.publish.valkey import ValkeyProjection
from tests.publish import rows
from tests.publish.conftest import Site, wait_until


@pytest.fixture
async def counters_valkey(servers: Addresses) -> AsyncIterator[Redis]:
    async with Redis.from_url(servers.valkey_url, decode_responses=True) as client:
        yield client


def name(site: Site, user: str) -> CounterKey:
    return CounterKey(site.tenant, "cap", user, "a b", datetime.now(UTC).date())


async def wait_for_counter(site: Site, user: str, used: int) -> None:
    async def mirrored() -> bool:
        return await site.read_projection(name(site, user)) == [f"{used} {used}"]

    await wait_until(mirrored)


async def test_a_counter_is_mirrored_with_absolute_use_and_version(site: Site) -> None:
    async with site.publishing():
        site.run(rows.COUNTER, user="ann:x")
        await wait_for_counter(site, "ann:x", 1)
        site.run(rows.COUNTER, rows.COUNTER, user="ann:x")
        await wait_for_counter(site, "ann:x", 3)
    assert sum((await site.count()).values()) == 0  # a counter is no announcement


async def test_counters_that_vanish_are_rebuilt(site: Site, counters_valkey: Redis) -> None:
    async with site.publishing():
        for user in ("ann", "bob"):
            site.run(rows.COUNTER, user=user)
            await wait_for_counter(site, user, 1)
        # when all keys of the tenant are gone, as after FLUSHALL (other tests share this server)
        await counters_valkey.delete(
            name_epoch(site.tenant), *(name_counter(name(site, user)) for user in ("ann", "bob"))
        )
        # then they come back, without another write to PostgreSQL
        await wait_for_counter(site, "ann", 1)
        await wait_for_counter(site, "bob", 1)

        async def epoch_stands() -> bool:
            epoch = await counters_valkey.get(name_epoch(site.tenant))
            return epoch is not None and "/" not in epoch

        await wait_until(epoch_stands)


async def test_a_start_repairs_what_was_missed_and_what_is_of_another_epoch(site: Site, counters_valkey: Redis) -> None:
    # given counters that the projection missed, and one of a former server whose version is higher
    site.run(rows.COUNTER, user="ann")
    ghost = name_counter(name(site, "ghost"))
    await counters_valkey.set(name_counter(name(site, "ann")), "900 900")
    await counters_valkey.set(ghost, "7 7")
    await counters_valkey.set(name_epoch(site.tenant), "former-epoch")
    # when a publisher starts
    async with site.publishing():
        await wait_for_counter(site, "ann", 1)

        async def ghost_gone() -> bool:
            return not await counters_valkey.exists(ghost)

        await wait_until(ghost_gone)


async def test_a_counter_never_moves_back(site: Site, counters_valkey: Redis) -> None:
    # given a projection that holds version 5
    site.run(*[rows.COUNTER] * 5, user="ann")
    projection = ValkeyProjection(
        site.addresses.valkey_url, PostgresCounters(role_dsn(site.owner_dsn, "fillip_publish")), "e"
    )
    task = asyncio.create_task(projection.run())
    await wait_for_counter(site, "ann", 5)
    # when an older state comes late, and after it a newer one of another user
    projection.note(rows.count([name(site, "ann")], 2))
    projection.note(rows.count([name(site, "bob")], 1))
    await wait_for_counter(site, "bob", 1)
    # then nothing has moved back
    await wait_for_counter(site, "ann", 5)
    projection.note(rows.count([name(site, "ann")], 6))
    await wait_for_counter(site, "ann", 6)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_announcing_goes_on_without_valkey_and_the_projection_catches_up(site: Site, own_servers: object) -> None:
    # given a Valkey that is killed
    shared = External(postgres_dsn=site.addresses.postgres_dsn, kafka_bootstrap=site.addresses.kafka_bootstrap)
    own = own_servers(external=shared)  # type: ignore[operator]
    site.addresses = own.addresses
    async with site.publishing():
        site.run(rows.COUNTER, user="ann")
        await wait_for_counter(site, "ann", 1)
        own.kill("valkey")
        # when grants and counters are committed, the grants are announced
        site.run(rows.COUNTER, user="bob")
        site.grant(1)
        await site.read(site.topics.generated, 1)
        # and when Valkey is back, empty, it holds all counters
        await asyncio.to_thread(own.restart, "valkey")
        await wait_for_counter(site, "ann", 1)
        await wait_for_counter(site, "bob", 1)
