"""extremes: events, Kafka records, definitions, uploads and orders at and beyond every bound, through a whole running set.

Nothing of it may end a process, hold a partition up, or be answered with 500 or more.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any
from urllib.parse import quote

import httpx

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.client.book import define_actions
from fillip.figures import Figure, at_least, expect, note
from tests.accept.extreme_books import ACTIONS, CAMPAIGNS, EVENTS, LIMITS, ORDERS
from tests.accept.extreme_values import damage, draw_value, encode, spoil
from tests.live.running import SCOPES, fetch, find_topics, open_producer, wait_for, wait_until_settled

EVENTS_BY_HTTP, RECORDS, CALLS = 9_000, 7_000, 5_000
AT_ONCE = 8
ZONES = {
    "chicago": "America/Chicago",
    "london": "Europe/London",
    "apia": "Pacific/Apia",
    "kathmandu": "Asia/Kathmandu",
    "utc": "UTC",
}
FAILED = 500


async def accept(stack: Stack, tell: Callable[[str], None]) -> list[Figure]:
    """As many inputs as the goal says; FILLIP_FUZZ_SEED gives other ones."""
    seed = int(os.environ.get("FILLIP_FUZZ_SEED", "1"))
    random, exits = Random(seed), Counter[str]()
    watching = asyncio.create_task(watch(stack, exits))
    keys = {tenant: open_book(stack, tenant, zone, tell) for tenant, zone in ZONES.items()}
    statuses: Counter[int] = Counter()
    failures: list[str] = []

    async def call(method: str, path: str, key: str, body: bytes, media: str) -> None:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": media, "If-Match": "*"}
        try:
            answer = await http.request(method, path, content=body, headers=headers)
        except httpx.HTTPError as error:
            failures.append(f"{method} {path[:80]}: {error!r}")
            return
        statuses[answer.status_code] += 1
        if answer.status_code >= FAILED:
            failures.append(f"{method} {path[:80]} {body[:200]!r}: {answer.status_code} {answer.text[:200]}")

    async with httpx.AsyncClient(base_url=stack.doors.api, timeout=60) as http:
        tell("events by HTTP")
        await run_all(call(*request) for request in draw_events(random, keys, EVENTS_BY_HTTP))
        tell(f"records by Kafka; so far {dict(statuses)}")
        await produce(stack, random, RECORDS)
        tell("definitions, uploads and orders")
        await run_all(call(*request) for request in draw_calls(random, keys, CALLS))
        tell("waiting for the worker and for publish")
        stuck = await find_stuck(stack)
        tell("a good event of each tenant")
        deaf = [tenant for tenant, key in keys.items() if not await decides(stack, http, tenant, key)]
    for line in failures[:20]:
        tell(line.replace("[", "\\["))
    watching.cancel()
    unforeseen = "SELECT detail, encode(original, 'escape') FROM rejection WHERE reason = 'undecidable'"
    for detail, original in await fetch(stack, unforeseen):
        tell(f"undecidable, {detail}: {original[:400]}".replace("[", "\\["))
    total = EVENTS_BY_HTTP + RECORDS + CALLS
    rejected = await fetch(stack, "SELECT reason, count(*) FROM rejection GROUP BY 1 ORDER BY 2 DESC")
    return [
        at_least("inputs", 20_000, total),
        expect(
            "processes that ended",
            "none",
            ", ".join(f"{name} {times} times" for name, times in exits.items()) or "none",
        ),
        expect("partitions that are stuck", 0, stuck),
        expect("answers of 500 and more, or none", 0, len(failures)),
        expect("tenants whose next good event is not decided", "none", ", ".join(deaf) or "none"),
        *(note(f"answers {status}", count) for status, count in sorted(statuses.items())),
        *(note(f"set aside as {reason}", count) for reason, count in rejected),
        note("seed", seed),
    ]


async def watch(stack: Stack, exits: Counter[str]) -> None:
    """Count what ends, and start it again, as `fillip up` does."""
    while True:
        exits.update(stack.revive())
        await asyncio.sleep(1)


def open_book(stack: Stack, tenant: str, zone: str, tell: Callable[[str], None]) -> str:
    """A tenant with actions, campaigns and limits of every kind; its key."""
    clock = "live" if tenant in ("chicago", "utc") else "history"
    with ApiClient(stack.doors.api, stack.settings.operator_key or "") as operator:
        name = f"extreme-{tenant}"
        operator.post(
            "/v1/tenants", {"tenant_id": name, "name": name, "time_zone": zone, "currency": "USD", "clock": clock}
        )
        key = str(operator.post(f"/v1/tenants/{name}/keys", {"name": "fuzz", "scopes": SCOPES})["key"])
        with ApiClient(stack.doors.api, key) as client:
            define_actions(client, ACTIONS)
            client.post("/v1/coupon-pools", {"pool_id": "pool", "name": "Pool"})
            client.post("/v1/coupon-pools/pool/generations", {"count": 2_000, "pattern": "#############"})
            client.post("/v1/badges", {"badge_id": "star", "name": "Star"})
            for campaign_id, definition in CAMPAIGNS.items():
                ever = definition | {"schedule": {"starts_at": "1970-01-01T00:00:00Z"}}
                client.post("/v1/campaigns", {"campaign_id": campaign_id, "definition": ever})
                client.post(f"/v1/campaigns/{campaign_id}/launch", headers={"If-Match": "*"})
            for limit in LIMITS:
                client.post("/v1/limits", limit)
            tell(f"{name} is open")
            return key


Request = tuple[str, str, str, bytes, str]


def draw_events(random: Random, keys: dict[str, str], count: int) -> Iterator[Request]:
    """Events, most of them sound but for one to three places."""
    for number in range(count):
        tenant = random.choice(list(keys))
        event = draw_event(random, number)
        body = encode([event] if random.randrange(5) == 0 else event)
        yield (
            "POST",
            "/v1/events",
            keys[tenant],
            body if random.randrange(8) else damage(random, body),
            "application/json",
        )


def draw_event(random: Random, number: int) -> Any:
    """An event with an id of its own, spoilt in nine cases of ten."""
    event = random.choice(EVENTS) | {"id": f"x-{number}", "subject": f"u{random.randrange(40)}"}
    return spoil(random, event) if random.randrange(10) else event


async def produce(stack: Stack, random: Random, count: int) -> None:
    """Records as a careless service puts them on the topic: any bytes, any key."""
    messages = []
    for number in range(count):
        tenant = f"extreme-{random.choice(list(ZONES))}"
        event = draw_event(random, 1_000_000 + number)
        value = encode(event | {"tenantid": tenant} if isinstance(event, dict) else event)
        value = value if random.randrange(6) else damage(random, value)
        key = random.choice((f"{tenant}:u{random.randrange(40)}", "", "𝄞" * 300, tenant))
        messages.append((find_topics(stack).received, key, value[:900_000]))
    async with open_producer(stack) as producer:
        for start in range(0, count, 500):
            await producer.send_many(messages[start : start + 500])


def draw_calls(random: Random, keys: dict[str, str], count: int) -> Iterator[Request]:
    """Definitions, uploads, orders and questions, spoilt in body, path or parameters."""
    for _ in range(count):
        order = random.choice(ORDERS)
        key = random.choice(list(keys.values()))
        path = order.path.format(*(quote(name, safe="") for name in draw_names(random, order.names)))
        if order.questions and random.randrange(2):
            said = str(draw_value(random))[:500].encode(errors="replace")
            path += f"?{random.choice(order.questions)}={quote(said)}"
        body = order.body if isinstance(order.body, bytes) else encode(spoil(random, order.body)) if order.body else b""
        body = damage(random, body) if body and random.randrange(5) == 0 else body
        yield order.method, path, key, body, order.media


def draw_names(random: Random, names: tuple[str, ...]) -> Iterator[bytes]:
    """Names in a path: mostly those that exist, now and then any text."""
    for name in names:
        said = name if random.randrange(4) else str(draw_value(random))[:300]
        yield said.encode(errors="replace")


async def run_all(calls: Iterator[Any]) -> None:
    """Some at a time, in order of their start."""

    async def work() -> None:
        for each in calls:
            await each

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def find_stuck(stack: Stack) -> int:
    """Partitions that are not settled to their end although nothing is sent any more, and the slot where it does not follow."""
    try:
        await wait_until_settled(stack)
        await wait_for("publish has read all", lambda: _has_followed(stack), 120)
    except AssertionError:
        query = "SELECT count(*) FROM consumer_position WHERE topic = $1"
        return int((await fetch(stack, query, find_topics(stack).received))[0][0])
    return 0


async def _has_followed(stack: Stack) -> bool:
    lag = await fetch(stack, "SELECT pg_current_wal_flush_lsn() - confirmed_flush_lsn FROM pg_replication_slots")
    return all(behind < 1_000_000 for (behind,) in lag)


async def decides(stack: Stack, http: httpx.AsyncClient, tenant: str, key: str) -> bool:
    """Whether a sound event of a new user is still granted, and told."""
    event = EVENTS[0] | {"id": "the-last", "subject": "somebody-new"}
    answer = await http.post("/v1/events", json=event, headers={"Authorization": f"Bearer {key}"})
    if answer.status_code != httpx.codes.ACCEPTED:
        return False
    query = "SELECT FROM incentive WHERE tenant_id = $1 AND event_id = 'the-last'"
    try:
        return bool(await wait_for("a grant", lambda: fetch(stack, query, f"extreme-{tenant}"), 30))
    except AssertionError:
        return False
