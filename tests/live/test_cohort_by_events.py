"""Cohorts by events on a running set: from events by HTTP to who is in the cohort, and what its campaign grants."""

from typing import Any

import httpx
import pytest

from fillip.app.up import Stack
from fillip.client.book import launch_campaigns
from tests.live.conftest import CASHBACK, Shop
from tests.live.running import fetch, wait_for

pytestmark = pytest.mark.xdist_group("live")


class Cohort:
    """A cohort by events, as its tenant sees it."""

    def __init__(self, http: httpx.AsyncClient, shop: Shop, cohort_id: str) -> None:
        self.http, self.shop, self.path = http, shop, f"/v1/cohorts/{cohort_id}"
        self.cohort_id = cohort_id

    async def define(self, **rule: Any) -> None:
        await self.http.post("/v1/cohorts", json={"cohort_id": self.cohort_id, "name": "C"})
        saved = await self.http.put(f"{self.path}/rule", json={"action": "BUY"} | rule, headers={"If-Match": "*"})
        assert saved.status_code == 200, saved.text

    async def buy(self, *events: dict[str, Any]) -> None:
        assert (await self.http.post("/v1/events", json=list(events))).status_code == 202

    async def members(self) -> list[str]:
        page = (await self.http.get(f"{self.path}/members")).json()
        return sorted(member["user_id"] for member in page["items"])

    async def until_built(self) -> None:
        async def is_built() -> bool:
            return bool((await self.http.get(f"{self.path}/rule")).json()["state"] == "in_force")

        await wait_for("the first list", is_built, within_s=30)

    async def until(self, *users: str) -> None:
        async def are_members() -> bool:
            return await self.members() == list(users)

        await wait_for(f"{users} to be the members", are_members)


async def test_who_joins_by_an_event_gets_what_the_campaign_grants_for_the_next(stack: Stack, shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {shop.key}"}
    async with httpx.AsyncClient(base_url=stack.doors.api, headers=headers) as http:
        regulars = Cohort(http, shop, "regulars")
        await regulars.buy(shop.buy("e1", "ann", 1), shop.buy("e2", "ann", 1), shop.buy("e3", "bob", 1))
        await regulars.define(rule="event.amount < 100", at_least=2, window_s=3600)
        await regulars.until_built()
        assert await regulars.members() == ["ann"]  # by events of before the rule
        launch_campaigns(shop.client, {"bonus": CASHBACK | {"cohorts": ["regulars"], "rule": "event.amount == 7"}}, [])
        await regulars.buy(shop.buy("e4", "bob", 1))
        await regulars.until("ann", "bob")
        version = (await http.get("/v1/cohorts/regulars")).json()["version"]

        async def is_decided_by(user: str) -> list[tuple[Any, ...]]:
            asked = "SELECT outcome FROM decision WHERE tenant_id = $1 AND user_id = $2 AND campaign_id = 'bonus'"
            return await fetch(stack, asked, shop.tenant, user)

        await regulars.buy(shop.buy("e5", "bob", 7), shop.buy("e6", "eve", 7))
        assert await wait_for("bob to be granted the bonus", lambda: is_decided_by("bob")) == [("granted",)]
        assert not await is_decided_by("eve")

        told = (await http.get("/v1/cohorts/regulars/rule")).json()
        assert told["known_since"] is None and 0 <= told["behind_s"] < 5
        assert version >= 2


async def test_who_does_nothing_leaves_as_the_window_ends(stack: Stack, shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {shop.key}"}
    async with httpx.AsyncClient(base_url=stack.doors.api, headers=headers) as http:
        seen = Cohort(http, shop, "seen")
        await seen.define(window_s=3)
        await seen.until_built()
        await seen.buy(shop.buy("e1", "ann"), shop.buy("e2", "bob"))
        await seen.until("ann", "bob")
        await seen.buy(shop.buy("e3", "bob"))
        await seen.until("bob")
        await seen.until()
