"""What a client gets: its inbox, in order, whole, never twice; replayed, then live (invariant I7)."""

import asyncio
import time

import pytest

from fillip.deliver import session
from tests.deliver.gateway_world import BreakingTail, World, hear_nothing_but_pong, receive, receive_seqs, until


async def test_replay_then_live(open_world: World) -> None:
    await open_world.grant("ann", 1, 250)  # more than two pages
    async with open_world.client("ann", cursor=0) as client:
        assert await receive_seqs(client, 250) == list(range(1, 251))
        await open_world.grant("ann", 251, 253)
        await open_world.announce("ann", [251, 252, 253])
        assert await receive_seqs(client, 3) == [251, 252, 253]


async def test_a_live_frame_equals_its_replay(open_world: World) -> None:
    async with open_world.client("ann") as live:
        await open_world.grant("ann", 1, 1)
        await open_world.announce("ann", [1])
        first = await receive(live)
    async with open_world.client("ann", cursor=0) as replayed:
        assert await receive(replayed) == first
    assert first["incentive"] == first["incentive"] | {
        "campaign_id": "welcome",
        "kind": "points",
        "value": 50,
        "currency": None,
        "payload": {"text": "No. 1"},
        "event_id": "e1",
        "event_source": "/till",
    }


async def test_a_reversal_is_told_as_an_entry_of_its_own_live_and_replayed(open_world: World) -> None:
    async with open_world.client("ann") as live:
        await open_world.grant("ann", 1, 2)
        await open_world.announce("ann", [1, 2])
        await open_world.reverse("ann", 1, 20)
        await open_world.reverse("ann", 1, 30)
        await open_world.announce("ann", [3, 4])
        frames = [await receive(live) for _ in range(4)]
    async with open_world.client("ann", cursor=0) as replayed:
        assert [await receive(replayed) for _ in range(4)] == frames
    assert [(frame["type"], frame["seq"]) for frame in frames] == [
        ("incentive", 1),
        ("incentive", 2),
        ("reversed", 3),
        ("reversed", 4),
    ]
    assert frames[0]["incentive"] == frames[2]["incentive"] == frames[3]["incentive"]
    assert [(f["change"]["value"], f["change"]["reversed_value"]) for f in frames[2:]] == [(20, 20), (30, 50)]
    assert frames[3]["change"]["reason"] == "returned"


async def test_resume_by_cursor_after_messages_missed(open_world: World) -> None:
    await open_world.grant("ann", 1, 3)
    async with open_world.client("ann", cursor=0) as client:
        seen = await receive_seqs(client, 3)
    await open_world.grant("ann", 4, 6)
    await open_world.announce("ann", [4, 5, 6])
    async with open_world.client("ann", cursor=3) as client:
        seen += await receive_seqs(client, 3)
        assert await hear_nothing_but_pong(client)
    assert seen == [1, 2, 3, 4, 5, 6]


async def test_without_cursor_only_unacked(open_world: World) -> None:
    await open_world.grant("ann", 1, 5)
    async with open_world.client("ann", cursor=0) as client:
        await receive_seqs(client, 5)
        await client.send('{"type":"ack","seq":2}')
        await client.send('{"type":"ack","seq":3}')
    await until(lambda: count_acked(open_world, 3))
    async with open_world.client("ann") as client:
        assert await receive_seqs(client, 2) == [4, 5]


async def test_an_acked_entry_says_of_which_campaign_it_is_and_when_it_was_granted(open_world: World) -> None:
    await open_world.grant("ann", 1, 3)
    await open_world.pool.execute("DELETE FROM incentive WHERE inbox_seq = 2")
    async with open_world.client("ann", cursor=1) as client:
        assert await receive_seqs(client, 1) == [3]
        await client.send('{"type":"ack","seq":3}')
        await until(lambda: count_acked(open_world, 3))
    said = "SELECT b.campaign_id, b.granted_at = i.granted_at FROM inbox b LEFT JOIN incentive i USING (incentive_id) ORDER BY seq"
    assert [tuple(row) for row in await open_world.pool.fetch(said)] == [
        ("welcome", True),
        (None, None),
        ("welcome", True),
    ]


async def count_acked(world: World, count: int) -> bool:
    return await world.pool.fetchval("SELECT count(*) FROM inbox WHERE acked_at IS NOT NULL") == count


async def test_announced_twice_is_sent_once(open_world: World) -> None:
    async with open_world.client("ann") as client:
        await open_world.grant("ann", 1, 2)
        await open_world.announce("ann", [1, 2, 1, 2])
        assert await receive_seqs(client, 2) == [1, 2]
        await open_world.grant("ann", 3, 3)
        await open_world.announce("ann", [2, 3])
        assert await receive_seqs(client, 1) == [3]
        assert await hear_nothing_but_pong(client)


async def test_a_gap_in_the_announcements_is_filled_from_the_inbox(open_world: World) -> None:
    async with open_world.client("ann") as client:
        await open_world.grant("ann", 1, 5)
        await open_world.announce("ann", [1, 5, 3])
        assert await receive_seqs(client, 5) == [1, 2, 3, 4, 5]
        assert await hear_nothing_but_pong(client)


async def test_announced_before_it_can_be_read_is_still_sent(open_world: World) -> None:
    # The WAL may be read a moment before the rows are visible to others.
    async with open_world.client("ann") as client:
        async with open_world.pool.acquire() as other, other.transaction():
            await other.execute("SET LOCAL session_replication_role = replica")
            await open_world.grant("bob", 1, 1)
        row = await open_world.fetch_row("bob", 1)
        open_world.produce("ann", row | {"user_id": "ann", "inbox_seq": 2})
        open_world.producer.flush(10)
        assert await hear_nothing_but_pong(client)
        await open_world.grant("ann", 1, 2)
        assert await receive_seqs(client, 2) == [1, 2]


async def test_granted_while_clients_come_and_go_nothing_lost_nothing_twice(open_world: World) -> None:
    async def write() -> None:
        for first in range(1, 301, 3):
            await open_world.grant("ann", first, first + 2)
            await open_world.announce("ann", range(first, first + 3))

    writing = asyncio.create_task(write())
    seen: list[int] = []
    while len(seen) < 300:
        async with open_world.client("ann", cursor=len(seen)) as client:
            seen += await receive_seqs(client, min(17, 300 - len(seen)))
    await writing
    assert seen == list(range(1, 301))


async def test_users_get_their_own_only(open_world: World) -> None:
    async with open_world.client("ann") as ann, open_world.client("bob") as bob, open_world.client("bob") as bob_too:
        await open_world.grant("ann", 1, 1)
        await open_world.grant("bob", 1, 2)
        await open_world.announce("ann", [1])
        await open_world.announce("bob", [1, 2])
        assert await receive_seqs(bob, 2) == await receive_seqs(bob_too, 2) == [1, 2]
        assert await receive_seqs(ann, 1) == [1]
        assert await hear_nothing_but_pong(ann)


async def test_trace_tells_each_step(open_world: World) -> None:
    async with open_world.client("ann", trace=True) as client:
        await open_world.grant("ann", 1, 1)
        await open_world.announce("ann", [1])
        await receive(client)  # replayed or live; from here on it is live
        await open_world.grant("ann", 2, 2)
        await open_world.announce("ann", [1, 2])
        trace = (await receive(client))["trace"]
    steps = ["received", "taken", "granted", "committed", "published", "pushed"]
    stamps = [trace[f"{step}_at_us"] for step in steps]
    assert stamps == sorted(stamps)
    assert abs(time.time_ns() // 1000 - stamps[-1]) < 60_000_000


async def test_a_client_that_does_not_read_is_cut_and_the_others_are_served(
    open_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "STALLED_FOR_S", 1.0)
    before = count_cut()
    async with open_world.client("ann") as reader, open_world.client("ann") as idle:
        idle.transport.pause_reading()
        await open_world.grant("ann", 1, 1000)
        await open_world.pool.execute("UPDATE incentive SET payload = jsonb_build_object('text', repeat('x', 10000))")
        row = await open_world.fetch_row("ann", 1)
        for seq in range(1, 1001):
            open_world.produce("ann", row | {"inbox_seq": seq})
        assert await receive_seqs(reader, 1000) == list(range(1, 1001))
        await until(lambda: count_cut() > before)
        assert await hear_nothing_but_pong(reader)
        idle.transport.resume_reading()


def count_cut() -> float:
    return session.CLOSED.labels("slow-reader")._value.get()


async def test_a_broken_tail_is_opened_again_and_sessions_catch_up(closed_world: World) -> None:
    world = closed_world
    world.tail = BreakingTail
    async with world.gateway(), world.client("ann") as client:
        await until(lambda: bool(BreakingTail.breaks))
        BreakingTail.breaks[-1].set_result([])
        await world.grant("ann", 1, 2)  # while nothing is listened to
        await world.announce("ann", [1, 2])
        assert await receive_seqs(client, 2) == [1, 2]
