"""The projection in Valkey beside the ledger's counters."""

from collections.abc import Sequence

from redis.asyncio import Redis

from fillip.core.limit import CounterKey
from fillip.core.projection import name_counter
from fillip_demo.postgres import Use


async def count_differences(url: str, tenant_id: str, counters: Sequence[Use]) -> int:
    """Of how many counters the projection differs in use or version, or is absent."""
    valkey = Redis.from_url(url, decode_responses=True)
    try:
        pipeline = valkey.pipeline(transaction=False)
        for use in counters:
            key = CounterKey(tenant_id, use.limit_id, use.user_id, use.key, use.window_start)
            pipeline.get(name_counter(key))
        found = await pipeline.execute()
    finally:
        await valkey.aclose()
    wanted = [f"{use.used} {use.version}" for use in counters]
    return sum(have != want for have, want in zip(found, wanted, strict=True))
