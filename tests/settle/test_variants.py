"""What variants earn: each what it gives, a control nothing; and the ledger says who was in which."""

from typing import Any

from msgspec.structs import replace

from fillip.core.campaign.quest import Quest, Step
from fillip.core.campaign.reward import Reward
from fillip.core.campaign.variant import Variant, choose_variant
from fillip.core.ledger.decision import identify_incentive
from fillip.core.match.candidate import Match
from tests.settle.conftest import World
from tests.settle.test_holdout import hold_out

SPLIT = (Variant("control", 20), Variant("points", 40), Variant("both", 40))
REWARDS = (
    Reward("cashback", 70, "USD", variants=("both",)),
    Reward("badge", badge="first", variants=("both",)),
    Reward("points", 5, variants=("points", "both")),
)
ONE_OF = {choose_variant(SPLIT, "acme", "give", name): name for name in (f"u{number}" for number in range(40))}
"""A user of each variant."""
TWICE = Quest(steps=(Step("visit", "BUY", count=2),))
DECISIONS = "SELECT event_id, variant, outcome, reason, jsonb_array_length(reward_values) FROM decision ORDER BY 1, 2"


def match_each(world: World, event_id: str, **more: Any) -> list[Match]:
    """The same event of a user of each variant."""
    given = {"rewards": REWARDS, "variants": SPLIT} | more
    return [world.match(f"{event_id}-{variant}", user, **given) for variant, user in ONE_OF.items()]


async def test_each_variant_earns_what_it_gives_and_a_control_nothing(world: World):
    world.add_limit("all", 5)
    world.add_limit("cash", 1000, measure="value", reward_kind="cashback", currency="USD")
    await world.play(*match_each(world, "e"))
    assert world.rows(DECISIONS) == [
        ("e-both", "both", "granted", "granted", 3),
        ("e-control", "control", "denied", "control", 0),
        ("e-points", "points", "granted", "granted", 1),
    ]
    given = "SELECT variant, reward_index, kind, value::int FROM incentive ORDER BY 1, 2"
    assert world.rows(given) == [
        ("both", 0, "cashback", 70),
        ("both", 1, "badge", 0),
        ("both", 2, "points", 5),
        ("points", 2, "points", 5),
    ]
    assert world.rows("SELECT limit_id, used FROM limit_counter ORDER BY 1") == [("all", 2), ("cash", 70)]
    wallets = world.rows("SELECT user_id FROM wallet ORDER BY 1")
    assert wallets == sorted([(ONE_OF["both"],), (ONE_OF["points"],)])
    assert world.rows("SELECT user_id FROM badge_held") == [(ONE_OF["both"],)]


async def test_the_id_of_an_incentive_goes_by_its_reward_whatever_the_variant(world: World):
    """So that what is decided again is the same, and giving it to all later too."""
    await world.play(*match_each(world, "e"))
    ids = world.rows("SELECT decision_id, reward_index, incentive_id FROM incentive")
    assert [found for _, _, found in ids] == [identify_incentive(decision, index) for decision, index, _ in ids]


async def test_a_badge_of_another_variant_refuses_nothing(world: World):
    """Given a user who holds it already."""
    user = ONE_OF["points"]
    await world.play(world.match("e1", user, rewards=REWARDS))
    await world.play(world.match("e2", user, rewards=REWARDS, variants=SPLIT))
    assert [row[2] for row in world.rows(DECISIONS)] == ["granted", "granted"]


async def test_a_control_holds_nobodys_rows_and_its_event_earns_nothing_later(world: World):
    """Given another who has locked the user's inbox; then the winner is given to all, and the event is sent again."""
    user = ONE_OF["control"]
    await world.play(world.match("e1", user))
    with world.owner.transaction():
        world.owner.execute("SELECT FROM inbox_head FOR UPDATE")
        await world.play(world.match("e2", user, rewards=REWARDS, variants=SPLIT))
    await world.play(world.match("e2", user, rewards=(Reward("points", 5),), variants=SPLIT))
    assert world.rows(DECISIONS)[1:] == [("e2", "control", "denied", "control", 0)]


async def test_a_quest_gives_what_the_variant_gives_when_it_is_completed_and_a_control_has_none(world: World):
    await world.play(*match_each(world, "e1", quest=TWICE))
    await world.play(*match_each(world, "e2", quest=TWICE))
    held = world.rows("SELECT user_id, state FROM quest_instance ORDER BY 1")
    assert held == sorted([(ONE_OF["both"], "completed"), (ONE_OF["points"], "completed")])
    assert world.rows(DECISIONS) == [
        ("e1-control", "control", "denied", "control", 0),
        ("e2-both", "both", "granted", "granted", 3),
        ("e2-control", "control", "denied", "control", 0),
        ("e2-points", "points", "granted", "granted", 1),
    ]


async def test_a_reversal_takes_back_what_the_variant_earned(world: World):
    world.add_limit("cash", 1000, measure="value", reward_kind="cashback", currency="USD")
    world.owner.execute("""UPDATE campaign_version SET definition = '{"rewards": [{}, {}, {}]}'""")
    await world.play(*match_each(world, "e"))
    users = {variant: user for variant, user in ONE_OF.items() if variant != "control"}
    await world.play(*(world.reversal(f"r-{variant}", f"e-{variant}", user) for variant, user in users.items()))
    assert world.rows("SELECT DISTINCT state FROM incentive") == [("reversed",)]
    assert world.rows("SELECT used FROM limit_counter") == [(0,)]
    assert world.rows("SELECT count(*) FROM badge_held") == [(0,)]


async def test_a_user_who_is_held_out_is_in_no_variant(world: World):
    matches = [hold_out(match) for match in match_each(world, "e")]
    await world.play(*matches)
    out = {match.event.event_id for match in matches if match.event.held_out}
    assert 0 < len(out) < 3, "some of the three are, some not"
    told = {event: (variant, reason) for event, variant, _, reason, _ in world.rows(DECISIONS)}
    assert {told[event] for event in out} == {(None, "holdout")}
    assert {variant for event, (variant, _) in told.items() if event not in out} <= {"control", "points", "both"}


async def test_a_control_is_told_before_lateness(world: World):
    match = world.match("e1", ONE_OF["control"], rewards=REWARDS, variants=SPLIT)
    await world.play(replace(match, late=True))
    assert world.rows(DECISIONS) == [("e1", "control", "denied", "control", 0)]
