"""A campaign in shadow on a running set: from events by HTTP to what it would grant, then its launch and what it grants."""

from typing import Any

import httpx
import pytest

from fillip.app.up import Stack
from fillip.client.book import launch_campaigns
from tests.live.conftest import CASHBACK, Shop
from tests.live.running import fetch, wait_for

pytestmark = pytest.mark.xdist_group("live")

TWICE: dict[str, Any] = {
    "kind": "QUEST",
    "name": "Two purchases",
    "quest": {"steps": [{"name": "visit", "action": "BUY", "count": 2}], "repeatable": True},
    "rewards": [{"kind": "points", "value": 50}],
}
ANY = {"If-Match": "*"}


async def test_a_shadow_tells_what_it_would_grant_and_its_launch_begins_fresh(stack: Stack, shop: Shop) -> None:
    """Given a budget that it shares with the others, and a campaign that stands against it."""
    headers = {"Authorization": f"Bearer {shop.key}"}
    budget = {"limit_id": "budget", "scope": "tenant", "measure": "count", "span": "lifetime", "cap": 100}
    launch_campaigns(shop.client, {}, [budget])

    async with httpx.AsyncClient(base_url=stack.doors.api, headers=headers) as http:

        async def post(path: str, body: object = None) -> Any:
            answer = await http.post(f"/v1/{path}", json=body, headers=ANY)
            assert answer.is_success, answer.text
            return answer.json()

        async def list_decided() -> list[tuple[Any, ...]]:
            asked = "SELECT campaign_id, event_id, reason, shadow FROM decision WHERE tenant_id = $1 ORDER BY 2, 1"
            return [tuple(row) for row in await fetch(stack, asked, shop.tenant)]

        async def count(table: str) -> int:
            (row,) = await fetch(stack, f"SELECT count(*) FROM {table} WHERE tenant_id = $1", shop.tenant)
            return int(row[0])

        alone = CASHBACK | {"stackable": False, "priority": 9, "rewards": [{"kind": "points", "value": 7}]}
        for campaign_id, definition in {"alone": alone, "twice": TWICE}.items():
            await post("campaigns", {"campaign_id": campaign_id, "definition": definition})
            assert (await post(f"campaigns/{campaign_id}/shadow"))["state"] == "shadow"
        first = shop.buy("e1")
        await post("events", [first, shop.buy("e2")])

        async def are_decided() -> bool:
            return len(await list_decided()) == 5

        await wait_for("two events to be decided", are_decided)
        assert await list_decided() == [
            ("alone", "e1", "shadow", True),
            ("cashback", "e1", "granted", False),
            ("alone", "e2", "shadow", True),
            ("cashback", "e2", "granted", False),
            ("twice", "e2", "shadow", True),
        ]
        assert (await count("incentive"), await count("inbox"), await count("wallet")) == (2, 2, 0)
        used = await fetch(stack, "SELECT used FROM limit_counter WHERE tenant_id = $1", shop.tenant)
        assert [row[0] for row in used] == [2]
        assert (await http.get("/v1/users/ann/quests")).json()["items"] == []
        (told,) = (await http.get("/v1/decisions?campaign_id=twice")).json()["items"]
        assert told["rewards"] == [{"kind": "points", "value": 50, "currency": "POINTS", "wanted": None}]
        explained = (await http.get(f"/v1/decisions/{told['decision_id']}/explain")).json()
        assert {check["check"] for check in explained["checks"] if not check["passed"]} == {"shadow"}
        (quest,) = [check for check in explained["checks"] if check["check"] == "quest"]
        assert [given["event_id"] for given in quest["instances"][0]["steps"][0]["given"]] == ["e1", "e2"]

        async def are_reported() -> bool:
            params = {"from": told["local_day"], "to": told["local_day"], "campaign_id": "alone"}
            answer = await http.get(f"{stack.doors.analyse}/v1/reports/campaign-days", params=params)
            lines = [(line["denied"], line["spend"], line["shadow_spend"]) for line in answer.json()["items"]]
            would = {"kind": "points", "currency": "POINTS", "count": 2, "value": 14, "reversed": 0}
            return lines == [({"shadow": 2}, [], [would])]

        await wait_for("the report to tell them", are_reported)

        for campaign_id in ("alone", "twice"):
            assert (await post(f"campaigns/{campaign_id}/launch"))["state"] == "running"
        await post("events", [first, shop.buy("e3"), shop.buy("e4", amount=1)])

        async def are_granted() -> bool:
            return ("twice", "e4", "granted", False) in await list_decided()

        await wait_for("the launched quest to be completed", are_granted)
        assert (await list_decided())[5:] == [
            ("alone", "e3", "granted", False),
            ("cashback", "e3", "outranked", False),
            ("twice", "e4", "granted", False),
        ]
