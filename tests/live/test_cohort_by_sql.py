"""A cohort by SQL on a running set: from events by HTTP to what a campaign for the cohort grants."""

from typing import Any

import httpx
import pytest

from fillip.app.up import Stack
from fillip.client.book import launch_campaigns
from tests.live.conftest import CASHBACK, Shop
from tests.live.running import fetch, wait_for

pytestmark = pytest.mark.xdist_group("live")

REGULARS = "SELECT user_id FROM events WHERE action = 'BUY' GROUP BY user_id HAVING count(*) >= 2"


async def test_users_whom_a_query_selects_get_what_the_campaign_grants(stack: Stack, shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {shop.key}"}

    async with httpx.AsyncClient(base_url=stack.doors.api, headers=headers) as http:

        async def buy(*events: dict[str, Any]) -> None:
            assert (await http.post("/v1/events", json=list(events))).status_code == 202

        await buy(shop.buy("e1", "ann", 1), shop.buy("e2", "ann", 1), shop.buy("e3", "bob", 1))
        assert (await http.post("/v1/cohorts", json={"cohort_id": "regulars", "name": "R"})).status_code == 201
        query = {"sql": REGULARS, "every_minutes": 5}
        saved = await http.put("/v1/cohorts/regulars/query", json=query, headers={"If-Match": "*"})
        assert saved.status_code == 200, saved.text

        async def is_built() -> bool:
            if (await http.get("/v1/cohorts/regulars")).json()["size"] == 1:
                return True
            await http.post("/v1/cohorts/regulars/run")  # what was received a moment ago is perhaps not loaded yet
            return False

        await wait_for("the query to select ann", is_built, within_s=60)
        launch_campaigns(shop.client, {"bonus": CASHBACK | {"cohorts": ["regulars"], "rule": "event.amount == 7"}}, [])
        await buy(shop.buy("e4", "ann", 7), shop.buy("e5", "bob", 7), shop.buy("e6", "bob", 200))

        async def list_granted() -> list[tuple[str, str]]:
            asked = "SELECT user_id, campaign_id FROM decision WHERE tenant_id = $1 AND outcome = 'granted'"
            return sorted((row[0], row[1]) for row in await fetch(stack, asked, shop.tenant))

        async def are_decided() -> bool:
            return {"ann", "bob"} <= {user for user, _ in await list_granted()}

        await wait_for("both to be granted something", are_decided)
        assert await list_granted() == [("ann", "bonus"), ("bob", "cashback")]
        refused = await http.post(f"{stack.doors.analyse}/internal/users", json={"tenant_id": shop.tenant})
        assert refused.status_code == 401
