"""Cases 01 and 02: a date that was never set."""

import json
from pathlib import Path
from typing import Any

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.figures import Figure, expect
from tests.accept.case_shop import count_ended, open_shop, post, send
from tests.live.running import fetch, wait_for, wait_until_settled

NEIGHBOURS = 64
WEST = ("America/Chicago", "Europe/London", "Europe/Madrid", "Europe/Dublin", "America/Sao_Paulo")


async def play_year_one_at_the_worker(stack: Stack, folder: Path) -> list[Figure]:
    """01: a date that was never set, in zones west of Greenwich: refused at both doors, and nobody else notices."""
    event, pids = json.loads((folder / "event.json").read_text()), stack.pids()
    refused, tenants = 0, [f"west-{number}" for number in range(len(WEST))]
    for number, zone in enumerate(WEST):
        key = open_shop(stack, tenants[number], zone, clock=("live", "history")[number % 2])
        refused += await post(stack, key, event) == (422, "/time")
        refused += await post(stack, key, [event]) == (422, "/0/time")
    await send(stack, [event | {"tenantid": tenant} for tenant in tenants])
    neighbour = open_shop(stack, "neighbour", "UTC", clock="history")
    sent = [event | {"id": f"n{n}", "subject": f"u{n}", "time": "2026-01-31T09:30:00Z"} for n in range(NEIGHBOURS)]
    taken, _ = await post(stack, neighbour, sent)
    await wait_until_settled(stack)
    rejected = await fetch(stack, "SELECT tenant_id, reason FROM rejection WHERE event_id = $1", event["id"])
    decided = await fetch(stack, "SELECT event_id FROM decision WHERE tenant_id = 'neighbour'")
    return [
        expect("refused by HTTP at its time (422)", 2 * len(WEST), refused),
        expect(
            "kept from Kafka as not_an_event",
            len(WEST),
            sum((tenant, "not_an_event") in rejected for tenant in tenants),
        ),
        expect("neighbour's events taken", 202, taken),
        expect("neighbour's events decided", NEIGHBOURS, len(decided)),
        expect("processes that ended", 0, count_ended(stack, pids)),
    ]


async def play_year_one_at_publish(stack: Stack, folder: Path) -> list[Figure]:
    """02: the same, where it would be stored and announced: it never gets in, and what comes next is told."""
    event, pids = json.loads((folder / "event.json").read_text()), stack.pids()
    key = open_shop(stack, "history", "UTC", clock="history")
    with ApiClient(stack.doors.api, key) as client:
        client.post("/v1/limits", {"limit_id": "daily", "scope": "user", "measure": "count", "span": "day", "cap": 5})
        status, at = await post(stack, key, event)
        await send(stack, [event | {"tenantid": "history"}])
        await send(stack, [event | {"tenantid": "history", "id": "sale-2", "time": "2026-01-31T09:30:00Z"}])
        await wait_until_settled(stack)

        async def read_told() -> list[dict[str, Any]]:
            return list(client.get("/v1/users/sam/inbox")["items"])

        told = await wait_for("the good event's entry", read_told)
        instants = [each["occurred_at"] for each in client.get("/v1/decisions")["items"]]
        stored = await fetch(stack, "SELECT window_start::text FROM limit_counter WHERE tenant_id = 'history'")
        return [
            expect("refused by HTTP", "422 /time", f"{status} {at}"),
            expect("grants told to the user", 1, len(told)),
            expect("instants of the decisions", "2026-01-31T09:30:00Z", ", ".join(instants)),
            expect("days counted", "2026-01-31", ", ".join(day for (day,) in stored)),
            expect("processes that ended", 0, count_ended(stack, pids)),
        ]
