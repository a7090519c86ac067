"""What `fillip up` does when a server or a process of its set dies: it starts it again, and the path goes on."""

import os
import signal
from itertools import count

import asyncpg
import httpx
import pytest

from fillip.app.up import Stack
from fillip.embedded.patience import CALM_AFTER_S, FIRST_PAUSE_S, LONGEST_PAUSE_S, Patience
from tests.live.conftest import Shop
from tests.live.running import fetch, wait_for

pytestmark = pytest.mark.xdist_group("live")

BACK_WITHIN_S = 90.0
"""A broker that was killed takes some ten seconds to read its log, more on a busy machine."""


@pytest.mark.parametrize(
    "name", ["valkey", "postgres", "kafka", "worker", "publish", "sweep", "api", "gateway", "analyse", "cohort"]
)
async def test_what_is_killed_comes_back_and_events_are_decided_again(stack: Stack, shop: Shop, name: str) -> None:
    # given a set that decides
    tries = count()
    await wait_for("a first grant", lambda: _buy(stack, shop, next(tries)), BACK_WITHIN_S)
    pid = stack.pids()[name]

    # when one of it is killed from outside
    os.kill(pid, signal.SIGKILL)

    # then looking after the set, as `fillip up` does each second, brings it back by itself
    revived: list[str] = []

    async def is_back() -> bool:
        revived.extend(stack.revive())
        return stack.pids()[name] != pid and await _buy(stack, shop, next(tries))

    await wait_for(f"an event is decided after the end of {name}", is_back, BACK_WITHIN_S)
    assert name in revived
    await wait_for("all doors answer", lambda: _find_all_open(stack), BACK_WITHIN_S)


def test_what_keeps_ending_is_tried_less_and_less_and_at_once_again_after_a_calm_minute() -> None:
    patience, now_s, waits = Patience(), 1_000.0, []
    for _ in range(9):
        waited_s = 0.0
        while not patience.allows("worker", now_s + waited_s):
            waited_s += 1.0
        now_s += waited_s
        patience.note_start("worker", now_s)
        waits.append(waited_s)

    assert waits == [0, FIRST_PAUSE_S, 2, 4, 8, 16, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert patience.allows("publish", now_s)
    assert patience.allows("worker", now_s + CALM_AFTER_S)
    patience.note_start("worker", now_s + CALM_AFTER_S)
    assert patience.allows("worker", now_s + CALM_AFTER_S + FIRST_PAUSE_S)


async def _buy(stack: Stack, shop: Shop, number: int) -> bool:
    """Whether a purchase sent now is taken and, soon, granted."""
    event_id = f"try-{number}"
    try:
        async with httpx.AsyncClient(base_url=stack.doors.api, timeout=10) as http:
            headers = {"Authorization": f"Bearer {shop.key}"}
            answer = await http.post("/v1/events", json=shop.buy(event_id), headers=headers)
        if answer.status_code != 202:
            return False
        query = "SELECT FROM incentive WHERE tenant_id = $1 AND event_id = $2"
        await wait_for("a grant", lambda: fetch(stack, query, shop.tenant, event_id), within_s=5)
    except (httpx.HTTPError, OSError, asyncpg.PostgresError, AssertionError):
        return False
    return True


async def _find_all_open(stack: Stack) -> bool:
    stack.revive()
    doors = (stack.doors.api, stack.doors.gateway.replace("ws:", "http:"), stack.doors.analyse)
    try:
        async with httpx.AsyncClient(timeout=5) as http:
            answers = [await http.get(f"{door}/healthz") for door in doors]
            return all(answer.status_code == 200 for answer in answers)
    except httpx.HTTPError:
        return False
