"""The ledger transaction on a real PostgreSQL: effectively once, never over a cap, every refusal with its proof."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from fillip.core.campaign.quest import Quest, Step
from fillip.core.errors import Fenced, Retry
from fillip.core.event import Place, Rejection
from fillip.core.match.candidate import Match
from fillip.settle import Settle
from fillip.settle.postgres import PostgresLedger
from tests.builders import T0
from tests.settle.conftest import TOPIC, World

DONE = "(steps #>> '{0,done}')::int"


async def test_a_match_becomes_a_decision_an_incentive_and_an_inbox_entry(world: World):
    await world.play(world.match("e1"))
    assert world.rows("SELECT outcome, reason, book_version FROM decision") == [("granted", "granted", 7)]
    assert world.rows("SELECT user_id, kind, value, state, inbox_seq FROM incentive") == [
        ("u1", "cashback", 100, "granted", 1)
    ]
    assert world.rows("SELECT user_id, seq FROM inbox") == [("u1", 1)]
    assert world.rows("SELECT partition, next_offset FROM consumer_position ORDER BY 1") == [(0, 1), (1, 0)]
    assert world.rows("SELECT tenant_id, from_offset, book_version FROM book_pin") == [("acme", 0, 7)]


async def test_a_decision_keeps_the_attributes_that_it_went_by_and_their_revision(world: World):
    await world.play(replace(world.match("e1"), user={"tier": "gold"}, user_revision=3), world.match("e2"))
    stored = world.rows("SELECT event_id, user_attributes, user_revision FROM decision ORDER BY 1")
    assert stored == [("e1", {"tier": "gold"}, 3), ("e2", None, None)]


async def test_the_same_batch_again_is_fenced_and_changes_nothing(world: World):
    first = world.match("e1")
    await world.play(first)
    with pytest.raises(Fenced):
        await world.play(first)
    assert world.rows("SELECT count(*) FROM incentive") == [(1,)]


async def test_a_partition_that_comes_back_says_anew_under_which_book_it_is_decided(world: World):
    # given a partition that goes to a worker with a newer book, and comes back to one that still has the older
    await world.play(world.match("e1"))
    other, theirs = Settle(PostgresLedger(world.pool, "other"), lambda *told: None), world.match("e2")
    theirs = replace(theirs, event=replace(theirs.event, book=replace(theirs.event.book, version=8)))
    await other(world.batch(theirs), [theirs])
    await world.play(world.match("e3"))
    await world.play(world.match("e4"))

    pins = world.rows("SELECT from_offset, book_version FROM book_pin ORDER BY from_offset")
    assert pins == [(0, 7), (1, 8), (2, 7)]


async def test_of_two_workers_with_the_same_batch_one_wins(world: World):
    first = world.match("e1")
    zombie = Settle(PostgresLedger(world.pool, "zombie"), lambda *told: None)
    results = await asyncio.gather(world.play(first), zombie(world.batch(first), [first]), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Fenced", "NoneType"]
    assert world.rows("SELECT count(*) FROM incentive") == [(1,)]


async def test_a_batch_is_fenced_whole_when_one_of_its_partitions_moved(world: World):
    one, two = world.match("e1"), world.match("e2", partition=1)
    await world.play(one)
    with pytest.raises(Fenced):
        await world.play(one, two)
    assert world.rows("SELECT next_offset FROM consumer_position WHERE partition = 1") == [(0,)]


async def test_an_event_sent_twice_counts_once_in_one_batch_and_across_batches(world: World):
    await world.play(world.match("e1", amount=5), world.match("e1", amount=5))
    await world.play(world.match("e2"), world.match("e1", amount=5))
    assert world.rows("SELECT event_id FROM incentive ORDER BY inbox_seq") == [("e1",), ("e2",)]
    assert world.rows("SELECT count(*) FROM rejection") == [(0,)]


async def test_an_id_that_comes_again_with_another_body_is_rejected_with_its_bytes(world: World):
    await world.play(world.match("e1", amount=5), world.match("e1", amount=6))
    await world.play(world.match("e1", amount=7), world.match("e2"))
    assert world.rows("SELECT reason, event_id, log_offset, original FROM rejection ORDER BY log_offset") == [
        ("conflicting_duplicate", "e1", 1, b"{}"),
        ("conflicting_duplicate", "e1", 2, b"{}"),
    ]
    assert world.rows("SELECT count(*) FROM incentive") == [(2,)]


async def test_events_of_two_sources_are_two_whatever_their_ids(world: World):
    tills = [world.match("1", amount=5, source=f"/till-{n}") for n in (1, 2)]
    await world.play(*tills, world.match("1", "u2", amount=8, source="/till-3"))
    await world.play(world.match("1", amount=5, source="/till-2"), world.match("1", amount=6, source="/till-1"))
    assert world.rows("SELECT event_id, event_source, user_id FROM incentive ORDER BY user_id, inbox_seq") == [
        ("1", "/till-1", "u1"),
        ("1", "/till-2", "u1"),
        ("1", "/till-3", "u2"),
    ]
    assert world.rows("SELECT count(DISTINCT decision_id) FROM decision") == [(3,)]
    [(event_id, source, detail)] = world.rows("SELECT event_id, event_source, detail FROM rejection")
    assert (event_id, source) == ("1", "/till-1")
    assert "event id '1' of source '/till-1' was used before" in detail


async def test_two_purchases_equal_in_content_but_not_in_id_both_count(world: World):
    await world.play(world.match("e1", amount=5), world.match("e2", amount=5))
    assert world.rows("SELECT count(*) FROM incentive") == [(2,)]


async def test_a_shared_cap_is_reached_exactly_and_the_refusal_is_proved(world: World):
    world.add_limit("budget", 250, measure="value", reward_kind="cashback")
    await world.play(*[world.match(f"e{i}", f"u{i}") for i in range(4)])
    assert world.rows("SELECT used, cap, version FROM limit_counter") == [(200, 250, 2)]
    denied = world.rows(
        "SELECT reason, limits -> 0 ->> 'used_before', limits -> 0 ->> 'cap' FROM decision WHERE outcome = 'denied'"
    )
    assert denied == [("limit", "200", "250")] * 2


async def test_a_smaller_reward_still_fits_where_a_larger_did_not(world: World):
    world.add_limit("budget", 250, measure="value", reward_kind="cashback")
    await world.play(world.match("e1", value=200), world.match("e2", value=100), world.match("e3", value=50))
    assert world.rows("SELECT event_id FROM incentive ORDER BY inbox_seq") == [("e1",), ("e3",)]


async def test_concurrent_batches_never_exceed_a_shared_cap(world: World):
    world.add_limit("all", 10)
    zero = [world.match(f"a{i}", f"u{i}") for i in range(8)]
    one = [world.match(f"b{i}", f"v{i}", partition=1) for i in range(8)]

    async def insist(*items: Match) -> None:
        while True:
            try:
                return await world.play(*items)
            except Retry as retry:
                assert not isinstance(retry, Fenced)

    await asyncio.gather(*[insist(item) for item in zero[:1] + one[:1]])
    await asyncio.gather(insist(*zero[1:]), insist(*one[1:]))
    assert world.rows("SELECT used, version FROM limit_counter") == [(10, 10)]
    assert world.rows("SELECT outcome, count(*) FROM decision GROUP BY 1 ORDER BY 1") == [
        ("denied", 6),
        ("granted", 10),
    ]


async def test_a_cap_a_user_a_day_counts_by_event_time(world: World):
    world.add_limit("daily", 1, scope="user", span="day")
    day = timedelta(days=1)
    await world.play(world.match("e1"), world.match("e2", after=day), world.match("e3"), world.match("e4", "u2"))
    assert world.rows("SELECT event_id FROM decision WHERE outcome = 'denied'") == [("e3",)]


async def test_a_refusal_says_when_its_window_is_over(world: World):
    spans = {"day": {}, "week": {"week_starts_on": "sunday"}, "year": {}, "lifetime": {}}
    for span, said in spans.items():
        world.add_limit(span, 1, span=span, **said)
    await world.play(world.match("e1"), world.match("e2"))
    told = world.rows(
        "SELECT l ->> 'limit_id', (l ->> 'resets_at')::timestamptz FROM decision, jsonb_array_elements(limits) AS l"
        " WHERE outcome = 'denied'"
    )
    midnight = T0.replace(hour=0, minute=0, second=0, microsecond=0)
    sunday = midnight + timedelta(days=6 - midnight.weekday() or 7)
    ends = (midnight + timedelta(days=1), sunday, midnight.replace(year=T0.year + 1, month=1, day=1), None)
    assert dict(told) == dict(zip(spans, ends, strict=True))


async def test_a_cap_lowered_below_its_use_refuses_the_rest_and_breaks_nothing(world: World):
    world.add_limit("all", 10)
    await world.play(*[world.match(f"e{i}") for i in range(3)])
    world.owner.execute("UPDATE spending_limit SET cap = 1")
    await world.play(world.match("late"))
    assert world.rows("SELECT reason FROM decision WHERE event_id = 'late'") == [("limit",)]
    assert world.rows("SELECT used FROM limit_counter") == [(3,)]


async def test_a_hint_of_a_full_counter_is_confirmed_before_it_denies(world: World):
    from msgspec.structs import replace

    world.add_limit("all", 1)
    lied_to = world.match("e1")
    full = frozenset(charge.counter for charge in lied_to.candidates[0].charges)
    await world.play(replace(lied_to, full=full))  # a projection that is wrong denies nothing
    await world.play(replace(world.match("e2"), full=full))
    assert world.rows("SELECT event_id, outcome FROM decision ORDER BY 1") == [("e1", "granted"), ("e2", "denied")]


async def test_three_visits_in_a_week_complete_across_batches(world: World):
    quest = Quest(steps=(Step("visit", "BUY", count=3),), window_s=7 * 86_400, repeatable=True)
    await world.play(world.match("e1", quest=quest), world.match("e2", quest=quest))
    assert world.rows(f"SELECT state, {DONE} FROM quest_instance") == [("open", 2)]
    await world.play(world.match("e3", quest=quest), world.match("e4", quest=quest))
    assert world.rows(f"SELECT occurrence, state, {DONE} FROM quest_instance ORDER BY 1") == [
        (1, "completed", 3),
        (2, "open", 1),
    ]
    assert world.rows("SELECT event_id, instance FROM decision") == [("e3", "1")]


async def test_a_quest_whose_reward_does_not_fit_is_closed_as_denied(world: World):
    world.add_limit("none", 0)
    quest = Quest(steps=(Step("visit", "BUY"),))
    await world.play(world.match("e1", quest=quest))
    assert world.rows("SELECT state FROM quest_instance") == [("denied",)]
    assert world.rows("SELECT outcome, reason FROM decision") == [("denied", "limit")]


async def test_inbox_numbers_run_without_a_gap_for_each_user(world: World):
    await world.play(*[world.match(f"a{i}", f"u{i % 2}") for i in range(4)])
    await world.play(*[world.match(f"b{i}", f"u{i % 2}") for i in range(4)])
    assert world.rows("SELECT user_id, array_agg(seq ORDER BY seq) FROM inbox GROUP BY 1 ORDER BY 1") == [
        ("u0", [1, 2, 3, 4]),
        ("u1", [1, 2, 3, 4]),
    ]


async def test_poison_is_stored_beside_its_neighbours(world: World):
    good = world.match("e1")
    bad = Rejection(Place(TOPIC, 0, 1), "undecodable", "line 1: not JSON", b"\xff\x00", T0)
    await world.play(good, bad)
    assert world.rows("SELECT tenant_id, log_offset, reason, original FROM rejection") == [
        (None, 1, "undecodable", b"\xff\x00")
    ]
    assert world.rows("SELECT count(*) FROM incentive") == [(1,)]


async def test_a_topic_read_again_by_the_operator_leaves_rejections_and_grants_as_they_are(world: World):
    good, other = world.match("e1", amount=5), world.match("e1", amount=6)
    bad = Rejection(Place(TOPIC, 0, 2), "undecodable", "line 1: not JSON", b"\xff", T0)
    await world.play(good, other, bad)
    before = world.rows("SELECT * FROM rejection ORDER BY log_offset")
    world.owner.execute("UPDATE consumer_position SET next_offset = 0")
    await world.play(good, other, bad)
    assert world.rows("SELECT * FROM rejection ORDER BY log_offset") == before
    assert world.rows("SELECT count(*) FROM incentive") == [(1,)]


async def test_the_worker_sees_only_the_tenants_of_its_batch(world: World):
    await world.play(world.match("e1"))
    async with world.pool.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM incentive") == 0
        async with connection.transaction():
            await connection.execute("SELECT set_config('app.tenants', 'other', true)")
            assert await connection.fetchval("SELECT count(*) FROM incentive") == 0


async def test_what_the_event_is_worth_is_granted_and_counted(world: World):
    world.add_limit("budget", 250, measure="value", reward_kind="cashback")
    await world.play(*[world.match(f"e{i}", values=(worth,)) for i, worth in enumerate((200, 70, 50))])
    assert world.rows("SELECT value FROM incentive ORDER BY inbox_seq") == [(200,), (50,)]
    assert world.rows("SELECT used, version FROM limit_counter") == [(250, 2)]
    assert world.rows("SELECT reward_values -> 0 ->> 'value' FROM decision ORDER BY event_id") == [
        ("200",),
        (None,),
        ("50",),
    ]


async def test_a_reward_of_no_worth_is_refused_and_nothing_is_counted(world: World):
    world.add_limit("all", 10)
    quest = Quest(steps=(Step("visit", "BUY"),))
    await world.play(world.match("e1", quest=quest, values=(0,), refused="no_value"))
    assert world.rows("SELECT outcome, reason, limits FROM decision") == [("denied", "no_value", [])]
    assert world.rows("SELECT count(*) FROM limit_counter") == [(0,)]
    assert world.rows("SELECT state FROM quest_instance") == [("denied",)]
