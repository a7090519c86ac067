"""Hints from Valkey: they only ever say "full" when the projection says so, and never stop a batch."""

import uuid
from datetime import date

import pytest
from redis.asyncio import Redis

from fillip.app.valkey import connect_valkey
from fillip.core.limit import CounterKey
from fillip.core.projection import name_counter
from fillip.embedded.addresses import Addresses
from fillip.limit.valkey import ValkeyLimitHints


def counter(tenant: str, user: str = "", key: str = "") -> CounterKey:
    return CounterKey(tenant, "budget", user, key, date(2017, 3, 1))


@pytest.fixture
async def hints_valkey(servers: Addresses):
    async with Redis.from_url(servers.valkey_url) as client:
        yield client


async def test_only_counters_without_room_are_full(hints_valkey: Redis):
    tenant = f"t{uuid.uuid4().hex}"
    full, room, unknown = counter(tenant, key="full"), counter(tenant, key="room"), counter(tenant, key="unknown")
    await hints_valkey.set(name_counter(full), "950 9")
    await hints_valkey.set(name_counter(room), "900 8")
    wanted = dict.fromkeys([full, room, unknown], (100, 1000))
    assert await ValkeyLimitHints(hints_valkey).find_full(wanted) == {full}


async def test_counters_of_several_tenants_are_asked_apart(hints_valkey: Redis):
    one, two = counter(f"t{uuid.uuid4().hex}"), counter(f"t{uuid.uuid4().hex}")
    await hints_valkey.set(name_counter(two), "1 1")
    assert await ValkeyLimitHints(hints_valkey).find_full({one: (1, 1), two: (1, 1)}) == {two}


async def test_without_valkey_there_are_no_hints():
    hints = ValkeyLimitHints(connect_valkey("redis://127.0.0.1:1/0"))
    assert await hints.find_full({counter("acme"): (1, 1)}) == frozenset()


def test_a_name_can_not_reach_another_counter():
    assert name_counter(counter("acme", "a:b", "c")) != name_counter(counter("acme", "a", "b:c"))
    assert "{acme}" in name_counter(counter("acme", "{other}"))
