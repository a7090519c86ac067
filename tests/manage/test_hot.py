"""Whom a campaign decides on most: of a cold one the ledger tells, of a hot one what the workers counted."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime

import psycopg
import pytest
from httpx import AsyncClient
from redis.asyncio import Redis

from fillip.app.valkey import connect_valkey
from fillip.core.hot import HotTerms
from fillip.embedded.addresses import Addresses
from fillip.limit.hot_campaigns_valkey import ValkeyHotCampaigns
from fillip.limit.hot_valkey import HotCounts
from fillip.manage.decision import postgres
from tests.limit.crowd import decide, meet
from tests.manage.conftest import Plane
from tests.manage.ledger_rows import put_decision
from tests.manage.shop import CASHBACK, launch, open_shop

TERMS = HotTerms(window_s=601, threshold=50)
"""A window of its own: tests share a Valkey, and all have a tenant acme."""
TOP = "/v1/campaigns/c/top-users"
HOT = "busy"
"""Hot in the Valkey that the tests share; no other test asks for it."""


@pytest.fixture
async def counting_valkey(plane: Plane, servers: Addresses) -> AsyncIterator[Redis]:
    """The plane reads what is counted here."""
    # not by Fillip's own client, which gives up after 50 ms
    client = Redis.from_url(servers.valkey_url)
    plane.app.state.app_state = replace(plane.app.state.app_state, hot=ValkeyHotCampaigns(client, TERMS))
    yield client
    await client.aclose()


async def test_of_a_cold_campaign_the_ledger_tells_exactly(
    acme: AsyncClient, plane: Plane, counting_valkey: Redis
) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    for number, user_id in enumerate(("ada", "bob", "ada")):
        put_decision(plane.dsn, f"e{number}", user_id=user_id)
    put_decision(plane.dsn, "e8", user_id="ada", outcome="denied", reason="limit")
    put_decision(plane.dsn, "e9", campaign_id="other", user_id="eve")
    put_decision(plane.dsn, "old", user_id="old")
    with psycopg.connect(plane.dsn) as owner:
        owner.execute("UPDATE decision SET decided_at = now() - interval '21 minutes' WHERE event_id = 'old'")
    answer = (await acme.get(TOP)).json()
    since = datetime.fromisoformat(answer.pop("since")).timestamp()
    users = [{"user_id": "ada", "decisions": 3}, {"user_id": "bob", "decisions": 1}]
    assert answer == {"hot": False, "source": "ledger", "over": 0, "users": users}
    assert since == TERMS.start_before(time.time())


async def test_of_too_many_decisions_the_newest_are_counted_since_the_oldest_of_them(
    acme: AsyncClient, plane: Plane, counting_valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "MOST_TALLIED", 2)
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    for number, user_id in enumerate(("ada", "bob", "ada")):
        put_decision(plane.dsn, f"e{number}", user_id=user_id)
    answer = (await acme.get(TOP)).json()
    assert [(each["user_id"], each["decisions"]) for each in answer["users"]] == [("ada", 1), ("bob", 1)]
    with psycopg.connect(plane.dsn) as owner:
        oldest = owner.execute("SELECT decided_at FROM decision WHERE event_id = 'e1'").fetchone()
    assert oldest == (datetime.fromisoformat(answer["since"]),)


async def test_of_a_hot_campaign_the_counts_of_the_workers_tell(
    acme: AsyncClient, rival: AsyncClient, plane: Plane, counting_valkey: Redis
) -> None:
    await open_shop(acme)
    await launch(acme, HOT, CASHBACK)
    worker = HotCounts(counting_valkey, TERMS)
    worker.count_met([meet("acme", [HOT] * 50)])
    await worker.tell()
    worker.count_settled(decide("acme", HOT, ["bob", "ada", "bob"]))
    await worker.tell()
    answer = (await acme.get(f"/v1/campaigns/{HOT}/top-users")).json()
    users = [{"user_id": "bob", "decisions": 2}, {"user_id": "ada", "decisions": 1}]
    assert (answer["hot"], answer["source"], answer["over"], answer["users"]) == (True, "live", 0, users)
    hot = (await acme.get("/v1/hot-campaigns")).json()
    assert (hot["threshold"], hot["window_s"]) == (50, 601)
    assert HOT in {each["campaign_id"] for each in hot["campaigns"]}
    assert (await rival.get("/v1/hot-campaigns")).json()["campaigns"] == []
    assert (await rival.get(f"/v1/campaigns/{HOT}/top-users")).status_code == 404


async def test_without_valkey_the_ledger_tells_and_which_are_hot_can_not_be_told(
    acme: AsyncClient, plane: Plane
) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    put_decision(plane.dsn, "e1")
    away = ValkeyHotCampaigns(connect_valkey("redis://127.0.0.1:1/0"), TERMS)
    for hot in (away, None):
        plane.app.state.app_state = replace(plane.app.state.app_state, hot=hot)
        answer = (await acme.get(TOP)).json()
        assert (answer["hot"], answer["source"]) == (None, "ledger")
        assert answer["users"] == [{"user_id": "ada", "decisions": 1}]
        refused = await acme.get("/v1/hot-campaigns")
        assert refused.status_code == 503, refused.text
        assert "Valkey" in refused.json()["detail"]
