"""The decoder on what a real server sends, and the forms of values."""

from struct import pack

import pytest
from msgspec import json

from fillip.publish.announce import Announcer, Done
from fillip.publish.envelope import SourceWriter
from fillip.publish.murmur2 import choose_partition, hash_murmur2
from fillip.publish.pgoutput import UNCHANGED, Column, Commit, Decoded, Decoder, Relation, Row, UnreadableWal, Value
from fillip.publish.postgres import Link
from fillip.publish.rows import RowWriter
from fillip.publish.scribe import Message, Scribe
from fillip.publish.spool import Spool
from fillip.stream.kafka import KafkaProducer, read_last
from fillip.stream.topics import Topics
from tests.publish import rows
from tests.publish.conftest import Site


async def read_wal(site: Site, commits: int) -> list[Decoded]:
    """Decoded messages of the site's slot, from its start."""
    decoder, found = Decoder(), list[Decoded]()
    async with Link.open(site.dsn) as link:
        slot = await link.find_slot()
        assert slot is not None
        await link.start(slot)
        while sum(isinstance(message, Commit) for message in found) < commits:
            found += [decoded for _, data in await link.read() if data and (decoded := decoder.decode(data))]
    return found


async def test_an_update_leaves_out_a_large_value_that_it_did_not_change(site: Site) -> None:
    # given an incentive whose payload is stored out of line
    site.grant(1)
    site.run("ALTER TABLE incentive ALTER payload SET STORAGE EXTERNAL")
    site.run("UPDATE incentive SET payload = jsonb_build_object('text', repeat('x', 9000))")
    # when only its state changes
    site.run("UPDATE incentive SET state = 'claimed'")
    *_, before, after = [message for message in await read_wal(site, 3) if isinstance(message, Row)]
    # then the WAL does not carry the payload, and the JSON goes without it
    writer = RowWriter(after.relation)
    large = before.values[writer.positions["payload"]]
    assert isinstance(large, bytes) and len(large) > 9000
    assert after.values[writer.positions["payload"]] is UNCHANGED
    written = json.decode(writer.write_row(after))
    assert (written["state"], "payload" in written) == ("claimed", False)


async def test_a_column_added_later_is_announced(site: Site) -> None:
    site.run(rows.BOOK_CHANGE, version=1, object="a", document="{}")
    site.run("ALTER TABLE book_change ADD colour text DEFAULT 'red'")
    site.run(rows.BOOK_CHANGE, version=2, object="a", document="{}")
    found = [message for message in await read_wal(site, 2) if isinstance(message, Row)]
    written = [json.decode(RowWriter(row.relation).write_row(row)) for row in found]
    assert ["colour" in row for row in written] == [False, True]


async def test_updates_with_the_old_row_or_key_give_the_new_row(site: Site) -> None:
    site.run("ALTER TABLE quest_instance REPLICA IDENTITY FULL", rows.QUEST)
    site.run(rows.QUEST_MOVES)
    site.run("ALTER TABLE quest_instance REPLICA IDENTITY DEFAULT")
    site.run("UPDATE quest_instance SET occurrence = 2")  # the key changes: the old one comes along
    found = [message for message in await read_wal(site, 3) if isinstance(message, Row)]
    written = [json.decode(RowWriter(row.relation).write_row(row)) for row in found]
    assert [(row["steps"][0]["done"], row["occurrence"]) for row in written] == [(1, 1), (3, 1), (3, 2)]


def test_a_message_that_was_not_asked_for_is_refused() -> None:
    with pytest.raises(UnreadableWal, match="was not asked for"):
        Decoder().decode(b"P" + pack(">IB", 1, 1))


@pytest.mark.parametrize(
    ("type_oid", "text", "wanted"),
    [
        (1184, "2026-01-31 09:30:00+00", "2026-01-31T09:30:00.000000Z"),
        (1184, "2026-01-31 09:30:00.05+00", "2026-01-31T09:30:00.050000Z"),
        (1082, "0001-01-01", "0001-01-01"),
        (20, "-9223372036854775808", -(2**63)),
        (16, "t", True),
        (17, "\\x00ff", "AP8="),
        (17, "\\x", ""),
        (1007, "{}", []),
        (1007, "{1,NULL,-3}", [1, None, -3]),
        (1185, "{}", []),
        (1185, '{"2026-01-31 09:30:00.05+00",NULL}', ["2026-01-31T09:30:00.050000Z", None]),
        (3802, '{"a": [1, "\\u20ac"]}', {"a": [1, "€"]}),
        (25, 'line\n"q" \\ \u2028 ü', 'line\n"q" \\ \u2028 ü'),
        (1700, "1.50", "1.50"),
    ],
)
def test_values_become_json(type_oid: int, text: str, wanted: object) -> None:
    writer = RowWriter(Relation("t", (Column("x", type_oid), Column("50 %d", 25))))
    values: list[Value] = [text.encode(), None]
    assert json.decode(writer.write(values)) == {"x": wanted, "50 %d": None}
    assert writer.write_row(Row(writer.relation, "c", values, complete=True)) == writer.write(values)


def test_what_other_partitions_have_seen_does_not_hide_a_row() -> None:
    """A commit is spread over partitions: each goes on from its own newest position."""
    announced = read_one_commit({("t", 0): (100, 9)}) + read_one_commit({("t", 0): (100, 1), ("t", 1): (100, 0)})
    users = [json.decode(value)["after"]["user_id"] for _, _, value, *_ in announced]
    places = {user: choose_partition(f"a:{user}".encode(), 2) for user in "uvwxyz"}
    first = [user for user in "uvwxyz" if places[user] == 1]
    second = [user for at, user in enumerate("uvwxyz") if (100, at) > {0: (100, 1), 1: (100, 0)}[places[user]]]
    assert 0 < len(first) < 6, "the keys do not spread: no test"
    assert users == first + second


def read_one_commit(newest: dict[tuple[str, int], tuple[int, int]]) -> list[Message]:
    """Announce one transaction of six rows where earlier runs had reached `newest`."""

    def text(value: str) -> bytes:
        return b"t" + pack(">I", len(value)) + value.encode()

    names = b"".join(b"\0" + name + b"\0" + pack(">Ii", 25, -1) for name in (b"tenant_id", b"user_id"))
    relation = b"R" + pack(">I", 7) + b"public\0thing\0d" + pack(">H", 2) + names
    inserts = [b"I" + pack(">I", 7) + b"N" + pack(">H", 2) + text("a") + text(user) for user in "uvwxyz"]
    wal = [b"B" + pack(">QqI", 100, 0, 1), relation, *inserts, b"C" + pack(">BQQq", 0, 100, 120, 0)]
    announcer = Announcer(
        Scribe(SourceWriter("e", "db"), {("thing", "c"): "t"}, Topics()), Done(newest, {"t": 2}), Spool()
    )
    (piece,) = announcer.read([(0, data) for data in wal], now_us=0)
    assert piece.end_lsn == 120
    return [message for message in piece.messages if message[0] == "t"]


async def test_keys_go_where_the_producer_puts_them(site: Site) -> None:
    keys = [f"tenant:user {number}é"[: number + 1].encode() for number in range(16)]
    producer = KafkaProducer(site.addresses.kafka_bootstrap)
    for key in keys:
        await producer.send(site.topics.generated, key, key)
        last = await read_last(site.addresses.kafka_bootstrap, [site.topics.generated])
        record = last[site.topics.generated, choose_partition(key, 4)]
        assert record is not None and record.key == key
    await producer.close()


def test_murmur2_as_in_kafkas_own_tests() -> None:
    # org.apache.kafka.common.utils.UtilsTest.testMurmur2
    known = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"": 275646681,
        b"abc": 479470107,
    }
    assert {key: hash_murmur2(key) for key in known} == {key: value & 0xFFFFFFFF for key, value in known.items()}
