"""Conflicts in the ledger: the loser's decision names the winner, and its quest closes."""

from msgspec.structs import replace

from fillip.core.campaign.campaign import Exclusive
from fillip.core.campaign.quest import Quest, Step
from fillip.core.match.candidate import Candidate, Match
from tests.settle.conftest import World

GROUP = Exclusive("best", "value")


def contest(world: World, event_id: str, **worths: int) -> Match:
    """An event that meets a campaign of each name, worth so much, all of one group; `quest` is a quest of one step."""
    match = world.match(event_id)
    (given,) = match.candidates
    quest = Quest(steps=(Step("visit", "BUY"),), repeatable=True)

    def enter(name: str, worth: int) -> Candidate:
        kind = {"kind": "QUEST", "quest": quest, "action": None} if name == "quest" else {}
        campaign_version = replace(
            given.campaign_version,
            campaign_id=name,
            campaign=replace(given.campaign_version.campaign, exclusive=GROUP, **kind),
        )
        return replace(given, campaign_version=campaign_version, values=(worth,), steps=(0,) if name == "quest" else ())

    return replace(match, candidates=[enter(*named) for named in sorted(worths.items())])


async def test_the_loser_is_stored_with_its_winner_and_takes_nothing(world: World):
    world.add_limit("all", 10)
    await world.play(contest(world, "e1", one=5, two=9))
    assert world.rows("SELECT campaign_id, outcome, reason, outranked_by, limits = '[]' FROM decision ORDER BY 1") == [
        ("one", "denied", "outranked", "two", True),
        ("two", "granted", "granted", None, False),
    ]
    assert world.rows("SELECT used FROM limit_counter") == [(1,)]
    assert world.rows("SELECT campaign_id, value, inbox_seq FROM incentive") == [("two", 9, 1)]


async def test_a_hint_of_a_full_counter_does_not_pick_the_wrong_winner(world: World):
    world.add_limit("all", 1)
    match = contest(world, "e1", one=5, two=9)
    full = frozenset(charge.counter for candidate in match.candidates for charge in candidate.charges)
    await world.play(replace(match, full=full))
    assert world.rows("SELECT campaign_id FROM decision WHERE outcome = 'granted'") == [("two",)]


async def test_a_quest_that_is_outranked_closes_as_denied(world: World):
    await world.play(contest(world, "e1", quest=5, two=9), contest(world, "e2", quest=5, two=1))
    assert world.rows("SELECT occurrence, state FROM quest_instance ORDER BY 1") == [(1, "denied"), (2, "completed")]
    assert world.rows("SELECT event_id, campaign_id FROM decision WHERE outranked_by IS NOT NULL ORDER BY 1") == [
        ("e1", "quest"),
        ("e2", "two"),
    ]
