"""Reversals on a real ledger: incentives, caps, points and the inbox, whichever comes first, whole or in part."""

import asyncio
from datetime import timedelta

import pytest

from fillip.core.campaign.reward import Reward
from fillip.core.errors import Fenced, Retry
from fillip.core.match.candidate import Match
from fillip.settle import Settle
from fillip.settle.postgres import PostgresLedger
from tests.settle.conftest import World

INCENTIVES = "SELECT event_id, state, reversed_value FROM incentive ORDER BY event_id, reward_index"
REVERSALS = "SELECT reversal_id, state, reason FROM reversal ORDER BY reversal_id"
INBOX = "SELECT seq, kind FROM inbox ORDER BY seq"
USED = "SELECT limit_id, used, version FROM limit_counter ORDER BY limit_id"
CRASHES = """
CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER crash AFTER INSERT ON reversal
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION crash();
"""
"""From now on a session that has written a reversal is ended while it commits."""


def limit(world: World) -> None:
    """A budget of 1,000, and three grants a user."""
    world.add_limit("budget", 1_000, measure="value", reward_kind="cashback")
    world.add_limit("thrice", 3, scope="user")


async def test_a_reversal_takes_the_incentive_back_gives_the_caps_back_and_tells_the_user(world: World):
    limit(world)
    await world.play(world.match("e1"), world.match("e2"))
    await world.play(world.reversal("r1", "e1", reason="returned"))
    assert world.rows(INCENTIVES) == [("e1", "reversed", 100), ("e2", "granted", 0)]
    assert world.rows(USED) == [("budget", 100, 3), ("thrice", 1, 3)]
    assert world.rows(INBOX) == [(1, "granted"), (2, "granted"), (3, "reversed")]
    assert world.rows("SELECT inbox_seq, change, changed_value, reversed_value, reason FROM incentive_change") == [
        (3, "reversed", 100, 100, "returned")
    ]
    assert world.rows(REVERSALS) == [("r1", "applied", "applied")]
    [[counters]] = world.rows("SELECT counters FROM reversal")
    assert sorted((c["limit_id"], c["version"], c["used_before"], c["amount"]) for c in counters) == [
        ("budget", 2, 200, 100),
        ("thrice", 2, 2, 1),
    ]


async def test_what_was_given_back_can_be_granted_again(world: World):
    limit(world)
    await world.play(*[world.match(f"e{n}") for n in range(4)])
    assert world.rows("SELECT event_id FROM decision WHERE outcome = 'denied'") == [("e3",)]
    await world.play(world.reversal("r1", "e0"), world.match("e4"), world.match("e5"))
    assert world.rows("SELECT event_id FROM decision WHERE outcome = 'denied' ORDER BY 1") == [("e3",), ("e5",)]


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
async def test_a_reversal_takes_back_the_event_of_its_own_source_or_of_the_one_it_names(world: World, together: bool):
    limit(world)
    tills = [world.match("1", source=f"/till-{n}") for n in (1, 2)]
    own, named = (
        world.reversal("r1", "1", source="/till-2"),
        world.reversal("r1", "1", source="/desk", event_source="/till-1"),
    )
    lost = world.reversal("r1", "1")
    for batch in [[*tills, own, named, lost]] if together else [[tills[0]], [tills[1]], [own], [named], [lost]]:
        await world.play(*batch)
    assert world.rows("SELECT event_source, state FROM incentive ORDER BY 1") == [
        ("/till-1", "reversed"),
        ("/till-2", "reversed"),
    ]
    assert world.rows("SELECT reversal_source, event_source, state FROM reversal ORDER BY 1") == [
        ("/desk", "/till-1", "applied"),
        ("/till", "/till", "waiting"),
        ("/till-2", "/till-2", "applied"),
    ]
    assert world.rows("SELECT reversal_source FROM incentive_change ORDER BY 1") == [("/desk",), ("/till-2",)]


async def test_points_of_one_incentive_are_taken_by_reversals_of_one_id_from_two_sources(world: World):
    points = (Reward("points", 100),)
    await world.play(world.match("e1", rewards=points))
    desks = ("/desk-1", "/desk-2")
    await world.play(*[world.reversal("r1", "e1", source=desk, amount=1, of=2, event_source="/till") for desk in desks])
    assert world.rows("SELECT active, reversed FROM wallet") == [(0, 100)]
    assert world.rows("SELECT share FROM reversal ORDER BY number") == [("1/2",), ("1",)]


async def test_in_one_batch_a_grant_before_a_reversal_and_one_after_it_are_decided_in_the_logs_order(world: World):
    world.add_limit("once", 1, scope="user")
    await world.play(
        world.match("e1"), world.reversal("r1", "e1"), world.match("e2"), world.reversal("r2", "e2"), world.match("e3")
    )
    assert world.rows(INCENTIVES) == [("e1", "reversed", 100), ("e2", "reversed", 100), ("e3", "granted", 0)]
    assert world.rows(USED) == [("once", 1, 5)]
    assert world.rows("SELECT next_offset FROM consumer_position WHERE partition = 0") == [(5,)]


async def test_a_reversal_that_comes_first_is_kept_and_ends_as_if_it_had_come_second(world: World):
    limit(world)
    await world.play(world.reversal("r1", "e1"))
    assert world.rows(REVERSALS) == [("r1", "waiting", "unknown_event")]
    await world.play(world.match("e1"), world.match("e2"))
    assert world.rows(REVERSALS) == [("r1", "applied", "applied")]
    assert world.rows(INCENTIVES) == [("e1", "reversed", 100), ("e2", "granted", 0)]
    assert world.rows(USED) == [("budget", 100, 3), ("thrice", 1, 3)]
    assert world.rows(INBOX) == [(1, "granted"), (2, "reversed"), (3, "granted")]
    assert world.rows("SELECT count(*) FROM event_met WHERE fingerprint IS NULL") == [(0,)]


async def test_what_a_waiting_reversal_gives_back_is_there_for_the_next_event_of_the_same_batch(world: World):
    world.add_limit("once", 1, scope="user")
    await world.play(
        world.reversal("r1", "e1"), world.reversal("r2", "e2"), world.reversal("r3", "f1", "u2", partition=1)
    )
    await world.play(
        *[world.match(f"e{n}") for n in range(1, 5)],
        *[world.match(f"f{n}", "u2", partition=1) for n in range(1, 3)],
    )
    assert world.rows(INCENTIVES) == [
        ("e1", "reversed", 100),
        ("e2", "reversed", 100),
        ("e3", "granted", 0),
        ("f1", "reversed", 100),
        ("f2", "granted", 0),
    ]
    assert world.rows("SELECT partition, next_offset FROM consumer_position ORDER BY 1") == [(0, 6), (1, 3)]


async def test_the_same_reversal_twice_and_another_of_the_same_event_change_nothing(world: World):
    limit(world)
    await world.play(world.match("e0"), world.match("e1"))
    await world.play(world.reversal("r1", "e1"), world.reversal("r1", "e1"))
    await world.play(world.reversal("r1", "e1"), world.reversal("r2", "e1"))
    assert world.rows(REVERSALS) == [("r1", "applied", "applied"), ("r2", "nothing", "already_reversed")]
    assert world.rows(USED) == [("budget", 100, 3), ("thrice", 1, 3)]
    assert world.rows("SELECT count(*) FROM incentive_change") == [(1,)]


async def test_the_reversals_of_a_batch_are_applied_and_told_in_their_order(world: World):
    await world.play(world.match("e1"), world.match("e2"))
    taken = (("r1", "e1"), ("r2", "e1"), ("r3", "e2"))
    await world.play(*[world.reversal(reversal_id, event_id, amount=1, of=2) for reversal_id, event_id in taken])
    told = world.rows("SELECT reversal_id, changed_value FROM incentive_change ORDER BY inbox_seq")
    assert told == [("r1", 50), ("r2", 50), ("r3", 50)]


async def test_parts_take_their_share_rounded_down_and_the_last_takes_the_rest(world: World):
    limit(world)
    await world.play(world.match("e1"))
    await world.play(world.reversal("r1", "e1", amount=333, of=1000), world.reversal("r2", "e1", amount=333, of=1000))
    assert world.rows(INCENTIVES) == [("e1", "granted", 66)]
    assert world.rows(USED) == [("budget", 34, 3), ("thrice", 1, 1)]  # a count goes back with the whole alone
    await world.play(world.reversal("r3", "e1", amount=335, of=1000), world.reversal("r4", "e1"))
    assert world.rows(INCENTIVES) == [("e1", "reversed", 100)]
    assert world.rows(USED) == [("budget", 0, 4), ("thrice", 0, 2)]
    assert world.rows(REVERSALS)[2:] == [("r3", "refused", "exceeds_whole"), ("r4", "applied", "applied")]
    assert world.rows("SELECT changed_value, reversed_value FROM incentive_change ORDER BY inbox_seq") == [
        (33, 33),
        (33, 66),
        (34, 100),
    ]


def return_line(world: World, reversal_id: str, amount: int, of: int | None = None, order: int = 100) -> Match:
    """A piece of a line of e1; `of` is the line's whole, `order` that of all lines."""
    line = {"line": "sku-1", "amount": amount} | ({} if of is None else {"of": of})
    return world.reversal(reversal_id, "e1", lines=[line], of=order)


async def test_a_line_is_taken_back_in_pieces_up_to_its_whole(world: World):
    await world.play(world.match("e1"))
    await world.play(return_line(world, "r1", 20, of=40), return_line(world, "r2", 21))
    await world.play(return_line(world, "r3", 10), return_line(world, "r4", 10, of=40), return_line(world, "r5", 1))
    assert world.rows(REVERSALS) == [
        ("r1", "applied", "applied"),
        ("r2", "refused", "exceeds_line"),
        ("r3", "applied", "applied"),
        ("r4", "applied", "applied"),
        ("r5", "refused", "line_already_reversed"),
    ]
    assert world.rows(INCENTIVES) == [("e1", "granted", 40)]


async def test_a_line_whose_whole_nobody_told_reaches_no_further_than_the_whole_of_the_order(world: World):
    await world.play(world.match("e1"))
    await world.play(*[return_line(world, f"r{n}", 40) for n in range(3)])
    assert world.rows(REVERSALS)[1:] == [("r1", "applied", "applied"), ("r2", "refused", "exceeds_whole")]
    await world.play(return_line(world, "r3", 10, of=50), return_line(world, "r4", 10, of=90))
    assert world.rows(REVERSALS)[3:] == [("r3", "refused", "line_already_reversed"), ("r4", "applied", "applied")]


async def test_the_whole_of_a_line_is_told_once_in_any_unit(world: World):
    await world.play(world.match("e1"))
    await world.play(return_line(world, "r1", 20, of=40), return_line(world, "r2", 1, of=50))
    await world.play(return_line(world, "r3", 2_000, of=4_000, order=10_000))
    assert world.rows(REVERSALS)[1:] == [("r2", "refused", "other_line_whole"), ("r3", "applied", "applied")]


async def test_points_leave_the_wallet_and_what_cannot_be_divided_goes_with_the_whole(world: World):
    rewards = (Reward("points", 90), Reward("badge"))
    await world.play(world.match("e1", rewards=rewards))
    await world.play(world.reversal("r1", "e1", amount=1, of=3))
    assert world.rows("SELECT active FROM wallet") == [(60,)]
    assert world.rows(INCENTIVES) == [("e1", "granted", 30), ("e1", "granted", 0)]
    await world.play(world.reversal("r2", "e1"))
    assert world.rows("SELECT active FROM wallet") == [(0,)]
    assert world.rows(INCENTIVES) == [("e1", "reversed", 90), ("e1", "reversed", 0)]


async def test_a_limit_counts_and_gets_back_the_values_of_its_currency_alone(world: World):
    world.add_limit("miles", 1_000, measure="value", reward_kind="points", currency="MILES")
    world.add_limit("points", 1_000, measure="value", reward_kind="points", currency="POINTS")
    both, points = (Reward("points", 600, "POINTS"), Reward("points", 90, "MILES")), (Reward("points", 600, "POINTS"),)
    await world.play(world.match("e1", rewards=both), world.match("e2", rewards=points))
    used = "SELECT limit_id, used FROM limit_counter ORDER BY 1"
    assert world.rows(used) == [("miles", 90), ("points", 600)]
    assert world.rows("SELECT event_id, reason, limits #>> '{0,limit_id}' FROM decision WHERE outcome = 'denied'") == [
        ("e2", "limit", "points")
    ]
    await world.play(world.reversal("r1", "e1", amount=1, of=3))
    assert world.rows(used) == [("miles", 60), ("points", 400)]
    await world.play(world.reversal("r2", "e1"))
    assert world.rows(used) == [("miles", 0), ("points", 0)]


async def test_points_are_taken_back_at_the_events_time_not_the_workers(world: World):
    rewards = (Reward("points", 90, pending_for_s=86_400),)
    await world.play(world.match("e1", rewards=rewards))
    await world.play(world.reversal("r1", "e1", amount=1, of=3))
    assert world.rows("SELECT pending, active FROM wallet") == [(60, 0)], "in that year's log they are still pending"
    await world.play(
        world.match("e2", after=timedelta(days=2), rewards=rewards),
        world.reversal("r2", "e1", amount=1, of=3, after=timedelta(days=2)),
    )
    assert world.rows("SELECT pending, active FROM wallet") == [(90, 30)]


async def test_a_badge_leaves_the_shelf_and_can_be_earned_again_and_a_code_stays_given(world: World):
    world.owner.execute("INSERT INTO coupon_pool VALUES ('acme', 'spring', 'Spring')")
    world.owner.execute("INSERT INTO coupon VALUES ('acme', 'A', 'spring')")
    rewards = (Reward("badge", badge="regular"), Reward("coupon", pool="spring"))
    await world.play(world.match("e1", rewards=rewards), world.reversal("r1", "e1"))
    assert world.rows("SELECT badge_id FROM badge_held") == []
    assert world.rows("SELECT i.state FROM coupon c JOIN incentive i USING (incentive_id)") == [("reversed",)]
    await world.play(world.match("e2", rewards=rewards[:1]), world.match("e3", rewards=rewards))
    assert world.rows(
        "SELECT incentive_id = (SELECT incentive_id FROM incentive WHERE event_id = 'e2') FROM badge_held"
    ) == [(True,)]
    assert world.rows("SELECT reason FROM decision WHERE event_id = 'e3'") == [("pool_empty",)]


async def test_a_claimed_incentive_is_taken_back_and_marked_and_an_expired_one_closed(world: World):
    await world.play(world.match("e1"), world.match("e2"))
    world.owner.execute("UPDATE incentive SET state = CASE event_id WHEN 'e1' THEN 'claimed' ELSE 'expired' END")
    await world.play(world.reversal("r1", "e1"), world.reversal("r2", "e2"))
    assert world.rows(INCENTIVES) == [("e1", "reversed", 100), ("e2", "reversed", 0)]
    assert world.rows("SELECT incentives -> 0 ->> 'was' FROM reversal ORDER BY reversal_id") == [
        ("claimed",),
        ("expired",),
    ]
    assert world.rows("SELECT count(*) FROM incentive_change") == [(1,)]


async def test_a_badge_that_comes_and_goes_within_a_batch_is_on_the_shelf_as_the_log_leaves_it(world: World):
    rewards = (Reward("badge", badge="regular"),)
    await world.play(world.match("e0", rewards=rewards))
    await world.play(
        world.reversal("r0", "e0"),
        world.match("e1", rewards=rewards),
        world.match("e2", rewards=rewards),
        world.reversal("r1", "e1"),
        world.match("e3", rewards=rewards),
    )
    assert world.rows("SELECT event_id FROM badge_held JOIN incentive USING (incentive_id)") == [("e3",)]
    assert world.rows("SELECT event_id, reason FROM decision WHERE outcome = 'denied'") == [("e2", "already_held")]


async def test_parts_of_ever_other_wholes_are_refused_before_their_sum_grows_without_end(world: World):
    await world.play(world.match("e1"))
    wholes = [2**53 - n for n in range(1, 400, 2)]
    await world.play(*[world.reversal(f"r{n}", "e1", amount=1, of=of) for n, of in enumerate(wholes)])
    reasons = world.rows("SELECT DISTINCT reason FROM reversal ORDER BY 1")
    assert reasons == [("applied",), ("too_many_wholes",)]
    await world.play(world.reversal("all", "e1"))
    assert world.rows(INCENTIVES) == [("e1", "reversed", 100)]


async def test_a_campaign_may_keep_its_caps_used(world: World):
    limit(world)
    world.owner.execute("UPDATE campaign_version SET definition = '{\"give_back\": false}'")
    await world.play(world.match("e1", give_back=False), world.reversal("r1", "e1"), world.match("e2", give_back=False))
    await world.play(world.reversal("r2", "e2"))
    assert world.rows(USED) == [("budget", 200, 2), ("thrice", 2, 2)]
    assert world.rows(INCENTIVES) == [("e1", "reversed", 100), ("e2", "reversed", 100)]


async def test_what_cannot_be_reversed_says_why(world: World):
    world.add_limit("none", 0)
    await world.play(world.match("e1"), world.reversal("r1", "e1"))
    await world.play(world.reversal("r2", "e1", "u2"), world.reversal("r3", "r1"), world.reversal("r4", "e9"))
    assert world.rows(REVERSALS) == [
        ("r1", "nothing", "earned_nothing"),
        ("r2", "refused", "other_user"),
        ("r3", "refused", "is_a_reversal"),
        ("r4", "waiting", "unknown_event"),
    ]


async def test_a_crash_before_the_commit_leaves_nothing_of_a_mixed_batch(world: World):
    items = [world.match("e1"), world.reversal("r1", "e1"), world.match("e2")]
    batch = world.batch(*items)
    world.owner.execute(CRASHES)
    with pytest.raises(Retry):
        await world.settle(batch, items)
    world.owner.execute("DROP TRIGGER crash ON reversal")
    assert world.rows("SELECT next_offset FROM consumer_position WHERE partition = 0") == [(0,)]
    await world.settle(batch, items)
    with pytest.raises(Fenced):
        await world.settle(batch, items)
    assert world.rows(INCENTIVES) == [("e1", "reversed", 100), ("e2", "granted", 0)]
    assert world.rows(INBOX) == [(1, "granted"), (2, "reversed"), (3, "granted")]


async def test_original_and_reversal_settled_at_the_same_time_by_two_workers_meet(world: World):
    other = Settle(PostgresLedger(world.pool, "other"), lambda *told: None)
    for number in range(20):
        grant = world.match(f"e{number}", after=timedelta(seconds=number))
        back = world.reversal(f"r{number}", f"e{number}", partition=1)
        await asyncio.gather(world.settle(world.batch(grant), [grant]), other(world.batch(back), [back]))
    assert world.rows("SELECT state, count(*) FROM reversal GROUP BY 1") == [("applied", 20)]
    assert world.rows("SELECT count(*) FROM incentive WHERE state = 'reversed'") == [(20,)]
    assert world.rows("SELECT max(seq), count(*) FROM inbox") == [(40, 40)]
