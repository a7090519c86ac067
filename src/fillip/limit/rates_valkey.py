"""Rates of tenants in Valkey, shared by all processes; each takes tokens ahead, so that a request seldom asks."""

import asyncio
import time
from collections import OrderedDict
from pathlib import Path

import structlog
from msgspec import Struct
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from fillip.core.projection import name_bucket
from fillip.core.quota import BURST_S, Bucket, RateAnswer, RateName

AHEAD_S = 0.1
"""Worth of a rate that is taken at once: what a process may hold unused."""
AWAY_FOR_S = 1.0
"""Until Valkey is asked again after it did not answer."""
MAX_BUCKETS = 20_000
UNSHARED = Counter("fillip_limit_rates_unshared_total", "Requests let in by this process alone, Valkey being away")
log = structlog.get_logger()


class _Purse(Struct):
    """Tokens that this process has taken ahead, what the bucket held after that, and its own bucket for when Valkey is away."""

    lock: asyncio.Lock
    tokens: int = 0
    behind: int = 0
    own: Bucket | None = None


class ValkeyRates:
    """Rates. While Valkey is away each process keeps to the whole quota by itself, and counts what it lets in."""

    def __init__(self, client: Redis) -> None:
        """`client` has a short time-out: nobody's request waits for a count."""
        self._client = client
        self._purses: OrderedDict[tuple[str, RateName], _Purse] = OrderedDict()
        self._away_until_s = 0.0
        script = Path(__file__).with_name("take_tokens.lua").read_text(encoding="utf-8")
        self._take_tokens = client.register_script(script)

    async def take(self, tenant_id: str, name: RateName, per_s: int, count: int) -> RateAnswer:
        """See Rates."""
        purse = self._purses.get((tenant_id, name))
        if purse is None:
            purse = self._purses[tenant_id, name] = _Purse(asyncio.Lock())
            if len(self._purses) > MAX_BUCKETS:
                self._purses.popitem(last=False)
        self._purses.move_to_end((tenant_id, name))
        if purse.tokens >= count and not purse.lock.locked():  # as nearly always: nothing is waited for
            purse.tokens -= count
            return RateAnswer(purse.tokens + purse.behind)
        async with purse.lock:
            if purse.tokens < count:
                return await self._fill(purse, tenant_id, name, per_s, count)
            purse.tokens -= count
            return RateAnswer(purse.tokens + purse.behind)

    async def _fill(self, purse: _Purse, tenant_id: str, name: RateName, per_s: int, count: int) -> RateAnswer:
        """Take what is missing, and some more ahead."""
        if time.monotonic() < self._away_until_s:
            return self._take_own(purse, per_s, count)
        missing = count - purse.tokens
        arguments = (per_s, per_s * BURST_S, missing, max(missing, int(per_s * AHEAD_S)))
        try:
            given, left, wait_ms = await self._take_tokens(keys=[name_bucket(tenant_id, name)], args=arguments)
        except (RedisError, OSError) as error:
            log.warning("rates are kept by each process alone, Valkey is away", error=str(error))
            self._away_until_s = time.monotonic() + AWAY_FOR_S
            return self._take_own(purse, per_s, count)
        purse.behind = left
        if not given:
            return RateAnswer(purse.tokens + left, wait_ms / 1000)
        purse.tokens += given - count
        return RateAnswer(purse.tokens + left)

    def _take_own(self, purse: _Purse, per_s: int, count: int) -> RateAnswer:
        now_s = time.monotonic()
        purse.own = purse.own or Bucket(now_s, per_s)
        answer = purse.own.take(now_s, per_s, count)
        UNSHARED.inc(not answer.wait_s)
        return answer
