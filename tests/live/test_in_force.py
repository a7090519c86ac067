"""When a change is in force: what is sent after its answer is decided under it, by every worker there is."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
import pytest

from fillip.app.up import Stack
from fillip.client.events import encode_events
from fillip.embedded.ports import choose_free_port
from fillip.stream.kafka import KafkaProducer
from tests.live.conftest import CASHBACK, Shop
from tests.live.running import fetch, find_topics, open_producer, wait_for, wait_until_settled

pytestmark = pytest.mark.xdist_group("live")
ANY = {"If-Match": "*"}
PACE_S = 0.1
USERS = [f"user-{number}" for number in range(24)]  # on all partitions


@pytest.fixture
def second(stack: Stack, shop: Shop) -> Iterator[subprocess.Popen[bytes]]:
    """One more worker beside the stack's."""
    child = subprocess.Popen(
        [sys.executable, "-m", "fillip.app.cli", "worker"],
        env={**stack.build_environment("worker"), "FILLIP_METRICS_PORT": str(choose_free_port())},
        stderr=subprocess.DEVNULL,
    )
    yield child
    child.send_signal(signal.SIGCONT)
    child.terminate()
    child.wait(20)


@pytest.fixture
async def api(stack: Stack, shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    """The shop's client, which shows headers."""
    headers = {"Authorization": f"Bearer {shop.key}"}
    async with httpx.AsyncClient(base_url=stack.doors.api, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
async def both(stack: Stack, shop: Shop, second: subprocess.Popen[bytes]) -> None:
    """Given that both workers decide events of the shop."""

    async def look() -> bool:
        async with open_producer(stack) as producer:
            await deliver(stack, producer, shop, f"warm-{next(_numbers)}", amount=1)
        await wait_until_settled(stack)
        held = await fetch(
            stack,
            "SELECT count(*) FROM book_held JOIN book_reader r USING (reader_id) WHERE tenant_id = $1 AND lives(r.beat_at)",
            shop.tenant,
        )
        return held[0][0] == 2

    await wait_for("both workers have the book", look, 60)


_numbers = count()


async def deliver(stack: Stack, producer: KafkaProducer, shop: Shop, name: str, **parts: Any) -> list[str]:
    """An event of each user into the log; their ids."""
    events = [shop.buy(f"{name}-{user}", user, **parts) for user in USERS]
    await producer.send_many(list(encode_events(find_topics(stack).received, events)))
    return [event["id"] for event in events]


async def change(call: Any) -> httpx.Response:
    """A change that is in force when it is answered."""
    answer: httpx.Response = await call
    assert answer.is_success, answer.text
    assert answer.headers["Fillip-In-Force"] == "true"
    return answer


async def list_granted(stack: Stack, shop: Shop, campaign_id: str) -> set[str]:
    """The events that a campaign granted."""
    await wait_until_settled(stack)
    query = "SELECT event_id FROM decision WHERE tenant_id = $1 AND campaign_id = $2 AND outcome = 'granted'"
    return {row[0] for row in await fetch(stack, query, shop.tenant, campaign_id)}


async def test_what_is_sent_after_the_answer_is_decided_under_the_change(
    stack: Stack, shop: Shop, both: None, api: httpx.AsyncClient
):
    wanted: dict[str, set[str]] = {}
    async with open_producer(stack) as producer:
        for number in range(5):
            name = f"c{number}"
            await change(api.post("/v1/campaigns", json={"campaign_id": name, "definition": CASHBACK}))
            await deliver(stack, producer, shop, f"{name}-draft")
            await change(api.post(f"/v1/campaigns/{name}/launch", headers=ANY))
            wanted[name] = set(await deliver(stack, producer, shop, f"{name}-launched"))
            higher = CASHBACK | {"rule": "event.amount >= 500"}
            await wait_until_settled(stack)
            await change(api.put(f"/v1/campaigns/{name}", json=higher, headers=ANY))
            await deliver(stack, producer, shop, f"{name}-changed")
            await wait_until_settled(stack)
            await change(api.post(f"/v1/campaigns/{name}/pause", headers=ANY))
            await deliver(stack, producer, shop, f"{name}-paused", amount=500)
            await wait_until_settled(stack)
            await change(api.post(f"/v1/campaigns/{name}/resume", headers=ANY))
            wanted[name] |= set(await deliver(stack, producer, shop, f"{name}-resumed", amount=500))
            await wait_until_settled(stack)
            await change(api.post(f"/v1/campaigns/{name}/end", headers=ANY))
    for name, events in wanted.items():
        granted = {event for event in await list_granted(stack, shop, name) if "-draft" not in event}
        assert {event for event in granted if event.startswith(name)} == events


async def test_lists_and_cohorts_hold_for_what_is_sent_after_the_answer(
    stack: Stack, shop: Shop, both: None, api: httpx.AsyncClient
):
    await change(api.put("/v1/lists/words", json={"name": "W", "items": ["none"]}, headers=ANY))
    await change(api.post("/v1/cohorts", json={"cohort_id": "vip", "name": "VIP"}))
    empty = {"Content-Type": "text/csv", "If-Match": "*"}
    await change(api.put("/v1/cohorts/vip/members", content=b"", headers=empty))
    for name, more in (("listed", {"rule": "event.note in lists.words"}), ("vips", {"cohorts": ["vip"]})):
        await change(api.post("/v1/campaigns", json={"campaign_id": name, "definition": CASHBACK | more}))
        await change(api.post(f"/v1/campaigns/{name}/launch", headers=ANY))
    listed, vips = set(), set()
    async with open_producer(stack) as producer:
        for number in range(4):
            await change(api.put("/v1/lists/words", json={"name": "W", "items": [f"w{number}"]}, headers=ANY))
            listed |= set(await deliver(stack, producer, shop, f"in-{number}", note=f"w{number}"))
            members = "\n".join([*USERS[number * 6 : number * 6 + 6], *(f"other-{n}" for n in range(20_000))])
            csv = ANY | {"Content-Type": "text/csv"}
            await change(api.put("/v1/cohorts/vip/members", content=members, headers=csv))
            sent = await deliver(stack, producer, shop, f"vip-{number}")
            vips |= set(sent[number * 6 : number * 6 + 6])
            await wait_until_settled(stack)
    assert {event for event in await list_granted(stack, shop, "vips") if event.startswith("vip")} == vips
    assert await list_granted(stack, shop, "listed") == listed


async def test_attributes_of_users_hold_for_what_is_sent_after_the_answer(
    stack: Stack, shop: Shop, both: None, api: httpx.AsyncClient
):
    """Given users whose attributes change before each event, then no worker goes by those of before."""
    schema = {"type": "object", "properties": {"tier": {"type": "string"}}}
    await change(api.patch("/v1/tenant", json={"user_schema": schema}, headers=ANY))
    golden = CASHBACK | {"rule": 'user.tier == "gold"'}
    await change(api.post("/v1/campaigns", json={"campaign_id": "golden", "definition": golden}))
    await change(api.post("/v1/campaigns/golden/launch", headers=ANY))
    wanted: dict[str, int | None] = {}
    async with open_producer(stack) as producer:
        for number in range(10):
            gold = set(USERS[number % 3 :: 2]) if number < 9 else set()
            users = [{"user_id": user, "attributes": {"tier": "gold" if user in gold else "blue"}} for user in USERS]
            assert (await api.post("/v1/users:bulk", json={"users": users})).json()["failed"] == 0
            sent = await deliver(stack, producer, shop, f"tier-{number}")
            wanted |= {event: number + 1 for event, user in zip(sent, USERS, strict=True) if user in gold}
            await wait_until_settled(stack)  # what is not decided yet would go by the next attributes
        for user in USERS:
            assert (await api.delete(f"/v1/users/{user}", headers=ANY)).status_code == 204
        await deliver(stack, producer, shop, "nobody")
    await wait_until_settled(stack)
    query = "SELECT event_id, user_revision FROM decision WHERE tenant_id = $1 AND campaign_id = 'golden'"
    assert dict(await fetch(stack, query, shop.tenant)) == wanted


@asynccontextmanager
async def pouring(stack: Stack, shop: Shop) -> AsyncIterator[None]:
    """Some thousand events a second, meanwhile."""

    async def pour() -> None:
        async with open_producer(stack) as producer:
            for number in count():
                batch = [shop.buy(f"p{number}-{place}-{user}", user) for place in range(10) for user in USERS]
                await producer.send_many(list(encode_events(find_topics(stack).received, batch)))
                await asyncio.sleep(PACE_S)

    task = asyncio.create_task(pour())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def wait_for_decisions(stack: Stack, shop: Shop, since: datetime, number: int) -> None:
    """Return when so many were made since then."""

    async def look() -> bool:
        query = "SELECT count(*) FROM decision WHERE tenant_id = $1 AND decided_at > $2"
        return (await fetch(stack, query, shop.tenant, since))[0][0] >= number

    await wait_for(f"{number} decisions", look, 60)


async def count_on(stack: Stack, shop: Shop, limit_id: str, since: datetime) -> Sequence[Any]:
    """(granted since then and counted on the limit, granted since then and not, the counter's use)."""
    query = """
        SELECT count(*) FILTER (WHERE limits @> jsonb_build_array(jsonb_build_object('limit_id', $2::text))),
               count(*) FILTER (WHERE NOT limits @> jsonb_build_array(jsonb_build_object('limit_id', $2::text))),
               (SELECT coalesce(sum(used), 0)::bigint FROM limit_counter WHERE tenant_id = $1 AND limit_id = $2)
        FROM decision WHERE tenant_id = $1 AND outcome = 'granted' AND decided_at > $3"""
    (row,) = await fetch(stack, query, shop.tenant, limit_id, since)
    return row


async def test_a_limit_counts_every_grant_from_its_answer_on(
    stack: Stack, shop: Shop, both: None, api: httpx.AsyncClient
):
    """New, raised, lowered and deleted, each under load: exactly the cap, and not one beside it."""
    limit = {"limit_id": "cap", "scope": "tenant", "measure": "count", "span": "lifetime", "cap": 3000}
    async with pouring(stack, shop):
        await wait_for_decisions(stack, shop, datetime.now(UTC), 2_000)
        await change(api.post("/v1/limits", json=limit | {"limit_id": "spare", "reward_kind": "points"}))
        await change(api.post("/v1/limits", json=limit))
        made_at = datetime.now(UTC)
        await wait_for_decisions(stack, shop, made_at, 6_000)
        assert (await count_on(stack, shop, "cap", made_at))[1:] == (0, 3000)
        await change(api.put("/v1/limits/cap", json=limit | {"cap": 4000}, headers=ANY))
        await wait_for_decisions(stack, shop, datetime.now(UTC), 4_000)
        assert (await count_on(stack, shop, "cap", made_at))[1:] == (0, 4000)
        await change(api.put("/v1/limits/cap", json=limit | {"cap": 1_000_000}, headers=ANY))
        await change(api.put("/v1/limits/cap", json=limit | {"cap": 4500}, headers=ANY))
        lowered_at = datetime.now(UTC)
        *_, used = await count_on(stack, shop, "cap", made_at)
        await wait_for_decisions(stack, shop, lowered_at, 4_000)
        _, beside, after = await count_on(stack, shop, "cap", made_at)
        assert (beside, after) == (0, max(used, 4500))
        await change(api.delete("/v1/limits/spare", headers=ANY))
        await wait_for_decisions(stack, shop, datetime.now(UTC), 1_000)


async def test_a_frozen_worker_is_not_waited_for_and_decides_nothing_of_the_past(
    stack: Stack, shop: Shop, second: subprocess.Popen[bytes], both: None, api: httpx.AsyncClient
):
    second.send_signal(signal.SIGSTOP)
    await change(api.post("/v1/campaigns/cashback/pause", headers=ANY))
    async with open_producer(stack) as producer:
        second.send_signal(signal.SIGCONT)  # still a member of the group, with its partitions
        sent = set(await deliver(stack, producer, shop, "after"))
    assert not sent & await list_granted(stack, shop, "cashback")


async def test_a_killed_worker_is_not_waited_for_long(
    stack: Stack, shop: Shop, second: subprocess.Popen[bytes], both: None, api: httpx.AsyncClient
):
    second.kill()
    answer = await change(api.post("/v1/campaigns/cashback/pause", headers=ANY))
    assert int(answer.headers["Fillip-Book-Version"]) == (await api.get("/v1/tenant")).json()["in_force_version"]
