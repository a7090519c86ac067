"""What docs/guide/campaigns.md lets a marketer say of baskets, spellings and hours: saved, decided by the worker, and by a backtest."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.manage.past_world import PastWorld, open_past_world

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guide" / "campaigns.md"
ITEM = {
    "type": "object",
    "required": ["category", "net_cents"],
    "properties": {"category": {"type": "string"}, "net_cents": {"type": "integer"}},
}
PURCHASE = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": ITEM}, "coupon": {"type": "string"}},
}
FRIDAY, SATURDAY = "2036-02-29T16:30:00Z", "2036-03-01T16:30:00Z"
"""Half past five in Berlin."""
EVENING = "2036-02-29T17:30:00Z"


def read_guide() -> list[dict[str, Any]]:
    """The definitions of the section, in its order."""
    section = GUIDE.read_text().split("## Baskets, spellings and hours\n")[1].split("\n## ")[0]
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL)]


@pytest.fixture
async def shop_world(database: str) -> AsyncIterator[PastWorld]:
    """A shop with the guide's campaigns running."""
    tea, coupons, limit, happy, both = read_guide()
    async with open_past_world(database, "history", PastWorld) as world:
        shop = world.shop
        await shop.call("PUT", "/v1/actions/PURCHASE", {"schema": PURCHASE})
        for campaign_id, definition in {"tea": tea, "coupons": coupons, "happy": happy, "both": both}.items():
            await shop.call("POST", "/v1/campaigns", {"campaign_id": campaign_id, "definition": definition})
            await shop.call("POST", f"/v1/campaigns/{campaign_id}/launch")
        await shop.call("POST", "/v1/limits", limit)
        yield world


def buy(world: PastWorld, event_id: str, items: dict[str, int], *, at: str = EVENING, **more: Any) -> None:
    """A purchase of ann's of one line a category."""
    data = {"items": [{"category": name, "net_cents": cents} for name, cents in items.items()], **more}
    named = {"specversion": "1.0", "id": event_id, "source": "till", "tenantid": world.shop.tenant_id}
    world.events.append({**named, "type": "PURCHASE", "subject": "ann", "time": at, "data": data})


async def test_the_guides_baskets_spellings_and_hours_are_decided(shop_world: PastWorld) -> None:
    buy(shop_world, "e1", {"tea": 1_250, "books": 9_000, "cups": 700}, at=FRIDAY, coupon="SPRING ")
    buy(shop_world, "e2", {"books": 100}, at=SATURDAY, coupon="spring")
    buy(shop_world, "e3", {"tea": 1_800}, coupon="Easter")
    buy(shop_world, "e4", {"tea": 400, "cups": 800}, coupon="\teaster\u00a0")
    buy(shop_world, "e5", {"cups": 10})
    await shop_world.live()
    rows = shop_world.owner.execute(
        "SELECT d.campaign_id, d.event_id, d.reason, i.value FROM decision d LEFT JOIN incentive i USING (tenant_id, decision_id)"
        " WHERE tenant_id = %s ORDER BY 1, 2",
        (shop_world.shop.tenant_id,),
    )
    assert rows.fetchall() == [
        ("both", "e4", "granted", 300),
        ("coupons", "e1", "granted", 500),
        ("coupons", "e2", "limit", None),
        ("coupons", "e3", "granted", 500),
        ("coupons", "e4", "limit", None),
        ("happy", "e1", "granted", 100),
        ("tea", "e1", "granted", 125),
        ("tea", "e3", "granted", 180),
        ("tea", "e4", "granted", 40),
    ]
    keys = shop_world.owner.execute(
        "SELECT key, used FROM limit_counter WHERE tenant_id = %s ORDER BY 1", (shop_world.shop.tenant_id,)
    )
    assert keys.fetchall() == [("easter", 1), ("spring", 1)]
    for campaign_id in ("tea", "coupons", "happy", "both"):
        _, decided = await shop_world.replay(campaign_id)
        assert decided == shop_world.list_live(campaign_id), campaign_id
