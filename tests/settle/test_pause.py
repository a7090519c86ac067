"""What a paused campaign is sent: denied and recorded, so that it earns nothing when it is sent again after the pause."""

from msgspec.structs import replace

from fillip.core.campaign.quest import Quest, Step
from fillip.core.campaign.reward import Reward
from fillip.core.match.candidate import Match
from tests.settle.conftest import World

TWICE = Quest(steps=(Step("visit", "BUY", count=2),))
DECISIONS = "SELECT event_id, outcome, reason FROM decision ORDER BY log_offset, campaign_id"
INSTANCES = "SELECT state, (steps -> 0 ->> 'done')::int FROM quest_instance"


def pause(match: Match) -> Match:
    """The same event while its campaigns are paused, as match gives it."""
    return replace(
        match,
        candidates=[
            replace(c, campaign_version=replace(c.campaign_version, state="paused"), charges=())
            for c in match.candidates
        ],
    )


async def test_an_event_of_a_pause_is_denied_and_earns_nothing_when_it_is_sent_again(world: World):
    world.add_limit("once", 1)
    await world.play(pause(world.match("e1")))
    await world.play(world.match("e1"), world.match("e2"))
    assert world.rows(DECISIONS) == [("e1", "denied", "paused"), ("e2", "granted", "granted")]
    assert world.rows("SELECT used, version FROM limit_counter") == [(1, 1)]
    assert world.duplicates[-1] == 1


async def test_late_or_not_a_pause_is_told_first(world: World):
    await world.play(
        replace(pause(world.match("e1")), late=True), replace(pause(world.match("e2", quest=TWICE)), late=True)
    )
    assert world.rows(DECISIONS) == [("e1", "denied", "paused"), ("e2", "denied", "paused")]


async def test_steps_of_a_pause_do_not_count_now_or_later(world: World):
    await world.play(world.match("e1", quest=TWICE))
    await world.play(pause(world.match("e2", quest=TWICE)))
    await world.play(world.match("e2", quest=TWICE))
    assert world.rows(INSTANCES) == [("open", 1)]
    await world.play(world.match("e3", quest=TWICE))
    assert world.rows(INSTANCES) == [("completed", 2)]
    assert world.rows(DECISIONS) == [("e2", "denied", "paused"), ("e3", "granted", "granted")]


async def test_nothing_begins_in_a_pause(world: World):
    await world.play(pause(world.match("e1", quest=TWICE)))
    await world.play(world.match("e1", quest=TWICE))
    assert world.rows(INSTANCES) == []


async def test_a_paused_campaign_wins_over_nobody(world: World):
    """Given one that would leave the others nothing and comes first."""
    match, paused = world.match("e1"), pause(world.match("e1")).candidates[0]
    first = replace(
        paused.campaign_version,
        campaign_id="alone",
        campaign=replace(paused.campaign_version.campaign, stackable=False, priority=9),
    )
    await world.play(replace(match, candidates=[replace(paused, campaign_version=first), *match.candidates]))
    assert world.rows("SELECT campaign_id, reason FROM decision ORDER BY 1") == [
        ("alone", "paused"),
        ("give", "granted"),
    ]


async def test_a_pause_takes_no_code_and_holds_nobodys_rows(world: World):
    """Given another who has locked the user's inbox."""
    await world.play(world.match("e1"))
    with world.owner.transaction():
        world.owner.execute("SELECT FROM inbox_head FOR UPDATE")
        points = (Reward("points", 5), Reward("coupon", pool="none"))
        await world.play(pause(world.match("e2", rewards=points)))
    assert world.rows(DECISIONS)[1:] == [("e2", "denied", "paused")]


async def test_what_a_pause_refused_can_be_taken_back_and_has_earned_nothing(world: World):
    await world.play(pause(world.match("e1")), world.reversal("r1", "e1"), pause(world.match("e2", quest=TWICE)))
    assert world.rows(DECISIONS) == [("e1", "denied", "paused"), ("e2", "denied", "paused")]
    assert world.rows("SELECT state, reason FROM reversal") == [("nothing", "earned_nothing")]
