"""Reversals of events that were steps of a quest: the instance stands as if they had never counted."""

from msgspec import json
from msgspec.structs import replace

from fillip.core.campaign.quest import Quest, Start, Step
from fillip.core.campaign.reward import Reward
from fillip.core.match.candidate import Match
from tests.builders import build_campaign
from tests.settle.conftest import World

THRICE = Quest(steps=(Step("visit", "BUY", count=3),))
ENROLLED = Quest(steps=(Step("visit", "BUY", count=2),), start=Start("event", "BUY"))
INSTANCES = "SELECT occurrence, state, (steps -> 0 ->> 'done')::int FROM quest_instance ORDER BY occurrence"
INCENTIVES = "SELECT event_id, state, reversed_value FROM incentive ORDER BY inbox_seq"
USED = "SELECT used, version FROM limit_counter"


def define(world: World, quest: Quest) -> None:
    """Store the campaign as its version 1."""
    campaign = build_campaign(rewards=(Reward("cashback", 100, "USD"),), quest=quest)
    world.owner.execute("UPDATE campaign_version SET definition = %s", [json.encode(campaign).decode()])


def visits(world: World, quest: Quest, *event_ids: str) -> list[Match]:
    return [world.match(event_id, quest=quest) for event_id in event_ids]


async def test_a_step_goes_back_and_another_event_must_make_up_for_it(world: World):
    define(world, THRICE)
    await world.play(*visits(world, THRICE, "e1", "e2"), world.reversal("r1", "e2"))
    assert world.rows(INSTANCES) == [(1, "open", 1)]
    assert world.rows("SELECT state, quests -> 0 ->> 'was' FROM reversal") == [("applied", "open")]
    await world.play(*visits(world, THRICE, "e3"))
    assert world.rows(INCENTIVES) == []
    await world.play(*visits(world, THRICE, "e4"))
    assert world.rows(INCENTIVES) == [("e4", "granted", 0)]
    assert world.rows(
        "SELECT event_id, amount, reversed FROM quest_step_met JOIN event_met USING (tenant_id, event_key) ORDER BY sequence"
    ) == [
        ("e1", 1, 0),
        ("e2", 1, 1),
        ("e3", 1, 0),
        ("e4", 1, 0),
    ]


async def test_a_quest_completed_by_a_later_event_loses_its_reward_and_can_be_completed_again(world: World):
    define(world, THRICE)
    world.add_limit("once", 1, scope="user")
    await world.play(*visits(world, THRICE, "e1", "e2", "e3"), world.reversal("r1", "e1"))
    assert world.rows(INSTANCES) == [(1, "open", 2)]
    assert world.rows(INCENTIVES) == [("e3", "reversed", 100)]
    assert world.rows(USED) == [(0, 2)]
    await world.play(*visits(world, THRICE, "e4"))
    assert world.rows(INSTANCES) == [(1, "completed", 3)]
    assert world.rows(INCENTIVES) == [("e3", "reversed", 100), ("e4", "granted", 0)]
    assert world.rows("SELECT seq, kind FROM inbox ORDER BY seq") == [(1, "granted"), (2, "reversed"), (3, "granted")]


async def test_all_steps_taken_back_take_the_reward_once(world: World):
    define(world, THRICE)
    world.add_limit("once", 1, scope="user")
    await world.play(*visits(world, THRICE, "e1", "e2", "e3"))
    back = [world.reversal(f"r{n}", f"e{n}") for n in (2, 3, 1)]
    await world.play(*back)
    assert world.rows(USED) == [(0, 2)]
    assert world.rows("SELECT count(*) FROM incentive_change") == [(1,)]
    assert world.rows(INSTANCES) == [(1, "reversed", 0)]  # nothing is left of it
    await world.play(*visits(world, THRICE, "e4"))
    assert world.rows(INSTANCES) == [(1, "reversed", 0), (2, "open", 1)]


async def test_the_same_across_batches_and_with_the_completing_event_last(world: World):
    define(world, THRICE)
    world.add_limit("once", 1, scope="user")
    await world.play(*visits(world, THRICE, "e1", "e2", "e3"))
    for number in (1, 2, 3):
        await world.play(world.reversal(f"r{number}", f"e{number}"))
    assert world.rows(USED) == [(0, 2)]
    assert world.rows("SELECT state FROM reversal") == [("applied",)] * 3
    assert world.rows("SELECT count(*) FROM incentive_change") == [(1,)]


async def test_an_enrolling_event_taken_back_takes_the_instance_with_it(world: World):
    define(world, ENROLLED)
    enrol = world.match("order", quest=ENROLLED, steps=())
    enrol = replace(enrol, candidates=[replace(each, starts=True) for each in enrol.candidates])
    await world.play(enrol, *visits(world, ENROLLED, "e1", "e2"), world.reversal("r1", "order"))
    assert world.rows(INSTANCES) == [(1, "reversed", 0)]
    assert world.rows(INCENTIVES) == [("e2", "reversed", 100)]


async def test_an_ordered_quest_whose_first_step_is_gone_is_reversed_and_the_next_begins(world: World):
    quest = Quest(steps=(Step("view", "BUY"), Step("buy", "BUY")))
    define(world, quest)

    def go(number: int) -> list[Match]:
        return [world.match(f"{name}-{number}", quest=quest, steps=(i,)) for i, name in enumerate(("view", "buy"))]

    await world.play(*go(1), world.reversal("r1", "view-1"))
    assert world.rows(INSTANCES) == [(1, "reversed", 0)]
    assert world.rows("SELECT quests -> 0 -> 'taken' FROM reversal") == [
        (
            [
                {"step": "view", "amount": 1, "was": 1, "done": 0},
                {"step": "buy", "amount": 0, "was": 1, "done": 0},
            ],
        )
    ]
    assert world.rows(INCENTIVES) == [("buy-1", "reversed", 100)]
    await world.play(*go(2), world.reversal("r2", "buy-1"))
    assert world.rows(INSTANCES) == [(1, "reversed", 0), (2, "completed", 1)]
    assert world.rows(INCENTIVES)[1:] == [("buy-2", "granted", 0)]


async def test_a_quest_denied_by_a_cap_opens_again(world: World):
    define(world, THRICE)
    world.add_limit("none", 0)
    await world.play(*visits(world, THRICE, "e1", "e2", "e3"))
    assert world.rows(INSTANCES) == [(1, "denied", 3)]
    await world.play(world.reversal("r1", "e2"))
    assert world.rows(INSTANCES) == [(1, "open", 2)]


async def test_a_part_leaves_steps_that_count_as_they_are_until_it_makes_the_whole(world: World):
    define(world, THRICE)
    await world.play(*visits(world, THRICE, "e1", "e2", "e3"), world.reversal("r1", "e3", amount=1, of=2))
    assert world.rows(INSTANCES) == [(1, "completed", 3)]
    await world.play(world.reversal("r2", "e3", amount=1, of=2))
    assert world.rows(INSTANCES) == [(1, "open", 2)]
    assert world.rows(INCENTIVES) == [("e3", "reversed", 100)]


async def test_a_step_whose_reversal_came_first_never_counts(world: World):
    define(world, THRICE)
    await world.play(world.reversal("r1", "e2"), *visits(world, THRICE, "e1", "e2", "e3"))
    assert world.rows("SELECT state FROM reversal") == [("applied",)]
    assert world.rows(INSTANCES) == [(1, "open", 2)]
    assert world.rows(INCENTIVES) == []
