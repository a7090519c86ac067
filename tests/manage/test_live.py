"""What a campaign decides hour by hour, by the API: what the publisher wrote, and never less than there is."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from httpx import AsyncClient
from redis.asyncio import Redis

from fillip.app.valkey import connect_valkey
from fillip.core.projection import name_live, name_live_campaign
from fillip.embedded.addresses import Addresses
from fillip.manage.analyse_http import open_client
from fillip.manage.campaign.analyse_http import AnalyseSeenCounts
from fillip.migrations import role_dsn
from fillip.publish.live_postgres import PostgresHours
from fillip.publish.live_valkey import ValkeyLive, ValkeyLiveCounts
from tests.manage.conftest import Plane
from tests.manage.ledger_rows import put_decision, put_incentive
from tests.manage.shop import CASHBACK, launch, open_shop

LIVE = "/v1/campaigns/c/live"


@pytest.fixture
async def live_client(plane: Plane, servers: Addresses) -> AsyncIterator[Redis]:
    """The plane reads here. All tests share the server and have a tenant acme: nothing is left of another's."""
    # not by Fillip's own client, which gives up after 50 ms
    client = Redis.from_url(servers.valkey_url)
    plane.app.state.app_state = replace(plane.app.state.app_state, live=ValkeyLiveCounts(client))
    await client.delete(name_live("acme"))
    yield client
    await client.delete(name_live("acme"))
    await client.aclose()


@pytest.fixture
def start_live(plane: Plane, servers: Addresses) -> object:
    """Starts what adds up and writes, as the publisher does."""
    store = PostgresHours(role_dsn(plane.dsn, "fillip_publish"))
    return lambda: asyncio.create_task(ValkeyLive(servers.valkey_url, store).run())


async def stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_hours_of_a_campaign_are_told(
    acme: AsyncClient, rival: AsyncClient, plane: Plane, live_client: Redis, start_live
) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    await launch(acme, "d", CASHBACK)
    put_incentive(plane.dsn, put_decision(plane.dsn, "e1"), "e1", 1)
    put_decision(plane.dsn, "e2", outcome="denied", reason="limit")
    with psycopg.connect(plane.dsn) as owner:
        owner.execute("UPDATE decision SET decided_at = now() - interval '30 seconds'")
        owner.execute("UPDATE incentive SET granted_at = now() - interval '30 seconds'")
        owner.execute("UPDATE incentive SET reversed_value = 1")
        row = owner.execute("SELECT kind, currency, value::int FROM incentive").fetchone()
    refused = await acme.get(LIVE)
    assert (refused.status_code, refused.json()["detail"][:34]) == (503, "what campaigns decide is being add")
    task = start_live()
    async with asyncio.timeout(30):
        while (answer := await acme.get(LIVE)).status_code != 200:
            await asyncio.sleep(0.1)
    told = answer.json()
    kind, currency, value = row or ("", "", 0)
    assert sum(hour["granted"] for hour in told["hours"]) == 1
    assert sum(hour["denied"] for hour in told["hours"]) == 1
    spent = [each for hour in told["hours"] for each in hour["spend"]]
    assert spent == [{"kind": kind, "currency": currency, "value": value, "reversed": 1, "net": value - 1}]
    assert datetime.now(UTC) - datetime.fromisoformat(told["since"]) >= timedelta(hours=24)
    assert (await acme.get("/v1/campaigns/d/live")).json()["hours"] == []
    assert (await rival.get(LIVE)).status_code == 404
    # what it has seen is null where nobody counts it; see test_seen
    assert (told["seen_as_of"], {hour["seen"] for hour in told["hours"]}) == (None, {None})
    async with open_client("http://127.0.0.1:1", "key-of-this-installation") as client:
        seen = AnalyseSeenCounts(plane.engine, client)
        plane.app.state.app_state = replace(plane.app.state.app_state, seen=seen)
        told = (await acme.get(LIVE)).json()
        assert datetime.fromisoformat(told["seen_as_of"]) <= datetime.now(UTC)
        assert {hour["seen"] for hour in told["hours"]} == {0}  # no event has come by the log
    await stop(task)
    # when Valkey has thrown away the campaign's hours, that is not told as nothing
    run_id = (await live_client.get(name_live("acme")) or b"").decode().split()[0]  # type: ignore[union-attr]
    as_of = datetime.now(UTC).timestamp()
    await live_client.set(f"live:as_of:{run_id}", f"{as_of}", ex=60)
    await live_client.delete(name_live_campaign("acme", run_id, "c"))
    lost = await acme.get(LIVE)
    assert (lost.status_code, "thrown away" in lost.json()["detail"]) == (503, True)
    assert (await acme.get("/v1/campaigns/d/live")).status_code == 200


async def test_without_valkey_it_is_said(acme: AsyncClient, plane: Plane) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    for counts in (None, ValkeyLiveCounts(connect_valkey("redis://127.0.0.1:1/0"))):
        plane.app.state.app_state = replace(plane.app.state.app_state, live=counts)
        answer = await acme.get(LIVE)
        assert answer.status_code == 503
        assert "Valkey" in answer.json()["detail"]
    assert (await acme.get(f"/v1/campaigns/{uuid.uuid4().hex}/live")).status_code == 404
