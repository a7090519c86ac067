"""The projection: limit counters mirrored into Valkey, as hints. It may be lost at any time and is rebuilt then."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from redis.asyncio import Redis
from redis.asyncio.retry import Retry as Attempts
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from fillip.core.errors import Retry
from fillip.core.limit import CounterKey
from fillip.core.projection import name_counter, name_epoch
from fillip.publish import metrics

ANSWER_WITHIN_S = 1.0
CHECK_EVERY_S = 1.0
LONGEST_PAUSE_S = 60.0
SCRIPT_COUNTERS = 500
"""Counters a script call: short calls, since Valkey does nothing else meanwhile."""

WAITING_LIMIT = 100_000
"""Counters kept while Valkey is away; beyond, they are read again from PostgreSQL."""

log = logging.getLogger(__name__)


class CounterStore(Protocol):
    """Where the counters truly are. Both raise Retry when it is away."""

    async def list_tenants(self) -> set[str]:
        """Every tenant."""
        ...

    def read(self, tenants: Collection[str]) -> AsyncIterator[dict[CounterKey, tuple[int, int]]]:
        """(used, version) of all counters of these tenants, in pieces."""
        ...


class ValkeyProjection:
    """Takes the counters of the WAL by `note`, writes them while `run` runs; announcing never waits for it."""

    def __init__(self, url: str, store: CounterStore, epoch: str) -> None:
        self._client: Redis = Redis.from_url(
            url,
            socket_timeout=ANSWER_WITHIN_S,
            socket_connect_timeout=ANSWER_WITHIN_S,
            retry=Attempts(NoBackoff(), 0),
            decode_responses=True,
        )
        self._store = store
        self._epoch, self._mark, self._rebuilds = epoch, "", 0
        self._waiting: dict[CounterKey, tuple[int, int]] = {}
        self._tenants: set[str] = set()
        self._lost: set[str] = set()
        self._noted = asyncio.Event()
        self._advance = self._client.register_script(_load("advance_counter.lua"))
        self._finish = self._client.register_script(_load("finish_rebuild.lua"))

    def note(self, counters: Mapping[CounterKey, tuple[int, int]]) -> None:
        """Take (used, version) of counters, newest last."""
        if not counters:
            return
        self._waiting.update(counters)
        if len(self._waiting) > WAITING_LIMIT:
            self._lost.update(key.tenant_id for key in self._waiting)
            self._waiting.clear()
        self._noted.set()

    async def run(self) -> None:
        """Keep the projection up to date until cancelled, whatever happens to Valkey.

        Begins with a rebuild: what an earlier run had noted and not written is not known.
        """
        pause_s = CHECK_EVERY_S
        try:
            while True:
                try:
                    await self._keep_up()
                    pause_s = CHECK_EVERY_S
                except (RedisError, OSError, Retry) as error:
                    metrics.projection_failures.inc()
                    log.warning("projection of limit counters waits, again in %.0f s: %s", pause_s, error)
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        finally:
            await self._client.aclose()

    async def _keep_up(self) -> None:
        if not self._tenants:
            self._tenants = await self._store.list_tenants()
            self._lost |= self._tenants
        check_at = 0.0
        while True:
            await self._write_waiting()
            if time.monotonic() >= check_at:
                await self._find_lost()
                check_at = time.monotonic() + CHECK_EVERY_S
            if self._lost:
                await self._rebuild(frozenset(self._lost))
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_EVERY_S):
                    await self._noted.wait()

    async def _write_waiting(self) -> None:
        self._noted.clear()
        counters, self._waiting = self._waiting, {}
        try:
            await self._write(counters)
        except BaseException:
            self._waiting = counters | self._waiting
            raise

    async def _write(self, counters: Mapping[CounterKey, tuple[int, int]]) -> None:
        for tenant, keys in _split(counters):
            names = [name_epoch(tenant), *map(name_counter, keys)]
            epoch = await self._advance(names, [number for key in keys for number in counters[key]])
            self._judge([(tenant, epoch)])
        metrics.projected_counters.inc(len(counters))

    async def _find_lost(self) -> None:
        tenants = list(self._tenants)
        async with self._client.pipeline(transaction=False) as pipeline:
            for tenant in tenants:
                pipeline.get(name_epoch(tenant))
            self._judge(zip(tenants, await pipeline.execute(), strict=True))

    def _judge(self, found: Iterable[tuple[str, str | None]]) -> None:
        for tenant, epoch in found:
            self._tenants.add(tenant)
            if epoch not in (self._epoch, self._mark):
                self._lost.add(tenant)

    async def _rebuild(self, tenants: frozenset[str]) -> None:
        """Write all counters of these tenants anew; those of another epoch are removed first."""
        self._rebuilds += 1
        self._mark = f"{self._epoch}/rebuild-{self._rebuilds}"
        await self._clear_foreign(tenants)
        for tenant in tenants:
            await self._client.set(name_epoch(tenant), self._mark)
        written = 0
        async for counters in self._store.read(tenants):
            await self._write(counters)
            await self._write_waiting()
            written += len(counters)
        for tenant in tenants:
            if await self._finish([name_epoch(tenant)], [self._mark, self._epoch]):
                self._lost.discard(tenant)
        metrics.rebuilds.inc()
        log.info("projection rebuilt: %d counters of %d tenants, epoch %s", written, len(tenants), self._epoch)

    async def _clear_foreign(self, tenants: Iterable[str]) -> None:
        found = {tenant: await self._client.get(name_epoch(tenant)) for tenant in tenants}
        foreign = {tenant for tenant, epoch in found.items() if epoch and not str(epoch).startswith(self._epoch)}
        if foreign:
            async for name in self._client.scan_iter(match="fillip:{*}:limit:*", count=1000):
                if name[len("fillip:{") : name.index("}")] in foreign:
                    await self._client.unlink(name)


def _split(counters: Iterable[CounterKey]) -> Iterator[tuple[str, list[CounterKey]]]:
    """(tenant, up to SCRIPT_COUNTERS of its counters)."""
    by_tenant: dict[str, list[CounterKey]] = {}
    for key in counters:
        by_tenant.setdefault(key.tenant_id, []).append(key)
    for tenant, keys in by_tenant.items():
        for at in range(0, len(keys), SCRIPT_COUNTERS):
            yield tenant, keys[at : at + SCRIPT_COUNTERS]


def _load(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
