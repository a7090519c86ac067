"""Reports on a running set: from events, acks and claims to what the analyse process tells of them."""

from pathlib import Path
from typing import Any

import httpx
import pytest

import fillip.deliver
from fillip.app.up import Stack
from fillip.client.book import launch_campaigns
from tests.live.conftest import Shop
from tests.live.running import fetch, send, wait_for, wait_until_settled

pytestmark = pytest.mark.xdist_group("live")

TOUR = {
    "kind": "QUEST",
    "name": "Look, then buy twice",
    "quest": {
        "steps": [
            {"name": "look", "action": "BUY", "rule": "event.amount == 1"},
            {"name": "buy", "action": "BUY", "rule": "event.amount == 100", "count": 2},
        ]
    },
    "rewards": [{"kind": "cashback", "value": 30}],
}
BUDGET = {"limit_id": "budget", "scope": "tenant", "measure": "value", "reward_kind": "cashback", "span": "lifetime"}
ACK = (Path(fillip.deliver.__file__).parent / "ack.sql").read_text()


async def test_a_quest_its_budget_and_the_way_of_its_reward_are_told(stack: Stack, shop: Shop) -> None:
    launch_campaigns(shop.client, {"tour": TOUR}, [BUDGET | {"cap": 1000}])
    looks = [shop.buy(f"{user}-1", user, 1) for user in ("ann", "bob", "cid")]
    bought = [shop.buy("ann-2", "ann"), shop.buy("ann-3", "ann"), shop.buy("bob-2", "bob")]
    await send(stack, [*looks, *bought])
    await wait_until_settled(stack)
    mine = "SELECT incentive_id, campaign_id FROM incentive WHERE tenant_id = $1 ORDER BY campaign_id"
    granted = await fetch(stack, mine, shop.tenant)
    assert [campaign for _, campaign in granted] == ["cashback"] * 3 + ["tour"]
    await fetch(stack, ACK, shop.tenant, "ann", 0, 3)
    shop.client.post(f"/v1/incentives/{granted[-1][0]}/claim")

    headers = {"Authorization": f"Bearer {shop.key}"}
    async with httpx.AsyncClient(base_url=stack.doors.analyse, headers=headers) as http:

        async def ask(path: str, **asked: str) -> list[dict[str, Any]]:
            answer = await http.get(f"/v1/reports/{path}", params=asked)
            assert answer.status_code == 200, answer.text
            return list(answer.json()["items"])

        async def is_claimed() -> bool:
            lines = await ask("campaign-times", campaign_id="tour")
            return bool(lines and lines[0]["delivered_to_claimed"]["count"])

        await wait_for("the claim", is_claimed, within_s=60)
        (times,) = await ask("campaign-times", campaign_id="tour")
        counts = {part: told["count"] for part, told in times.items() if isinstance(told, dict)}
        assert counts == dict.fromkeys(counts, 1)
        assert times["received_to_granted"]["p50_s"] > 0

        async def is_used() -> bool:
            return (await ask("limit-burn"))[0]["used"] == 3 * 50 + 30

        await wait_for("the budget", is_used, within_s=60)
        (budget,) = await ask("limit-burn")
        assert (budget["remaining"], budget["last_day"]["used"], budget["window_ends_at"]) == (820, 180, None)
        assert sum(hour["used"] for hour in await ask("limit-hours", limit_id="budget")) == 180

        async def is_finished() -> bool:
            return (await ask("quest-funnel", campaign_id="tour"))[0]["completed"] == 1

        await wait_for("the quest", is_finished, within_s=60)
        (funnel,) = await ask("quest-funnel", campaign_id="tour")
        assert (funnel["started"], funnel["open"], funnel["users"]) == (3, 2, 3)
        assert [(step["name"], step["reached"], step["timed"]) for step in funnel["steps"]] == [
            ("look", 3, 3),
            ("buy", 1, 1),
        ]
        assert funnel["steps"][1]["median_s"] > 0
