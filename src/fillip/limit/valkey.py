"""Hints from the Valkey projection of limit counters."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import structlog
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from fillip.core.limit import CounterKey
from fillip.core.projection import name_counter

AWAY = Counter("fillip_limit_hints_missed_total", "Batches decided without hints because Valkey was away")
log = structlog.get_logger()


class ValkeyLimitHints:
    """LimitHints: one Lua call a tenant looks at all counters of a batch."""

    def __init__(self, client: Redis) -> None:
        """`client` has a short time-out: a hint is not worth waiting for."""
        self._client = client
        self._away = False
        script = Path(__file__).with_name("find_full.lua").read_text(encoding="utf-8")
        self._find_full = client.register_script(script)

    async def find_full(self, wanted: Mapping[CounterKey, tuple[int, int]]) -> frozenset[CounterKey]:
        """See LimitHints."""
        by_tenant: dict[str, list[CounterKey]] = defaultdict(list)
        for counter in wanted:
            by_tenant[counter.tenant_id].append(counter)
        full: set[CounterKey] = set()
        try:
            for counters in by_tenant.values():
                args = [number for counter in counters for number in wanted[counter]]
                found = await self._find_full(keys=[name_counter(c) for c in counters], args=args)
                full.update(counters[index - 1] for index in found)
        except (RedisError, OSError) as error:
            self._notice(str(error))
            return frozenset()
        self._away = False
        return frozenset(full)

    def _notice(self, error: str) -> None:
        AWAY.inc()
        if not self._away:
            log.warning("no hints, Valkey is away; deciding goes on in PostgreSQL", error=error)
        self._away = True
