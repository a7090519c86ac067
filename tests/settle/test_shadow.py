"""What a campaign in shadow meets: told with what it would give, and nobody and nothing else is touched."""

from msgspec.structs import replace

from fillip.core.campaign.quest import Quest, Step
from fillip.core.campaign.reward import Reward
from fillip.core.match.candidate import Match
from tests.settle.conftest import World
from tests.settle.test_holdout import OUT, hold_out
from tests.settle.test_variants import ONE_OF, REWARDS, SPLIT

ONCE = Quest(steps=(Step("visit", "BUY", count=2),))
DECISIONS = "SELECT event_id, reason, shadow, reward_values FROM decision ORDER BY log_offset, campaign_id"
INSTANCES = "SELECT campaign_id, occurrence, state, (steps -> 0 ->> 'done')::int FROM quest_instance ORDER BY 1, 2"
ELSEWHERE = ("incentive", "inbox", "inbox_head", "limit_counter", "wallet", "badge_held")
CASH = {"kind": "cashback", "value": 100, "currency": "USD"}


def shadow(match: Match, version: int = 1) -> Match:
    """The same event while its campaigns are in shadow, as match gives it."""
    candidates = [
        replace(c, campaign_version=replace(c.campaign_version, state="shadow", version=version), charges=())
        for c in match.candidates
    ]
    return replace(match, candidates=candidates)


async def test_it_is_told_what_it_would_give_and_nothing_of_it_is_given(world: World):
    world.add_limit("once", 1)
    rewards = (Reward("cashback", 100, "USD"), Reward("points", 5, "POINTS"), Reward("coupon", pool="none"))
    await world.play(shadow(world.match("e1", rewards=rewards)), shadow(world.match("e2", rewards=rewards)))
    would = [
        CASH,
        {"kind": "points", "value": 5, "currency": "POINTS"},
        {"kind": "coupon", "value": 0, "currency": None},
    ]
    assert world.rows(DECISIONS) == [("e1", "shadow", True, would), ("e2", "shadow", True, would)]
    assert {name: world.rows(f"SELECT count(*) FROM {name}") for name in ELSEWHERE} == {
        name: [(0,)] for name in ELSEWHERE
    }


async def test_what_would_be_denied_anyway_keeps_its_reason(world: World):
    """Of someone held out, a control, what is worth nothing, and what is late."""
    await world.play(
        hold_out(shadow(world.match("e1", OUT))),
        shadow(world.match("e2", ONE_OF["control"], rewards=REWARDS, variants=SPLIT)),
        shadow(world.match("e3", refused="no_value")),
        replace(shadow(world.match("e4")), late=True),
    )
    reasons = ("holdout", "control", "no_value", "late")
    assert world.rows(DECISIONS) == [(f"e{n}", reason, True, []) for n, reason in enumerate(reasons, 1)]


async def test_a_variant_is_told_what_it_would_get(world: World):
    await world.play(shadow(world.match("e1", ONE_OF["points"], rewards=REWARDS, variants=SPLIT)))
    told = [(reason, [each["kind"] for each in would]) for _, reason, _, would in world.rows(DECISIONS)]
    assert told == [("shadow", ["points"])]


async def test_its_event_earns_nothing_when_it_is_sent_again_after_the_launch(world: World):
    await world.play(shadow(world.match("e1")))
    await world.play(world.match("e1"), world.match("e2"))
    assert [row[:2] for row in world.rows(DECISIONS)] == [("e1", "shadow"), ("e2", "granted")]


async def test_a_quest_moves_as_it_would_and_the_launched_one_begins_anew(world: World):
    """Given one that can be completed once."""
    await world.play(*(shadow(world.match(f"e{n}", quest=ONCE)) for n in range(3)))
    await world.play(shadow(world.match("e3", quest=ONCE)))
    assert [row[:3] for row in world.rows(DECISIONS)] == [("e1", "shadow", True)]
    assert world.rows(INSTANCES) == [("give~1", 1, "completed", 2)]
    await world.play(world.match("e4", quest=ONCE))
    assert world.rows(INSTANCES) == [("give", 1, "open", 1), ("give~1", 1, "completed", 2)]
    await world.play(world.match("e5", quest=ONCE))
    assert [row[:2] for row in world.rows(DECISIONS)] == [("e1", "shadow"), ("e5", "granted")]


async def test_a_quest_that_is_changed_in_shadow_begins_anew(world: World):
    await world.play(shadow(world.match("e1", quest=ONCE)))
    await world.play(shadow(world.match("e2", quest=ONCE), version=2), shadow(world.match("e3", quest=ONCE), version=2))
    assert world.rows(INSTANCES) == [("give~1", 1, "open", 1), ("give~2", 1, "completed", 2)]


async def test_it_leaves_nothing_to_the_reversal_of_an_event(world: World):
    """Whether the reversal comes in the same batch or later."""
    await world.play(shadow(world.match("e1", quest=ONCE)), shadow(world.match("e2")), world.reversal("r1", "e1"))
    await world.play(world.reversal("r2", "e2"), world.reversal("r3", "e1"))
    told = world.rows("SELECT reversal_id, state, reason FROM reversal ORDER BY 1")
    assert told == [(name, "nothing", "earned_nothing") for name in ("r1", "r2", "r3")]
    assert world.rows(INSTANCES) == [("give~1", 1, "open", 1)]


async def test_it_holds_nobodys_rows(world: World):
    """Given another who has locked the user's inbox and counter."""
    world.add_limit("often", 9, scope="user")
    await world.play(world.match("e1"))
    with world.owner.transaction():
        world.owner.execute("SELECT FROM inbox_head, limit_counter FOR UPDATE")
        points = (Reward("points", 5), Reward("coupon", pool="none"))
        await world.play(shadow(world.match("e2", rewards=points)))
    assert world.rows(DECISIONS)[1][:2] == ("e2", "shadow")
