"""A gateway on real PostgreSQL and Kafka, and a hand that grants and announces like settle and publish."""

import asyncio
import json
import secrets
import socket
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, ClassVar

import asyncpg
from confluent_kafka import Producer
from websockets.asyncio.client import ClientConnection, connect

from fillip.deliver import run_gateway
from fillip.deliver.postgres import PostgresInbox
from fillip.migrations import role_dsn
from fillip.stream.belt import Record
from fillip.stream.kafka import Tail
from fillip.stream.topics import Topics

ORIGIN = "https://shop.example"
WITHIN_S = 10.0
GRANT = """
    WITH n AS (SELECT g AS seq FROM generate_series($3::bigint, $4::bigint) g),
    i AS (INSERT INTO incentive SELECT $1, uuidv7(), uuidv7(), 'welcome', $2, 'e' || seq, '/till', 0, 'points', 50, NULL,
          jsonb_build_object('text', 'No. ' || seq), 'granted', seq, now(), now(), now(), clock_timestamp() FROM n
          RETURNING incentive_id, inbox_seq),
    b AS (INSERT INTO inbox SELECT $1, $2, inbox_seq, incentive_id FROM i)
    INSERT INTO inbox_head VALUES ($1, $2, $4) ON CONFLICT (tenant_id, user_id) DO UPDATE SET last_seq = $4
"""

STORED = """
    SELECT to_jsonb(i) FROM incentive i WHERE tenant_id = 'acme' AND user_id = $1 AND inbox_seq = $2
    UNION ALL
    SELECT to_jsonb(c) FROM incentive_change c WHERE tenant_id = 'acme' AND user_id = $1 AND inbox_seq = $2
"""


class World:
    """One tenant, `acme`, whose users may be granted incentives; the gateway listens on `port`."""

    pool: asyncpg.Pool
    tail: type[Tail] = Tail

    def __init__(self, dsn: str, bootstrap: str) -> None:
        self.dsn, self.bootstrap = dsn, bootstrap
        self.topics = Topics(prefix=f"{uuid.uuid4().hex[:8]}.")
        self.producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 0})
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/v1/stream"

    async def grant(self, user: str, first: int, last: int) -> None:
        """Store inbox entries first..last of a user, as settle does."""
        await self.pool.execute(GRANT, "acme", user, first, last)

    async def reverse(self, user: str, seq: int, value: int) -> None:
        """Take `value` of the incentive granted as `seq` back, as settle does."""
        statements = (
            "UPDATE incentive SET reversed_value = reversed_value + $3 WHERE user_id = $1 AND inbox_seq = $2",
            """SELECT tell_changes('reversed', array_agg(tenant_id), array_agg(incentive_id), array_agg($3::bigint),
               '{returned}', '{r1}') FROM incentive WHERE user_id = $1 AND inbox_seq = $2""",
        )
        for statement in statements:
            await self.pool.execute(statement, user, seq, value)

    async def announce(self, user: str, seqs: Iterable[int]) -> None:
        """Announce stored entries, as publish does, and wait for the broker."""
        for seq in seqs:
            row = await self.pool.fetchval(STORED, user, seq)
            self.produce(user, json.loads(row))
        await asyncio.to_thread(self.producer.flush, 10)

    async def fetch_row(self, user: str, seq: int) -> dict[str, Any]:
        """A stored incentive as JSON."""
        wanted = "SELECT to_jsonb(i) FROM incentive i WHERE user_id = $1 AND inbox_seq = $2"
        return json.loads(await self.pool.fetchval(wanted, user, seq))

    def produce(self, user: str, row: dict[str, Any]) -> None:
        """One message of incentive.generated, or of incentive.reversed for a change."""
        at = datetime.now(UTC)
        row["granted_at"] = str(row["granted_at"]).replace("+00:00", "Z")
        us = int(at.timestamp() * 1e6)
        source = {"epoch": "1", "commit_lsn": us, "index": 0, "tx_id": 1, "table": "incentive"}
        message = {"op": "c", "after": row, "source": source | {"committed_at_us": us, "published_at_us": us}}
        topic = self.topics.reversed if "change" in row else self.topics.generated
        self.producer.produce(topic, json.dumps(message).encode(), f"acme:{user}".encode())
        self.producer.poll(0)

    async def ticket(self, user: str, lives_s: float = 60) -> str:
        """A fresh ticket."""
        ticket = secrets.token_urlsafe(32)
        await self.pool.execute(
            "INSERT INTO gateway_ticket VALUES ($1, 'acme', $2, now() + $3::float8 * interval '1 s')",
            sha256(ticket.encode()).digest(),
            user,
            lives_s,
        )
        return ticket

    @asynccontextmanager
    async def client(self, user: str, **hello: Any) -> AsyncIterator[ClientConnection]:
        """A connected client that has been welcomed."""
        async with connect(self.url, compression=None, max_queue=None) as client:  # else a full one can't be closed
            await client.send(json.dumps({"type": "hello", "ticket": await self.ticket(user)} | hello))
            assert (await receive(client))["type"] == "welcome"
            yield client

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[asyncio.Task[None]]:
        """A running gateway whose tail is open."""
        stop = asyncio.Event()
        async with PostgresInbox.open(role_dsn(self.dsn, "fillip_gateway")) as inbox:
            running = asyncio.create_task(
                run_gateway(
                    inbox,
                    lambda: self.tail(self.bootstrap, self.topics.pushed),
                    self.topics,
                    "127.0.0.1",
                    self.port,
                    [ORIGIN],
                    stop,
                )
            )
            try:
                await until(lambda: self.health() or running.done())
                yield running
            finally:
                stop.set()
                await running

    async def health(self) -> bool:
        """Whether /healthz answers 200."""
        return (await ask(self.port, "/healthz")).startswith("HTTP/1.1 200")


class BreakingTail(Tail):
    """The real tail, which a test can break: by the newest of `breaks`."""

    breaks: ClassVar[list[asyncio.Future[list[Record]]]] = []

    async def __anext__(self) -> list[Record]:
        self.breaks.append(asyncio.get_running_loop().create_future())
        taking = asyncio.ensure_future(super().__anext__())
        await asyncio.wait({taking, self.breaks[-1]}, return_when=asyncio.FIRST_COMPLETED)
        if not taking.done():
            taking.cancel()
            raise OSError("broken by the test")
        return taking.result()


class GatheringTail(Tail):
    """The real tail, but what comes up to an incentive comes at once, the incentive last."""

    async def __anext__(self) -> list[Record]:
        records = await super().__anext__()
        while not any(record.topic.endswith("incentive.generated") for record in records):
            records += await super().__anext__()
        return sorted(records, key=lambda record: record.topic.endswith("incentive.generated"))


async def ask(port: int, path: str, header: str = "Accept: */*", *, method: str = "GET") -> str:
    """The raw answer to a plain request; empty when nobody listens."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return ""
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    return answer


async def until(holds) -> None:
    """Wait for a condition, sync or async."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = holds()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)


async def receive(client: ClientConnection) -> dict:
    """The next frame."""
    return json.loads(await asyncio.wait_for(client.recv(), WITHIN_S))


async def receive_seqs(client: ClientConnection, count: int) -> list[int]:
    """The sequence numbers of the next `count` incentive frames."""
    return [(await receive(client))["seq"] for _ in range(count)]


async def hear_nothing_but_pong(client: ClientConnection) -> bool:
    """Whether a ping is answered before any other frame."""
    await client.send('{"type":"ping"}')
    return await receive(client) == {"type": "pong"}
