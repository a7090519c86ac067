"""The topic of events is made anew under a running set: nobody goes on with it before the operator says so."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from fillip.app.up import Stack
from fillip.stream.kafka import ensure_topics, read_log
from tests.live.conftest import Shop
from tests.live.running import fetch, find_topics, running_stack, send, wait_for, wait_until_settled
from tests.live.test_command_line import run_fillip

pytestmark = pytest.mark.xdist_group("live")


@pytest.fixture
def stack() -> Iterator[Stack]:
    """Servers of this test's own: other tests' events stand in the topic of the others."""
    with running_stack() as running:
        yield running


async def make_anew(stack: Stack) -> None:
    """Delete the topic of events, and make one of the same name."""
    bootstrap, topics = stack.settings.kafka_bootstrap, find_topics(stack)
    old = (await read_log(bootstrap, topics.received))[0].topic_id
    admin = AdminClient({"bootstrap.servers": bootstrap})
    await asyncio.to_thread(admin.delete_topics([topics.received])[topics.received].result)

    async def is_new() -> bool:
        await ensure_topics(bootstrap, topics, stack.settings.partitions)
        return (await read_log(bootstrap, topics.received))[0].topic_id != old

    await wait_for("a topic of the same name", is_new)


async def test_events_of_a_topic_made_anew_are_decided_once_the_operator_goes_on(stack: Stack, shop: Shop) -> None:
    worker = stack.pids()["worker"]
    await send(stack, [shop.buy(f"old-{n}", user=f"u{n}") for n in range(200)])
    await wait_until_settled(stack)
    await make_anew(stack)
    await send(stack, [shop.buy(f"new-{n}", user=f"u{n}") for n in range(50)])
    log = Path(stack.state_dir / "log" / "worker.log")

    async def is_told() -> bool:
        return "fillip positions restart" in log.read_text()

    await wait_for("the worker's refusal", is_told)
    state = ["--state", str(stack.state_dir)]
    shown = run_fillip("positions", "show", *state)
    assert shown.returncode == 1
    assert "made anew" in " ".join(shown.stdout.split())
    decided = await fetch(stack, "SELECT count(*) FROM decision WHERE event_id LIKE 'new-%'")
    assert decided == [(0,)]

    restarted = run_fillip("positions", "restart", *state)
    assert restarted.returncode == 0, restarted.stderr
    said = [line.partition(",")[0] for line in restarted.stdout.splitlines()]
    assert said.count("worker") == stack.settings.partitions
    assert {*said} <= {"worker", "cohort"}  # cohorts go on by themselves, and may have done so before
    await wait_until_settled(stack)
    decided = await fetch(stack, "SELECT count(*) FROM decision WHERE event_id LIKE 'new-%'")
    assert decided == [(50,)]
    assert run_fillip("positions", "show", *state).returncode == 0
    assert run_fillip("positions", "restart", *state).stdout == ""
    assert stack.pids()["worker"] == worker
    assert not stack.revive()
