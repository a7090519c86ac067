"""A backtest repairs what was repaired: on the same events and repairs it decides as the worker has."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fillip.core.backtest.past import list_replayed
from fillip.core.repair import REPAIR
from tests.manage.past_world import PastWorld, open_past_world
from tests.oracle.catalogue import AMOUNTS, RECEIVED_AT
from tests.oracle.said import write_event

STREAK = {"length": 3}
QUEST = {
    "kind": "QUEST",
    "name": "Three days",
    "quest": {"steps": [{"name": "day", "action": "BUY", "streak": STREAK}], "repeatable": True},
    "rewards": [{"kind": "points", "value": 50}],
}


@pytest.fixture
async def repaired_world(database: str) -> AsyncIterator[PastWorld]:
    """One that tells the past: a repair comes as if on its day."""
    async with open_past_world(database, "history", PastWorld) as world:
        yield world


def buy(world: PastWorld, user: str, *hours: int) -> None:
    for hour in hours:
        number = len(world.events)
        world.events.append(write_event(number, world.shop.tenant_id, (user, "BUY", AMOUNTS[-1], "x", hour)))


def repair(world: PastWorld, user: str, day: str) -> None:
    name = {"id": f"r{len(world.events)}", "source": REPAIR, "type": REPAIR, "subject": user}
    data: dict[str, Any] = {"campaign_id": "three", "step": "day", "day": day, "reason": "asked"}
    event = {"specversion": "1.0", "tenantid": world.shop.tenant_id, "time": RECEIVED_AT.isoformat(), "data": data}
    world.events.append(event | name)


async def test_what_was_repaired_completes_in_the_backtest_too(repaired_world: PastWorld) -> None:
    """Given a day between two, a day behind two that another follows, and a second repair; in New York hour 0 is 29 February."""
    await repaired_world.shop.hold_out(0)
    await repaired_world.shop.launch("three", QUEST)
    buy(repaired_world, "bob", 0, 48)
    repair(repaired_world, "bob", "2036-03-01")
    buy(repaired_world, "cy", 0)
    repair(repaired_world, "cy", "2036-03-01")
    repair(repaired_world, "cy", "2036-02-29")
    buy(repaired_world, "cy", 48)
    repair(repaired_world, "di", "2036-03-01")
    await repaired_world.live()
    live = repaired_world.list_live("three")
    assert sorted((outcome, reason) for outcome, reason, _ in live.values()) == [
        ("denied", "already_repaired"),
        ("denied", "no_instance"),
        ("granted", "granted"),
        ("granted", "granted"),
    ]
    _, decided = await repaired_world.replay("three")
    assert decided == live
    book = await repaired_world.load()
    assert list_replayed([book.campaign_versions["three"]]) == ["BUY", REPAIR]
