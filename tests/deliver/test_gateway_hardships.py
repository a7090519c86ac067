"""Slow readers, and what can't be read: nobody is cut who reads, nothing wrong with one record or row reaches another."""

import asyncio
import json
import socket

import pytest
from websockets.asyncio.client import connect

from fillip.deliver import feed, frames, session
from fillip.deliver.feed import SET_ASIDE
from fillip.deliver.postgres import UNSHOWN
from tests.deliver.gateway_world import World, hear_nothing_but_pong, receive, receive_seqs, until
from tests.deliver.quest_hand import announce_moves, move, move_and_announce

LARGE = "UPDATE incentive SET payload = jsonb_build_object('text', repeat('x', 10000))"
MANY = 150


def count(metric: object, *labels: str) -> float:
    return metric.labels(*labels)._value.get()  # type: ignore[attr-defined]


async def test_who_reads_slowly_is_not_cut_and_gets_all_in_order(
    open_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a client on a small receive buffer, for which so much waits that it reads for much longer than one may stall
    monkeypatch.setattr(session, "STALLED_FOR_S", 2.0)
    monkeypatch.setattr(session, "MAX_UNSENT_BYTES", 1_000_000)
    with socket.create_connection(("127.0.0.1", open_world.port)) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        async with connect(open_world.url, sock=line, compression=None, max_queue=1) as slow:
            await slow.send(json.dumps({"type": "hello", "ticket": await open_world.ticket("ann"), "cursor": 0}))
            assert (await receive(slow))["type"] == "welcome"
            began = asyncio.get_running_loop().time()
            # when more comes than it reads
            await open_world.grant("ann", 1, MANY)
            await open_world.pool.execute(LARGE)
            row = await open_world.fetch_row("ann", 1)
            for seq in range(1, MANY + 1):
                open_world.produce("ann", row | {"inbox_seq": seq})
            seen: list[int] = []
            while len(seen) < MANY:
                seen += await receive_seqs(slow, 1)
                await asyncio.sleep(0.025)
            # then it has been served all along, and live again at the end
            assert asyncio.get_running_loop().time() - began > 1.5 * session.STALLED_FOR_S
            assert seen == list(range(1, MANY + 1))
            await open_world.grant("ann", MANY + 1, MANY + 1)
            await open_world.announce("ann", [MANY + 1])
            assert await receive_seqs(slow, 1) == [MANY + 1]


async def test_records_that_cant_be_read_cost_their_user_a_look_into_the_inbox(open_world: World) -> None:
    topic = open_world.topics.generated
    before = count(SET_ASIDE, topic)
    async with open_world.client("ann") as ann, open_world.client("bob") as bob:
        await open_world.grant("ann", 1, 1)
        await open_world.announce("ann", [1])
        assert await receive_seqs(ann, 1) == [1]
        row = await open_world.fetch_row("ann", 1)
        await open_world.grant("ann", 2, 2)  # and never announced
        key = b"acme:ann"
        deep = b'{"after": {"payload": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
        for value in (b"nonsense", deep, b'{"after": 1}', b"\xff\xfe"):
            open_world.producer.produce(topic, value, key)
        open_world.produce("ann", row | {"inbox_seq": 2, "granted_at": "-infinity"})
        open_world.produce("ann", row | {"inbox_seq": 2, "granted_at": "0044-03-15 BC"})
        open_world.produce("ann", row | {"inbox_seq": "many"})
        await open_world.grant("bob", 1, 1)
        await open_world.announce("bob", [1])
        assert await receive_seqs(bob, 1) == [1]
        assert await receive_seqs(ann, 1) == [2]
        await until(lambda: count(SET_ASIDE, topic) == before + 7)
        assert await hear_nothing_but_pong(ann)


async def test_a_fault_that_nobody_foresaw_costs_its_record_alone(
    open_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, topic = frames.read_announcement, open_world.topics.generated

    def planted(value: bytes) -> object:
        if b"No. 3" in value:
            raise ZeroDivisionError("planted")
        return real(value)

    monkeypatch.setattr(feed, "read_announcement", planted)
    before = count(SET_ASIDE, topic), feed.BREAKS._value.get()
    async with open_world.client("ann") as ann, open_world.client("bob") as bob:
        for user in ("ann", "bob"):
            await open_world.grant(user, 1, 5)
            await open_world.announce(user, range(1, 6))
        assert await receive_seqs(ann, 5) == await receive_seqs(bob, 5) == [1, 2, 3, 4, 5]
        await until(lambda: count(SET_ASIDE, topic) == before[0] + 2)
    assert feed.BREAKS._value.get() == before[1]


async def test_a_fault_in_progress_costs_its_record_alone(open_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real, topic = frames.read_progress, open_world.topics.progressed

    def planted(value: bytes) -> object:
        if b"cursed" in value:
            raise ZeroDivisionError("planted")
        return real(value)

    monkeypatch.setattr(feed, "read_progress", planted)
    before = count(SET_ASIDE, topic)
    async with open_world.client("ann") as ann:
        await move_and_announce(open_world, "ann", 1, key="cursed")
        assert (await receive(ann))["instance"] == "cursed#1"  # from the ledger
        await move_and_announce(open_world, "ann", 1, key="sound")
        assert (await receive(ann))["instance"] == "sound#1"
    assert count(SET_ASIDE, topic) == before + 1


async def test_a_row_that_could_not_be_announced_is_told_from_the_ledger(open_world: World) -> None:
    async with open_world.client("ann") as ann:
        await open_world.grant("ann", 1, 1)
        await move(open_world, "ann", 2)
        open_world.producer.produce(open_world.topics.unannounced, b'{"error": "a"}', b"acme:ann")
        open_world.producer.flush(10)
        frames = [await receive(ann) for _ in range(2)]
        assert sorted(frame["type"] for frame in frames) == ["incentive", "progress"]


async def test_a_row_that_cant_be_shown_keeps_its_number_and_hides_no_other(open_world: World) -> None:
    before = count(UNSHOWN, "entry"), count(UNSHOWN, "progress")
    await open_world.grant("ann", 1, 6)
    await open_world.pool.execute("UPDATE incentive SET granted_at = '-infinity' WHERE inbox_seq = 2")
    await open_world.pool.execute("UPDATE incentive SET granted_at = '0044-03-15 12:00+00 BC' WHERE inbox_seq = 4")
    await open_world.pool.execute("UPDATE incentive SET expires_at = '12000-01-01' WHERE inbox_seq = 5")
    for key, started_at in (("a", "-infinity"), ("b", "2026-01-01"), ("c", "0044-03-15 BC")):
        await move(open_world, "ann", 1, key=key)
        await open_world.pool.execute("UPDATE quest_instance SET started_at = $1::text::timestamptz WHERE instance_key = $2",
                                 started_at, key)  # fmt: skip
    await open_world.pool.execute("UPDATE quest_instance SET ends_at = '294276-12-31' WHERE instance_key = 'b'")
    await move(open_world, "ann", 1, key="d")
    async with open_world.client("ann", cursor=0) as client:
        shown = [await receive(client) for _ in range(6)]
        assert [frame["seq"] for frame in shown] == [1, 2, 3, 4, 5, 6]
        assert [frame["seq"] for frame in shown if frame["type"] == "unreadable"] == [2, 4, 5]
        assert (await receive(client))["instance"] == "d#1"
        await client.send('{"type":"ack","seq":6}')
        assert await hear_nothing_but_pong(client)
    assert (count(UNSHOWN, "entry") - before[0], count(UNSHOWN, "progress") - before[1]) == (3, 3)


async def test_an_announcement_without_its_largest_columns_is_made_up_for_from_the_ledger(open_world: World) -> None:
    before = count(SET_ASIDE, open_world.topics.progressed)
    async with open_world.client("ann") as ann:
        row = await move(open_world, "ann", 2)
        del row["steps"]
        message = {"op": "u", "after": row, "omitted": ["steps"], "source": {"epoch": "1", "commit_lsn": 1, "index": 0}}
        open_world.producer.produce(open_world.topics.progressed, json.dumps(message).encode(), b"acme:ann")
        open_world.producer.flush(10)
        assert (await receive(ann))["steps"][0]["done"] == 2
        announce_moves(open_world, await move(open_world, "ann", 3))
        assert (await receive(ann))["steps"][0]["done"] == 3
    assert count(SET_ASIDE, open_world.topics.progressed) == before


async def test_sessions_survive_backends_that_are_ended_again_and_again(open_world: World) -> None:
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fillip_gateway' AND datname = current_database()"
    async with open_world.client("ann", cursor=0) as ann:
        for seq in range(1, 6):
            await open_world.pool.execute(end)
            await open_world.grant("ann", seq, seq)
            open_world.producer.produce(open_world.topics.generated, b"nonsense", b"acme:ann")
            await open_world.pool.execute(end)
        assert await receive_seqs(ann, 5) == [1, 2, 3, 4, 5]
