"""Large transactions come before their commit, and are announced as if they had come with it."""

import asyncio
from typing import Any

import psycopg
import pytest
from msgspec import json

from fillip.publish import spool
from fillip.publish.announce import Announcer, Done
from fillip.publish.envelope import SourceWriter
from fillip.publish.postgres import SESSION
from fillip.publish.routes import list_routes
from fillip.publish.scribe import Scribe
from fillip.publish.spool import Spool, SpoolFull
from tests.publish import rows
from tests.publish.conftest import Site

EAGER = "ALTER DATABASE {} SET logical_decoding_work_mem = '64kB'"
WAL = """
SELECT lsn - '0/0', data FROM pg_logical_slot_peek_binary_changes('fillip_' || current_database(), NULL, NULL,
    'proto_version', '2', 'publication_names', 'fillip', 'messages', 'true', 'streaming', %s)
"""
USERS = """
INSERT INTO end_user (tenant_id, user_id, attributes)
SELECT %(tenant)s, %(prefix)s || n, jsonb_build_object('x', repeat('y', 200)) FROM generate_series(1, %(count)s) n
"""
LARGE = "UPDATE incentive SET payload = jsonb_build_object('text', repeat('x', 9000)) WHERE inbox_seq = 1"
SMALL = "UPDATE incentive SET state = 'claimed' WHERE inbox_seq = 1"


def write(site: Site, count: int) -> None:
    """Two large transactions at once, with parts that are rolled back, small ones in between, and one that is given up."""
    name = psycopg.conninfo.conninfo_to_dict(site.owner_dsn)["dbname"]
    site.run(EAGER.format(name), "ALTER TABLE incentive ALTER payload SET STORAGE EXTERNAL", *rows.grant(1))
    site.run(LARGE)

    other = f"{site.tenant}-other"  # users of one tenant are written by one transaction at a time
    site.run(rows.TENANT, tenant=other)

    def add(connection: psycopg.Connection[Any], prefix: str) -> None:
        tenant = site.tenant if connection is first else other
        connection.execute(USERS, {"tenant": tenant, "prefix": prefix, "count": count})

    with psycopg.connect(site.owner_dsn) as first, psycopg.connect(site.owner_dsn) as second:
        add(first, "a")
        add(second, "z")
        for number in range(3):
            with pytest.raises(ZeroDivisionError), first.transaction():
                add(first, f"undone-{number}-")
                raise ZeroDivisionError
            with first.transaction():
                add(first, f"b{number}-")
            site.grant(10 + number)
        first.execute(SMALL)
        first.commit()
        add(second, "given-up-")
        second.rollback()
    site.run("ALTER TABLE end_user ADD colour text DEFAULT 'red'", USERS, prefix="red-", count=count)


def announce(site: Site, streaming: str) -> tuple[list[Any], bool]:
    """Everything that is announced of the WAL, with the place; and whether some came before its commit."""
    scribe = Scribe(SourceWriter("e", "db"), list_routes(site.topics), site.topics)
    partitions = site.topics.count_partitions(4)
    kept = Spool()
    announcer, messages = Announcer(scribe, Done({}, partitions), kept), []
    with psycopg.connect(site.owner_dsn, **SESSION) as connection:
        wal = [(int(lsn), bytes(data)) for lsn, data in connection.execute(WAL, [streaming])]
    for piece in announcer.read(wal, now_us=0):
        messages += [(topic, key, json.decode(value)) for topic, key, value, *_ in piece.messages]
    assert not kept._files  # what was committed or given up is not kept
    return messages, any(data[:1] == b"S" for _, data in wal)


def test_streamed_transactions_are_announced_as_those_that_come_whole(site: Site) -> None:
    write(site, 500)
    whole, never = announce(site, "off")
    streamed, some = announce(site, "on")
    assert (never, some) == (False, True)
    # of a table that others describe meanwhile the schema may be told at another place, or once more
    assert [each for each in streamed if each[0] != site.topics.schemas] == [
        each for each in whole if each[0] != site.topics.schemas
    ]
    users = [message["after"] for topic, _, message in streamed if topic == site.topics.users]
    assert len(users) == 500 * (1 + 3 + 1)
    assert ["colour" in user for user in (users[0], users[-1])] == [False, True]
    (claimed,) = [message for _, _, message in streamed if (message.get("after") or {}).get("state") == "claimed"]
    assert claimed["omitted"] == ["payload"]


async def test_a_publisher_cut_off_in_a_large_transaction_announces_it_once(site: Site) -> None:
    task, _ = site.start()
    await asyncio.to_thread(write, site, 1_000)
    for _ in range(3):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        task, stop = site.start()
        await site.read(site.topics.generated, 2)
    found = await site.read(site.topics.users, 5_000)
    stop.set()
    await task
    assert len(found) == len({message["after"]["user_id"] for message in found}) == 5_000
    places = [(message["source"]["commit_lsn"], message["source"]["index"]) for message in found]
    assert places == sorted(set(places))


async def test_where_there_is_no_room_the_server_keeps_large_transactions(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MAX_BYTES", 10_000)
    await asyncio.to_thread(write, site, 200)
    async with site.publishing():
        found = await site.read(site.topics.users, 1_000)
    assert len(found) == len({message["after"]["user_id"] for message in found}) == 1_000


def test_what_does_not_fit_is_refused_and_leaves_nothing() -> None:
    kept = Spool(max_bytes=100)
    kept.add(tx_id=1, sub_id=1, lsn=7, data=b"x" * 60)
    kept.add(tx_id=2, sub_id=3, lsn=8, data=b"y" * 20)
    with pytest.raises(SpoolFull, match="more than 100 bytes"):
        kept.add(tx_id=2, sub_id=2, lsn=9, data=b"z" * 21)
    kept.abort(1, 1)
    kept.add(tx_id=2, sub_id=2, lsn=9, data=b"z" * 80)
    kept.abort(2, 3)
    assert list(kept.replay(2)) == [(9, b"z" * 80)]
    assert list(kept.replay(2)) == []
