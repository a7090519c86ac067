"""The raw floor under a worker, a process of its own: `python -m tests.bench.floor COUNT`.

Consume → msgspec decode → pipelined Lua calls for the granted tenth → one transaction of unnest inserts into the
ledger's tables, and the offsets; one batch after the other. It knows which events to grant by their id: no schema, no
campaign, no rule, no deduplication, no limit is looked at.
"""

import asyncio
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import uvloop
from asyncpg.pool import PoolConnectionProxy
from confluent_kafka import Consumer, Message, TopicPartition
from msgspec import Struct, json
from redis.asyncio import Redis

from fillip.app.settings import Settings, read_settings
from fillip.settle.postgres import SQL, PostgresLedger
from fillip.stream.topics import Topics
from tests.bench.load import GRANT_EVERY, LIMITS

BATCH = 5_000
WAIT_S = 60.0
TAKE = Path(__file__).with_name("floor.lua").read_text()
WRITE = Path(__file__).with_name("floor.sql").read_text()
FINGERPRINT = bytes(16)
REWARDS = '[{"kind": "points", "value": 5, "currency": null}]'
USE = {"key": "", "window_start": "1970-01-01", "version": 1, "used_before": 1, "amount": 1, "cap": 1_000_000}
LOOKED_AT = json.encode([{"limit_id": limit[0]} | USE for limit in LIMITS]).decode()  # as long as a worker's proof

Connection = asyncpg.Connection | PoolConnectionProxy


class Bare(Struct):
    """The envelope, and no question asked."""

    id: str
    type: str
    subject: str
    time: datetime
    tenantid: str
    data: dict[str, Any]


decode = json.Decoder(Bare).decode


async def main(count: int, settings: Settings) -> None:
    """Take `count` records off the log of settings' topic."""
    topic = Topics(settings.topic_prefix).received
    pool = await asyncpg.create_pool(settings.dsn("fillip_worker"), min_size=1, max_size=1)
    valkey = Redis.from_url(settings.valkey_url)
    take = valkey.register_script(TAKE)
    await valkey.script_load(TAKE)
    ledger = PostgresLedger(pool, "floor")
    ends = {p: (await ledger.claim(topic, p, 0, "")).next_offset for p in range(settings.partitions)}
    consumer = open_consumer(settings.kafka_bootstrap, topic, ends)
    left = count
    while left:
        messages = consumer.consume(min(BATCH, left), WAIT_S)
        left -= len(messages)
        events = [(message, decode(message.value() or b"")) for message in messages]
        granted = [(message, event) for message, event in events if int(event.id[1:]) % GRANT_EVERY == 0]
        pipeline = valkey.pipeline(transaction=False)
        for _, event in granted:
            await take([f"floor:{{{event.tenantid}}}:{event.subject}"], [LIMITS[0][-1]], client=pipeline)
        await pipeline.execute()
        async with pool.acquire() as connection, connection.transaction():
            await move_offsets(connection, topic, messages, ends)
            await write(connection, granted)
    await asyncio.Event().wait()  # until it is ended: its CPU time is still to be read


def open_consumer(bootstrap: str, topic: str, starts: dict[int, int]) -> Consumer:
    """A consumer of all partitions from `starts` on, without a group's protocol."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "floor", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, start) for partition, start in starts.items()])
    return consumer


async def move_offsets(connection: Connection, topic: str, messages: Sequence[Message], ends: dict[int, int]) -> None:
    """The compare-and-set of the batch's offsets."""
    new: dict[int, int] = {}
    for message in messages:
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        new[partition] = offset + 1
    spans = [(topic, partition, ends[partition], end, 0) for partition, end in new.items()]
    await connection.fetchval(SQL["fence"], *zip(*spans, strict=True), "floor", "bench")
    ends.update(new)


async def write(connection: Connection, granted: Sequence[tuple[Message, Bare]]) -> None:
    """One row of each ledger table for each granted event."""
    now = datetime.now(UTC)
    rows = [
        (event.tenantid, event.id, FINGERPRINT, event.subject, event.type, event.time, now, json.encode(event.data).decode(),
         message.partition(), message.offset(), uuid.uuid4(), "campaign-00", REWARDS, LOOKED_AT, uuid.uuid4(), uuid.uuid4())
        for message, event in granted
    ]  # fmt: skip
    if rows:
        await connection.execute(WRITE, *zip(*rows, strict=True))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), read_settings()))
