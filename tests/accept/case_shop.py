"""What the cases share: a tenant whose purchases earn points, and the two doors."""

import json
from typing import Any

import httpx

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.client.book import define_actions, launch_campaigns
from tests.live.running import find_topics, make_tenant, open_producer

BUY = {"type": "object", "properties": {"amount": {"type": "integer"}}}
POINTS = {"kind": "SIMPLE", "name": "Points", "action": "BUY", "rewards": [{"kind": "points", "value": 5}]}


def open_shop(stack: Stack, tenant: str, zone: str, clock: str) -> str:
    """A tenant whose purchases earn points; its key."""
    key = make_tenant(stack, tenant, clock, zone)
    with ApiClient(stack.doors.api, key) as client:
        define_actions(client, {"BUY": BUY})
        launch_campaigns(client, {"points": POINTS}, [])
    return key


async def post(stack: Stack, key: str, body: object) -> tuple[int, str]:
    """(status, where the first fault is) of POST /v1/events."""
    async with httpx.AsyncClient(base_url=stack.doors.api, headers={"Authorization": f"Bearer {key}"}) as http:
        answer = await http.post("/v1/events", json=body)
    faults = answer.json().get("errors") or [{"at": ""}]
    return answer.status_code, str(faults[0]["at"])


async def send(stack: Stack, events: list[dict[str, Any]]) -> None:
    """Put events into the log as the operator's own services do, past the HTTP door."""
    topic = find_topics(stack).received
    async with open_producer(stack) as producer:
        await producer.send_many([(topic, f"{e['tenantid']}:{e['subject']}", json.dumps(e).encode()) for e in events])


def count_ended(stack: Stack, before: dict[str, int]) -> int:
    """Processes that have ended since, as the next look of `fillip up` would find."""
    return len(stack.revive()) + sum(stack.pids().get(name) != pid for name, pid in before.items())
