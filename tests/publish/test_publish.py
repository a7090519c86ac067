"""What is stored comes out on the topics, in the agreed form, once."""

import asyncio
import signal
import sys
import threading
from base64 import b64decode
from collections.abc import Callable
from datetime import datetime

import psycopg

from fillip.embedded.addresses import External
from fillip.embedded.servers import Servers
from fillip.migrations import make_slot, migrate
from tests.publish import rows
from tests.publish.conftest import Site, wait_until

LARGE = "x" * 1_000_000


async def test_a_grant_is_announced_as_stored(site: Site) -> None:
    # given a running publisher
    async with site.publishing():
        # when a decision and its incentive are committed
        site.grant(7)
        (decided,) = await site.read(site.topics.decided, 1)
        (generated,) = await site.read(site.topics.generated, 1)
    # then both are announced, with all columns as JSON
    after = generated["after"]
    assert generated["op"] == decided["op"] == "c"
    assert after["incentive_id"] == "00000000-0000-0000-0000-000000000007"
    assert (after["value"], after["currency"], after["payload"]) == (5, None, {"text": 'hello "you"'})
    assert after["user_id"] == "user 7 ü"
    granted_at = datetime.fromisoformat(after["granted_at"])
    assert len(after["granted_at"]) == len("2026-01-31T09:30:00.000000Z")
    # and both carry the same commit, one place after the other
    first, second = decided["source"], generated["source"]
    assert (first["commit_lsn"], first["epoch"], first["tx_id"]) == (
        second["commit_lsn"],
        second["epoch"],
        second["tx_id"],
    )
    assert (first["index"], second["index"], second["table"]) == (0, 1, "incentive")
    assert granted_at.timestamp() * 1e6 <= second["committed_at_us"] <= second["published_at_us"]


async def test_a_change_of_an_incentive_goes_to_the_topic_of_its_kind(site: Site) -> None:
    site.grant(7)
    async with site.publishing():
        for change in ("reversed", "expired"):
            site.run(rows.CHANGE, change=change)
        (taken,) = await site.read(site.topics.reversed, 1)
        (expired,) = await site.read(site.topics.expired, 1)
        assert (await site.count())[site.topics.generated] == 1  # an update of the incentive itself is not announced
    told = [(each["op"], each["after"]["change"], each["after"]["inbox_seq"]) for each in (taken, expired)]
    assert told == [("c", "reversed", 1), ("c", "expired", 2)]
    assert taken["after"]["incentive_id"] == "00000000-0000-0000-0000-000000000007"
    assert taken["after"]["payload"] == {"text": 'hello "you"'}


async def test_each_table_has_its_topic_and_form(site: Site) -> None:
    original = bytes(range(256))
    async with site.publishing():
        site.run(rows.QUEST, rows.REJECTION, offset=5, original=original)
        site.run(rows.BOOK_CHANGE, version=1, object="c1", document='{"state": "running", "n": [1]}')
        site.run(rows.QUEST_MOVES)
        opened, moved = await site.read(site.topics.progressed, 2)
        (rejected,) = await site.read(site.topics.rejected, 1)
        (changed,) = await site.read(site.topics.changed, 1)
    assert [(told["op"], told["after"]["steps"][0]["done"]) for told in (opened, moved)] == [("c", 1), ("u", 3)]
    assert opened["after"]["started_at"] == "2026-01-31T09:30:00.000000Z"
    assert rejected["after"]["tenant_id"] is None
    assert b64decode(rejected["after"]["original"]) == original
    assert rejected["after"]["detail"] == 'a "quoted"\nline'
    assert changed["after"]["document"] == {"state": "running", "n": [1]}


async def test_instances_of_a_campaign_in_shadow_are_told_to_nobody(site: Site) -> None:
    """Neither as they come, nor when all is told anew."""
    async with site.publishing():
        site.run(rows.QUEST.replace("'quest'", "'quest~1'"))
        site.run(rows.QUEST)
        site.run(rows.QUEST_MOVES)
        await site.read(site.topics.progressed, 2)
    site.run("SELECT pg_drop_replication_slot('fillip_' || current_database())")
    async with site.publishing():
        told = await site.read(site.topics.progressed, 3)
    assert [(each["op"], each["after"]["campaign_id"]) for each in told] == [(op, "quest") for op in "cur"]


async def test_a_row_too_large_for_kafka_goes_without_its_large_column(site: Site) -> None:
    async with site.publishing():
        site.run(rows.REJECTION, offset=1, original=LARGE.encode())
        site.run(rows.REJECTION, offset=2, original=b"small")
        large, small = await site.read(site.topics.rejected, 2)
    assert (large["omitted"], large["after"]["log_offset"]) == (["original"], 1)
    assert "original" not in large["after"]
    assert "omitted" not in small


async def test_a_restart_announces_nothing_twice(site: Site) -> None:
    async with site.publishing():
        site.grant(*range(20))
        await site.read(site.topics.generated, 20)
    site.grant(*range(20, 25))  # committed while nobody reads
    async with site.publishing():
        found = await site.read(site.topics.generated, 25)
    assert len({message["after"]["incentive_id"] for message in found}) == 25
    assert (await site.count())[site.topics.generated] == 25


async def test_what_was_produced_and_not_confirmed_is_not_produced_again(site: Site) -> None:
    # given a publisher cut off before it can confirm anything to PostgreSQL (it reports once a second)
    async with site.publishing():
        site.grant(0)
        await site.read(site.topics.generated, 1)
    for number in range(1, 40, 10):
        task, _ = site.start()
        site.grant(*range(number, number + 10))
        await site.read(site.topics.generated, number + 10 - 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    # when the next one reads the same WAL
    async with site.publishing():
        site.grant(41)
        found = await site.read(site.topics.generated, 42)
    # then none is missing, none is there twice
    assert sorted(m["after"]["inbox_seq"] for m in found) == list(range(42))
    counts = await site.count()
    assert (counts[site.topics.generated], counts[site.topics.decided]) == (42, 42)


PROGRAM = """
import asyncio, sys
from fillip.publish import publish
from fillip.stream.topics import Topics
dsn, bootstrap, prefix, url = sys.argv[1:]
asyncio.run(publish(dsn=dsn, bootstrap=bootstrap, topics=Topics(prefix=prefix), valkey_url=url, stop=asyncio.Event()))
"""


async def test_kill_minus_nine_under_load_loses_none_and_doubles_none(site: Site) -> None:
    where = (site.dsn, site.addresses.kafka_bootstrap, site.topics.prefix, site.addresses.valkey_url)
    over = threading.Event()

    def write() -> int:
        number = 0
        while not over.wait(0.005):
            site.grant(*range(number, number + 20))
            number += 20
        return number

    writing = asyncio.create_task(asyncio.to_thread(write))
    seen = 0
    for _ in range(5):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, *where)

        async def produced(target: int = seen + 100) -> bool:
            return (await site.count())[site.topics.generated] >= target

        await wait_until(produced)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        seen = (await site.count())[site.topics.generated]
    over.set()
    total = await writing
    async with site.publishing():
        found = await site.read(site.topics.generated, total)
        await site.read(site.topics.decided, total)
    assert sorted(message["after"]["inbox_seq"] for message in found) == list(range(total))
    counts = await site.count()
    assert (counts[site.topics.generated], counts[site.topics.decided]) == (total, total)


async def test_a_lost_slot_is_noticed_and_a_snapshot_announced_under_a_new_epoch(site: Site) -> None:
    # given announcements under one epoch, and newer states of one object
    async with site.publishing():
        site.grant(1, 2)
        site.run(rows.BOOK_CHANGE, version=1, object="c1", document='{"v": 1}')
        site.run(rows.BOOK_CHANGE, version=2, object="c1", document='{"v": 2}')
        before = await site.read(site.topics.generated, 2)
        await site.read(site.topics.changed, 2)
    # when the slot is gone and more is committed
    site.run("SELECT pg_drop_replication_slot('fillip_' || current_database())")
    site.grant(3)
    # then all rows come again as of a snapshot, and what follows is announced as ever
    async with site.publishing():
        found = await site.read(site.topics.generated, 5)
        site.grant(4)
        found = await site.read(site.topics.generated, 6)
        changes = await site.read(site.topics.changed, 3)
    old, new = (
        {m["source"]["epoch"] for m in before},
        {m["source"]["epoch"] for m in found} - {before[0]["source"]["epoch"]},
    )
    assert len(old) == len(new) == 1
    assert max(new) > max(old)
    renewed = sorted((m["op"], m["after"]["inbox_seq"]) for m in found if m["source"]["epoch"] in new)
    assert renewed == [("c", 4), ("r", 1), ("r", 2), ("r", 3)]
    assert [(m["op"], m["after"]["document"]) for m in changes][2:] == [("r", {"v": 2})]


async def test_a_publisher_that_loses_postgres_goes_on(site: Site) -> None:
    async with site.publishing():
        site.grant(1)
        await site.read(site.topics.generated, 1)
        site.run(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database()"
        )
        site.grant(2)
        found = await site.read(site.topics.generated, 2)
    assert sorted(message["after"]["inbox_seq"] for message in found) == [1, 2]
    assert (await site.count())[site.topics.generated] == 2


LAG = """
SELECT pg_current_wal_flush_lsn() - confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()
"""
MANY_USERS = """
INSERT INTO end_user (tenant_id, user_id, attributes)
SELECT %(tenant)s, n, jsonb_build_object('x', repeat('y', 500)) FROM generate_series(1, 5000) n
"""


async def test_the_slot_follows_writes_that_are_not_announced(site: Site) -> None:
    async def caught_up() -> bool:
        with psycopg.connect(site.owner_dsn) as connection:
            found = connection.execute(LAG).fetchone()
            return found is not None and found[0] < 100_000

    async with site.publishing():
        site.grant(1)
        await site.read(site.topics.generated, 1)
        site.run(MANY_USERS)
        await wait_until(caught_up)


async def test_a_second_publisher_waits_and_takes_over(site: Site) -> None:
    async with site.publishing():
        first, stop = site.start()  # which of the two comes first does not matter
        site.grant(1)
        await site.read(site.topics.generated, 1)
        stop.set()
        await first
        site.grant(2)
        await site.read(site.topics.generated, 2)
    assert (await site.count())[site.topics.generated] == 2


async def test_a_slot_that_lost_its_wal_is_made_anew(site: Site, own_servers: Callable[..., Servers]) -> None:
    # given a PostgreSQL that keeps little WAL for a slot, and much WAL while nobody reads
    shared = External(valkey_url=site.addresses.valkey_url, kafka_bootstrap=site.addresses.kafka_bootstrap)
    own = own_servers(external=shared, postgres_settings={"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB"})
    site.owner_dsn = own.addresses.postgres_dsn
    migrate(site.owner_dsn)
    make_slot(site.owner_dsn)
    site.run(rows.TENANT)
    site.grant(1, 2)
    with psycopg.connect(site.owner_dsn, autocommit=True) as connection:
        for _ in range(3):
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
            connection.execute("DROP TABLE filler")
            connection.execute("CHECKPOINT")
        statuses = connection.execute("SELECT wal_status FROM pg_replication_slots").fetchall()
    assert statuses == [("lost",)]
    # when a publisher starts, then nothing is missing
    async with site.publishing():
        found = await site.read(site.topics.generated, 2)
    assert sorted((m["op"], m["after"]["inbox_seq"]) for m in found) == [("r", 1), ("r", 2)]
