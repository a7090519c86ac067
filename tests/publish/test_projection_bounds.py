"""Valkey fills up, a tenant has too many counters, nobody uses them any more: hints are lost, never wrong, and nobody waits."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date

import pytest
from redis.asyncio import Redis

from fillip.core.limit import CounterKey
from fillip.core.projection import IDLE_FOR_S, name_counter, name_epoch
from fillip.embedded.addresses import External
from fillip.embedded.servers import Servers
from fillip.limit.valkey import ValkeyLimitHints
from fillip.publish import metrics, valkey
from tests.publish import rows
from tests.publish.conftest import Site, wait_until

MANY = """
INSERT INTO limit_counter (tenant_id, limit_id, user_id, key, window_start, used, cap, version)
SELECT %(tenant)s, 'cap', 'u' || n, '', '1970-01-01', 1, 1000, 1 FROM generate_series(1, %(count)s) n
"""
SHARED = """
INSERT INTO limit_counter (tenant_id, limit_id, user_id, key, window_start, used, cap, version)
VALUES (%(tenant)s, 'budget', '', '', '1970-01-01', 1, 1000, 1)
ON CONFLICT (tenant_id, limit_id, user_id, key, window_start)
DO UPDATE SET used = limit_counter.used + 1, version = limit_counter.version + 1
"""
LIFETIME = date(1970, 1, 1)


def one_of_many(site: Site, number: int) -> CounterKey:
    return CounterKey(site.tenant, "cap", f"u{number}", "", LIFETIME)


def shared(tenant: str) -> CounterKey:
    return CounterKey(tenant, "budget", "", "", LIFETIME)


def count_dropped(why: str) -> float:
    return metrics.dropped_counters.labels(why)._value.get()


@pytest.fixture
async def full(site: Site, own_servers: Callable[..., Servers]) -> AsyncIterator[tuple[Site, Redis]]:
    """The site with a Valkey of its own, to be filled."""
    outside = External(postgres_dsn=site.addresses.postgres_dsn, kafka_bootstrap=site.addresses.kafka_bootstrap)
    site.addresses = own_servers(external=outside).addresses
    async with Redis.from_url(site.addresses.valkey_url, decode_responses=True) as client:
        yield site, client


@asynccontextmanager
async def projecting(site: Site, count: int = 1) -> AsyncIterator[None]:
    """The publisher runs, and the counters that were there are mirrored, by the WAL and by the rebuild that it begins with."""
    async with site.publishing():
        site.run(SHARED)
        await wait_until(lambda: mirrors(site, f"{count} {count}"))
        await wait_until(lambda: is_rebuilt(site))
        yield


async def is_rebuilt(site: Site) -> bool:
    async with Redis.from_url(site.addresses.valkey_url, decode_responses=True) as client:
        epoch = await client.get(name_epoch(site.tenant))
        return epoch is not None and "/rebuild-" not in epoch


async def mirrors(site: Site, wanted: str, tenant: str = "") -> bool:
    return await site.read_projection(shared(tenant or site.tenant)) == [wanted]


async def limit_memory(client: Redis, spare_bytes: int, policy: str) -> None:
    await client.config_set("maxmemory-policy", policy)
    await client.config_set("maxmemory", (await client.info("memory"))["used_memory"] + spare_bytes)


async def test_a_full_valkey_forgets_the_counters_used_longest_ago_and_mirrors_on(full: tuple[Site, Redis]) -> None:
    site, client = full
    async with projecting(site):
        await limit_memory(client, 1_000_000, "volatile-lru")
        site.run(MANY, count=40_000)  # some 4 MB
        await wait_until(lambda: has_evicted(client))
        site.grant(1)
        assert len(await site.read(site.topics.generated, 1)) == 1
        site.run(SHARED)
        await wait_until(lambda: mirrors(site, "2 2"))
        most = (await client.config_get("maxmemory"))["maxmemory"]
        assert most and (await client.info("memory"))["used_memory"] < 1.1 * int(most)
        assert await client.get(name_epoch(site.tenant))  # has no expiry, and so is never thrown away


async def has_evicted(client: Redis) -> bool:
    return (await client.info("stats"))["evicted_keys"] > 1000


async def test_a_valkey_that_takes_nothing_any_more_loses_hints_and_holds_nobody_up(full: tuple[Site, Redis]) -> None:
    site, client = full
    dropped = count_dropped("valkey_full")
    async with projecting(site):
        await limit_memory(client, -100_000, "noeviction")
        # when counters move, and a grant is made
        site.run(SHARED)
        site.run(MANY, count=3_000)
        site.grant(1)
        # then it is announced, and what stood in Valkey and is old now is gone rather than wrong
        assert len(await site.read(site.topics.generated, 1)) == 1
        await wait_until(lambda: all_dropped(dropped + 3_001))
        assert await site.read_projection(shared(site.tenant)) == [None]
        # and with room again all is as before
        await client.config_set("maxmemory", 0)
        site.run(SHARED)
        await wait_until(lambda: mirrors(site, "3 3"))


async def all_dropped(wanted: float) -> bool:
    return count_dropped("valkey_full") >= wanted


async def test_a_tenant_with_too_many_counters_loses_hints_of_its_own(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey, "TENANT_COUNTERS", 50)
    monkeypatch.setattr(valkey, "SCRIPT_COUNTERS", 10)
    over = count_dropped("tenant_has_many")
    async with projecting(site):
        site.run(MANY, count=500)
        await wait_until(lambda: has_left_out(over + 400))
        site.run(SHARED)  # what all meet is kept whatever the number
        await wait_until(lambda: mirrors(site, "2 2"))
        found = await site.read_projection(*[one_of_many(site, number) for number in range(1, 501)])
        assert 40 <= sum(each is not None for each in found) <= 60
        other = f"{site.tenant}-b"
        site.run(rows.TENANT.replace("%(tenant)s", "%(other)s"), SHARED.replace("%(tenant)s", "%(other)s"), other=other)
        await wait_until(lambda: mirrors(site, "1 1", other))


async def has_left_out(wanted: float) -> bool:
    return count_dropped("tenant_has_many") >= wanted


async def test_a_counter_lives_as_long_as_it_is_used(site: Site) -> None:
    key = shared(site.tenant)
    split = CounterKey(site.tenant, "budget", "", "a coupon", LIFETIME)
    async with projecting(site), Redis.from_url(site.addresses.valkey_url, decode_responses=True) as client:
        assert IDLE_FOR_S - 60 < await client.ttl(name_counter(key)) <= IDLE_FOR_S
        await client.set(name_counter(split), "1 1")
        for each in (key, split):
            await client.expire(name_counter(each), 100)
        # found with room it is not used; found full it is, if all events of its limit meet it
        hints = ValkeyLimitHints(client)
        assert await hints.find_full({key: (1, 2), split: (1, 2)}) == frozenset()
        assert await client.ttl(name_counter(key)) <= 100
        assert await hints.find_full({key: (1, 1), split: (1, 1)}) == {key, split}
        assert await client.ttl(name_counter(key)) > IDLE_FOR_S - 60
        assert await client.ttl(name_counter(split)) <= 100


async def test_a_key_of_another_kind_in_a_counters_place_holds_nobody_up(site: Site) -> None:
    async with projecting(site), Redis.from_url(site.addresses.valkey_url, decode_responses=True) as client:
        await client.delete(name_counter(shared(site.tenant)))
        await client.hset(name_counter(shared(site.tenant)), "used", "1")
        assert await ValkeyLimitHints(client).find_full({shared(site.tenant): (1, 0)}) == frozenset()
        site.run(SHARED)

        async def is_healed() -> bool:
            return await client.type(name_counter(shared(site.tenant))) == "string"

        await wait_until(is_healed)
        assert await mirrors(site, "2 2")
