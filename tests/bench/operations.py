"""What a tenant's large operations do to another tenant: how long its events wait for a decision, and to be announced.

To add one: a coroutine that takes a Scene, does its preparations, and gives back the coroutine to be measured.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import httpx
from msgspec import json

from fillip.app.up import Stack
from fillip.figures import Figure, at_most, note
from fillip.stream.kafka import KafkaProducer, Tail
from fillip.stream.topics import Topics
from tests.bench.books import TENANT as LARGE
from tests.bench.books import write_campaigns
from tests.bench.load import ACTION, TENANT, draw_events, write_book
from tests.bench.site import Site
from tests.live.running import make_tenant, running_stack

BIG = "big"
MANY = 1_000_000
INSTANCES, DUE = 300_000, 50_000
EVERY_S, BEFORE_S, LEAST_S, SETTLE_S = 0.01, 8.0, 2.0, 3.0
DUE_IN = timedelta(seconds=60)
WITHIN_MS = 200
ANY = {"If-Match": "*"}
CSV = ANY | {"Content-Type": "text/csv"}
CHUNK = 1_000


@dataclass
class Scene:
    """A running set with the neighbour `bench`, and what operations need: clients of the tenants, the owner's hand."""

    stack: Stack
    big: httpx.AsyncClient
    large: httpx.AsyncClient
    owner: asyncpg.Pool
    producer: KafkaProducer
    topics: Topics
    sent: dict[str, datetime] = field(default_factory=dict)
    heard: dict[str, datetime] = field(default_factory=dict)


Doing: TypeAlias = Coroutine[Any, Any, None]
Operation: TypeAlias = Callable[[Scene], Awaitable[Doing]]


def bench_operations(site: Site) -> list[Figure]:
    """Each operation in turn, on one running set."""
    site.tell("starting a running set for large operations")
    with running_stack() as stack:
        return asyncio.run(measure_all(site, stack))


async def measure_all(site: Site, stack: Stack) -> list[Figure]:
    """The neighbour's p99 during each operation against before it."""
    figures: list[Figure] = []
    async with open_scene(stack) as scene:
        await watch(scene, asyncio.sleep(LEAST_S))  # warm
        for name, operation in OPERATIONS.items():
            site.tell(f"{name}: preparing")
            doing = await operation(scene)
            await asyncio.sleep(SETTLE_S)
            before = await watch(scene, asyncio.sleep(BEFORE_S))
            began = asyncio.get_running_loop().time()
            during = await watch(scene, doing)
            took_s = asyncio.get_running_loop().time() - began
            site.tell(f"{name}: {took_s:.1f} s, p99 of (decision, push) {before} before, {during} during, in ms")
            figures += report(name, before, during)
    return figures


def report(name: str, before: tuple[int, int], during: tuple[int, int]) -> list[Figure]:
    """The figures of one operation."""
    return [
        note(f"{name}: decided p99 before / during", f"{before[0]} / {during[0]}", "ms"),
        at_most(f"{name}: decided later by, p99", WITHIN_MS, max(0, during[0] - before[0]), "ms"),
        note(f"{name}: announced p99 before / during", f"{before[1]} / {during[1]}", "ms"),
        at_most(f"{name}: announced later by, p99", WITHIN_MS, max(0, during[1] - before[1]), "ms"),
    ]


@asynccontextmanager
async def open_scene(stack: Stack) -> AsyncIterator[Scene]:
    """The tenants with their keys, and the neighbour's announcements being heard."""
    dsn, topics = stack.settings.owner_dsn, Topics(stack.settings.topic_prefix)
    write_book(dsn)
    write_campaigns(dsn)
    keys = {BIG: make_tenant(stack, BIG), LARGE: make_key(stack, LARGE)}
    clients = [
        httpx.AsyncClient(base_url=stack.doors.api, headers={"Authorization": f"Bearer {keys[name]}"}, timeout=300)
        for name in (BIG, LARGE)
    ]
    producer = KafkaProducer(stack.settings.kafka_bootstrap)
    async with clients[0] as big, clients[1] as large, asyncpg.create_pool(dsn, min_size=1, max_size=2) as owner:
        scene = Scene(stack, big, large, owner, producer, topics)
        await prepare_action(scene)
        async with Tail(stack.settings.kafka_bootstrap, [topics.generated]) as tail:
            hearing = asyncio.create_task(hear(scene, tail))
            try:
                yield scene
            finally:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
        await producer.close()


def make_key(stack: Stack, tenant_id: str) -> str:
    """A key of a tenant that is there."""
    operator = {"Authorization": f"Bearer {stack.settings.operator_key}"}
    body = {"name": "bench", "scopes": ["manage:read", "manage:write"]}
    answer = httpx.post(f"{stack.doors.api}/v1/tenants/{tenant_id}/keys", json=body, headers=operator)
    return str(answer.raise_for_status().json()["key"])


async def prepare_action(scene: Scene) -> None:
    """An action of the tenant `big`, and an event of each tenant, so that the worker has their books."""
    await call(
        scene.big.put("/v1/actions/BUY", json={"schema": {"type": "object", "properties": {"n": {"type": "string"}}}})
    )
    for tenant in (BIG, LARGE):
        await send(scene, tenant, "BUY", f"first-{tenant}", {})


async def call(request: Awaitable[httpx.Response]) -> httpx.Response:
    """A request that must succeed."""
    answer = await request
    assert answer.is_success, answer.text
    return answer


async def hear(scene: Scene, tail: Tail) -> None:
    """Note when each of the neighbour's grants is announced."""
    async for records in tail:
        now = datetime.now(UTC)
        for record in records:
            if record.key and record.key.startswith(f"{TENANT}:".encode()):
                scene.heard[json.decode(record.value or b"")["after"]["event_id"]] = now


async def watch(scene: Scene, doing: Awaitable[object]) -> tuple[int, int]:
    """(p99 until decided, p99 until announced) in ms of the neighbour's events sent while something is done."""
    scene.sent.clear()
    scene.heard.clear()
    task = asyncio.ensure_future(doing)
    loop, sending = asyncio.get_running_loop(), set()
    began = loop.time()
    for number, event in enumerate(_EVENTS):
        if task.done() and loop.time() > began + LEAST_S:
            break
        sending.add(asyncio.create_task(send(scene, TENANT, ACTION, str(event["id"]), event["data"], event["subject"])))
        await asyncio.sleep(began + number * EVERY_S - loop.time())
    await task
    await asyncio.gather(*sending)
    async with asyncio.timeout(120):
        while len(scene.heard) < len(scene.sent):
            await asyncio.sleep(0.05)
    query = (
        "SELECT extract(epoch FROM decided_at - occurred_at)::float8 * 1000 FROM decision"
        " WHERE tenant_id = $1 AND event_id = ANY ($2::text[])"
    )
    decided = [row[0] for row in await scene.owner.fetch(query, TENANT, list(scene.sent))]
    announced = [(scene.heard[name] - at).total_seconds() * 1000 for name, at in scene.sent.items()]
    return round(quantiles(decided, n=100)[98]), round(quantiles(announced, n=100)[98])


async def send(
    scene: Scene, tenant: str, action: str, name: str, data: dict[str, Any], subject: object = "ada"
) -> None:
    """One event into the log; its time is now."""
    now = datetime.now(UTC)
    if tenant == TENANT:
        scene.sent[name] = now
    event = {"specversion": "1.0", "id": name, "source": "bench", "type": action, "subject": subject, "time": now}
    value = json.encode({**event, "tenantid": tenant, "data": data})
    await scene.producer.send_many([(scene.topics.received, f"{tenant}:{subject}".encode(), value)])


def _draw_granted() -> Iterator[dict[str, Any]]:
    start = 0
    while True:
        yield from (event for event in draw_events(CHUNK, start) if str(event["id"]).endswith("0"))
        start += CHUNK


_EVENTS = _draw_granted()


async def upload_cohort(scene: Scene) -> Doing:
    """A cohort of the largest size, which a running campaign names, and another list in its place."""
    await call(scene.big.post("/v1/cohorts", json={"cohort_id": "all", "name": "All"}))
    await run_campaign(scene.big, "for-all", cohorts=["all"])
    dice = random.Random(1)
    lists = [b"".join(b"%s\n" % str(UUID(int=dice.getrandbits(128))).encode() for _ in range(MANY)) for _ in range(2)]

    async def upload() -> None:
        for members in lists:
            answer = await call(scene.big.put("/v1/cohorts/all/members", content=members, headers=CSV))
            assert answer.headers["Fillip-In-Force"] == "true"

    return upload()


async def run_campaign(client: httpx.AsyncClient, campaign_id: str, **more: Any) -> None:
    """Make a campaign on BUY and launch it."""
    definition = {"kind": "SIMPLE", "name": campaign_id, "action": "BUY", "rewards": [{"kind": "badge"}], **more}
    await call(client.post("/v1/campaigns", json={"campaign_id": campaign_id, "definition": definition}))
    await call(client.post(f"/v1/campaigns/{campaign_id}/launch", headers=ANY))


async def change_list(scene: Scene) -> Doing:
    """A list of 10,000 items, which a hundred rules read, given other items five times."""
    items = [[f"{number:02}-{item:06}-{'x' * 84}" for item in range(10_000)] for number in range(5)]
    await call(scene.big.put("/v1/lists/long", json={"name": "Long", "items": items[0]}))
    for number in range(100):
        await run_campaign(scene.big, f"reads-{number}", rule="event.n in lists.long")

    async def change() -> None:
        for each in items:
            await call(scene.big.put("/v1/lists/long", json={"name": "Long", "items": each}, headers=ANY))

    return change()


async def import_codes(scene: Scene) -> Doing:
    """A million codes in one file."""
    await call(scene.big.post("/v1/coupon-pools", json={"pool_id": "imported", "name": "I"}))
    codes = list(range(MANY))
    random.Random(2).shuffle(codes)
    content = b"".join(b"IMPORTED-%09d\n" % code for code in codes)

    async def send_file() -> None:
        headers = {"Content-Type": "text/csv"}
        await call(scene.big.post("/v1/coupon-pools/imported/codes", content=content, headers=headers))

    return send_file()


async def generate_codes(scene: Scene) -> Doing:
    """A million codes made in the background."""
    await call(scene.big.post("/v1/coupon-pools", json={"pool_id": "generated", "name": "G"}))

    async def generate() -> None:
        made = await call(scene.big.post("/v1/coupon-pools/generated/generations", json={"count": MANY}))
        while (await call(scene.big.get(made.headers["Location"]))).json()["state"] != "done":
            await asyncio.sleep(0.2)

    return generate()


async def change_large_book(scene: Scene) -> Doing:
    """One of 10,000 campaigns paused at a time."""

    async def pause() -> None:
        for number in range(1, 11):
            await call(scene.large.post(f"/v1/campaigns/c{number:05}/pause", headers=ANY))

    return pause()


async def change_quest(scene: Scene) -> Doing:
    """A quest with many open instances, which are counted, changed three times."""
    quest = {"steps": [{"name": "visit", "action": "BUY", "count": 3}], "window_s": 604_800}
    definition = {"kind": "QUEST", "name": "Q", "quest": quest, "rewards": [{"kind": "points", "value": 1}]}
    await call(scene.big.post("/v1/campaigns", json={"campaign_id": "quest", "definition": definition}))
    await call(scene.big.post("/v1/campaigns/quest/launch", headers=ANY))
    await fill(scene, "quest_instance", INSTANCES)

    async def change() -> None:
        for value in (2, 3, 4):
            changed = definition | {"rewards": [{"kind": "points", "value": value}]}
            address = "/v1/campaigns/quest?open_instances=keep"
            answer = await call(scene.big.put(address, json=changed, headers=ANY))
            assert answer.json()["open_instances"]["open"] == INSTANCES

    return change()


async def expire(scene: Scene) -> Doing:
    """Many incentives of many users that are due at one instant."""
    due_at = datetime.now(UTC) + DUE_IN
    await fill(scene, "incentive", DUE, due_at)
    await asyncio.sleep((due_at - datetime.now(UTC)).total_seconds() - SETTLE_S - BEFORE_S)
    left = "SELECT count(*) FROM incentive WHERE tenant_id = $1 AND state = 'granted'"

    async def sweep() -> None:
        while await scene.owner.fetchval(left, BIG):
            await asyncio.sleep(0.1)

    return sweep()


async def fill(scene: Scene, table: str, rows: int, *others: object) -> None:
    """Rows as decisions would have left them, in portions, so that publish has announced them by now."""
    statement = ROWS[table]
    for start in range(0, rows, 5 * CHUNK):
        await scene.owner.execute(statement, BIG, start, start + 5 * CHUNK - 1, *others)


ROWS = {
    "quest_instance": """
        INSERT INTO quest_instance (tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version, state,
                                    started_at, start_offset, ends_at, steps)
        SELECT $1, 'quest', 'u' || n, '', 1, 1, 'open', now(), n, now() + interval '7 days',
               '[{"name": "visit", "done": 1, "needed": 3}]'
        FROM generate_series($2::int, $3::int) AS n""",
    "incentive": """
        INSERT INTO incentive (tenant_id, incentive_id, decision_id, campaign_id, user_id, event_id, event_source,
                               reward_index, kind, value, state, inbox_seq, occurred_at, received_at, taken_at, granted_at,
                               expires_at)
        SELECT $1, uuidv7(), uuidv7(), 'for-all', 'u' || n, 'due-' || n, '/till', 0, 'badge', 0, 'granted', 1, now(), now(),
               now(), now(), $4
        FROM generate_series($2::int, $3::int) AS n""",
}

OPERATIONS: dict[str, Operation] = {
    "cohort of 1,000,000, twice": upload_cohort,
    "list of 10,000, five times": change_list,
    "1,000,000 codes imported": import_codes,
    "1,000,000 codes generated": generate_codes,
    "10,000 campaigns, ten changed": change_large_book,
    "quest of 300,000 instances": change_quest,
    "50,000 incentives expire": expire,
}
