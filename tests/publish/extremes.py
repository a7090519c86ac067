"""Rows of extremes in every announced table, on their whole way: topics, gateway, facts, projection.

What is written is announced or set aside, each once, and whatever reads the topics goes on.
"""

import asyncio
import json
import secrets
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from websockets.asyncio.client import connect

from fillip.analyse import keep_loading
from fillip.analyse.duckdb.bay import DuckdbBay, sources
from fillip.core.limit import CounterKey
from fillip.deliver import run_gateway
from fillip.deliver.feed import BREAKS
from fillip.deliver.postgres import PostgresInbox
from fillip.migrations import role_dsn
from fillip.stream.kafka import Tail, read_last
from tests.publish import rows
from tests.publish.conftest import Site, wait_until

USER = "ann"
FACES = "".join(chr(0x1F300 + number) for number in range(64))
TEXTS = [
    "",
    "a",
    "é",
    "e\u0301",
    FACES,
    FACES[::-1],
    "\x01" * 256,
    '"\\\n\r\t',
    "\u2028\u200d\ufeff",
    "a:b#1",
    "-infinity",
    "x" * 256,
]
INSTANTS = ["-infinity", "infinity", "4713-01-01 00:00+00 BC", "0001-01-01 00:00+00", "0001-01-01 00:00-12", "1969-12-31 23:59:59.999999+00",
            "1970-01-01 00:00+00", "9999-12-31 23:59:59.999999+00", "9999-12-31 23:59:59.999999-12", "294276-12-31 23:59+00"]  # fmt: skip
DAYS = [
    "-infinity",
    "infinity",
    "4713-01-01 BC",
    "0001-01-01",
    "1970-01-01",
    "9999-12-31",
    "10000-01-01",
    "5874897-12-31",
]
SOUND = "2026-01-31 09:30+00"
DOCUMENTS = ["{}", "[]", "null", '"text"', "1e400", "-0.0", '{"a": [{"b": null}]}', "[" * 900 + "]" * 900,
             json.dumps({"text": FACES * 80}), json.dumps({str(n): n for n in range(2_000)}), json.dumps(["\x01" * 4_000] * 40),
             '[{"kind": "points", "value": 5}]', '[{"kind": "points", "value": 1e30}]', '[{"kind": 7}]', '{"kind": "points"}',
             '[{"name": "visit", "done": 1, "needed": 3}]', '[{"name": "visit", "done": 1e40, "needed": -1}]']  # fmt: skip
NUMBERS = {"int4": [0, 1, -1, 2**31 - 1, -(2**31)], "int8": [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]}
CHOICES = {
    "outcome": ["granted", "denied"], "change": ["reversed", "expired"], "state": ["granted", "claimed", "reversed", "expired"],
    "quest_instance.state": ["open", "completed", "denied", "lapsed", "closed", "reversed"],
    "kind": ["points", "cashback", "coupon", "badge", "custom"],
    "book_change.kind": ["tenant", "action", "campaign", "limit", "cohort", "list"],
}  # fmt: skip
COLUMNS = """
SELECT a.attname, t.typname, a.attnotnull FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = '' ORDER BY a.attnum
"""
TABLES = ["book_change", "decision", "incentive", "incentive_change", "rejection", "quest_instance", "limit_counter"]
MOVES = [
    "UPDATE quest_instance SET state = 'completed', revision = 2 WHERE ctid = %s",
    "UPDATE quest_instance SET steps = '[]', revision = 3 WHERE ctid = %s",
    "UPDATE limit_counter SET version = least(version, 9223372036854775806) + 1 WHERE ctid = %s",
]
ENTRY = "INSERT INTO inbox (tenant_id, user_id, seq, incentive_id) VALUES (%s, %s, %s, %s)"
HEAD = """
INSERT INTO inbox_head VALUES (%s, %s, %s) ON CONFLICT (tenant_id, user_id) DO UPDATE SET last_seq = excluded.last_seq
"""


@dataclass
class Outcome:
    """What came of a run: rows written (and moved), announced, set aside, by table; `wrong` should be empty."""

    written: Counter[str] = field(default_factory=Counter)
    announced: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    shown: int = 0
    wrong: list[str] = field(default_factory=list)


async def drive(site: Site, folder: Path, count: int, seed: int) -> Outcome:
    """Write `count` rows while everything runs; what came of them."""
    outcome, random = Outcome(), Random(seed)
    breaks = BREAKS._value.get()
    async with AsyncExitStack() as stack:
        bay = await stack.enter_async_context(DuckdbBay.open(folder / f"{seed}.duckdb", site.topics))
        publishing, stop = site.start()
        stack.push_async_callback(end, publishing, stop)
        loading = asyncio.create_task(keep_loading(bay, partial(open_facts, site), site.topics.received))
        stack.push_async_callback(cancel, loading)
        url, serving = await stack.enter_async_context(open_gateway(site))
        async with open_client(site, url, cursor=0) as live:
            seqs = await asyncio.to_thread(write, site, random, count, outcome)
            await settle(site, outcome)
            await check_projection(site, outcome)
            await check_frames(live, seqs, outcome)
        async with open_client(site, url, cursor=0) as late:
            await check_frames(late, seqs, outcome)
        await check_facts(site, bay, outcome)
        ended = [task.get_name() for task in (publishing, loading, serving) if task.done()]
        outcome.wrong += [f"{name} has ended" for name in ended]
    if BREAKS._value.get() != breaks:
        outcome.wrong.append("the gateway's tail broke")
    return outcome


def write(site: Site, random: Random, count: int, outcome: Outcome) -> int:
    """Write the rows, each in a transaction of its own or with others; the number of USER's inbox entries."""
    seqs = 0
    with psycopg.connect(site.owner_dsn) as connection:
        columns = {table: connection.execute(COLUMNS, [table]).fetchall() for table in TABLES}
        for number in range(count):
            table = random.choice(TABLES)
            row = draw_row(random, site, table, columns[table], number)
            told = table == "incentive" and row["user_id"] == USER and row["tenant_id"] == site.tenant
            if told:
                row["inbox_seq"] = seqs + 1
            try:
                with connection.transaction():
                    place = insert(connection, table, row)
                    if told:
                        connection.execute(ENTRY, [site.tenant, USER, seqs + 1, row["incentive_id"]])
                        connection.execute(HEAD, [site.tenant, USER, seqs + 1])
            except psycopg.Error:  # a bound of the table itself
                outcome.refused += 1
                continue
            seqs += told
            outcome.written[table] += 1 + move(connection, random, table, place)
            if random.randrange(3) == 0:
                connection.commit()
    return seqs


def insert(connection: psycopg.Connection[Any], table: str, row: dict[str, Any]) -> object:
    """Where it lies."""
    names, values = sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(sql.Placeholder() * len(row))
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING ctid").format(sql.Identifier(table), names, values)
    return connection.execute(statement, list(row.values())).fetchone()[0]  # type: ignore[index]


def move(connection: psycopg.Connection[Any], random: Random, table: str, place: object) -> int:
    """Change a row, which leaves most of it as it was; how many announcements that makes more."""
    mine = [statement for statement in MOVES if table in statement]
    if not mine or random.randrange(2):
        return 0
    try:
        with connection.transaction():
            return connection.execute(random.choice(mine), [place]).rowcount
    except psycopg.Error:
        return 0


def draw_row(random: Random, site: Site, table: str, columns: list[Any], number: int) -> dict[str, Any]:
    """A row, sound in two columns of three."""
    row = {name: draw(random, table, name, kind, not_null) for name, kind, not_null in columns}
    row["tenant_id"] = site.tenant if table == "book_change" or random.randrange(8) else random.choice(TEXTS[1:5])
    if "user_id" in row:
        row["user_id"] = random.choice([USER, USER, "bob", *TEXTS])
    for name in ("book_version", "log_offset", "inbox_seq"):
        if name in row:
            row[name] = number
    if "cap" in row:
        row["used"] = min(abs(int(str(row["used"]))), 2**63 - 1)
        row["cap"] = 2**63 - 1
    for name in ("changed_value", "reversed_value"):
        if name in row:
            row[name] = 0
    return row


def draw(random: Random, table: str, name: str, kind: str, not_null: bool) -> object:
    """A value of a column, as text where PostgreSQL is to read it."""
    if not not_null and random.randrange(3) == 0:
        return None
    if choices := CHOICES.get(f"{table}.{name}") or CHOICES.get(name):
        return random.choice(choices)
    if kind == "bool":
        return random.random() < 0.5
    if kind == "uuid":
        return UUID(int=random.getrandbits(128))
    if kind in NUMBERS:
        return random.choice(NUMBERS[kind]) if random.randrange(3) == 0 else random.randrange(1, 1000)
    extreme = random.randrange(8) == 0
    if kind in ("timestamptz", "date"):
        return random.choice(INSTANTS if kind == "timestamptz" else DAYS) if extreme else SOUND
    if kind == "jsonb":
        return random.choice(DOCUMENTS) if random.randrange(3) == 0 else '[{"kind": "points", "value": 5}]'
    if kind == "bytea":
        return random.randbytes(random.choice([0, 1, 100, 700_000 if extreme else 1_000]))
    return random.choice(TEXTS) if random.randrange(3) == 0 else f"text {random.randrange(100)}"


def find_routes(site: Site) -> dict[str, list[str]]:
    """The topics of each table."""
    topics = site.topics
    return {
        "book_change": [topics.changed], "decision": [topics.decided], "incentive": [topics.generated],
        "incentive_change": [topics.reversed, topics.expired], "rejection": [topics.rejected],
        "quest_instance": [topics.progressed], "limit_counter": [topics.used],
    }  # fmt: skip


async def settle(site: Site, outcome: Outcome) -> None:
    """Write a sound row last, wait until it is there, and count what each topic holds."""
    site.grant(900_000_000)
    outcome.written.update({"decision": 1, "incentive": 1})
    for table in TABLES:
        wanted = outcome.written[table]

        async def all_told(table: str = table, wanted: int = wanted) -> bool:
            asides = await read_asides(site)
            outcome.set_aside[table] = asides[table]
            outcome.announced[table] = await count_records(site, find_routes(site).get(table, []))
            return outcome.announced[table] + asides[table] >= wanted

        await wait_until(all_told)
        if outcome.announced[table] + outcome.set_aside[table] != wanted:
            outcome.wrong.append(f"{table}: {outcome.announced[table]} + {outcome.set_aside[table]} of {wanted}")


async def count_records(site: Site, topics: list[str]) -> int:
    """How many records these topics hold."""
    last = await read_last(site.addresses.kafka_bootstrap, topics) if topics else {}
    return sum(record.offset + 1 for record in last.values() if record)


async def read_asides(site: Site) -> Counter[str]:
    """The rows set aside so far, by table; one twice counts twice."""
    found: Counter[str] = Counter()
    total = await count_records(site, [site.topics.unannounced])
    async with Tail(site.addresses.kafka_bootstrap, [site.topics.unannounced], from_end=False) as tail:
        while found.total() < total:
            found.update(json.loads(record.value or b"")["source"]["table"] for record in await anext(tail))
    return found


async def check_projection(site: Site, outcome: Outcome) -> None:
    """A counter written last comes to Valkey."""
    site.run(rows.COUNTER, user="the last")
    with psycopg.connect(site.owner_dsn) as connection:
        query = "SELECT window_start FROM limit_counter WHERE user_id = 'the last'"
        (day,) = connection.execute(query).fetchone() or (date.min,)

    async def mirrored() -> bool:
        return await site.read_projection(CounterKey(site.tenant, "cap", "the last", "a b", day)) == ["1 1"]

    await wait_until(mirrored)


async def check_facts(site: Site, bay: DuckdbBay, outcome: Outcome) -> None:
    """Each announcement became a fact or was set aside; of those behind the first six the newest of a row is the fact."""
    tables = ("event_row", "decision_fact", "rejection_fact", "incentive_row", "reversal_fact", "transfer_fact")
    topics = dict(zip(tables, sources(site.topics), strict=False))
    totals = {topic: await count_records(site, [topic]) for topic in sources(site.topics)}

    async def all_read() -> bool:
        read: Counter[str] = Counter()
        for (topic, _), position in (await bay.read_positions()).items():
            read[topic] += position.next_offset
        return all(read[topic] >= total for topic, total in totals.items())

    await wait_until(all_read)
    for table, topic in topics.items():
        counts = f"SELECT (SELECT count(*) FROM {table}) + (SELECT count(*) FROM set_aside WHERE topic = $1)"
        run = partial(bay._connection.execute, counts, [topic])
        [(got,)] = (await bay._run(run)).fetchall()
        if got != totals[topic]:
            outcome.wrong.append(f"{table}: {got} of {totals[topic]}")


async def check_frames(client: Any, seqs: int, outcome: Outcome) -> None:
    """USER's entries come in order, each once; some of them can't be shown, and keep their number."""
    seen, shown = list[int](), 0
    async with asyncio.timeout(60):
        while len(seen) < seqs:
            frame = json.loads(await client.recv())
            if "seq" in frame:
                seen.append(frame["seq"])
                shown += frame["type"] != "unreadable"
    outcome.shown = shown
    if seen != list(range(1, seqs + 1)):
        outcome.wrong.append(f"frames: {seen[:20]} of {seqs}")


@asynccontextmanager
async def open_gateway(site: Site) -> AsyncIterator[tuple[str, "asyncio.Task[None]"]]:
    """A gateway; its URL and its task."""
    stop = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with PostgresInbox.open(role_dsn(site.owner_dsn, "fillip_gateway")) as inbox:
        open_tail = partial(Tail, site.addresses.kafka_bootstrap, site.topics.pushed)
        serving = asyncio.create_task(run_gateway(inbox, open_tail, site.topics, "127.0.0.1", port, [], stop))
        serving.set_name("gateway")
        yield f"ws://127.0.0.1:{port}/v1/stream", serving
        stop.set()
        await serving


@asynccontextmanager
async def open_client(site: Site, url: str, cursor: int) -> AsyncIterator[Any]:
    """USER's phone."""
    ticket = secrets.token_urlsafe(32)
    statement = "INSERT INTO gateway_ticket VALUES (%(hash)s, %(tenant)s, %(user)s, now() + interval '1 min')"
    site.run(statement, hash=sha256(ticket.encode()).digest(), user=USER)
    async for client in connect(url, compression=None, max_queue=None):
        async with client:
            await client.send(json.dumps({"type": "hello", "ticket": ticket, "cursor": cursor}))
            assert json.loads(await client.recv())["type"] == "welcome"
            yield client
        return


def open_facts(site: Site, offsets: Any) -> Tail:
    """What analyse reads."""
    return Tail(site.addresses.kafka_bootstrap, sources(site.topics), from_end=False, offsets=offsets)


async def end(publishing: "asyncio.Task[None]", stop: asyncio.Event) -> None:
    """Stop the publisher the clean way."""
    stop.set()
    await publishing


async def cancel(task: "asyncio.Task[None]") -> None:
    """Cancel a task and wait for it."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
