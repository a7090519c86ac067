"""Hot campaigns on the whole path of a worker: events come in, and the API's port tells who is hot, and by whom."""

import asyncio

from redis.asyncio import Redis

from fillip.core.hot import HotTerms
from fillip.embedded.addresses import Addresses
from fillip.limit.hot_campaigns_valkey import ValkeyHotCampaigns
from tests.app.worker_world import WITHIN_S, running_worker
from tests.match.conftest import Shop, book_shop

__all__ = ["book_shop"]

TERMS = HotTerms(window_s=777, threshold=20)
"""A window of its own: tests share a Valkey."""


async def test_events_make_a_campaign_hot_and_its_decisions_tell_the_users(
    book_shop: Shop, database: str, servers: Addresses
) -> None:
    book_shop.launch("hot-by-events")
    book_shop.launch("cold-for-all", "event.amount > 1000")
    # not by Fillip's own client, which gives up after 50 ms
    valkey = Redis.from_url(servers.valkey_url)
    hot = ValkeyHotCampaigns(valkey, TERMS)
    async with running_worker(book_shop, database, servers, hot_window_s=777, hot_threshold=20) as worker:
        await worker.buy(*[f"e{n}" for n in range(20)], amount=5)
        async with asyncio.timeout(WITHIN_S):
            while "hot-by-events" not in {each.campaign_id for each in await hot.list_hot("acme")}:
                await asyncio.sleep(0.05)
            told: set[str] = set()
            sent: list[str] = []
            while not told.intersection(sent):  # the first of them may come before the worker has heard that it is hot
                sent.append(f"user-later-{len(sent)}")
                await worker.buy(f"later-{len(sent) - 1}", amount=5)
                await asyncio.sleep(0.3)
                found = await hot.find_users("acme", "hot-by-events")
                told = {each.user_id for each in found.users} if found else set()
        assert told <= {
            *sent,
            *(f"user-e{n}" for n in range(20)),
        }  # what made it hot may be decided after it was told so
        assert await hot.find_users("acme", "cold-for-all") is None
    await valkey.aclose()
