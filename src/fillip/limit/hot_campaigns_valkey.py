"""Which campaigns are hot, and who their users are, as the workers told Valkey."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from fillip.core.errors import Retry
from fillip.core.hot import HotCampaign, HotTerms, HotUsers, UserTally
from fillip.core.projection import name_hot, name_users
from fillip.limit.hot import MOST_KEPT, merge_users

MOST_TOLD = 100
"""Users of a campaign that are told."""


class ValkeyHotCampaigns:
    """HotCampaigns."""

    def __init__(self, client: Redis, terms: HotTerms, read_clock: Callable[[], float] = time.time) -> None:
        """`client` has a short time-out; `terms` are those of the workers."""
        self._client, self.terms, self._read_clock = client, terms, read_clock

    async def list_hot(self, tenant_id: str) -> Sequence[HotCampaign]:
        """See HotCampaigns."""
        stated = await _reach(cast("Awaitable[dict[bytes, bytes]]", self._client.hgetall(name_hot(tenant_id))))
        now_s = self._read_clock()
        found = [_read_hot(campaign.decode(), stands) for campaign, stands in stated.items()]
        return sorted(
            (each for each in found if each.until.timestamp() > now_s), key=lambda each: (each.since, each.campaign_id)
        )

    async def find_users(self, tenant_id: str, campaign_id: str) -> HotUsers | None:
        """See HotCampaigns."""
        now_s = self._read_clock()
        number = self.terms.number_window(now_s)
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.hget(name_hot(tenant_id), campaign_id)
            for window in (number - 1, number):
                name = name_users(tenant_id, campaign_id, self.terms, window)
                pipeline.zrange(name, 0, -1, withscores=True)
            stands, *windows = await _reach(pipeline.execute())
        if stands is None or (hot := _read_hot(campaign_id, stands)).until.timestamp() <= now_s:
            return None
        counts, over = merge_users([_read_users(window) for window in windows], MOST_KEPT)
        most = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:MOST_TOLD]
        since = max(hot.since, datetime.fromtimestamp(self.terms.start_before(now_s), UTC))
        return HotUsers(since, [UserTally(*each) for each in most], over)


def _read_hot(campaign_id: str, stands: bytes) -> HotCampaign:
    since, until = (datetime.fromtimestamp(int(part), UTC) for part in stands.split())
    return HotCampaign(campaign_id, since, until)


def _read_users(scored: Sequence[tuple[bytes, float]]) -> Mapping[str, int]:
    return {user.decode(): int(score) for user, score in scored}


async def _reach(asked: Awaitable[Any]) -> Any:  # noqa: ANN401 - redis does not say what it answers
    try:
        return await asked
    except (RedisError, OSError) as error:
        raise Retry(f"Valkey is away, and which campaigns are hot stands there: try again soon ({error})") from error
