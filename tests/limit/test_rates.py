"""Rates on a real Valkey: a bucket is shared by all processes, and gives no more than it holds."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from fillip.app.valkey import connect_valkey
from fillip.core.quota import BURST_S, Bucket
from fillip.embedded.addresses import Addresses
from fillip.limit.rates_valkey import UNSHARED, ValkeyRates


@pytest.fixture
async def rates_valkey(servers: Addresses) -> AsyncIterator[Redis]:
    async with Redis.from_url(servers.valkey_url) as client:
        yield client


@pytest.fixture
def tenant() -> str:
    return f"t{uuid.uuid4().hex}"


async def test_a_bucket_gives_what_it_holds_and_not_one_more(rates_valkey: Redis, tenant: str):
    """Ten seconds' worth of 1 a second at once; then one takes a second."""
    rates = ValkeyRates(rates_valkey)
    assert (await rates.take(tenant, "events_per_s", 1, 10)).wait_s == 0
    refused = await rates.take(tenant, "events_per_s", 1, 10)
    assert refused.left < 10
    assert 0 < refused.wait_s <= 10
    assert (await rates.take(tenant, "requests_per_s", 1, 10)).wait_s == 0, "another rate has a bucket of its own"
    assert (await rates.take(tenant + "2", "events_per_s", 1, 10)).wait_s == 0, "and so has another tenant"


async def test_what_never_fits_takes_nothing(rates_valkey: Redis, tenant: str):
    rates = ValkeyRates(rates_valkey)
    assert (await rates.take(tenant, "events_per_s", 1, 11)).wait_s > 0
    assert (await rates.take(tenant, "events_per_s", 1, 10)).wait_s == 0


async def test_what_is_left_is_told_from_what_was_last_seen(rates_valkey: Redis, tenant: str):
    """A process that has taken tokens ahead tells the bucket's rest besides."""
    rates = ValkeyRates(rates_valkey)
    assert [(await rates.take(tenant, "events_per_s", 100, 1)).left for _ in range(3)] == [999, 998, 997]


async def test_two_processes_together_get_no_more_than_one(rates_valkey: Redis, tenant: str):
    """What is taken ahead and not used is not given twice: 40 clients of two processes want more than there is."""
    one, two, per_s = ValkeyRates(rates_valkey), ValkeyRates(rates_valkey), 50
    began, taken = time.monotonic(), 0

    async def insist(rates: ValkeyRates) -> None:
        nonlocal taken
        for count in (1, 7, 3, 9, 2, 8, 5, 4, 6, 5):
            taking = await rates.take(tenant, "events_per_s", per_s, count)
            taken += 0 if taking.wait_s else count

    await asyncio.gather(*(insist(rates) for rates in (one, two) for _ in range(20)))
    passed_s = time.monotonic() - began
    assert taken <= per_s * (BURST_S + passed_s)
    assert taken >= per_s * BURST_S - 2 * 9 - 2 * per_s // 10, "and all of it but what lies ready in each"


async def test_without_valkey_each_process_keeps_the_rate_by_itself_and_counts():
    rates, before = ValkeyRates(connect_valkey("redis://127.0.0.1:1/0")), UNSHARED._value.get()
    assert (await rates.take("acme", "events_per_s", 1, 10)).wait_s == 0
    assert UNSHARED._value.get() == before + 1
    assert (await rates.take("acme", "events_per_s", 1, 10)).wait_s > 0
    assert (await rates.take("rival", "events_per_s", 1, 10)).wait_s == 0


def test_a_bucket_fills_up_to_ten_seconds_worth_and_no_further():
    bucket = Bucket(0.0, 5)
    assert bucket.take(0.0, 5, 50).wait_s == 0
    refused = bucket.take(1.0, 5, 10)
    assert (refused.left, refused.wait_s) == (5, 1.0)
    assert bucket.take(2.0, 5, 10).wait_s == 0
    assert bucket.take(1_000.0, 5, 51).wait_s > 0
    assert bucket.take(1_000.0, 5, 50).wait_s == 0
