"""11: the same id from two sources. Tills that count their receipts from 1 lose none."""

import json
from pathlib import Path
from typing import Any

import httpx

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.figures import Figure, expect
from tests.accept.case_shop import open_shop, post, send
from tests.live.running import fetch, wait_for, wait_until_settled

TENANT = "tills"
GRANTED = """
    SELECT d.event_source, d.user_id, i.state FROM incentive i JOIN decision d USING (tenant_id, decision_id)
    WHERE i.tenant_id = $1 ORDER BY 1
"""
REJECTED = "SELECT event_source, reason FROM rejection WHERE tenant_id = $1"


async def play_two_sources(stack: Stack, folder: Path) -> list[Figure]:
    """By HTTP one after the other and all together, then from Kafka, then with other bodies; then one is taken back."""
    events: list[dict[str, Any]] = json.loads((folder / "events.json").read_text())
    key = open_shop(stack, TENANT, "UTC", clock="history")
    taken = [(await post(stack, key, each))[0] for each in (*events, events)]
    await send(stack, [event | {"tenantid": TENANT} for event in events])
    other = events[1] | {"data": {"amount": 6}}
    refused = await post(stack, key, other)
    await send(stack, [other | {"tenantid": TENANT}])
    await wait_until_settled(stack)
    granted, rejected = await fetch(stack, GRANTED, TENANT), await fetch(stack, REJECTED, TENANT)
    asked = await _take_back(stack, key, {"reversal_id": "r1", "event_id": "1"})
    named = await _take_back(stack, key, {"reversal_id": "r1", "event_id": "1", "event_source": "/pos-2"})
    with ApiClient(stack.doors.api, key) as client:

        async def read_reversed() -> list[dict[str, Any]]:
            return list(client.get("/v1/reversals?state=applied")["items"])

        await wait_for("the reversal", read_reversed)
        again = await _take_back(stack, key, {"reversal_id": "r1", "event_id": "1", "amount": 1, "of": 5})
        left = [source for source, _, state in await fetch(stack, GRANTED, TENANT) if state == "granted"]
        return [
            expect("answers of POST /v1/events", "202 202 202 202", " ".join(map(str, taken))),
            expect(
                "granted, each once",
                "/pos-1 sam, /pos-2 sam, /pos-3 kim",
                ", ".join(f"{s} {user}" for s, user, _ in granted),
            ),
            expect("another body at the door", "409 /id", " ".join(map(str, refused))),
            expect("another body in the log", "/pos-2 conflicting_duplicate", ", ".join(map(" ".join, rejected))),
            expect("a reversal that names no source", "422 /event_source", asked),
            expect("a reversal that names one", "202", named),
            expect("the same reversal with another body", "409 /reversal_id", again),
            expect("purchases that keep their grant", "/pos-1 /pos-3", " ".join(left)),
        ]


async def _take_back(stack: Stack, key: str, body: dict[str, Any]) -> str:
    """Status of POST /v1/reversals, and where its first fault is."""
    async with httpx.AsyncClient(base_url=stack.doors.api, headers={"Authorization": f"Bearer {key}"}) as http:
        answer = await http.post("/v1/reversals", json=body)
    faults = answer.json().get("errors", [])
    return " ".join([str(answer.status_code), *(fault["at"] for fault in faults[:1])])
