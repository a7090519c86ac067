"""Parts of events that were terms of a quest's sum: the sum is lowered, and what it completed goes with it."""

from datetime import timedelta
from typing import Any

from msgspec import json
from msgspec.structs import replace

from fillip.core.campaign.quest import Quest, Step, Streak
from fillip.core.campaign.reward import Reward
from fillip.core.match.candidate import Match
from tests.builders import build_campaign
from tests.settle.conftest import World

SPEND = Step("spend", "BUY", sum="event.cents", at_least=1000)
SPENT = Quest(steps=(SPEND,))
INSTANCES = "SELECT occurrence, state, (steps -> 0 ->> 'done')::int FROM quest_instance ORDER BY occurrence"
GIVEN = "SELECT event_id, amount, reversed FROM quest_step_met JOIN event_met USING (tenant_id, event_key) ORDER BY sequence"
INCENTIVES = "SELECT event_id, kind, state, reversed_value FROM incentive ORDER BY inbox_seq"
CASHBACK = (Reward("cashback", 100, "USD"),)


def define(world: World, quest: Quest, rewards: tuple[Reward, ...] = CASHBACK) -> None:
    """Store the campaign as its version 1."""
    campaign = build_campaign(rewards=rewards, quest=quest)
    world.owner.execute("UPDATE campaign_version SET definition = %s", [json.encode(campaign).decode()])


def spend(world: World, event_id: str, cents: int, quest: Quest = SPENT, **more: Any) -> Match:
    match = world.match(event_id, quest=quest, **more)
    return replace(match, candidates=[replace(each, amounts={0: cents}) for each in match.candidates])


async def test_a_part_lowers_the_sum_by_its_share_rounded_toward_zero(world: World):
    define(world, SPENT)
    await world.play(spend(world, "e1", 100), spend(world, "e2", -100), spend(world, "e3", 500))
    await world.play(world.reversal("r1", "e1", amount=1, of=3), world.reversal("r2", "e2", amount=2, of=3))
    assert world.rows(GIVEN) == [("e1", 100, 33), ("e2", -100, -66), ("e3", 500, 0)]
    assert world.rows(INSTANCES) == [(1, "open", 67 - 34 + 500)]
    assert world.rows("SELECT quests -> 0 -> 'taken' FROM reversal ORDER BY number") == [
        ([{"step": "spend", "amount": 33, "was": 500, "done": 467}],),
        ([{"step": "spend", "amount": -66, "was": 467, "done": 533}],),
    ]


async def test_parts_add_up_to_the_whole_by_amount_and_by_line(world: World):
    define(world, SPENT)
    await world.play(spend(world, "e1", 100), spend(world, "e2", 7))
    lines = [world.reversal(f"r{n}", "e1", lines=[{"line": f"sku-{n}", "amount": 1}], of=3) for n in (1, 2, 3)]
    await world.play(lines[0], lines[0], lines[1])
    assert world.rows(INSTANCES) == [(1, "open", 34 + 7)]
    await world.play(lines[2], world.reversal("r4", "e1"))
    assert world.rows(GIVEN) == [("e1", 100, 100), ("e2", 7, 0)]
    assert world.rows(INSTANCES) == [(1, "open", 7)]
    assert world.rows("SELECT state, reason FROM reversal ORDER BY number") == [
        *[("applied", "applied")] * 3,
        ("nothing", "already_reversed"),
    ]


async def test_a_sum_that_is_no_longer_reached_loses_its_reward_in_whole_and_can_be_reached_again(world: World):
    rewards = (Reward("points", 50), Reward("badge", badge="saver"), *CASHBACK)
    define(world, SPENT, rewards)
    world.add_limit("once", 1, scope="user")
    world.add_limit("budget", 100, measure="value", reward_kind="cashback")
    await world.play(spend(world, "e1", 600, rewards=rewards), spend(world, "e2", 400, rewards=rewards))
    assert world.rows("SELECT count(*) FROM badge_held") == [(1,)]
    await world.play(world.reversal("r1", "e1", amount=1, of=10))
    assert world.rows(INSTANCES) == [(1, "open", 940)]
    taken = [("e2", "points", "reversed", 50), ("e2", "badge", "reversed", 0), ("e2", "cashback", "reversed", 100)]
    assert world.rows(INCENTIVES) == taken
    assert world.rows("SELECT limit_id, used, version FROM limit_counter ORDER BY 1") == [
        ("budget", 0, 2),
        ("once", 0, 2),
    ]
    assert world.rows("SELECT active, reversed FROM wallet") == [(0, 50)]
    assert world.rows("SELECT count(*) FROM badge_held") == [(0,)]
    await world.play(spend(world, "e3", 60, rewards=rewards), world.reversal("r2", "e1", amount=1, of=100))
    assert world.rows(INSTANCES) == [(1, "open", 994)]
    assert world.rows(INCENTIVES)[3:] == [
        ("e3", "points", "reversed", 50), ("e3", "badge", "reversed", 0), ("e3", "cashback", "reversed", 100)
    ]  # fmt: skip


async def test_a_sum_that_is_reached_all_the_same_keeps_its_reward(world: World):
    define(world, SPENT)
    await world.play(spend(world, "e1", 600), spend(world, "e2", 500))
    await world.play(world.reversal("r1", "e2", amount=1, of=5))
    assert world.rows(INSTANCES) == [(1, "completed", 1000)]
    assert world.rows(INCENTIVES) == [("e2", "cashback", "granted", 0)]
    await world.play(world.reversal("r2", "e2", amount=1, of=500))
    assert world.rows(INSTANCES) == [(1, "open", 999)]
    assert world.rows(INCENTIVES) == [("e2", "cashback", "reversed", 100)]


async def test_a_part_that_came_first_is_applied_right_behind_its_original(world: World):
    define(world, SPENT)
    await world.play(world.reversal("r1", "e1", amount=1, of=2))
    await world.play(spend(world, "e1", 1000), spend(world, "e2", 499))
    assert world.rows(INSTANCES) == [(1, "open", 999)]
    assert world.rows(INCENTIVES) == [("e1", "cashback", "reversed", 100)]
    await world.play(spend(world, "e3", 1))
    assert world.rows(INCENTIVES)[1:] == [("e3", "cashback", "granted", 0)]


async def test_parts_of_an_event_that_only_counted_make_its_whole(world: World):
    quest = Quest(steps=(Step("visit", "BUY", count=3),))
    define(world, quest)
    await world.play(world.match("e1", quest=quest), world.match("e2", quest=quest))
    await world.play(world.reversal("r1", "e2", amount=1, of=2))
    assert world.rows(INSTANCES) == [(1, "open", 2)]
    assert world.rows("SELECT state, quests FROM reversal") == [("applied", [])]
    await world.play(world.reversal("r2", "e2", amount=1, of=2))
    assert world.rows(INSTANCES) == [(1, "open", 1)]


async def test_nothing_completes_by_a_reversal_alone(world: World):
    define(world, SPENT)
    await world.play(spend(world, "e1", -100), spend(world, "e2", 1050), world.reversal("r1", "e1", amount=9, of=10))
    assert world.rows(INSTANCES) == [(1, "open", 999)]
    assert world.rows(INCENTIVES) == []
    await world.play(spend(world, "e3", 1))
    assert world.rows(INSTANCES) == [(1, "completed", 1000)]
    assert world.rows(INCENTIVES) == [("e3", "cashback", "granted", 0)]
    await world.play(world.reversal("r2", "e3"))  # the instance is complete without it
    assert world.rows(INCENTIVES) == [("e3", "cashback", "granted", 0)]
    await world.play(world.reversal("r3", "e2", amount=1, of=10))
    assert world.rows(INCENTIVES) == [("e3", "cashback", "reversed", 100)]


async def test_a_streak_keeps_its_reward_while_the_days_left_are_enough_and_a_late_day_wins_it_back(world: World):
    quest = Quest(steps=(Step("day", "BUY", streak=Streak(3, "day", 1)),))
    define(world, quest)
    days = {n: world.match(f"e{n}", quest=quest, after=timedelta(days=n)) for n in (1, 3, 5, 6)}
    await world.play(*days.values())
    assert world.rows(INCENTIVES) == [("e6", "cashback", "granted", 0)]
    await world.play(world.reversal("r1", "e1"))
    assert world.rows(INSTANCES) == [(1, "completed", 3)]
    await world.play(world.reversal("r2", "e3"))
    assert world.rows(INSTANCES) == [(1, "open", 2)]
    assert world.rows(INCENTIVES) == [("e6", "cashback", "reversed", 100)]
    await world.play(world.match("e4", quest=quest, after=timedelta(days=4)))
    assert world.rows(INSTANCES) == [(1, "completed", 3)]
    assert world.rows(INCENTIVES)[1:] == [("e4", "cashback", "granted", 0)]


async def test_events_count_in_the_order_in_which_they_were_settled_whatever_their_places(world: World):
    """A producer put events of one user into two partitions: their offsets say nothing, and may be the same."""
    define(world, SPENT)
    await world.play(spend(world, "e1", 100), spend(world, "e2", 800))
    await world.play(spend(world, "e3", 100, partition=1))
    assert world.rows(INCENTIVES) == [("e3", "cashback", "granted", 0)]
    await world.play(world.reversal("r1", "e1", amount=1, of=2))
    assert world.rows(INCENTIVES) == [("e3", "cashback", "reversed", 100)]
    assert world.rows(INSTANCES) == [(1, "open", 950)]
