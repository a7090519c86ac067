"""A level in a rule: what an event earned is read by the next one, kept with the decision, and gone with a reversal."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg

from fillip.embedded.addresses import Addresses
from fillip.migrations import role_dsn
from fillip.settle.level.postgres import PostgresDueLadders
from tests.app.own_world import ANY, WITHIN_S, World, open_world

LADDER = {
    "span": "year",
    "attribute": "level",
    "levels": [{"name": "bronze", "from": 0}, {"name": "silver", "from": 50}],
}
SCHEMA = {"type": "object", "properties": {"level": {"type": "string"}}}


async def open_ladder(world: World, database: str) -> None:
    """A ladder that rules read, and a campaign for who has come up on it."""
    declared = await world.client.patch("/v1/tenant", json={"user_schema": SCHEMA}, headers=ANY)
    assert declared.status_code == 200, declared.text
    assert (await world.client.put("/v1/actions/BUY", json={"schema": {"type": "object"}})).status_code == 201
    assert (await world.client.put("/v1/ladders/POINTS", json=LADDER)).status_code == 201
    dsns = role_dsn(database, "fillip_sweep"), role_dsn(database, "fillip_worker")
    async with asyncpg.create_pool(dsns[0], min_size=1) as finder, asyncpg.create_pool(dsns[1], min_size=1) as pool:
        while await PostgresDueLadders(finder, pool).move_due(datetime.now(UTC)):
            pass
    await world.launch("all", action="BUY", rule="true")
    await world.launch("vip", action="BUY", rule='user.level == "silver"', rewards=[{"kind": "points", "value": 7}])


async def buy(world: World, event_id: str) -> dict[str, dict[str, Any]]:
    """A purchase of ada, and its decisions by campaign, once they are stored."""
    event = {"specversion": "1.0", "id": event_id, "source": "/till", "type": "BUY", "subject": "ada", "data": {}}
    sent = await world.client.post("/v1/events", json=event | {"time": datetime.now(UTC).isoformat()})
    assert sent.status_code == 202, sent.text
    async with asyncio.timeout(WITHIN_S):
        while not (found := (await world.read(f"/v1/decisions?event_id={event_id}"))["items"]):
            await asyncio.sleep(0.01)
    return {each["campaign_id"]: each for each in found}


async def test_the_next_event_is_decided_by_the_level_that_one_earned(database: str, servers: Addresses) -> None:
    async with open_world(database, servers) as world:
        await open_ladder(world, database)
        assert list(await buy(world, "e1")) == ["all"], "ada was bronze"
        second = await buy(world, "e2")
        assert sorted(second) == ["all", "vip"]
        [level] = (await world.read("/v1/users/ada/levels"))["items"]
        assert (level["level"], level["earned"], level["next_level"]) == ("silver", 107, None)
        for number in (1, 2):
            assert (await world.reverse(f"r{number}", f"e{number}", "/till"))["state"] == "applied"
        assert (await world.read("/v1/users/ada/levels"))["items"][0]["level"] == "bronze"
        explained = await world.read(f"/v1/decisions/{second['vip']['decision_id']}/explain")
        rule = next(each for each in explained["checks"] if each["check"] == "rule")
        assert rule["rules"][0]["leaves"][0]["reads"] == {"user.level": "silver"}, "the level that it went by is kept"
        assert list(await buy(world, "e3")) == ["all"]
