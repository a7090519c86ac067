"""How many events a campaign has seen, hour by hour: of events that the worker's own stages took and analyse has loaded."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx import AsyncClient

from fillip.core.ports import Caller
from fillip.manage.analyse_http import open_client
from fillip.manage.campaign import analyse_http
from fillip.manage.campaign.analyse_http import AnalyseSeenCounts
from tests.manage.backfill_world import KEY, NOW, BackfillWorld, buy, open_backfill_world
from tests.manage.conftest import Plane
from tests.manage.shop import ANY, CASHBACK, LONG_AGO, QUEST, draft, launch, open_cohort, open_shop

ACME = Caller(None, "acme", frozenset())
SINCE = NOW.replace(minute=0, second=0) - timedelta(hours=24)


@pytest.fixture
async def seen_world(plane: Plane, acme: AsyncClient, tmp_path: Path) -> AsyncIterator[BackfillWorld]:
    """A shop with its worker."""
    await open_shop(acme)
    async with open_backfill_world(plane, acme, tmp_path) as opened:
        yield opened


async def see(world: BackfillWorld, campaign_id: str, since: datetime = SINCE) -> Any:
    """What is told of a campaign: by how many hours ago the hour began, or None."""
    async with open_client(world.analyse_url, KEY) as client:
        found = await AnalyseSeenCounts(world.plane.engine, client).read(ACME, campaign_id, since)
    return found and {(hour - SINCE) // timedelta(hours=1): events for hour, events in found.hours.items()}


def at(event_id: str, hours_ago: int, user: str = "ada") -> bytes:
    """A purchase that is received within the hour that began so many hours ago; it happened a minute before."""
    received = NOW.replace(minute=0, second=0) - timedelta(hours=hours_ago) + timedelta(minutes=30)
    return buy(event_id, user, hours_ago=(NOW - received).total_seconds() / 3600)


async def test_events_count_once_in_the_hour_of_receipt_whoever_they_are_of(seen_world: BackfillWorld) -> None:
    await open_cohort(seen_world.client, "vip", "ada")
    await launch(seen_world.client, "c", CASHBACK | {"rule": "event.amount_cents > 5000", "cohorts": ["vip"]})
    await launch(seen_world.client, "q", QUEST)
    await seen_world.refresh()
    await seen_world.happen(*[at(f"a{n}", 3) for n in range(4)], *[at(f"b{n}", 2, "linus") for n in range(2)])
    await seen_world.happen(at("a0", 3), at("long-ago", 26))
    assert await see(seen_world, "c") == await see(seen_world, "q") == {21: 4, 22: 2}
    assert await see(seen_world, "none") == {}
    assert await see(seen_world, "c", SINCE + timedelta(hours=22)) == {22: 2}


async def test_it_counts_while_state_and_schedule_let_a_campaign_look(seen_world: BackfillWorld) -> None:
    """By the pins: each event under the definition that the worker had, however close to a change."""
    world, starts_at = seen_world, (NOW - timedelta(hours=5)).isoformat()
    await draft(world.client, "c", CASHBACK | {"schedule": {"starts_at": LONG_AGO}})
    await launch(world.client, "new", CASHBACK | {"schedule": {"starts_at": starts_at}})
    await world.refresh()
    await world.happen(at("d", 2))  # a draft looks at nothing
    assert await see(world, "c") == {}
    for order in ("launch", "pause"):
        assert (await world.client.post(f"/v1/campaigns/c/{order}", headers=ANY)).status_code == 200
        await world.refresh()
        await world.happen(*[at(f"{order}-{n}", 2) for n in range(3)])
    assert await see(world, "c") == {22: 6}
    # when it listens to another action, what it has seen stays seen, and no purchase is
    view = {"schema": {"type": "object", "properties": {}}}
    assert (await world.client.put("/v1/actions/VIEW", json=view, headers=ANY)).is_success
    found = (await world.client.get("/v1/campaigns/c")).json()["definition"]
    other = found | {"action": "VIEW", "rule": "true"}
    assert (await world.client.put("/v1/campaigns/c", json=other, headers=ANY)).status_code == 200
    await world.refresh()
    await world.happen(at("late", 2))
    assert await see(world, "c") == {22: 6}
    assert await see(world, "new") == {22: 8}
    await world.happen(at("e", 7), at("f", 1))  # of before it starts, and in time
    assert await see(world, "new") == {22: 8, 23: 1}


async def test_what_can_not_be_told_is_none(seen_world: BackfillWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    await launch(seen_world.client, "c", CASHBACK)
    await seen_world.refresh()
    await seen_world.happen(at("a", 2))
    await seen_world.happen(at("b", 2), load=False)
    assert await see(seen_world, "c") is None  # settled, and not loaded
    await seen_world.load()
    assert await see(seen_world, "c") == {22: 2}
    async with httpx.AsyncClient(base_url="http://127.0.0.1:1") as nobody:
        counts = AnalyseSeenCounts(seen_world.plane.engine, nobody)
        assert await counts.read(ACME, "c", SINCE) is None
    async with open_client(seen_world.analyse_url, KEY) as client:
        counts = AnalyseSeenCounts(seen_world.plane.engine, client)
        first = await counts.read(ACME, "c", SINCE)
        assert await counts.read(ACME, "c", SINCE) is first  # of the same ten seconds
        monkeypatch.setattr(analyse_http, "KEPT_FOR_S", 0.0)
        assert await counts.read(ACME, "c", SINCE) is not first
    # another log, whose offsets mean something else
    seen_world.owner.execute(
        "INSERT INTO book_pin SELECT topic, partition, 0, tenant_id, book_version, 1 FROM book_pin"
    )
    seen_world.owner.execute(
        "INSERT INTO consumer_position SELECT topic, partition, 1, 0, 5, '', now(), 'x' FROM consumer_position"
    )
    assert await see(seen_world, "c") is None
