"""A row that can't be announced is set aside, named and counted; everything else goes on."""

import asyncio
from collections.abc import Callable
from datetime import date

import psycopg
import pytest
from psycopg.types.json import Jsonb

from fillip.core.limit import CounterKey
from fillip.core.projection import name_counter
from fillip.publish import metrics, run, valkey
from fillip.publish.murmur2 import choose_partition
from fillip.publish.pgoutput import Decoder
from fillip.publish.rows import RowWriter
from fillip.stream.kafka import Tail
from tests.publish import rows
from tests.publish.conftest import Site, wait_until

SPOIL = {
    "decision": "UPDATE decision SET local_day = '-infinity' WHERE log_offset = 3",
    "incentive": "UPDATE incentive SET occurred_at = '-infinity' WHERE inbox_seq = 3",
}
WINDOW = "UPDATE limit_counter SET window_start = '-infinity' WHERE user_id = 'ann'"
FACES = "".join(chr(0x1F300 + number) for number in range(256))
"""256 characters of four bytes: the longest id, which PostgreSQL can't make smaller."""

LONG_QUEST = """
INSERT INTO quest_instance (tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version, state,
    started_at, start_offset, steps, start_attributes)
VALUES (%(tenant)s, 'quest', %(user)s, %(key)s, 1, 1, 'open', now(), 7, '[{"name": "visit", "done": 1, "needed": 3}]',
    %(start)s)
"""
LONG_COUNTER = rows.COUNTER.replace("'a b'", "%(key)s")
NAMING_COLUMNS = """
SELECT c.relname, a.attname, a.attstorage = 'p' OR a.attnum = ANY (i.indkey::int2[]) AS safe
FROM pg_publication_tables t
JOIN pg_class c ON c.relname = t.tablename AND c.relnamespace = t.schemaname::regnamespace
JOIN pg_attribute a ON a.attrelid = c.oid
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE t.pubname = 'fillip' AND c.relname IN ('quest_instance', 'limit_counter') AND c.relreplident = 'd'
  AND a.attname IN ('tenant_id', 'user_id', 'campaign_id', 'instance_key', 'occurrence', 'limit_id', 'key', 'window_start')
"""


def count_aside(table: str) -> float:
    return metrics.set_aside.labels(table)._value.get()


async def test_a_row_with_an_instant_that_has_no_words_is_set_aside_and_the_others_are_announced(site: Site) -> None:
    before = {table: count_aside(table) for table in SPOIL}
    with psycopg.connect(
        site.owner_dsn
    ) as connection:  # in one transaction with sound ones, and old ones by a snapshot
        for number in range(6):
            for statement in rows.grant(number):
                spoilt = statement.replace("now(), now(), now(), now())", "'-infinity', now(), now(), now())")
                spoilt = spoilt.replace("'2026-01-31'", "'infinity'")
                connection.execute(spoilt if number == 3 else statement, {"tenant": site.tenant})
    async with site.publishing():
        generated = await site.read(site.topics.generated, 5)
        decided = await site.read(site.topics.decided, 5)
        aside = await site.read(site.topics.unannounced, 2)
    assert sorted(told["after"]["inbox_seq"] for told in generated) == [0, 1, 2, 4, 5]
    assert sorted(told["after"]["log_offset"] for told in decided) == [0, 1, 2, 4, 5]
    told = {each["source"]["table"]: each for each in aside}
    assert told["incentive"]["row"]["occurred_at"] == "-infinity"
    assert told["incentive"]["row"]["inbox_seq"] == "3"
    assert "-infinity is no instant" in told["incentive"]["error"]
    assert told["decision"]["row"]["local_day"] == "infinity"
    assert {table: count_aside(table) - before[table] for table in SPOIL} == {"decision": 1, "incentive": 1}
    # and a restart, with what is there a second time by a snapshot, sets the same two aside again and no more
    async with site.publishing():
        site.grant(7)
        await site.read(site.topics.generated, 6)
        assert len(await site.read(site.topics.unannounced, 2)) == 2
    site.run("SELECT pg_drop_replication_slot('fillip_' || current_database())")
    async with site.publishing():
        aside = await site.read(site.topics.unannounced, 4)
    assert [each["op"] for each in aside] == ["c", "c", "r", "r"]


async def test_a_counter_of_no_day_is_not_mirrored_and_the_others_are(site: Site) -> None:
    async with site.publishing():
        site.run(rows.COUNTER, WINDOW, user="ann")
        site.run(rows.COUNTER, user="bob")
        (aside,) = await site.read(site.topics.unannounced, 1)
        await wait_until(lambda: mirrors(site, key_of(site, "bob"), "1 1"))
    assert (aside["source"]["table"], aside["row"]["user_id"]) == ("limit_counter", "ann")
    async with site.publishing():  # begins with a rebuild, which reads it too
        site.run(rows.COUNTER, user="bob")
        await wait_until(lambda: mirrors(site, key_of(site, "bob"), "2 2"))


def key_of(site: Site, user: str, key: str = "a b") -> CounterKey:
    with psycopg.connect(site.owner_dsn) as connection:
        query = "SELECT window_start FROM limit_counter WHERE user_id = %s"
        (day,) = connection.execute(query, [user]).fetchone() or (date.min,)
    return CounterKey(site.tenant, "cap", user, key, day)


async def mirrors(site: Site, key: CounterKey, wanted: str) -> bool:
    return await site.read_projection(key) == [wanted]


def fail_on(real: Callable, is_culprit: Callable[..., bool]) -> Callable:
    """The real function, which fails in a way that nobody foresaw on one thing."""

    def planted(*arguments: object) -> object:
        if is_culprit(*arguments):
            raise ZeroDivisionError("planted")
        return real(*arguments)

    return planted


async def test_a_fault_that_nobody_foresaw_costs_its_row_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    culprits = [b"e2", b"e5"]
    planted = fail_on(RowWriter.write_row, lambda _, row: any(value in culprits for value in row.values))
    monkeypatch.setattr(RowWriter, "write_row", planted)
    site.grant(0, 1, 2)
    async with site.publishing():
        site.grant(3, 4, 5)
        site.grant(6)
        generated = await site.read(site.topics.generated, 5)
        aside = await site.read(site.topics.unannounced, 4)
    assert sorted(told["after"]["inbox_seq"] for told in generated) == [0, 1, 3, 4, 6]
    assert sorted((told["source"]["table"], told["row"]["event_id"]) for told in aside) == [
        ("decision", "e2"), ("decision", "e5"), ("incentive", "e2"), ("incentive", "e5"),
    ]  # fmt: skip
    assert {told["error"] for told in aside} == {"ZeroDivisionError: planted"}


async def test_a_row_whose_message_cant_be_decoded_is_set_aside(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = fail_on(Decoder.decode_row, lambda _, data: b"t\0\0\0\x02e2" in data and b"hello" in data)
    monkeypatch.setattr(Decoder, "decode_row", planted)
    async with site.publishing():
        site.grant(1, 2, 3)
        assert len(await site.read(site.topics.decided, 3)) == 3
        assert len(await site.read(site.topics.generated, 2)) == 2
        (aside,) = await site.read(site.topics.unannounced, 1)
    assert aside["row"]["wal"]


async def test_a_fault_in_a_snapshot_costs_its_row_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.grant(*range(6))
    site.run("SELECT pg_drop_replication_slot('fillip_' || current_database())")
    monkeypatch.setattr(RowWriter, "write_row", fail_on(RowWriter.write_row, lambda _, row: b"e4" in row.values))
    async with site.publishing():
        generated = await site.read(site.topics.generated, 5)
        aside = await site.read(site.topics.unannounced, 2)
    assert sorted(told["after"]["inbox_seq"] for told in generated) == [0, 1, 2, 3, 5]
    assert {(told["op"], told["row"]["event_id"]) for told in aside} == {("r", "e4")}


async def test_a_fault_in_the_projection_costs_its_counter_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "name_counter", fail_on(name_counter, lambda key: key.user_id == "u7"))
    before = count_aside("limit_counter")
    async with site.publishing():
        with psycopg.connect(site.owner_dsn) as connection:
            for number in range(20):
                connection.execute(rows.COUNTER, {"tenant": site.tenant, "user": f"u{number}"})
        others = [key_of(site, f"u{number}") for number in range(20) if number != 7]

        async def all_there() -> bool:
            return await site.read_projection(*others) == ["1 1"] * 19

        await wait_until(all_there)
        await wait_until(lambda: has_grown(before))
    assert await site.read_projection(key_of(site, "u7")) == [None]


async def has_grown(before: float) -> bool:
    return count_aside("limit_counter") > before


async def test_an_error_outside_of_rows_is_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([True, True])
    monkeypatch.setattr(run, "find_done", fail_on(run.find_done, lambda *_: next(failures, False)))
    before = metrics.faults._value.get()
    async with site.publishing():
        site.grant(1)
        await site.read(site.topics.generated, 1)
    assert metrics.faults._value.get() == before + 2


async def test_the_longest_ids_that_an_update_leaves_out_are_announced_where_they_belong(site: Site) -> None:
    # given ids that are stored out of line, so that an update's new row in the WAL goes without them
    long = {"user": FACES, "key": FACES, "start": Jsonb({"note": "".join(chr(0x4E00 + n) for n in range(9000))})}
    for table, column in (
        ("quest_instance", "instance_key"),
        ("limit_counter", "key"),
    ):  # longer than any new one may be
        site.run(f"ALTER TABLE {table} DROP CONSTRAINT user_id_bytes, DROP CONSTRAINT {column}_bytes")
    async with site.publishing():
        site.run("ALTER TABLE quest_instance ALTER user_id SET STORAGE EXTERNAL", LONG_QUEST, **long)
        site.run(LONG_COUNTER, **long)
        site.run(rows.QUEST_MOVES)
        site.run(LONG_COUNTER, **long)
        opened, moved = await site.read(site.topics.progressed, 2)
        await wait_until(lambda: mirrors(site, key_of(site, FACES, FACES), "2 2"))
        partitions = await find_partitions(site, 2)
    # then the announcement has them all the same, on the user's partition, and says what it goes without
    assert moved["after"]["user_id"] == moved["after"]["instance_key"] == FACES
    assert (moved["after"]["state"], moved["after"]["steps"][0]["done"]) == ("completed", 3)
    assert moved["omitted"] == ["start_attributes"]
    assert "omitted" not in opened
    assert partitions == {choose_partition(f"{site.tenant}:{FACES}".encode(), 4)}


async def find_partitions(site: Site, count: int) -> set[int]:
    found: list[int] = []
    async with Tail(site.addresses.kafka_bootstrap, [site.topics.progressed], from_end=False) as tail:
        while len(found) < count:
            found += [record.partition for record in await anext(tail)]
    return set(found)


def test_what_names_a_row_comes_with_each_update(database: str) -> None:
    """The catalogue: such a column is of the replica identity, whose old values an update brings, or never out of line."""
    with psycopg.connect(database) as connection:
        found = connection.execute(NAMING_COLUMNS).fetchall()
    assert len(found) == 10
    assert [(table, column) for table, column, safe in found if not safe] == []


async def test_a_backend_that_is_ended_again_and_again_ends_nothing(site: Site) -> None:
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    async with site.publishing():
        for number in range(5):
            site.run(end)
            site.grant(number)
            await asyncio.sleep(0)
        found = await site.read(site.topics.generated, 5)
    assert sorted(told["after"]["inbox_seq"] for told in found) == list(range(5))
