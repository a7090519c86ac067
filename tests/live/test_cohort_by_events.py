"""Cohorts by events on a running set: from events by HTTP to who is in the cohort, and what its campaign grants."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx
import pytest

from fillip.app.cohort import run_cohort
from fillip.app.health import Health
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

    async def reverse(self, event: dict[str, Any], **part: Any) -> None:
        """By a reversal of its own each time; the original may be known or not."""
        asked = {
            "reversal_id": f"of-{event['id']}",
            "event_id": event["id"],
            "event_source": "till",
            "user_id": event["subject"],
        }
        answer = await self.http.post("/v1/reversals", json=asked | part)
        assert answer.status_code == 202, answer.text

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
        visits = count(3)

        async def has_left() -> bool:
            await seen.buy(shop.buy(f"e{next(visits)}", "bob"))  # who comes again and again stays
            return await seen.members() == ["bob"]

        await wait_for("ann to leave", has_left)
        await seen.until()


async def test_members_are_those_of_a_recount_though_processes_share_die_and_events_come_again_and_are_reversed(
    stack: Stack, shop: Shop
) -> None:
    headers, chance = {"Authorization": f"Bearer {shop.key}"}, random.Random(4)
    second, stop = stack.settings.model_copy(update={"metrics_port": None}), asyncio.Event()
    beside = asyncio.create_task(run_cohort(second, stop, Health()))
    async with httpx.AsyncClient(base_url=stack.doors.api, headers=headers) as http:
        spenders = Cohort(http, shop, "spenders")
        await spenders.define(sum="event.amount", at_least=40, window_s=3600)
        spent, bought = dict[str, int](), list[tuple[dict[str, Any], int]]()
        for turn in range(12):
            events = []
            for n in range(25):
                user, amount = f"user-{chance.randrange(30)}", chance.randrange(-5, 15)
                ago = timedelta(minutes=chance.choice([0, 0, 10, 50, 90]))  # the last ones came too late
                event = shop.buy(f"e{turn}-{n}", user, amount)
                events.append(event | {"time": (datetime.now(UTC) - ago).isoformat()})
                counts = max(amount, 0) if ago < timedelta(hours=1) else 0
                spent[user] = spent.get(user, 0) + counts
                bought.append((event, counts))
            early, counts = bought.pop()  # taken back before it has come
            await spenders.reverse(early)
            spent[early["subject"]] -= counts
            await spenders.buy(*events)
            for part in ({}, {}, {"amount": 1, "of": 2}):
                event, counts = bought.pop(chance.randrange(len(bought)))
                await spenders.reverse(event, **part)
                spent[event["subject"]] -= counts // 2 if part else counts
            await spenders.buy(*chance.sample(events, 10))  # a client that was not sure
            if turn in (3, 7):
                stack.kill("cohort")
            if turn in (5, 9):
                stack.revive()
        await spenders.until_built()
        await spenders.until(*sorted(user for user, sum_ in spent.items() if sum_ >= 40))
        assert 0 < len(await spenders.members()) < len(spent)
    stop.set()
    await beside
