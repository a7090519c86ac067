"""How far the user's quests are: shown at once, then with each change; never an older state after a newer one."""

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime

from websockets.asyncio.client import ClientConnection

from tests.deliver.gateway_world import (
    BreakingTail,
    GatheringTail,
    World,
    hear_nothing_but_pong,
    receive,
    receive_seqs,
    until,
)
from tests.deliver.quest_hand import announce_moves, move, move_and_announce


def read(frame: dict) -> tuple[str, str, int]:
    """(instance, state, done) of a progress frame."""
    assert (frame["type"], frame["campaign_id"]) == ("progress", "visits")
    return frame["instance"], frame["state"], frame["steps"][0]["done"]


async def test_each_change_is_shown_and_stands_in_no_inbox(open_world: World) -> None:
    async with open_world.client("ann") as client:
        moves = [(1, "open"), (2, "open"), (3, "completed"), (2, "open"), (0, "reversed"), (3, "denied"), (1, "lapsed")]
        for done, state in moves:
            await move_and_announce(open_world, "ann", done, state=state)
            assert read(await receive(client)) == ("1", state, done)
        await open_world.grant("ann", 1, 1)
        await open_world.announce("ann", [1])
        assert await receive_seqs(client, 1) == [1]
        await client.send('{"type":"ack","seq":1}')
        assert await hear_nothing_but_pong(client)


async def test_a_frame_holds_what_a_bar_needs_and_nothing_else(open_world: World) -> None:
    async with open_world.client("ann") as live:
        row = await move(open_world, "ann", 1, key="order 7#a")
        announce_moves(open_world, row)
        frame = await receive(live)
        async with open_world.client("ann") as late:
            assert await receive(late) == frame
    ends_at = frame.pop("ends_at")
    assert datetime.fromisoformat(ends_at) == datetime.fromisoformat(row["ends_at"])
    assert len(ends_at) == len("2026-01-31T09:30:00.000000Z")
    assert frame == {
        "type": "progress",
        "campaign_id": "visits",
        "instance": "order 7#a#1",
        "state": "open",
        "steps": [{"name": "visit", "done": 1, "needed": 3}],
        "started_at": "2026-01-31T09:30:00.000000Z",
        "revision": 1,
    }


async def test_who_connects_is_shown_what_is_open_and_not_over(open_world: World) -> None:
    for key, state, ends_in_s in (
        ("a", "open", 600), ("b", "completed", 600), ("c", "denied", 600), ("d", "lapsed", 600), ("e", "reversed", 600),
        ("f", "closed", 600),
        ("over", "open", -70), ("late", "open", -50),  # it may still take events for a minute
    ):  # fmt: skip
        await move(open_world, "ann", 1, key=key, state=state, ends_in_s=ends_in_s)
    async with open_world.client("ann") as client:
        shown = [await receive(client) for _ in range(2)]
        assert {read(frame) for frame in shown} == {("a#1", "open", 1), ("late#1", "open", 1)}
        assert await hear_nothing_but_pong(client)


async def test_the_hundred_newest_of_many_are_shown(open_world: World) -> None:
    for number in range(101):
        await move(open_world, "ann", 1, key=f"{number:03}")
    await open_world.pool.execute("UPDATE quest_instance SET started_at = now() - instance_key::int * interval '1 s'")
    async with open_world.client("ann") as client:
        shown = [read(await receive(client))[0] for _ in range(100)]
        assert shown == [f"{number:03}#1" for number in range(99, -1, -1)]
        assert await hear_nothing_but_pong(client)


async def test_users_and_tenants_are_shown_their_own_only(open_world: World) -> None:
    await move(open_world, "bob", 1)
    await move(open_world, "ann", 2, tenant="rival")
    async with open_world.client("ann") as ann, open_world.client("bob") as bob, open_world.client("bob") as bob_too:
        assert read(await receive(bob)) == read(await receive(bob_too)) == ("1", "open", 1)
        await move_and_announce(open_world, "ann", 3, tenant="rival", state="completed")
        await move_and_announce(open_world, "bob", 2)
        assert read(await receive(bob)) == read(await receive(bob_too)) == ("1", "open", 2)
        await move_and_announce(open_world, "ann", 1)
        assert read(await receive(ann)) == ("1", "open", 1)
        assert await hear_nothing_but_pong(ann)


async def test_what_is_announced_twice_or_late_is_left_out(open_world: World) -> None:
    rows = [await move(open_world, "ann", done) for done in (1, 2)]
    async with open_world.client("ann") as client:
        assert read(await receive(client)) == ("1", "open", 2)
        rows.append(await move(open_world, "ann", 3, state="completed"))
        announce_moves(open_world, rows[0], rows[1], rows[2], rows[1], rows[2])
        assert read(await receive(client)) == ("1", "completed", 3)
        announce_moves(open_world, rows[1], await move(open_world, "ann", 2))
        assert read(await receive(client)) == ("1", "open", 2)
        assert await hear_nothing_but_pong(client)


async def test_the_first_that_a_connection_shows_is_no_older_than_what_the_one_before_it_showed(
    open_world: World,
) -> None:
    async with open_world.client("ann") as early:
        for done in (1, 3, 5):
            await move_and_announce(open_world, "ann", done)
            assert read(await receive(early)) == ("1", "open", done)  # the gateway remembers this one
            await move(open_world, "ann", done + 1)
            for _ in range(2):
                async with open_world.client("ann") as late:
                    assert read(await receive(late)) == ("1", "open", done + 1)


async def test_announced_before_it_can_be_read_is_shown_and_so_is_the_rest_of_its_commit(open_world: World) -> None:
    # The WAL may be read a moment before the rows are visible to others.
    await move(open_world, "ann", 1, key="a")
    await move(open_world, "ann", 1, key="b")
    async with open_world.client("ann") as early, AsyncExitStack() as stack, open_world.pool.acquire() as other:
        assert [read(await receive(early)) for _ in range(2)] == [("a#1", "open", 1), ("b#1", "open", 1)]
        async with other.transaction():
            await move(open_world, "ann", 2, key="a", connection=other)
            announce_moves(open_world, await move(open_world, "ann", 2, key="b", connection=other))
            assert read(await receive(early)) == ("b#1", "open", 2)  # the gateway has it
            late = await stack.enter_async_context(open_world.client("ann"))
            shown = [read(await receive(late)) for _ in range(2)]
            assert sorted(shown) == [("a#1", "open", 1), ("b#1", "open", 2)]
            assert await hear_nothing_but_pong(late)
        assert read(await receive(late)) == ("a#1", "open", 2)
        assert await hear_nothing_but_pong(late)


async def test_moved_while_clients_come_and_go_each_sees_it_grow_up_to_the_newest(open_world: World) -> None:
    async def write() -> None:
        for done in range(1, 401):
            await move_and_announce(open_world, "ann", done, key=str(done % 2))

    await move(open_world, "ann", 0, key="0")
    await move(open_world, "ann", 0, key="1")
    last = {"0#1": 400, "1#1": 399}
    newest = dict.fromkeys(last, 0)
    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        while newest != last:
            async with open_world.client("ann") as client:
                newest = await watch(client, newest, last)


async def watch(client: ClientConnection, before: dict[str, int], last: dict[str, int]) -> dict[str, int]:
    """Read some frames, each newer than those before it; the newest."""
    seen = dict.fromkeys(before, -1)
    for _ in range(17):
        instance, _, done = read(await receive(client))
        assert done > seen[instance]
        assert done >= before[instance]
        seen[instance] = done
        if seen == last:
            assert await hear_nothing_but_pong(client)
            break
    return {instance: max(done, seen[instance]) for instance, done in before.items()}


async def test_a_client_that_reads_slowly_gets_its_incentives_and_of_each_quest_the_newest_state(
    open_world: World,
) -> None:
    async with open_world.client("ann") as slow, open_world.client("ann") as quick:
        slow.transport.pause_reading()
        row = await move(open_world, "ann", 1, step="s" * 10_000)
        for start in range(1, 2001, 100):
            announce_moves(open_world, *[row | {"revision": revision} for revision in range(start, start + 100)])
            while (await receive(quick))["revision"] < start + 99:
                pass
        await open_world.grant("ann", 1, 1)
        await open_world.announce("ann", [1])
        assert await receive_seqs(quick, 1) == [1]
        slow.transport.resume_reading()
        revisions, incentives = [0], 0
        while revisions[-1] < 2000 or not incentives:
            frame = await receive(slow)
            if frame["type"] == "progress":
                assert frame["revision"] > revisions[-1]
                revisions.append(frame["revision"])
            else:
                incentives += 1
        assert len(revisions) < 1500
        assert await hear_nothing_but_pong(slow)


async def test_an_incentive_does_not_wait_for_progress_announced_before_it(closed_world: World) -> None:
    world = closed_world
    world.tail = GatheringTail
    row = await move(world, "ann", 1)
    async with world.gateway(), world.client("ann") as client:
        assert (await receive(client))["type"] == "progress"
        announce_moves(world, *[row | {"revision": revision} for revision in range(2, 1001)])
        await world.grant("ann", 1, 1)
        await world.announce("ann", [1])
        assert (await receive(client))["type"] == "incentive"
        assert (await receive(client))["type"] == "progress"


async def test_what_ended_while_the_tail_was_broken_is_shown(closed_world: World) -> None:
    world = closed_world
    world.tail = BreakingTail
    await move(world, "ann", 2)
    async with world.gateway(), world.client("ann") as client:
        assert read(await receive(client)) == ("1", "open", 2)
        await until(lambda: bool(BreakingTail.breaks))
        await move(world, "ann", 3, state="completed")  # and never announced
        BreakingTail.breaks[-1].set_result([])
        assert read(await receive(client)) == ("1", "completed", 3)


async def test_an_announcement_that_cant_be_read_is_made_up_for_from_the_ledger(open_world: World) -> None:
    async with open_world.client("ann") as client:
        await move_and_announce(open_world, "ann", 1)
        assert read(await receive(client)) == ("1", "open", 1)
        row = await move(open_world, "ann", 2)
        announce_moves(open_world, row | {"steps": "nonsense"})
        assert read(await receive(client)) == ("1", "open", 2)
