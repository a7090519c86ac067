"""cases: small inputs that once did harm, of ../shared/cases, each with its right answer.

A case is a folder NN-name with the input it tells of; a function of CASES by the same name plays it on a running set and
gives its figures. To add one, write that function.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.client.book import define_actions, launch_campaigns
from fillip.figures import Figure, expect
from tests.accept import case_rewards
from tests.accept.case_strict import play_ids, play_words
from tests.accept.case_sums import play_reversal_beyond_the_wallet
from tests.accept.case_two_sources import play_two_sources
from tests.live.running import fetch, find_topics, make_tenant, open_producer, wait_for, wait_until_settled

FOLDER = Path(__file__).parents[3] / "shared" / "cases"
ABSENT = "../shared/cases is not there"
NEIGHBOURS = 64
BUY = {"type": "object", "properties": {"amount": {"type": "integer"}}}
POINTS = {"kind": "SIMPLE", "name": "Points", "action": "BUY", "rewards": [{"kind": "points", "value": 5}]}
WEST = ("America/Chicago", "Europe/London", "Europe/Madrid", "Europe/Dublin", "America/Sao_Paulo")
Play = Callable[[Stack, Path], Awaitable[list[Figure]]]


def find_data() -> bool:
    """Whether the cases are there."""
    return FOLDER.is_dir()


async def accept(stack: Stack, tell: Callable[[str], None]) -> list[Figure]:
    """Play every case that has a function here; a folder without one is told."""
    figures = []
    for folder in sorted(FOLDER.iterdir()):
        play = CASES.get(folder.name)
        if play is None:
            tell(f"{folder.name}: no function plays it")
            continue
        tell(folder.name)
        figures += [
            Figure(f"{folder.name[:2]} {f.name}", f.goal, f.got, f.unit, f.ok) for f in await play(stack, folder)
        ]
    return figures


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
    client = ApiClient(stack.doors.api, key)
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


CASES: dict[str, Play] = {
    "01-year-one-stops-worker": play_year_one_at_the_worker,
    "02-year-one-stops-publish": play_year_one_at_publish,
    "03-cohort-deleted-under-a-rule": case_rewards.play_cohort_under_a_rule,
    "04-last-100-nanoseconds": case_rewards.play_last_nanoseconds,
    "05-points-of-two-currencies-under-one-cap": case_rewards.play_two_currencies,
    "06-ids-that-can-t-be-used-again": play_ids,
    "07-coupon-that-is-dead-on-arrival": case_rewards.play_dead_on_arrival,
    "08-reversal-says-more-than-was-taken": play_reversal_beyond_the_wallet,
    "09-reward-of-nothing": case_rewards.play_reward_of_nothing,
    "10-zone-of-the-machine": case_rewards.play_zone_of_the_machine,
    "11-two-sources-one-id": play_two_sources,
    "12-what-the-words-say": play_words,
}


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
