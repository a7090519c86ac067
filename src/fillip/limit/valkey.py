"""Hints from the Valkey projection of limit counters."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import structlog
from prometheus_client import Counter
from redis.asyncio import Redis

from fillip.core.limit import CounterKey
from fillip.core.projection import IDLE_FOR_S, is_plain, name_counter

HINTS_MISSED = Counter(
    "fillip_limit_hints_missed_total", "Batches decided without hints because Valkey could not be asked"
)
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
                args = [number for c in counters for number in (*wanted[c], IDLE_FOR_S if is_plain(c) else 0)]
                found = await self._find_full(keys=[name_counter(c) for c in counters], args=args)
                full.update(counters[index - 1] for index in found)
        except Exception as error:  # noqa: BLE001 - a hint is worth no batch
            HINTS_MISSED.inc()
            if not self._away:
                told = f"{type(error).__name__}: {error}"
                log.warning("no hints, Valkey can't be asked; deciding goes on in PostgreSQL", error=told)
            self._away = True
            return frozenset()
        self._away = False
        return frozenset(full)
