"""Limits that give what is left, on a real PostgreSQL: what was wanted is told, and what was given is what counts."""

import pytest
from msgspec.structs import replace

from fillip.core.campaign.reward import Reward
from tests.settle.conftest import World

GIVEN = "SELECT event_id, kind, value FROM incentive ORDER BY inbox_seq"
BUDGET = {"measure": "value", "reward_kind": "cashback", "over": "partial"}
POINTS = {"measure": "value", "reward_kind": "points"}


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
async def test_the_last_grant_is_what_is_left_and_the_next_is_refused(world: World, together: bool):
    world.add_limit("budget", 620, **BUDGET)
    matches = [world.match(f"e{n}", value=500) for n in range(3)]
    for batch in [matches] if together else [[match] for match in matches]:
        await world.play(*batch)
    assert world.rows(GIVEN) == [("e0", "cashback", 500), ("e1", "cashback", 120)]
    assert world.rows("SELECT used FROM limit_counter") == [(620,)]
    told = world.rows(
        "SELECT reason, reward_values -> 0 ->> 'value', reward_values -> 0 ->> 'wanted', limits -> 0 ->> 'used_before',"
        " limits -> 0 ->> 'amount', limits -> 0 ->> 'wanted' FROM decision ORDER BY event_id"
    )
    assert told == [
        ("granted", "500", None, "0", "500", None),
        ("granted", "120", "500", "500", "120", "500"),
        ("limit", None, None, "620", "500", None),
    ]


async def test_of_several_limits_the_least_room_counts_and_other_rewards_stay_whole(world: World):
    world.add_limit("budget", 300, **BUDGET)
    world.add_limit("mine", 80, scope="user", **BUDGET)
    world.add_limit("points", 10, **POINTS)
    rewards = (Reward("cashback", 50, "USD"), Reward("points", 10), Reward("cashback", 60, "USD"))
    await world.play(world.match("e1", rewards=rewards), world.match("e2", "u2", rewards=rewards))
    assert world.rows(GIVEN) == [("e1", "cashback", 50), ("e1", "points", 10), ("e1", "cashback", 30)]
    assert world.rows("SELECT limit_id, used FROM limit_counter WHERE used > 0 ORDER BY 1") == [
        ("budget", 80),
        ("mine", 80),
        ("points", 10),
    ]
    assert world.rows("SELECT reason FROM decision WHERE event_id = 'e2'") == [("limit",)], (
        "points are given whole or not"
    )


async def test_a_limit_that_refuses_weighs_what_is_left_and_hints_deny_nothing_of_it(world: World):
    world.add_limit("budget", 120, **BUDGET)
    world.add_limit("hard", 120, measure="value", reward_kind="cashback")
    match = world.match("e1", value=500)
    full = frozenset(charge.counter for charge in match.charges)
    await world.play(replace(match, full=full))
    assert world.rows(GIVEN) == [("e1", "cashback", 120)]


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
async def test_a_reversal_takes_back_what_was_given(world: World, together: bool):
    world.add_limit("budget", 120, **BUDGET | {"reward_kind": "points"})
    turns = [
        world.match("e1", rewards=(Reward("points", 500),)),
        world.reversal("half", "e1", amount=1, of=2),
        world.match("e2", rewards=(Reward("points", 40),)),
        world.reversal("rest", "e1"),
    ]
    for batch in [turns] if together else [[turn] for turn in turns]:
        await world.play(*batch)
    assert world.rows("SELECT event_id, value, reversed_value, state FROM incentive ORDER BY inbox_seq") == [
        ("e1", 120, 120, "reversed"),
        ("e2", 40, 0, "granted"),
    ]
    assert world.rows("SELECT active, reversed FROM wallet") == [(40, 120)]
    assert world.rows("SELECT used FROM limit_counter") == [(40,)]
