"""What a running set tells those who look after it: health, lag, requests."""

import asyncio
import os
import re
from functools import partial
from pathlib import Path

import httpx
import pytest

from fillip.app.doctor import doctor
from fillip.app.settings import PROCESSES
from fillip.app.up import EMBEDDED_PARTITIONS, USUAL_PORTS, Stack
from fillip.stream.kafka import KafkaProducer
from tests.live.conftest import Shop
from tests.live.running import find_topics, open_producer, wait_for, wait_until_settled

pytestmark = pytest.mark.xdist_group("live")
WITHIN_S = 60.0


def list_doors(stack: Stack) -> dict[str, str]:
    """Everything that tells of health: each process's own port, and the doors of the three that have one."""
    own = {name: f"http://{stack.settings.host}:{port}" for name, port in stack.metrics_ports.items()}
    doors = {"api door": stack.doors.api, "gateway door": stack.doors.gateway, "analyse door": stack.doors.analyse}
    return own | {name: url.replace("ws:", "http:") for name, url in doors.items()}


async def ask_all(stack: Stack, path: str) -> dict[str, tuple[int, str]]:
    async with httpx.AsyncClient(timeout=10) as http:
        doors = list_doors(stack)
        answers = await asyncio.gather(*(http.get(url + path) for url in doors.values()))
    return {name: (answer.status_code, answer.text) for name, answer in zip(doors, answers, strict=True)}


async def read_samples(stack: Stack, name: str, metric: str) -> dict[str, float]:
    async with httpx.AsyncClient(timeout=10) as http:
        text = (await http.get(f"{list_doors(stack)[name]}/metrics")).text
    return {labels: float(value) for labels, value in re.findall(rf"^{metric}{{(.*)}} (\S+)$", text, re.MULTILINE)}


def test_what_no_decision_waits_for_lets_the_others_run_first(stack: Stack) -> None:
    pids, usual = stack.pids(), os.getpriority(os.PRIO_PROCESS, 0)
    given_way = {name for name, pid in pids.items() if os.getpriority(os.PRIO_PROCESS, pid) > usual}
    assert given_way == {"analyse", "sweep"}


async def test_every_process_is_ready_on_a_port_of_its_own_and_doctor_finds_nothing(stack: Stack) -> None:
    assert len(set(stack.metrics_ports.values())) == len(PROCESSES)
    for path in ("/livez", "/readyz", "/healthz"):
        assert set((await ask_all(stack, path)).values()) == {(200, "ok\n")}, path
    for name in PROCESSES:
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"{list_doors(stack)[name]}/elsewhere")
            assert answer.status_code == 404
    checks = doctor(stack.state_dir, USUAL_PORTS)
    assert [check for check in checks if not check.ok] == []
    found = {check.name: check.found for check in checks}
    assert "an instance is up" in found["state folder"]
    assert "in use by the instance that is up" in found[f"port {stack.settings.api_port} (api)"]
    assert found["api of the instance"] == "ready"


async def test_requests_are_counted_by_route(stack: Stack, shop: Shop) -> None:
    shop.client.post("/v1/events", shop.buy("e1"))
    shop.client.get("/v1/campaigns/cashback")
    async with httpx.AsyncClient(base_url=stack.doors.api) as http:
        await http.get(f"/v1/no-such-route/{shop.tenant}")
    counted = await read_samples(stack, "api", "fillip_http_requests_total")
    assert {
        'method="POST",route="/v1/events",status="202"',
        'method="GET",route="/v1/campaigns/{campaign_id}",status="200"',
        'method="GET",route="none",status="404"',
    } <= counted.keys()
    assert not [labels for labels in counted if shop.tenant in labels or "cashback" in labels]


async def test_lag_is_told_by_partition_and_goes_to_nought(stack: Stack, shop: Shop) -> None:
    topic = find_topics(stack).received

    async def is_level(name: str, of: str) -> bool:
        lag = await read_samples(stack, name, "fillip_stream_lag_records")
        return bool(lag) and set(lag.values()) == {0.0} and any(f'topic="{of}"' in labels for labels in lag)

    # given a worker that stands still, and events meanwhile
    pid = stack.pids()["worker"]
    await wait_for("the worker is level", lambda: is_level("worker", topic), WITHIN_S)
    async with open_producer(stack) as producer:
        await send_behind(stack, pid, producer, topic)
    # then it is seen to be behind, by so many
    lag = await read_samples(stack, "worker", "fillip_stream_lag_records")
    assert {labels.partition(",")[0] for labels in lag} == {f'partition="{n}"' for n in range(EMBEDDED_PARTITIONS)}

    # when they are decided and told, nobody is behind
    await wait_until_settled(stack)
    for name, of in (
        ("worker", topic),
        ("analyse", find_topics(stack).decided),
        ("gateway", find_topics(stack).generated),
    ):
        await wait_for(f"{name} is level", partial(is_level, name, of), WITHIN_S)


async def send_behind(stack: Stack, pid: int, producer: KafkaProducer, topic: str) -> None:
    """Lock what the worker needs until its lag is seen, so that it lives and looks, yet can't settle."""
    import asyncpg

    holder = await asyncpg.connect(stack.settings.postgres_dsn)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE consumer_position IN ACCESS EXCLUSIVE MODE")
            await producer.send_many([(topic, f"k{n}", b"{}") for n in range(100)])

            async def is_behind() -> bool:
                lag = await read_samples(stack, "worker", "fillip_stream_lag_records")
                return sum(lag.values()) == 100

            await wait_for("the worker is 100 behind", is_behind, WITHIN_S)
    finally:
        await holder.close()


@pytest.mark.parametrize(
    ("server", "word", "needed_by"),
    [
        ("postgres", "PostgreSQL does not answer", {"api", "worker", "sweep", "gateway", "analyse", "cohort"}),
        ("kafka", "Kafka does not answer", {"api", "worker", "publish", "gateway", "analyse", "cohort"}),
    ],
)
async def test_a_server_that_is_away_makes_not_ready_whoever_needs_it_and_kills_nobody(
    stack: Stack, server: str, word: str, needed_by: set[str]
) -> None:
    before = stack.pids()
    doors = {f"{name} door" for name in needed_by & {"api", "gateway", "analyse"}}
    stack._servers.kill(server)

    async def is_told() -> bool:
        answers = await ask_all(stack, "/readyz")
        told = {name for name, (status, text) in answers.items() if status == 503 and word in text}
        return told >= needed_by | doors and answers["publish"][0] == 503  # in words of its own where the WAL is away

    await wait_for("all who need it are not ready", is_told, WITHIN_S)
    assert set((await ask_all(stack, "/livez")).values()) == {(200, "ok\n")}
    assert any(not check.ok and word in check.found for check in doctor(stack.state_dir, USUAL_PORTS))

    await asyncio.to_thread(stack._servers.restart, server)

    async def list_ready() -> str:
        told = await ask_all(stack, "/healthz")
        last.clear()
        last.update({name: text for name, (status, text) in told.items() if status != 200})
        return "" if last else "all"

    last: dict[str, str] = {}
    try:
        await wait_for("all are ready again", list_ready, WITHIN_S)
    except AssertionError as error:
        raise AssertionError(f"{error}; not ready: {last}") from None
    after = stack.pids()
    assert {name: after[name] for name in PROCESSES} == {name: before[name] for name in PROCESSES}


async def test_a_process_that_stands_still_is_not_alive(tmp_path: Path) -> None:
    """Looked at from a thread, so a loop that does not turn is seen."""
    from fillip.app import health
    from fillip.app.monitor import answer_health

    own = health.Health()
    assert answer_health("/readyz", own) == (503, "not ready: starting\n")
    assert answer_health("/livez", own) == (200, "ok\n")
    own._turned_at -= health.DEAD_AFTER_S
    assert answer_health("/livez", own) == (503, "the event loop does not turn\n")
    assert answer_health("/elsewhere", own) is None
