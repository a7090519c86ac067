"""Many tills redeem one coupon at once: over HTTP, on coupons that were granted by events on the whole path."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import httpx

from fillip.app.up import Stack, stop_on_signals
from fillip.client.api import ApiClient
from fillip.figures import Figure, expect, note, open_screen, show_figures
from tests.live.running import fetch, make_tenant, running_stack, send, wait_for, wait_until_settled

CLIENTS = 64
ROUNDS = 1_000
SPARE = 1_000
"""Codes for the events that find out whether the worker knows the campaign."""
WITHIN_S = 60.0
TENANT = "race"
CAMPAIGN: dict[str, Any] = {
    "kind": "SIMPLE",
    "name": "A coupon each",
    "action": "VISIT",
    "rewards": [{"kind": "coupon", "pool": "race", "expires_after_s": 86_400}],
}


async def grant_coupons(stack: Stack, number: int) -> tuple[str, list[str]]:
    """A tenant whose users were granted that many coupons by events; its key and the codes."""
    key = await asyncio.to_thread(make_tenant, stack, TENANT)
    generation = {"count": number + SPARE, "pattern": "RACE-####-####-####-####"}
    with ApiClient(stack.doors.api, key) as client:
        client.put("/v1/actions/VISIT", {"schema": {"type": "object", "properties": {}}})
        client.post("/v1/coupon-pools", {"pool_id": "race", "name": "Race"})
        client.post("/v1/coupon-pools/race/generations", generation)
        client.post("/v1/campaigns", {"campaign_id": "race", "definition": CAMPAIGN})
        client.post("/v1/campaigns/race/launch", headers={"If-Match": "*"})

    async def made() -> bool:
        return bool(await fetch(stack, "SELECT 1 FROM coupon_generation WHERE made = wanted"))

    async def list_codes() -> list[str]:
        rows = await fetch(stack, "SELECT coupon_code FROM incentive WHERE tenant_id = $1 ORDER BY 1", TENANT)
        return [code for (code,) in rows]

    async def meet() -> list[str]:
        await send(stack, [visit(time.time_ns())])
        await wait_until_settled(stack)
        return await list_codes()

    await wait_for(f"{number} codes made", made, WITHIN_S)
    await wait_for("the worker to know the campaign", meet)
    await send(stack, [visit(number) for number in range(number)])
    await wait_until_settled(stack)
    return key, (await list_codes())[:number]


def visit(number: int) -> dict[str, Any]:
    """A visit made now, as a CloudEvent."""
    head = {"specversion": "1.0", "id": f"visit-{number}", "source": "race", "type": "VISIT", "tenantid": TENANT}
    return head | {"subject": f"user-{number}", "time": datetime.now(UTC).isoformat(), "data": {}}


async def race(stack: Stack, key: str, codes: Sequence[str]) -> Counter[int]:
    """Let 64 clients, each with its own connection, redeem each code at once: {winners: rounds}.

    Half of them do so by reserve and confirm.
    """
    rounds: Counter[int] = Counter()
    async with AsyncExitStack() as opened:
        clients = [await opened.enter_async_context(open_till(stack, key)) for _ in range(CLIENTS)]
        for code in codes:
            tills = [
                reserve(client, code, number) if number % 2 else redeem(client, code)
                for number, client in enumerate(clients)
            ]
            rounds[sum(await asyncio.gather(*tills))] += 1
    return rounds


def open_till(stack: Stack, key: str) -> httpx.AsyncClient:
    """A client with a connection of its own."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=stack.doors.api, headers=headers, timeout=WITHIN_S, verify=False)


async def redeem(client: httpx.AsyncClient, code: str) -> bool:
    """Whether this till has redeemed the coupon."""
    return won(await client.post(f"/v1/coupons/{code}/redeem"))


async def reserve(client: httpx.AsyncClient, code: str, till: int) -> bool:
    """Whether this till has redeemed the coupon, in two steps."""
    path, name = f"/v1/coupons/{code}/reservations", f"till-{till}"
    answer = await client.post(path, json={"reservation_id": name})
    return answer.status_code == 201 and won(await client.post(f"{path}/{name}/confirm"))


def won(answer: httpx.Response) -> bool:
    """200, or 409 for a loser; anything else is a fault."""
    assert answer.status_code in (200, 409), answer.text
    return answer.status_code == 200


def prove(rounds: int) -> list[Figure]:
    """The figures of that many rounds on a set of servers and processes of their own."""
    with running_stack() as stack:
        return asyncio.run(_prove(stack, rounds))


async def _prove(stack: Stack, rounds: int) -> list[Figure]:
    key, codes = await grant_coupons(stack, rounds)
    began = time.monotonic()
    winners = await race(stack, key, codes)
    took_s = time.monotonic() - began
    stored = "SELECT count(*) FROM coupon WHERE tenant_id = $1 AND redeemed_at IS NOT NULL"
    [(redeemed,)] = await fetch(stack, stored, TENANT)
    return [
        expect(f"race: rounds of {CLIENTS} clients at one coupon", rounds, sum(winners.values())),
        expect("race: rounds with exactly one winner", rounds, winners[1]),
        expect("race: coupons stored as redeemed", rounds, redeemed),
        note("race: duration", round(took_s, 1), "s"),
    ]


if __name__ == "__main__":
    with stop_on_signals():
        found = prove(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
        sys.exit(0 if show_figures("proof: the race for a coupon", "race", found, open_screen()) else 1)
