"""Positions belong to one log: another one is another generation, and nothing of the two is mixed up."""

import pytest
from msgspec.structs import replace

from fillip.core.errors import Fenced, Refused, Retry
from fillip.core.event import Place, Rejection
from fillip.migrations import role_dsn
from fillip.settle.positions.postgres import list_positions, restart_positions
from fillip.settle.postgres import PostgresLedger
from fillip.stream.belt import Batch, Position
from fillip.stream.fit import Log
from tests.builders import T0
from tests.settle.conftest import TOPIC, World

NEW = {0: Log(0, 40, "new"), 1: Log(3, 40, "new")}


def under(generation: int, batch: Batch) -> Batch:
    return replace(batch, spans=[replace(span, generation=generation) for span in batch.spans])


def poison(offset: int, original: bytes) -> Rejection:
    return Rejection(Place(TOPIC, 0, offset), "undecodable", "no JSON", original, T0)


async def restart(world: World, database: str) -> None:
    dsn = role_dsn(database, "fillip_worker")
    await restart_positions(dsn, TOPIC, await list_positions(dsn, TOPIC), NEW)


async def test_a_position_is_made_once_and_keeps_the_log_it_was_made_for(world: World) -> None:
    ledger = PostgresLedger(world.pool, "test")
    assert await ledger.claim("fresh", 0, 7, "A") == Position(7, 0, "A")
    assert await ledger.claim("fresh", 0, 0, "B") == Position(7, 0, "A")


async def test_after_a_restart_the_old_log_settles_nothing_more(world: World, database: str) -> None:
    await world.play(world.match("e1"))
    late = world.match("e2")
    await restart(world, database)
    ledger = PostgresLedger(world.pool, "test")
    assert await ledger.claim(TOPIC, 0, 9, "new") == Position(0, 1, "new")
    assert await ledger.claim(TOPIC, 1, 9, "new") == Position(3, 1, "new")

    with pytest.raises(Fenced):
        await world.play(late)
    world.ends.clear()
    again = world.match("e1")  # the same offset of the new log, as the zombie of the old one would name it
    with pytest.raises(Fenced):
        await world.play(again)
    await world.settle(under(1, world.batch(again)), [again])
    assert world.rows("SELECT event_id FROM decision") == [("e1",)]  # once, though it stands in both logs
    assert world.rows("SELECT next_offset, generation FROM consumer_position WHERE partition = 0") == [(1, 1)]


async def test_what_is_rejected_in_the_new_log_is_kept_beside_the_old(world: World, database: str) -> None:
    old, new = poison(0, b"old"), poison(0, b"new")
    await world.play(old)
    await restart(world, database)
    await world.settle(under(1, world.batch(new)), [new])
    rows = world.rows("SELECT generation, original, rejection_id FROM rejection ORDER BY 1")
    assert [(generation, bytes(original)) for generation, original, _ in rows] == [(0, b"old"), (1, b"new")]
    assert len({number for *_, number in rows}) == 2


async def test_a_restart_is_whole_or_nothing(world: World, database: str) -> None:
    dsn = role_dsn(database, "fillip_worker")
    seen = await list_positions(dsn, TOPIC)
    await world.play(world.match("e1", partition=1))
    with pytest.raises(Refused, match="moved meanwhile"):
        await restart_positions(dsn, TOPIC, seen, NEW)
    assert world.rows("SELECT generation FROM consumer_position") == [(0,), (0,)]


async def test_the_books_of_a_new_log_are_noted_beside_the_old(world: World, database: str) -> None:
    await world.play(world.match("e1"))
    await restart(world, database)
    world.ends.clear()
    match = world.match("e2")
    await world.settle(under(1, world.batch(match)), [match])
    assert world.rows("SELECT generation, from_offset FROM book_pin ORDER BY 1") == [(0, 0), (1, 0)]


async def test_positions_of_an_unknown_server_are_a_clear_error() -> None:
    with pytest.raises(Retry, match="does not answer"):
        await list_positions("postgres://x:y@127.0.0.1:9/z", TOPIC)
