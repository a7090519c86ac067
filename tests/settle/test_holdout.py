"""What a user does who is held out: denied and recorded, so that it earns nothing when it is sent again either."""

from msgspec.structs import replace

from fillip.core.campaign.quest import Quest, Step
from fillip.core.campaign.reward import Reward
from fillip.core.match.candidate import Match
from tests.builders import build_tenant
from tests.settle.conftest import World

_TENANT = build_tenant(holdout_percent=50)
OUT = next(user for number in range(20) if _TENANT.holds_out(user := f"u{number}"))
OTHER = next(user for number in range(20) if not _TENANT.holds_out(user := f"u{number}"))
TWICE = Quest(steps=(Step("visit", "BUY", count=2),))
DECISIONS = "SELECT user_id, event_id, outcome, reason FROM decision ORDER BY log_offset"


def hold_out(match: Match, percent: int = 50) -> Match:
    """The same event in a tenant that holds so many of its users out, as match gives it."""
    book = match.event.book
    event = replace(match.event, book=replace(book, tenant=replace(book.tenant, holdout_percent=percent)))
    charges = [replace(c, charges=() if event.held_out else c.charges) for c in match.candidates]
    return replace(match, event=event, candidates=charges)


async def test_who_is_held_out_is_denied_and_the_others_are_not(world: World):
    world.add_limit("once", 1)
    await world.play(hold_out(world.match("e1", OUT)), hold_out(world.match("e2", OTHER)))
    assert world.rows(DECISIONS) == [(OUT, "e1", "denied", "holdout"), (OTHER, "e2", "granted", "granted")]
    assert world.rows("SELECT used FROM limit_counter") == [(1,)]
    assert world.rows("SELECT user_id FROM inbox") == [(OTHER,)]


async def test_an_event_of_a_holdout_earns_nothing_when_it_is_sent_again_after_it(world: World):
    await world.play(hold_out(world.match("e1", OUT)))
    await world.play(world.match("e1", OUT), world.match("e2", OUT))
    assert world.rows(DECISIONS) == [(OUT, "e1", "denied", "holdout"), (OUT, "e2", "granted", "granted")]


async def test_a_quest_of_a_user_who_is_held_out_stands_still(world: World):
    await world.play(world.match("e1", OUT, quest=TWICE))
    await world.play(hold_out(world.match("e2", OUT, quest=TWICE)))
    assert world.rows("SELECT state, (steps -> 0 ->> 'done')::int FROM quest_instance") == [("open", 1)]
    assert world.rows(DECISIONS) == [(OUT, "e2", "denied", "holdout")]


async def test_a_holdout_is_told_before_lateness(world: World):
    await world.play(replace(hold_out(world.match("e1", OUT)), late=True))
    assert world.rows(DECISIONS) == [(OUT, "e1", "denied", "holdout")]


async def test_a_holdout_takes_no_code_and_holds_nobodys_rows(world: World):
    """Given another who has locked the user's inbox."""
    await world.play(world.match("e1", OUT))
    with world.owner.transaction():
        world.owner.execute("SELECT FROM inbox_head FOR UPDATE")
        rewards = (Reward("points", 5), Reward("coupon", pool="none"))
        await world.play(hold_out(world.match("e2", OUT, rewards=rewards)))
    assert world.rows(DECISIONS)[1:] == [(OUT, "e2", "denied", "holdout")]
