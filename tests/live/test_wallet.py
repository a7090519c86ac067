"""Points on the whole path: an event earns them, `fillip sweep` activates and expires them."""

import time

import pytest

from fillip.app.up import Stack
from fillip.client.book import launch_campaigns
from tests.live.conftest import CASHBACK, Shop
from tests.live.running import fetch, send, wait_for, wait_until_settled

pytestmark = pytest.mark.xdist_group("live")

BRIEF = {"kind": "points", "value": 9, "pending_for_s": 1, "expires_after_s": 2}


async def test_points_are_earned_become_active_and_expire_without_being_asked(stack: Stack, shop: Shop) -> None:
    launch_campaigns(shop.client, {"points": CASHBACK | {"rewards": [BRIEF]}}, [])
    query = "SELECT kind, amount FROM wallet_transfer WHERE tenant_id = $1 ORDER BY seq"

    async def earn() -> bool:
        await send(stack, [shop.buy(f"e-{time.time_ns()}")])  # until the worker knows the campaign
        await wait_until_settled(stack)
        return bool(await fetch(stack, query, shop.tenant))

    async def look() -> bool:
        return (await fetch(stack, query, shop.tenant))[-1:] == [("expire", 9)]

    await wait_for("points", earn)
    await wait_for("points that expired", look)
    assert await fetch(stack, query, shop.tenant) == [("grant", 9), ("activate", 9), ("expire", 9)]
    assert shop.client.get("/v1/users/ann/wallets/POINTS")["expired"] == 9
