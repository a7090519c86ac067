"""PostgreSQL at a place of its write-ahead log, and the Analytics Bay loaded up to that place: the same rows?"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from msgspec import Struct, json
from psycopg import sql

from fillip.analyse import keep_loading
from fillip.analyse.duckdb.bay import DuckdbBay, sources
from fillip.stream.belt import Record
from fillip.stream.kafka import Tail
from fillip.stream.topics import Partition
from tests.publish.conftest import Site

WITHIN_S = 120.0
Sums = tuple[int, int, int]
"""Of a table: rows, a sum of theirs, and the sum of 60 bits of each row's MD5."""

PG_SUMS = "SELECT count(*), coalesce(sum(v), 0), coalesce(sum(('x' || left(md5(t), 15))::bit(60)::bigint), 0) FROM ({}) r (t, v)"
DUCK_SUMS = (
    "SELECT count(*), coalesce(sum(v), 0), coalesce(sum(('0x' || left(md5(t), 15))::bigint), 0) FROM ({}) r (t, v)"
)
DECISION = "concat_ws('|', decision_id::text, campaign_id, {}, user_id, outcome, reason, {})"
INCENTIVE = (
    "concat_ws('|', incentive_id::text, decision_id::text, campaign_id, user_id, kind, value::text, event_id, {})"
)
REVERSAL = "concat_ws('|', decision_id::text, kind, {}::text)"
REJECTION = "concat_ws('|', rejection_id::text, reason)"
TRANSFER = "concat_ws('|', currency, kind, debit, credit, amount::text, {})"
LOT = "concat_ws('|', currency, {}, {}, {})"
LOT_IN_POSTGRES = LOT.format(
    "(extract(epoch FROM expires_at) * 1000000)::bigint::text",
    "change::text",
    "(extract(epoch FROM made_at) * 1000000)::bigint::text",
)
IN_POSTGRES = {
    "decision": f"SELECT {DECISION.format('local_day::text', '(extract(epoch FROM occurred_at) * 1000000)::bigint::text')}, 5 FROM decision",
    "incentive": f"SELECT {INCENTIVE.format('(extract(epoch FROM granted_at) * 1000000)::bigint::text')}, value FROM incentive",
    "reversal": f"SELECT {REVERSAL.format('changed_value')}, changed_value FROM incentive_change WHERE change = 'reversed'",
    "rejection": f"SELECT {REJECTION}, 1 FROM rejection",
    "transfer": f"SELECT {TRANSFER.format('(extract(epoch FROM made_at) * 1000000)::bigint::text')}, amount FROM wallet_transfer",
    "lot": f"""SELECT {LOT_IN_POSTGRES}, change
        FROM (SELECT currency, lots, expiries, made_at FROM wallet_transfer UNION ALL SELECT currency, lots, expiries, made_at FROM wallet_part) t,
            LATERAL (SELECT n.value::bigint AS change, t.expiries[n.place] AS expires_at
                     FROM jsonb_each_text(t.lots) WITH ORDINALITY n (lot_id, value, place)) c""",
}
IN_TABLES = {
    "decision": f"SELECT {DECISION.format('local_day::text', 'epoch_us(occurred_at)::text')}, list_sum(list_transform(rewards, lambda r: r.value)) FROM decision_fact",
    "reversal": f"SELECT {REVERSAL.format('value')}, value FROM reversal_fact",
    "rejection": f"SELECT {REJECTION}, 1 FROM rejection_fact",
    "transfer": f"SELECT {TRANSFER.format('epoch_us(made_at)::text')}, amount FROM transfer_fact",
    "lot": f"SELECT {LOT.format('epoch_us(expires_at)::text', 'change::text', 'epoch_us(made_at)::text')}, change FROM lot_fact",
}
IN_FILES = {
    "decisions": ("decision", f"SELECT {DECISION.format('day::text', 'epoch_us(occurred_at)::text')}, 5"),
    "incentives": ("incentive", f"SELECT {INCENTIVE.format('epoch_us(granted_at)::text')}, value"),
    "incentive_reversals": ("reversal", f"SELECT {REVERSAL.format('value')}, value"),
    "rejections": ("rejection", f"SELECT {REJECTION}, 1"),
}
"""What analysts' SQL reads: of each kind, the table in PostgreSQL."""


class Place(Struct, frozen=True):
    """PostgreSQL as it was before `lsn`: all that was committed earlier, and nothing else."""

    lsn: int
    sums: Mapping[str, Sums]


def read_ledger(site: Site) -> Place:
    """The ledger now, at a place that the server names: that of a slot made for this, and dropped."""
    with psycopg.connect(site.dsn, autocommit=True, replication="database") as maker:
        create = "CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')"
        name = sql.Identifier(f"place_{site.tenant.replace('-', '_')}")
        [(_, lsn, snapshot, _)] = maker.execute(sql.SQL(create).format(name)).fetchall()
        with psycopg.connect(site.owner_dsn, autocommit=True, options="-c TimeZone=UTC") as reader:
            reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            reader.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
            sums = {name: _read_sums(reader, PG_SUMS.format(rows)) for name, rows in IN_POSTGRES.items()}
    high, low = (int(half, 16) for half in lsn.split("/"))
    return Place(high << 32 | low, sums)


async def list_differences(site: Site, folder: Path, place: Place) -> list[str]:
    """Load the bay in `folder` up to exactly this place, and compare each table, and each kind of rows for SQL."""
    targets = await find_targets(site, place.lsn)
    async with DuckdbBay.open(folder / "analyse.duckdb", site.topics) as bay:
        await _load_until(site, bay, targets)
        found = {
            f"table {name}": (name, _read_sums(bay._connection, DUCK_SUMS.format(rows)))
            for name, rows in IN_TABLES.items()
        }
        async with bay.day_files.lend(site.tenant) as files:
            with duckdb.connect() as reader:
                reader.execute("SET TimeZone = 'UTC'")
                for kind, (name, select) in IN_FILES.items():
                    parts = [
                        f"{select} FROM read_parquet({list(group.paths)}) WHERE NOT list_contains({list(group.void)}::integer[], partition)"
                        for group in files.groups[kind]
                    ]
                    rows = " UNION ALL ".join(parts) or "SELECT NULL, NULL WHERE false"
                    found[f"SQL {kind}"] = (name, _read_sums(reader, DUCK_SUMS.format(rows)))
    return [
        f"{what}: {got} is not {place.sums[name]}" for what, (name, got) in found.items() if got != place.sums[name]
    ]


async def find_targets(site: Site, lsn: int) -> dict[Partition, int]:
    """Of each partition that facts come from, the offset behind all that was committed before `lsn`: a heartbeat tells that
    it is all there.
    """
    bootstrap, topics = site.addresses.kafka_bootstrap, [site.topics.heartbeat, *sources(site.topics)[1:]]
    next_offsets: Mapping[str, Mapping[str, int]] | None = None
    epoch, places = "", list[tuple[Record, str, int]]()
    async with asyncio.timeout(WITHIN_S), Tail(bootstrap, topics, from_end=False) as tail:
        async for records in tail:
            for record in records:
                message = json.decode(record.value or b"")
                source = message["source"]
                if record.topic != site.topics.heartbeat:
                    places.append((record, source["epoch"], source["commit_lsn"]))
                elif source["commit_lsn"] >= lsn and next_offsets is None:
                    next_offsets, epoch = message["after"]["next_offsets"], source["epoch"]
            if next_offsets is not None and all(
                tail.places[topic, int(number)] >= offset
                for topic in topics[1:]
                for number, offset in next_offsets[topic].items()
            ):
                break
    assert next_offsets is not None
    ends = {(topic, int(number)): offset for topic in topics[1:] for number, offset in next_offsets[topic].items()}
    for record, its_epoch, commit_lsn in places:
        if its_epoch == epoch and commit_lsn >= lsn:
            place = record.topic, record.partition
            ends[place] = min(ends[place], record.offset)
    return ends


async def _load_until(site: Site, bay: DuckdbBay, targets: Mapping[Partition, int]) -> None:
    @asynccontextmanager
    async def open_tail(offsets: Mapping[Partition, int]) -> AsyncIterator[AsyncIterator[Sequence[Record]]]:
        async with Tail(
            site.addresses.kafka_bootstrap, sources(site.topics)[1:], from_end=False, offsets=offsets
        ) as tail:
            yield _cut(tail, targets)

    loading = asyncio.create_task(keep_loading(bay, open_tail, site.topics.received))
    try:
        async with asyncio.timeout(WITHIN_S):
            while True:
                positions = await bay.read_positions()
                reached = {place: positions[place].next_offset if place in positions else 0 for place in targets}
                assert all(reached[place] <= targets[place] for place in targets), "loaded beyond the place"
                if reached == targets:
                    return
                await asyncio.sleep(0.05)
    finally:
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)


async def _cut(tail: Tail, targets: Mapping[Partition, int]) -> AsyncIterator[Sequence[Record]]:
    async for records in tail:
        if kept := [record for record in records if record.offset < targets[record.topic, record.partition]]:
            yield kept


def _read_sums(connection: Any, statement: str) -> Sums:  # psycopg's or DuckDB's
    count, total, digest = connection.execute(statement).fetchone()
    return int(count), int(total), int(digest)
