"""`python -m tests.proof.wait [KILLS]`: answers in the same call, with worker, api and publish killed at random by kill -9.

Clients send events that wait, and send the same again after every lost or late answer, and once in a while after a good one. In the end each
answer is compared with the ledger: none may differ, two answers to one event must be the same, and nothing may have had its effect twice.
"""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from msgspec import json

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.client.book import define_actions, launch_campaigns
from fillip.core.limit import has_start
from fillip.figures import Figure, at_least, expect, note
from tests.live.running import make_tenant, open_ledger, wait_until_settled
from tests.proof.kills import GIVE_UP_S, Tell, kill_on, prove_on_own_set, run_proof

KILLS, TENANT, CLIENTS, USERS, CODES = 20, "proof-wait", 12, 40, 2_000
VICTIMS = ("worker", "api", "publish")
AGAIN_S, REPEATED, MOMENT_S = 0.1, 0.2, 0.2
SCHEMA = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}
SIMPLE = {"kind": "SIMPLE", "action": "BUY"}
CAMPAIGNS: dict[str, dict[str, Any]] = {
    "points": SIMPLE | {"name": "Points", "rule": "event.amount >= 300", "rewards": [{"kind": "points", "value": 5}]},
    "gift": SIMPLE | {"name": "Gift", "rule": "event.amount >= 800", "rewards": [{"kind": "coupon", "pool": "gifts"}]},
    "visits": {
        "kind": "QUEST",
        "name": "Three visits",
        "quest": {
            "repeatable": True,
            "steps": [{"name": "visit", "action": "BUY", "count": 3, "rule": "event.amount < 500"}],
        },
        "rewards": [{"kind": "points", "value": 50}],
    },
}
LIMIT = {
    "limit_id": "budget",
    "campaign_id": "gift",
    "scope": "user_in_campaign",
    "measure": "count",
    "span": "lifetime",
    "cap": 3,
}
DECISIONS = """
SELECT d.event_id, jsonb_agg(jsonb_build_object('decision_id', d.decision_id, 'campaign_id', d.campaign_id, 'outcome', d.outcome,
    'reason', d.reason, 'instance', d.instance, 'rewards', d.reward_values, 'limits', d.limits, 'incentives', coalesce((
        SELECT jsonb_agg(jsonb_build_object('incentive_id', i.incentive_id, 'value', i.value, 'coupon_code', i.coupon_code)
                         ORDER BY i.reward_index)
        FROM incentive i WHERE i.tenant_id = d.tenant_id AND i.decision_id = d.decision_id), '[]'))
    ORDER BY d.decided_at, d.campaign_id, d.instance)
FROM decision d WHERE d.tenant_id = $1 GROUP BY d.event_id
"""
BALANCES = """
SELECT i.event_id, (array_agg(t.active_after ORDER BY t.seq DESC))[1]
FROM incentive i JOIN wallet_transfer t ON t.tenant_id = i.tenant_id AND t.kind = 'grant' AND t.source_id = replace(i.incentive_id::text, '-', '')
WHERE i.tenant_id = $1 GROUP BY i.event_id
"""
DOUBLES = """
SELECT (SELECT count(*) - count(DISTINCT (event_id, campaign_id, instance)) FROM decision WHERE tenant_id = $1)
     + (SELECT count(*) - count(DISTINCT (decision_id, reward_index)) FROM incentive WHERE tenant_id = $1)
     + (SELECT count(coupon_code) - count(DISTINCT coupon_code) FROM incentive WHERE tenant_id = $1)
     + (SELECT abs(coalesce(sum(active), 0) - (SELECT sum(value) FROM incentive WHERE tenant_id = $1 AND kind = 'points'))
        FROM wallet WHERE tenant_id = $1)
     + (SELECT abs(coalesce(sum(used), 0) - (SELECT count(*) FROM incentive WHERE tenant_id = $1 AND campaign_id = 'gift'))
        FROM limit_counter WHERE tenant_id = $1)
     + (SELECT count(*) FROM (SELECT FROM quest_instance WHERE tenant_id = $1 AND state = 'open'
                              GROUP BY user_id HAVING count(*) > 1) AS twice)
"""


@dataclass
class Run:
    """What the clients were told, by event, and how often what went wrong."""

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)
    unlike: list[str] = field(default_factory=list)
    over: bool = False

    def begin_kill(self) -> Callable[[], bool]:
        """It is time for the next one once about each client was answered."""
        wanted = len(self.answers) + CLIENTS
        return lambda: len(self.answers) >= wanted


async def send_until_decided(run: Run, client: httpx.AsyncClient, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answer of one request, sent again until all of it is decided."""
    give_up_at = time.monotonic() + GIVE_UP_S
    while True:
        assert time.monotonic() < give_up_at, f"never decided: {events}"
        try:
            body = events[0] if len(events) == 1 else events
            answer = await client.post(f"/v1/events?wait={random.choice((50, 500, 2000))}", content=json.encode(body))
        except httpx.HTTPError:
            run.sent["no answer"] += 1
        else:
            run.sent[str(answer.status_code)] += 1
            assert answer.status_code in (200, 202, 503), answer.text
            if answer.status_code == 200:
                told: list[dict[str, Any]] = answer.json()["events"]
                return told
        await asyncio.sleep(AGAIN_S)


async def shop(run: Run, client: httpx.AsyncClient, number: int) -> None:
    """Purchases, one or some a request, until the last kill."""
    count = 0
    while not run.over:
        size = random.choice((1, 1, 1, 5))
        events = [
            {"specversion": "1.0", "id": f"{number}-{count + n}", "source": "till", "type": "BUY", "time": datetime.now(UTC),
             "subject": f"u{random.randrange(USERS)}", "data": {"amount": random.randrange(1_000)}}
            for n in range(size)
        ]  # fmt: skip
        count += size
        tries = 1 + (random.random() < REPEATED)
        for told in [await send_until_decided(run, client, events) for _ in range(tries)]:
            for each in told:
                first = run.answers.setdefault(each["event_id"], each)
                if any(first.get(name) != each.get(name) for name in ("state", "decisions", "balances")):
                    run.unlike.append(each["event_id"])


async def prove(stack: Stack, kills: int, tell: Tell) -> list[Figure]:
    """Clients beside kills, then the comparison."""
    key = make_tenant(stack, TENANT)
    with ApiClient(stack.doors.api, key) as owner:
        define_actions(owner, {"BUY": SCHEMA})
        owner.post("/v1/coupon-pools", {"pool_id": "gifts", "name": "Gifts"})
        owner.post("/v1/coupon-pools/gifts/codes", b"".join(b"GIFT-%05d\n" % number for number in range(CODES)))
        launch_campaigns(owner, CAMPAIGNS, [LIMIT])
    run = Run()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    async with (
        httpx.AsyncClient(base_url=stack.doors.api, headers=headers, timeout=10) as client,
        asyncio.TaskGroup() as group,
    ):
        for number in range(CLIENTS):
            group.create_task(shop(run, client, number))
        killed = await kill_on(
            stack,
            VICTIMS,
            kills,
            begin=run.begin_kill,
            moment_s=MOMENT_S,
            describe=lambda: f"{len(run.answers)} events answered",
            tell=tell,
        )
        run.over = True
    await wait_until_settled(stack)
    differing = await list_differing(stack, run)
    async with open_ledger(stack) as ledger:
        doubles = int(await ledger.fetchval(DOUBLES, TENANT))
    tell(
        f"requests by their answer: {dict(run.sent)}; unlike the ledger: {differing[:3]}; unlike each other: {run.unlike[:3]}"
    )
    return [
        *(note(f"kill -9 of {name}", killed[name]) for name in VICTIMS),
        at_least("events answered", 1, len(run.answers)),
        note("requests sent again after no answer, 202 or 503", run.sent.total() - run.sent["200"]),
        expect("answers unlike the ledger", 0, len(differing)),
        expect("second answers unlike the first", 0, len(run.unlike)),
        expect("effects that are double", 0, doubles),
    ]


async def list_differing(stack: Stack, run: Run) -> list[str]:
    """The events whose answer is not what the ledger has."""
    async with open_ledger(stack) as ledger:
        decisions = {event_id: tell_starts(made) for event_id, made in await ledger.fetch(DECISIONS, TENANT)}
        balances = {event_id: [active] for event_id, active in await ledger.fetch(BALANCES, TENANT)}
    differing = []
    for event_id, told in run.answers.items():
        stored = decisions.get(event_id, [])
        same = told["state"] == "decided" and [
            pick(made, of) for made, of in zip(told["decisions"], stored, strict=False)
        ] == leave_out(stored)
        active = [each["active"] for each in told.get("balances", [])]
        if not same or len(told["decisions"]) != len(stored) or active != balances.get(event_id, []):
            differing.append(event_id)
    return differing


def tell_starts(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Decisions as they are told: the window of a limit for lifetime begins on no day."""
    for use in (use for decision in made for use in decision["limits"]):
        if not has_start(use["window_start"], use.get("part"), use.get("resets_at")):
            del use["window_start"]
    return made


def pick(told: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """What of an answer the comparison is about."""
    incentives = [
        {name: made.get(name) for name in of} for made, of in zip(told["incentives"], like["incentives"], strict=False)
    ]
    picked = {name: told[name] for name in like} | {"incentives": incentives + told["incentives"][len(incentives) :]}
    return leave_out(picked)


def leave_out(value: Any) -> Any:  # any JSON
    """The same without nulls, which the ledger does not store everywhere, and without what the ledger keeps for itself."""
    if isinstance(value, dict):
        return {name: leave_out(part) for name, part in value.items() if part is not None and name != "part"}
    return [leave_out(part) for part in value] if isinstance(value, list) else value


def prove_wait(kills: int, tell: Tell) -> list[Figure]:
    """Run it on a set of its own."""
    return prove_on_own_set(prove, kills, tell)


if __name__ == "__main__":
    sys.exit(run_proof("proof: the answer in the same call", "wait-proof", prove_wait, KILLS))
