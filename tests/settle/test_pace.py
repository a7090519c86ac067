"""Deciding that takes longer than PostgreSQL lets a session be silent."""

import time
from collections.abc import Callable, Iterator
from typing import ParamSpec

import pytest

from fillip.core.ledger.settlement import Settled, decide
from fillip.settle import stage
from tests.settle.conftest import World

Told = ParamSpec("Told")


def slow_down(call: Callable[Told, Iterator[Settled]]) -> Callable[Told, Iterator[Settled]]:
    """The same decisions, each after some computing: nothing else can run meanwhile."""

    def compute(*told: Told.args, **named: Told.kwargs) -> Iterator[Settled]:
        for settled in call(*told, **named):
            time.sleep(0.3)
            yield settled

    return compute


async def test_a_batch_that_is_decided_for_longer_than_a_silent_session_lives_is_settled(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stage, "decide", slow_down(decide))
    await world.play(*[world.match(f"e{number}") for number in range(10)])
    assert world.rows("SELECT count(*) FROM incentive") == [(10,)]


async def test_what_is_written_in_several_statements_is_one_batch(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fillip.settle.postgres.WRITTEN_AT_ONCE", 2)
    world.add_limit("five", 5)
    await world.play(*[world.match(f"e{number}") for number in range(7)])
    assert world.rows("SELECT outcome, count(*) FROM decision GROUP BY 1 ORDER BY 1") == [("denied", 2), ("granted", 5)]
    assert world.rows("SELECT seq FROM inbox ORDER BY seq") == [(n,) for n in range(1, 6)]
    assert world.rows("SELECT used, version FROM limit_counter") == [(5, 5)]
    assert world.rows("SELECT last_seq FROM inbox_head") == [(5,)]
