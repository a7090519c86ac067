"""A whole running set, used from outside only: HTTP, Kafka, and the ledger's own tables for what came of it."""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args

import asyncpg

from fillip.app.settings import Settings
from fillip.app.up import DOORS, Doors, Stack
from fillip.client.api import ApiClient
from fillip.client.events import encode_events
from fillip.embedded.ports import choose_free_port
from fillip.embedded.process import Report
from fillip.manage.api.keys import Scope
from fillip.stream.kafka import KafkaProducer, read_last
from fillip.stream.topics import Topics

SCOPES = get_args(Scope)
CHUNK = 1_000
BROKER_TAKES_BYTES = 1_048_588
STALLED_AFTER_S = 60.0
LOOK_EVERY_S = 0.02

Found = TypeVar("Found")


class Running(Protocol):
    """What of a running stack these words ask for."""

    @property
    def settings(self) -> Settings: ...
    @property
    def doors(self) -> Doors: ...


@contextmanager
def running_stack(report: Report = lambda step, detail: None) -> Iterator[Stack]:
    """A stack on free ports in a folder of its own, which goes with it."""
    with (
        tempfile.TemporaryDirectory(prefix="fillip-live-") as folder,
        Stack(Path(folder) / "state", report, choose_ports()) as stack,
    ):
        yield stack


def choose_ports() -> dict[str, int | None]:
    """A free port for each door."""
    return {name: choose_free_port() for name in DOORS}


def make_tenant(stack: Running, tenant_id: str, clock: str = "live", zone: str = "UTC") -> str:
    """A new tenant; a key that may do everything in it."""
    document = {"tenant_id": tenant_id, "name": tenant_id, "time_zone": zone, "currency": "USD", "clock": clock}
    with ApiClient(stack.doors.api, stack.settings.operator_key or "") as operator:
        operator.post("/v1/tenants", document)
        issued = operator.post(f"/v1/tenants/{tenant_id}/keys", {"name": "test", "scopes": SCOPES})
    return str(issued["key"])


@asynccontextmanager
async def open_producer(stack: Running) -> AsyncIterator[KafkaProducer]:
    """A producer beside the API, as the operator's own services run one."""
    producer = KafkaProducer(stack.settings.kafka_bootstrap, extra={"message.max.bytes": BROKER_TAKES_BYTES})
    try:
        yield producer
    finally:
        await producer.close()


async def send(stack: Running, events: Iterable[Mapping[str, Any]]) -> int:
    """Send events through Kafka in their order; how many."""
    rest, sent = iter(events), 0
    async with open_producer(stack) as producer:
        while chunk := [dict(event) for event in islice(rest, CHUNK)]:
            await producer.send_many(list(encode_events(find_topics(stack).received, chunk)))
            sent += len(chunk)
    return sent


async def wait_until_settled(stack: Running) -> None:
    """Return when the ledger has taken all that is in the log now; fails when it does not move for a minute."""
    topic = find_topics(stack).received
    newest = await read_last(stack.settings.kafka_bootstrap, [topic])
    wanted = {partition: record.offset + 1 for (_, partition), record in newest.items() if record}
    moved_at, seen = time.monotonic(), -1
    async with open_ledger(stack) as ledger:
        while True:
            rows = await ledger.fetch("SELECT partition, next_offset FROM consumer_position WHERE topic = $1", topic)
            stored = {row["partition"]: row["next_offset"] for row in rows}
            if all(stored.get(partition, 0) >= end for partition, end in wanted.items()):
                return
            if sum(stored.values()) != seen:
                moved_at, seen = time.monotonic(), sum(stored.values())
            assert time.monotonic() - moved_at < STALLED_AFTER_S, f"stalled at {stored} of {wanted}"
            await asyncio.sleep(LOOK_EVERY_S)


@asynccontextmanager
async def open_ledger(stack: Running) -> AsyncIterator[asyncpg.Connection]:
    """A connection that sees every tenant; JSON columns come decoded."""
    connection = await asyncpg.connect(stack.settings.postgres_dsn)
    try:
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        yield connection
    finally:
        await connection.close()


async def fetch(stack: Running, query: str, *arguments: object) -> list[tuple[Any, ...]]:
    """The rows of one query on the ledger."""
    async with open_ledger(stack) as ledger:
        return [tuple(row) for row in await ledger.fetch(query, *arguments)]


async def wait_for(what: str, look: Callable[[], Awaitable[Found | None]], within_s: float = 15.0) -> Found:
    """The first answer of `look` that counts as true; fails naming `what` when there is none in time."""
    deadline = time.monotonic() + within_s
    while not (found := await look()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        await asyncio.sleep(LOOK_EVERY_S)
    return found


def find_topics(stack: Running) -> Topics:
    """Names of the stack's topics."""
    return Topics(stack.settings.topic_prefix)
