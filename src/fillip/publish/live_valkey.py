"""Live hours in Valkey: what campaigns decided, hour by hour, as absolute values that the publisher adds up and writes.

Each run of the publisher writes under names of its own, and then says that these count: so no value of a former run, and none
of another publisher, is ever mixed with its own. Nobody waits for it; announcing least of all.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol, TypeVar, cast

import structlog
from msgspec import json
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from fillip.core.errors import Retry
from fillip.core.live import HOURS, HourSums, LiveHours
from fillip.core.projection import name_live, name_live_campaign, name_live_instant
from fillip.publish import metrics
from fillip.publish.client_valkey import close, connect, wait_after
from fillip.publish.live import (
    HourChange,
    HourCounts,
    Rows,
    Visibility,
    list_counted,
    name_first_hour,
    name_hour_before,
    read_hour,
)
from fillip.stream.pause import Pause

WRITE_EVERY_S = 0.5
SETTLE_S = 1.0
"""From the first change that waits to the snapshot: what was told before it has ended for all to see."""
LONGEST_PAUSE_S = 60.0
SCRIPT_CAMPAIGNS = 100
"""Campaigns a call."""
LIVE_FOR_S = (HOURS + 2) * 3600

_Item = TypeVar("_Item")
log = structlog.get_logger()


class Snapshot(Protocol):
    """The ledger at one instant."""

    visibility: Visibility

    async def list_tenants(self) -> Sequence[str]:
        """Every tenant."""

    def read(self, tenant_id: str, since: datetime) -> AsyncGenerator[Sequence[HourChange], None]:
        """What each campaign decided in each hour since, in pieces. Who breaks off closes it."""


class SnapshotStore(Protocol):
    """The ledger."""

    def open(self) -> AbstractAsyncContextManager[Snapshot]:
        """It, as it is now. Raises Retry."""


class ValkeyLive:
    """Takes the changes of the WAL by `note`, writes what they add up to while `run` runs."""

    def __init__(self, url: str, store: SnapshotStore) -> None:
        self._client = connect(url)
        self._store, self._counts, self._run_id = store, HourCounts(), ""
        self._as_of_s = 0.0
        self._written: dict[tuple[str, str], None] = {}
        """(tenant, campaign) of which all hours stand in Valkey; the one that was not looked at for longest is first."""
        self._former: dict[str, str] = {}
        """The state that a former run left of a tenant."""
        self._stated: dict[str, str] = {}
        """The state of each tenant whose hours are loaded, as it stands in Valkey; '': it has to be written with all else."""
        self._first_hour = ""
        self._script = Path(__file__).with_name("write_hours.lua").read_text(encoding="utf-8")

    def note(self, decided: Rows, committed_at_us: int | None) -> None:
        """Take what rows of the WAL add, and when the newest of them was committed; None: all that there is was told."""
        if decided:
            self._counts.note(list_counted(decided))
        self._as_of_s = time.time() if committed_at_us is None else committed_at_us / 1e6

    async def run(self) -> None:
        """Load and keep up until cancelled, whatever happens to Valkey."""
        pause = Pause(WRITE_EVERY_S, LONGEST_PAUSE_S)
        try:
            while True:
                try:
                    await self._load()
                    pause.reset()
                    await self._keep_up(pause)
                except Exception as error:  # noqa: BLE001 - whatever it is, announcing goes on, and so does this
                    await wait_after(error, pause, failures=metrics.live_failures, waits="live hours wait")
        finally:
            await close(self._client)

    async def _load(self) -> None:
        """Begin anew: what the ledger holds, and all that came by the WAL since."""
        self._counts, self._run_id = HourCounts(), token_hex(8)
        self._written, self._stated, self._former = {}, {}, {}
        await self._turn_hour()
        since = read_hour(self._counts.first)
        await asyncio.sleep(SETTLE_S)
        async with self._store.open() as snapshot:
            self._counts.begin(snapshot.visibility)
            for tenant_id in await snapshot.list_tenants():
                async with aclosing(snapshot.read(tenant_id, since)) as portions:
                    async for portion in portions:
                        self._counts.load(portion)
                self._stated[tenant_id] = ""
        if self._counts.overflowed:
            raise Retry("more was announced than could wait for the snapshot")

    async def _turn_hour(self) -> None:
        """Where an hour has begun, drop the oldest but one: what is told from `since` on stands a while longer."""
        first_hour = name_first_hour(datetime.now(UTC))
        if first_hour != self._first_hour or not self._counts.first:
            self._first_hour, self._written = first_hour, {}  # each campaign is written whole once an hour
            self._counts.keep(name_hour_before(first_hour))
            for tenant_id in [*self._counts.sums]:
                self._counts.forget(tenant_id)
                await asyncio.sleep(0)

    async def _keep_up(self, pause: Pause) -> None:
        """Write what moves. Where Valkey is away the sums are kept, and all of them are written when it is back."""
        while True:
            try:
                await self._write()
                pause.reset()
                await asyncio.sleep(WRITE_EVERY_S)
            except (RedisError, OSError) as error:
                self._stated = dict.fromkeys(self._stated, "")
                await wait_after(error, pause, failures=metrics.live_failures, waits="live hours wait")

    async def _write(self) -> None:
        as_of_s = self._as_of_s
        await self._turn_hour()
        await self._find_lost()
        moved = self._counts.take_moved()
        self._stated |= dict.fromkeys(moved.keys() - self._stated.keys(), "")  # made since: all of it came by the WAL
        for tenant_id in [*self._stated]:
            wanted = moved.get(tenant_id, {})
            if not self._stated[tenant_id]:
                wanted = {campaign_id: set[str]() for campaign_id in self._counts.sums.get(tenant_id, {})}
            for portion in _split(list(wanted.items()), SCRIPT_CAMPAIGNS):
                await self._write_campaigns(tenant_id, dict(portion))
            await self._state(tenant_id)
        await self._client.set(name_live_instant(self._run_id), f"{as_of_s:.3f}", ex=LIVE_FOR_S)

    async def _write_campaigns(self, tenant_id: str, wanted: Mapping[str, set[str]]) -> None:
        """Write these hours of campaigns, and all hours of one that was not written yet or was thrown away."""
        names = list(wanted)
        while names:
            held = self._counts.sums.get(tenant_id, {})  # as it is now: hours are dropped while Valkey is asked
            names = [name for name in names if name in held]
            arguments: list[str | int] = [LIVE_FOR_S]
            for name in names:
                moved = wanted[name] & held[name].keys() if (tenant_id, name) in self._written else None
                hours = moved or held[name].keys()
                arguments += [int(not moved), len(hours)]
                arguments += [part for hour in hours for part in (hour, json.encode(held[name][hour]).decode())]
            if not names:
                return
            keys = [name_live_campaign(tenant_id, self._run_id, name) for name in names]
            failure, missing = await cast(
                "Awaitable[tuple[str, list[int]]]", self._client.eval(self._script, len(keys), *keys, *arguments)
            )
            self._written |= dict.fromkeys((tenant_id, name) for name in names)
            names = [names[index - 1] for index in missing]
            for name in names:
                del self._written[tenant_id, name]
            if failure:
                raise ResponseError(failure)

    async def _state(self, tenant_id: str) -> None:
        """Say where the hours of a tenant stand, once they do; what a former run wrote goes then."""
        state = f"{self._run_id} {max(self._first_hour, self._counts.since.get(tenant_id, ''))}"
        if state == self._stated[tenant_id]:
            return
        await self._client.set(name_live(tenant_id), state)
        self._stated[tenant_id] = state
        run_id = self._former.pop(tenant_id, "").split(" ")[0]
        if run_id not in ("", self._run_id):
            for portion in _split([*self._counts.sums.get(tenant_id, {})], SCRIPT_CAMPAIGNS):
                await self._client.unlink(*(name_live_campaign(tenant_id, run_id, each) for each in portion))

    async def _find_lost(self) -> None:
        """Tenants whose state is gone, as after FLUSHALL, are written anew; so are campaigns that were thrown away."""
        for tenants in _split([*self._stated], 1_000):
            states: list[Any] = await self._client.mget([name_live(tenant_id) for tenant_id in tenants])
            for tenant_id, state in zip(tenants, states, strict=True):
                if state != self._stated[tenant_id]:
                    self._stated[tenant_id], self._former[tenant_id] = "", state or ""
        looked_at = list(islice(self._written, SCRIPT_CAMPAIGNS))
        async with self._client.pipeline(transaction=False) as pipeline:
            for tenant_id, campaign_id in looked_at:
                pipeline.exists(name_live_campaign(tenant_id, self._run_id, campaign_id))
            found = await pipeline.execute()
        for key, stands in zip(looked_at, found, strict=True):
            del self._written[key]
            if stands:
                self._written[key] = None  # behind those that were not looked at for longer
            else:
                self._counts.touch(*key)


class ValkeyLiveCounts:
    """LiveCounts."""

    def __init__(self, client: Redis) -> None:
        """`client` has a short time-out."""
        self._client = client

    async def read(self, tenant_id: str, campaign_id: str) -> LiveHours:
        """See LiveCounts."""
        try:
            state: Any = await self._client.get(name_live(tenant_id))
            if state is None:
                raise Retry("what campaigns decide is being added up: try again soon")
            run_id, _, since = state.decode().partition(" ")
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.hgetall(name_live_campaign(tenant_id, run_id, campaign_id))
                pipeline.get(name_live_instant(run_id))
                hours, as_of = await pipeline.execute()
        except (RedisError, OSError) as error:
            raise Retry(f"Valkey is away, where the live hours are: try again soon ({error})") from error
        if as_of is None:
            raise Retry("what campaigns decide is being added up: try again soon")
        sums = {read_hour(hour.decode()): json.decode(each, type=HourSums) for hour, each in hours.items()}
        first = read_hour(since)
        kept = {hour: each for hour, each in sorted(sums.items(), reverse=True) if hour >= first}
        return LiveHours(since=first, as_of=datetime.fromtimestamp(float(as_of), UTC), hours=kept)


def _split(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
