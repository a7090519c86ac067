"""Reversals on an instance that went on under an earlier version: it is recounted under the version that it stands under."""

from msgspec import json
from msgspec.structs import replace

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.quest import Quest, Step
from fillip.core.campaign.reward import Reward
from fillip.core.match.candidate import Candidate, Match
from fillip.core.match.limit_charges import list_charges
from tests.builders import build_campaign, build_version
from tests.settle.conftest import World

FIRST = Quest(steps=(Step("visit", "BUY", count=3),))
SECOND = Quest(steps=(Step("visit", "BUY", count=2),))
BEFORE = build_campaign(name="Thrice", quest=FIRST, rewards=(Reward("cashback", 100, "USD"),), give_back=False)
AFTER = build_campaign(name="Twice", quest=SECOND, rewards=(Reward("cashback", 40, "USD"),))
INSTANCES = "SELECT campaign_version, state, (steps -> 0 ->> 'done')::int FROM quest_instance ORDER BY occurrence"
DECISIONS = """
    SELECT d.event_id, d.campaign_version, i.value, i.reversed_value
    FROM decision d JOIN incentive i USING (tenant_id, decision_id) ORDER BY i.inbox_seq
"""
USED = "SELECT used FROM limit_counter"


def change(world: World) -> None:
    """Store both versions; the second is the newest."""
    world.owner.execute("UPDATE campaign_version SET definition = %s", [json.encode(BEFORE).decode()])
    world.owner.execute(
        "INSERT INTO campaign_version (tenant_id, campaign_id, version, definition, checked)"
        " VALUES ('acme', 'give', 2, %s, '{}')",
        [json.encode(AFTER).decode()],
    )
    world.owner.execute("UPDATE campaign SET version = 2")


def visit(world: World, event_id: str, *versions: Campaign) -> Match:
    """An event that meets the step under each of these versions in force, the newest last."""
    numbers = {BEFORE.name: 1, AFTER.name: 2}
    *kept, last = [build_version("give", each, version=numbers[each.name]) for each in versions]
    newest, match = replace(last, retained=tuple(kept)), world.match(event_id, quest=FIRST)
    event = replace(match.event, book=world.book(newest))
    first, *others = [
        Candidate(
            campaign_version,
            list_charges(event, campaign_version, campaign_version.values, {}, frozenset()),
            campaign_version.values,
            steps=(0,),
        )
        for campaign_version in (newest, *kept)
    ]
    return replace(match, event=event, candidates=[replace(first, retained=tuple(others))])


async def test_a_kept_instance_is_recounted_and_pays_under_its_own_version(world: World):
    world.add_limit("budget", 1000, measure="value", reward_kind="cashback")
    change(world)
    await world.play(*[visit(world, event_id, BEFORE) for event_id in ("e1", "e2")])
    await world.play(visit(world, "e3", BEFORE, AFTER), world.reversal("r1", "e1"))
    assert world.rows(INSTANCES) == [(1, "open", 2)], "two are enough under the second version alone"
    assert world.rows(DECISIONS) == [("e3", 1, 100, 100)]
    assert world.rows(USED) == [(100,)], "the first version gives nothing back to limits"
    await world.play(visit(world, "e4", BEFORE, AFTER))
    assert world.rows(INSTANCES) == [(1, "completed", 3)]
    assert world.rows(DECISIONS) == [("e3", 1, 100, 100), ("e4", 1, 100, 0)]


async def test_an_instance_that_a_reversal_opens_again_migrates_where_its_version_is_kept_no_longer(world: World):
    world.add_limit("budget", 1000, measure="value", reward_kind="cashback")
    change(world)
    await world.play(*[visit(world, event_id, BEFORE) for event_id in ("e1", "e2", "e3")])
    await world.play(world.reversal("r1", "e1"))
    assert world.rows(INSTANCES) == [(1, "open", 2)]
    await world.play(visit(world, "e4", AFTER))
    assert world.rows(INSTANCES) == [(2, "completed", 2)]
    await world.play(world.reversal("r2", "e2"))
    assert world.rows(INSTANCES) == [(2, "completed", 2)], "e3 and e4 are enough under the second version"
    await world.play(world.reversal("r3", "e3"))
    assert world.rows(INSTANCES) == [(2, "open", 1)]
    assert world.rows(DECISIONS) == [("e3", 1, 100, 100), ("e4", 2, 40, 40)]
    assert world.rows(USED) == [(100,)], "what the second version took is given back"
