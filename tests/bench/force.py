"""How long a change of the book takes until it is answered, which is when it is in force; and that it then is."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from statistics import median, quantiles

import httpx
from msgspec import json

from fillip.app.up import Stack
from fillip.figures import Figure, at_most, expect, note
from tests.bench.load import TENANT, draw_events
from tests.bench.operations import ANY, BIG, CSV, Scene, call, open_scene, run_campaign
from tests.bench.site import Site
from tests.live.running import running_stack, wait_until_settled

CHANGES, MEMBERS, EVENTS = 40, 1_000_000, 2_000
BATCH, EVERY_S = 40, 0.02  # 2,000 events/s
GOAL_MS = 100
LIMIT = {
    "limit_id": "cap",
    "scope": "campaign",
    "campaign_id": "switched",
    "measure": "count",
    "span": "lifetime",
}


def bench(site: Site) -> list[Figure]:
    """Changes of a small book beside a busy neighbour, and a launch for a cohort of a million."""
    site.tell("starting a running set")
    with running_stack() as stack:
        return asyncio.run(measure(site, stack))


async def measure(site: Site, stack: Stack) -> list[Figure]:
    """Idle, under load, and the launch."""
    async with open_scene(stack) as scene:
        await run_campaign(scene.big, "switched")
        await call(scene.big.post("/v1/limits", json=LIMIT | {"cap": 1_000}))
        figures = await measure_answers(scene, "idle")
        loading = asyncio.create_task(keep_busy(scene))
        await asyncio.sleep(3)
        site.tell("the worker is busy")
        figures += await measure_answers(scene, "under 2,000 events/s")
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        site.tell(f"launching for {MEMBERS:,} users")
        return figures + await measure_launch(stack, scene)


async def keep_busy(scene: Scene) -> None:
    """Events of the neighbour, of which each tenth is granted, until cancelled."""
    events = (event for start in range(0, 10**9, 1_000) for event in draw_events(1_000, start))
    while True:
        batch = [next(events) | {"time": datetime.now(UTC), "tenantid": TENANT} for _ in range(BATCH)]
        messages = [(scene.topics.received, f"{TENANT}:{e['subject']}".encode(), json.encode(e)) for e in batch]
        await scene.producer.send_many(messages)
        await asyncio.sleep(EVERY_S)


async def measure_answers(scene: Scene, when: str) -> list[Figure]:
    """Limits and states changed one after the other."""

    def put(number: int) -> Awaitable[httpx.Response]:
        return scene.big.put("/v1/limits/cap", json=LIMIT | {"cap": 1_000 + number}, headers=ANY)

    def switch(number: int) -> Awaitable[httpx.Response]:
        order = "resume" if number % 2 else "pause"
        return scene.big.post(f"/v1/campaigns/switched/{order}", headers=ANY)

    figures = []
    for name, change in (("PUT limit", put), ("pause, resume", switch)):
        waits = await time_changes(change)
        figures += [
            at_most(f"{name} in force, {when}, median", GOAL_MS, round(median(waits)), "ms"),
            note(f"{name} in force, {when}, p95", round(quantiles(waits, n=20)[18]), "ms"),
        ]
    return figures


async def time_changes(change: Callable[[int], Awaitable[httpx.Response]]) -> list[float]:
    """How long each of some changes took to be in force, in ms."""
    waits, loop = [], asyncio.get_running_loop()
    for number in range(CHANGES):
        began = loop.time()
        answer = await call(change(number))
        waits.append((loop.time() - began) * 1000)
        assert answer.headers["Fillip-In-Force"] == "true"
        await asyncio.sleep(0.05)
    return waits


async def measure_launch(stack: Stack, scene: Scene) -> list[Figure]:
    """Upload, launch, and send the moment it is answered: all of these events are granted."""
    loop = asyncio.get_running_loop()
    await call(scene.big.post("/v1/cohorts", json={"cohort_id": "all", "name": "All"}))
    members = b"".join(b"user-%07d\n" % number for number in range(MEMBERS))
    began = loop.time()
    await call(scene.big.put("/v1/cohorts/all/members", content=members, headers=CSV))
    uploaded_s, began = loop.time() - began, loop.time()
    await run_campaign(scene.big, "for-all", cohorts=["all"])
    launched_s, now = loop.time() - began, datetime.now(UTC)
    step = MEMBERS // EVENTS
    events = [
        {"specversion": "1.0", "id": f"after-{number}", "source": "bench", "type": "BUY", "time": now, "tenantid": BIG,
         "subject": f"user-{number * step:07}", "data": {}}
        for number in range(EVENTS)
    ]  # fmt: skip
    messages = [(scene.topics.received, f"{BIG}:{e['subject']}".encode(), json.encode(e)) for e in events]
    await scene.producer.send_many(messages)
    await wait_until_settled(stack)
    query = (
        "SELECT count(*) FROM decision WHERE tenant_id = $1 AND campaign_id = 'for-all' AND event_id LIKE 'after-%'"
        " AND outcome = 'granted'"
    )
    return [
        note(f"upload of {MEMBERS:,} users until in force", round(uploaded_s, 1), "s"),
        note("draft and launch for them until in force", round(launched_s, 2), "s"),
        expect("events sent after the answer, decided under it", EVENTS, await scene.owner.fetchval(query, BIG)),
    ]
