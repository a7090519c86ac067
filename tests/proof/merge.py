"""`python -m tests.proof.merge [KILLS]`: users are merged one after the other, with worker, api and sweep killed at random by kill -9 in the midst.

Clients send events of both ids of each pair, spend their points, and send all again after every lost answer; merges are asked for until they are
answered. In the end what each person has is counted from what was decided: no point may be lost or given twice, no cap passed after the
merge, no quest completed again, and every list names who the user is.
"""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from msgspec import json

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.client.book import define_actions, launch_campaigns
from fillip.figures import Figure, at_least, expect, note
from tests.live.running import fetch, make_tenant, open_ledger, wait_for, wait_until_settled
from tests.proof.kills import GIVE_UP_S, Tell, kill_on, prove_on_own_set, run_proof

KILLS, TENANT, CLIENTS, MERGERS = 20, "proof-merge", 8, 2
VICTIMS = ("worker", "api", "sweep")
PAIRS, AHEAD, LARGE_EVERY, LOTS = 2_000, 6, 4, 130
"""Pairs at most; those at work beside the ones merged; each so many-th has so many lots, which come over in portions."""
AGAIN_S, MOMENT_S, LARGE_WITHIN_S = 0.1, 0.1, 60.0
SCHEMA = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}
SIMPLE = {"kind": "SIMPLE", "action": "BUY"}
CAMPAIGNS: dict[str, dict[str, Any]] = {
    "points": SIMPLE
    | {
        "name": "Points",
        "rule": "event.amount >= 300",
        "rewards": [{"kind": "points", "value": 5, "expires_after_s": 90 * 86_400}],
    },
    "gift": SIMPLE | {"name": "Gift", "rule": "event.amount >= 600", "rewards": [{"kind": "cashback", "value": 7}]},
    "visits": {
        "kind": "QUEST",
        "name": "Three visits, once",
        "quest": {"steps": [{"name": "visit", "action": "BUY", "count": 3, "rule": "event.amount < 600"}]},
        "rewards": [{"kind": "points", "value": 50}],
    },
}
CAP = 3
LIMIT = {
    "limit_id": "budget",
    "campaign_id": "gift",
    "scope": "user_in_campaign",
    "measure": "count",
    "span": "lifetime",
    "cap": CAP,
}
MISCOUNTED = (Path(__file__).with_name("merge_breaches.sql")).read_text(encoding="utf-8")
SETTLE = Path(__file__).parent.parent / "settle"
UNFINISHED = "SELECT count(*) = 0 FROM user_merge WHERE tenant_id = $1 AND next_at IS NOT NULL"


@dataclass
class Run:
    """How far the merges are, and what the clients did."""

    frontier: int = 0
    merged: set[int] = field(default_factory=set)
    merging: int = 0
    spent: int = 0
    sent: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    over: bool = False

    def begin_kill(self) -> Callable[[], bool]:
        """It is time for the next one in the midst of a merge, once another was answered."""
        wanted = len(self.merged) + 1
        return lambda: len(self.merged) >= wanted and self.merging > 0


def build_event(name: str, user: str, amount: int) -> dict[str, Any]:
    """A purchase made now."""
    head = {"specversion": "1.0", "id": name, "source": "till", "type": "BUY", "time": datetime.now(UTC)}
    return head | {"subject": user, "data": {"amount": amount}}


async def insist(run: Run, client: httpx.AsyncClient, path: str, body: Any, wanted: tuple[int, ...]) -> int:
    """Ask until it is answered so, through every kill; the answer's status."""
    give_up_at = time.monotonic() + GIVE_UP_S
    while True:
        assert time.monotonic() < give_up_at, f"never answered: {path}"
        try:
            answer = await client.post(path, content=json.encode(body))
        except httpx.HTTPError:
            run.answers["none"] += 1
        else:
            run.answers[str(answer.status_code)] += 1
            if answer.status_code in wanted:
                return answer.status_code
            assert answer.status_code in (202, 503), f"{path}: {answer.text}"
        await asyncio.sleep(AGAIN_S)


async def shop(run: Run, client: httpx.AsyncClient, number: int) -> None:
    """Purchases and spends of both ids of pairs that are merged, are being merged, and will be."""
    count = 0
    while not run.over:
        count += 1
        pair = max(0, run.frontier + AHEAD - int(random.expovariate(1 / (2 * AHEAD))))
        user = random.choice((f"anon-{pair}", f"known-{pair}"))
        event = build_event(f"{number}-{count}", user, random.randrange(1_000))
        await insist(run, client, "/v1/events?wait=500", event, (200,))
        run.sent.add(event["id"])
        if random.random() < 0.3:
            spend = {"spend_id": f"s-{number}-{count}", "amount": 5}
            path = f"/v1/users/{user}/wallets/POINTS/spends"
            status = await insist(run, client, path, spend, (200, 201, 404, 409))
            run.spent += 5 * (status < 300)


async def merge(run: Run, client: httpx.AsyncClient, kills_done: Callable[[], bool]) -> None:
    """Merge pair after pair; some of them have many lots by then."""
    while not kills_done() and run.frontier < PAIRS:
        pair, run.frontier = run.frontier, run.frontier + 1
        if pair % LARGE_EVERY == 0:
            events = [build_event(f"lot-{pair}-{n}", f"anon-{pair}", 300) for n in range(LOTS)]
            await insist(run, client, "/v1/events?wait=2000", events, (200,))
            run.sent |= {event["id"] for event in events}
        run.merging += 1
        body = {"merge_id": f"m-{pair}", "from": f"anon-{pair}"}
        await insist(run, client, f"/v1/users/known-{pair}/merges", body, (200, 201))
        run.merging -= 1
        run.merged.add(pair)


async def prove(stack: Stack, kills: int, tell: Tell) -> list[Figure]:
    """Clients and merges beside kills, then the recount."""
    key = await asyncio.to_thread(open_book, stack)
    run, done = Run(), asyncio.Event()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    async with httpx.AsyncClient(base_url=stack.doors.api, headers=headers, timeout=20) as client:
        async with asyncio.TaskGroup() as group:
            shops = [group.create_task(shop(run, client, number)) for number in range(CLIENTS)]
            merges = [group.create_task(merge(run, client, done.is_set)) for _ in range(MERGERS)]
            killed = await kill_on(
                stack,
                VICTIMS,
                kills,
                begin=run.begin_kill,
                moment_s=MOMENT_S,
                describe=lambda: f"{len(run.merged)} users merged",
                tell=tell,
            )
            done.set()
            await asyncio.gather(*merges)
            run.over = True
            await asyncio.gather(*shops)
        for pair in sorted(run.merged):  # what either has begun can still be completed, once
            events = [
                build_event(f"end-{pair}-{n}", random.choice((f"anon-{pair}", f"known-{pair}")), 100) for n in range(3)
            ]
            await insist(run, client, "/v1/events?wait=2000", events, (200,))
            run.sent |= {event["id"] for event in events}
        await wait_until_settled(stack)
        await wait_for("all points have come over", lambda: is_whole(stack), LARGE_WITHIN_S)
        listed = await list_members(client)
    async with open_ledger(stack) as ledger:
        rows = await ledger.fetch(MISCOUNTED, TENANT, run.spent, CAP, len(run.sent), len(run.merged))
        for file in ("wallet_breaches.sql", "sums_breaches.sql"):
            rows += await ledger.fetch((SETTLE / file).read_text(), TENANT, None)
    tell(f"requests by their answer: {dict(run.answers)}")
    named = {f"known-{pair}" for pair in run.merged} | {
        f"anon-{pair}" for pair in range(PAIRS) if pair not in run.merged
    }
    return [
        *(note(f"kill -9 of {name}", killed[name]) for name in VICTIMS),
        at_least("users merged", 1, len(run.merged)),
        note("events decided", len(run.sent)),
        expect("users that a list names wrongly", 0, len(named ^ listed)),
        *(expect(name, 0, int(count)) for row in rows for name, count in row.items()),
    ]


def open_book(stack: Stack) -> str:
    """A tenant with campaigns, a limit, and a list of all who are not known yet; its key."""
    key = make_tenant(stack, TENANT)
    with ApiClient(stack.doors.api, key) as owner:
        define_actions(owner, {"BUY": SCHEMA})
        owner.post("/v1/cohorts", {"cohort_id": "new", "name": "New"})
        owner.post("/v1/cohorts/new/members?change=add", "\n".join(f"anon-{n}" for n in range(PAIRS)).encode())
        launch_campaigns(owner, CAMPAIGNS, [LIMIT])
    return key


async def is_whole(stack: Stack) -> bool:
    """Whether no points are still to come over."""
    [(whole,)] = await fetch(stack, UNFINISHED, TENANT)
    return bool(whole)


async def list_members(client: httpx.AsyncClient) -> set[str]:
    """The users of the list."""
    members, cursor = set[str](), None
    while True:
        page = (
            await client.get("/v1/cohorts/new/members", params={"limit": 200} | ({"cursor": cursor} if cursor else {}))
        ).json()
        members |= {member["user_id"] for member in page["items"]}
        if not (cursor := page["next_cursor"]):
            return members


def prove_merge(kills: int, tell: Tell) -> list[Figure]:
    """Run it on a set of its own."""
    return prove_on_own_set(prove, kills, tell)


if __name__ == "__main__":
    sys.exit(run_proof("proof: users are merged", "merge-proof", prove_merge, KILLS))
