"""The projection: limit counters mirrored into Valkey, as hints. It may be lost at any time and is rebuilt then.

It is bounded: a counter that is not used is forgotten (core.projection.IDLE_FOR_S), a tenant has at most TENANT_COUNTERS in
use a day, and where Valkey is full, hints are dropped and counted. Nobody waits for any of this, no other tenant either.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Protocol

import structlog
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from fillip.core.limit import CounterKey
from fillip.core.projection import IDLE_FOR_S, is_plain, name_counter, name_epoch, name_used
from fillip.publish import metrics
from fillip.publish.aside import Aside, tell_asides
from fillip.publish.client_valkey import close, connect, wait_after
from fillip.publish.counters import CounterRow, CounterState, read_counters
from fillip.stream.pause import Pause

CHECK_EVERY_S = 1.0
LONGEST_PAUSE_S = 60.0
SCRIPT_COUNTERS = 500
"""Counters a script call: short calls, since Valkey does nothing else meanwhile."""

WAITING_LIMIT = 100_000
"""Counters kept while Valkey is away or slow; beyond, those of the tenant with most are read again from PostgreSQL."""

TENANT_COUNTERS = 200_000
"""Counters of a tenant that may be used a day, about 20 MB; those that all events of a limit meet come on top."""

REBUILD_EVERY_S = 5.0
"""At most so often for one tenant: a Valkey that throws epochs away would have it rebuilt without end."""

log = structlog.get_logger()


class CounterStore(Protocol):
    """Where the counters truly are. Both raise Retry when it is away."""

    async def list_tenants(self) -> set[str]:
        """Every tenant."""

    def read(self, tenants: Collection[str]) -> AsyncGenerator[dict[CounterKey, tuple[int, int]], None]:
        """(used, version) of all counters of these tenants, in pieces. Who breaks off closes it."""


class ValkeyProjection:
    """Takes the counters of the WAL by `note`, writes them while `run` runs; announcing never waits for it."""

    def __init__(self, url: str, store: CounterStore, epoch: str) -> None:
        self._client = connect(url)
        self._store = store
        self._epoch, self._mark, self._rebuilds = epoch, "", 0
        self._waiting: dict[str, dict[CounterRow, CounterState]] = {}  # by tenant, who take turns
        self._tenants: set[str] = set()
        self._lost: set[str] = set()
        self._rebuilt_at: dict[str, float] = {}
        self._noted = asyncio.Event()
        self._advance = self._client.register_script(_load_script("advance_counter.lua"))
        self._finish = self._client.register_script(_load_script("finish_rebuild.lua"))

    def note(self, counters: Mapping[CounterRow, CounterState]) -> None:
        """Take counters, newest last."""
        if not counters:
            return
        tenant, waiting = b"", dict[CounterRow, CounterState]()
        for row, state in counters.items():
            if row[0] != tenant:
                tenant = row[0]
                waiting = self._waiting.setdefault(tenant.decode(), {})
            waiting[row] = state
        while sum(map(len, self._waiting.values())) > WAITING_LIMIT:
            crowd = max(self._waiting, key=lambda tenant: len(self._waiting[tenant]))
            self._lost.add(crowd)
            del self._waiting[crowd]
        self._noted.set()

    async def run(self) -> None:
        """Keep the projection up to date until cancelled, whatever happens to Valkey.

        Begins with a rebuild: what an earlier run had noted and not written is not known.
        """
        pause = Pause(CHECK_EVERY_S, LONGEST_PAUSE_S)
        try:
            while True:
                try:
                    await self._keep_up()
                    pause.reset()
                except Exception as error:  # noqa: BLE001 - see wait_after
                    waits = "projection of counters waits"
                    await wait_after(error, pause, failures=metrics.projection_failures, waits=waits)
        finally:
            await close(self._client)

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
            before = time.monotonic() - REBUILD_EVERY_S
            if due := frozenset(t for t in self._lost if self._rebuilt_at.get(t, before) <= before):
                await self._rebuild(due)
            if not self._waiting:
                with suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_EVERY_S):
                        await self._noted.wait()

    async def _write_waiting(self) -> None:
        """A portion of each tenant: one that has many moves on does not hold up the others."""
        self._noted.clear()
        for tenant in list(self._waiting):
            await self._write_portion(tenant)

    async def _write_portion(self, tenant: str) -> None:
        waiting = self._waiting.get(tenant, {})
        counters = dict(islice(waiting.items(), SCRIPT_COUNTERS))
        for key in counters:
            del waiting[key]
        if not waiting:
            self._waiting.pop(tenant, None)
        try:
            if known := read_counters(counters):
                await self._advance_surely(tenant, known)
        except BaseException:
            self._waiting[tenant] = counters | self._waiting.get(tenant, {})
            raise

    async def _advance_surely(self, tenant: str, counters: Mapping[CounterKey, tuple[int, int]]) -> None:
        """A counter at which something fails that nobody foresaw is found by halves, and left out."""
        try:
            await self._advance_all(tenant, counters)
        except (RedisError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - foreseen or not: one counter does not stop the others
            keys = list(counters)
            if len(keys) == 1:
                named = {name: getattr(keys[0], name)[:100] for name in ("tenant_id", "limit_id", "user_id", "key")}
                return tell_asides([Aside("limit_counter", named, f"{type(error).__name__}: {error}")])
            for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
                await self._advance_surely(tenant, {key: counters[key] for key in half})

    async def _advance_all(self, tenant: str, counters: Mapping[CounterKey, tuple[int, int]]) -> None:
        names = [name_epoch(tenant), name_used(tenant, datetime.now(UTC).date()), *map(name_counter, counters)]
        states = [part for key, state in counters.items() for part in (*state, int(is_plain(key)))]
        epoch, over, refused, failure = await self._advance(names, [IDLE_FOR_S, TENANT_COUNTERS, *states])
        if failure and not failure.startswith("OOM"):
            raise ResponseError(failure)
        self._judge([(tenant, epoch)])
        metrics.projected_counters.inc(len(counters) - over - refused)
        metrics.dropped_counters.labels("tenant_has_many").inc(over)
        metrics.dropped_counters.labels("valkey_full").inc(refused)

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
        """Write the counters of these tenants anew; those of another epoch are removed first."""
        self._rebuilds += 1
        self._mark = f"{self._epoch}/rebuild-{self._rebuilds}"
        await self._clear_foreign(tenants)
        begun = [tenant for tenant in sorted(tenants) if await self._begin_rebuild(tenant)]
        if not begun:
            return
        written = 0
        async with aclosing(self._store.read(begun)) as pieces:
            async for counters in pieces:
                for tenant, keys in _split(counters):
                    await self._advance_surely(tenant, {key: counters[key] for key in keys})
                await self._write_waiting()
                written += len(counters)
        for tenant in begun:
            if await self._finish([name_epoch(tenant)], [self._mark, self._epoch]):
                self._lost.discard(tenant)
        metrics.rebuilds.inc()
        log.info("projection rebuilt: %d counters of %d tenants, epoch %s", written, len(begun), self._epoch)

    async def _begin_rebuild(self, tenant: str) -> bool:
        """Mark a tenant as being rebuilt; False where Valkey is too full even for that: it is left for later."""
        self._rebuilt_at[tenant] = time.monotonic()
        try:
            await self._client.set(name_epoch(tenant), self._mark)
        except OutOfMemoryError:
            metrics.dropped_counters.labels("valkey_full").inc()
            return False
        return True

    async def _clear_foreign(self, tenants: Iterable[str]) -> None:
        found = {tenant: await self._client.get(name_epoch(tenant)) for tenant in tenants}
        foreign = {tenant for tenant, epoch in found.items() if epoch and not str(epoch).startswith(self._epoch)}
        if foreign:
            async for name in self._client.scan_iter(match="f:{*}:c:*", count=1000):
                if name[len("f:{") : name.index("}")] in foreign:
                    await self._client.unlink(name)


def _split(counters: Iterable[CounterKey]) -> Iterator[tuple[str, list[CounterKey]]]:
    """(tenant, up to SCRIPT_COUNTERS of its counters)."""
    by_tenant: dict[str, list[CounterKey]] = {}
    for key in counters:
        by_tenant.setdefault(key.tenant_id, []).append(key)
    for tenant, keys in by_tenant.items():
        for at in range(0, len(keys), SCRIPT_COUNTERS):
            yield tenant, keys[at : at + SCRIPT_COUNTERS]


def _load_script(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
