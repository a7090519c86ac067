"""One user becomes another: what the ledger decides after that, and that nothing is lost or given twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import json
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.campaign.quest import Quest, Step
from fillip.core.campaign.reward import Reward
from fillip.core.errors import Fenced, Retry
from fillip.core.event import Event
from fillip.core.match.candidate import Match
from fillip.core.match.limit_charges import list_charges
from fillip.core.ports import Caller
from fillip.http.errors import Conflict
from fillip.manage.erasure import postgres as erasures
from fillip.manage.merge.postgres import MergeRequest, merge_users
from fillip.manage.store.postgres import open_engine, transaction
from fillip.match.merged_postgres import PostgresMerged
from fillip.match.resolve import Resolve
from fillip.migrations import role_dsn
from tests.builders import build_campaign
from tests.settle.conftest import World
from tests.settle.test_erasure import dump
from tests.settle.wallet_machine import BREACHES

ACME = Caller(None, "acme", frozenset())
POINTS, BADGE = Reward("points", 10), Reward("badge", badge="saver")
TWICE = Quest(steps=(Step("visit", "BUY", count=2),))
SUMS = (
    "SELECT currency, sum(pending), sum(active), sum(held), sum(spent), sum(expired), sum(reversed) FROM wallet GROUP BY 1 ORDER BY 1",
    "SELECT currency, sum(remaining), sum(reversed), count(*) FROM wallet_lot GROUP BY 1 ORDER BY 1",
    "SELECT limit_id, window_start, key, sum(used) FROM limit_counter GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    "SELECT limit_id, part, sum(used) FROM limit_part GROUP BY 1, 2 ORDER BY 1, 2",
)
BALANCES = "SELECT user_id, active, reversed FROM wallet ORDER BY 1"


@pytest.fixture
async def plain_api(database: str) -> AsyncIterator[AsyncEngine]:
    """The API's connections."""
    engine = open_engine(role_dsn(database, "fillip_api"))
    yield engine
    await engine.dispose()


async def merge(plain_api: AsyncEngine, gone: str = "anon", into: str = "ada", name: str = "m1") -> dict[str, Any]:
    """What was moved."""
    async with transaction(plain_api, ACME) as connection:
        row, _ = await merge_users(connection, ACME, MergeRequest(name, gone, into, None), datetime.now(UTC))
    return dict(row.moved)


async def resolve(world: World, *matches: Match) -> list[Match]:
    """As a worker takes them: each under who its user is by now."""
    known = [replace(each.event, book=replace(each.event.book, has_merged=True)) for each in matches]
    events = await Resolve(PostgresMerged(world.pool))(known)
    return [_rename(match, event) for match, event in zip(matches, events, strict=True) if isinstance(event, Event)]


def _rename(match: Match, event: Event) -> Match:
    candidates = [
        replace(each, charges=list_charges(event, each.campaign_version, each.values, {}, frozenset()))
        for each in match.candidates
    ]
    return replace(match, event=event, candidates=candidates)


async def play(world: World, *matches: Match) -> None:
    """Settle them as one batch, resolved."""
    await world.play(*await resolve(world, *matches))


def read_sums(world: World) -> list[Any]:
    return [world.rows(statement) for statement in SUMS]


def make_quest(world: World, quest: Quest = TWICE) -> None:
    definition = json.encode(build_campaign(quest=quest, rewards=(POINTS,))).decode()
    world.owner.execute("UPDATE campaign_version SET definition = %s", [definition])


def read_instances(world: World) -> list[Any]:
    return world.rows("SELECT user_id, occurrence, state FROM quest_instance ORDER BY 1, 2")


def find_breaches(world: World) -> set[str]:
    """Which invariants of the wallets do not hold."""
    found: dict[str, int] = {}
    for query in BREACHES:
        cursor = world.owner.execute(query, {"tenant": "acme", "user": None})
        row = cursor.fetchone()
        assert row and cursor.description
        found |= {column.name: count for column, count in zip(cursor.description, row, strict=True)}
    return {name for name, count in found.items() if count}


async def test_points_keep_their_sum_and_limits_are_added_up(world: World, plain_api: AsyncEngine) -> None:
    world.add_limit("mine", 5, scope="user")
    world.add_limit("rolling", 100, scope="user", span="rolling", rolling_s=600)
    await world.play(*(world.match(f"a{n}", "anon", rewards=(POINTS, BADGE)[: 2 if n == 0 else 1]) for n in range(3)))
    await world.play(*(world.match(f"b{n}", "ada", rewards=(POINTS,)) for n in range(3)))
    before = read_sums(world)
    assert await merge(plain_api) == {"points": {"POINTS": 30}, "counters": 2, "instances": 0, "badges": 1}
    assert read_sums(world) == before
    assert world.rows("SELECT user_id, active FROM wallet ORDER BY 1") == [("ada", 60), ("anon", 0)]
    assert world.rows("SELECT DISTINCT user_id FROM wallet_lot") == [("ada",)]
    assert world.rows("SELECT used, cap FROM limit_counter WHERE limit_id = 'mine' AND user_id = 'ada'") == [(6, 6)]
    await play(world, world.match("late", "anon", rewards=(POINTS,)))
    late = world.rows("SELECT user_id, outcome, reason FROM decision WHERE event_id = 'late'")
    assert late == [("ada", "denied", "limit")]
    assert not find_breaches(world)


async def test_an_event_that_was_decided_before_is_known_again(world: World, plain_api: AsyncEngine) -> None:
    await world.play(world.match("e1", "anon", rewards=(POINTS,)))
    await merge(plain_api)
    await play(world, world.match("e1", "anon", rewards=(POINTS,)), world.match("e2", "anon", rewards=(POINTS,)))
    await play(world, world.match("e2", "anon", rewards=(POINTS,)))
    assert world.duplicates == [0, 1, 1]
    assert world.rows("SELECT count(*) FROM rejection") == [(0,)]
    assert world.rows("SELECT active FROM wallet WHERE user_id = 'ada'") == [(20,)]


async def test_a_batch_that_was_taken_before_the_merge_is_taken_anew(world: World, plain_api: AsyncEngine) -> None:
    await world.play(world.match("e1", "anon", rewards=(POINTS,)))
    taken = await resolve(world, world.match("e2", "anon", rewards=(POINTS,)))
    await merge(plain_api)
    with pytest.raises(Fenced, match="merged"):
        await world.play(*taken)
    assert world.rows("SELECT event_id FROM decision") == [("e1",)]
    await play(world, *taken)
    assert world.rows("SELECT user_id FROM decision WHERE event_id = 'e2'") == [("ada",)]


async def test_what_was_earned_before_is_taken_back_of_who_the_user_is_now(
    world: World, plain_api: AsyncEngine
) -> None:
    world.add_limit("mine", 5, scope="user")
    await world.play(*(world.match(f"e{n}", "anon", rewards=(POINTS, BADGE)[: 2 - n]) for n in range(2)))
    await world.play(world.reversal("r0", "coming", "anon"))
    await merge(plain_api)
    await play(world, world.reversal("r1", "e0", "anon"), world.reversal("r2", "e1", "ada"))
    await play(world, world.match("coming", "anon", rewards=(POINTS,)))
    assert world.rows("SELECT state, reason FROM reversal ORDER BY reversal_id") == [("applied", "applied")] * 3
    assert world.rows(BALANCES) == [("ada", 0, 30), ("anon", 0, 0)]
    assert world.rows("SELECT user_id, used FROM limit_counter ORDER BY 1") == [("ada", 0), ("anon", 0)]
    assert world.rows("SELECT count(*) FROM badge_held") == [(0,)]
    told = world.rows("SELECT user_id, count(*), max(seq) FROM inbox WHERE kind = 'reversed' GROUP BY 1")
    assert told == [("ada", 4, 5)]  # and that the one that came later was granted
    assert not find_breaches(world)


@pytest.mark.parametrize("first", ["ada", "anon"])
async def test_a_badge_that_both_had_earned_goes_with_the_last_of_what_earned_it(
    world: World, plain_api: AsyncEngine, first: str
) -> None:
    await world.play(*(world.match(user, user, rewards=(BADGE,)) for user in ("anon", "ada")))
    await merge(plain_api)
    await play(world, world.reversal("r1", first, first), world.match("again", "ada", rewards=(BADGE,)))
    assert world.rows("SELECT user_id FROM badge_held") == [("ada",)]
    assert world.rows("SELECT reason FROM decision WHERE event_id = 'again'") == [("already_held",)]
    await play(world, world.reversal("r2", "anon" if first == "ada" else "ada", "ada"))
    assert world.rows("SELECT count(*) FROM badge_held") == [(0,)]
    await play(world, world.match("anew", "anon", rewards=(BADGE,)))
    assert world.rows("SELECT user_id FROM badge_held") == [("ada",)]


async def test_a_badge_that_both_had_earned_is_gone_when_one_batch_takes_both_back(
    world: World, plain_api: AsyncEngine
) -> None:
    await world.play(*(world.match(user, user, rewards=(BADGE,)) for user in ("anon", "ada", "eve")))
    await merge(plain_api)
    await merge(plain_api, "ada", "eve", "m2")
    await play(world, *(world.reversal(f"r-{user}", user, user) for user in ("anon", "eve")))
    assert world.rows("SELECT user_id FROM badge_held") == [("eve",)]
    await play(world, world.reversal("r-ada", "ada", "ada"), world.match("anew", "anon", rewards=(BADGE,)))
    assert world.rows("SELECT user_id FROM badge_held") == [("eve",)]
    assert world.rows("SELECT outcome FROM decision WHERE event_id = 'anew'") == [("granted",)]


async def test_a_quest_goes_on_and_is_completed_once(world: World, plain_api: AsyncEngine) -> None:
    make_quest(world)
    await world.play(world.match("e1", "anon", quest=TWICE, rewards=(POINTS,)))
    assert (await merge(plain_api))["instances"] == 1
    await play(world, world.match("e2", "ada", quest=TWICE, rewards=(POINTS,)))
    assert read_instances(world) == [("ada", 1, "completed")]
    await play(world, *(world.match(f"e{n}", "anon", quest=TWICE, rewards=(POINTS,)) for n in (3, 4)))
    assert world.rows("SELECT active FROM wallet WHERE user_id = 'ada'") == [(10,)]
    await play(world, world.reversal("r1", "e1", "anon"))
    assert read_instances(world) == [("ada", 1, "open")]
    assert world.rows(BALANCES) == [("ada", 0, 10)]


async def test_of_one_quest_the_known_users_instance_goes_on(world: World, plain_api: AsyncEngine) -> None:
    make_quest(world)
    await world.play(*(world.match(f"{user}1", user, quest=TWICE, rewards=(POINTS,)) for user in ("ada", "anon")))
    assert (await merge(plain_api))["instances"] == 0
    assert read_instances(world) == [("ada", 1, "open"), ("anon", 1, "closed")]
    await play(world, world.match("e2", "anon", quest=TWICE, rewards=(POINTS,)))
    assert read_instances(world)[0] == ("ada", 1, "completed")
    await play(world, world.reversal("r1", "anon1", "anon"), world.reversal("r2", "ada1", "anon"))
    assert read_instances(world) == [("ada", 1, "open"), ("anon", 1, "reversed")]


@pytest.mark.parametrize("who", ["ada", "anon"])
async def test_what_either_has_completed_is_not_completed_again(world: World, plain_api: AsyncEngine, who: str) -> None:
    make_quest(world)
    other = "anon" if who == "ada" else "ada"
    await world.play(*(world.match(f"e{n}", who, quest=TWICE, rewards=(POINTS,)) for n in range(2)))
    await world.play(world.match("f1", other, quest=TWICE, rewards=(POINTS,)))
    await merge(plain_api)
    await play(world, *(world.match(f"g{n}", "anon", quest=TWICE, rewards=(POINTS,)) for n in range(3)))
    assert [state for user, _, state in read_instances(world) if user == "ada" and state != "closed"] == ["completed"]
    assert world.rows("SELECT sum(active) FROM wallet") == [(10,)]
    await play(world, world.reversal("r1", "e0", who))  # which finds its grant, whatever the instance is called by now
    assert world.rows("SELECT sum(active), sum(reversed) FROM wallet") == [(0, 10)]


async def test_whoever_was_merged_goes_along_and_nobody_is_merged_twice_or_in_a_circle(
    world: World, plain_api: AsyncEngine
) -> None:
    await world.play(*(world.match(f"e{n}", f"u{n}", rewards=(POINTS,)) for n in range(3)))
    await merge(plain_api, "u0", "u1", "m1")
    assert (await merge(plain_api, "u0", "u1", "m1"))["points"] == {"POINTS": 10}  # once
    for gone, into in (("u0", "u2"), ("u1", "u0"), ("u1", "u1")):
        with pytest.raises(Conflict):
            await merge(plain_api, gone, into, "m2")
    with pytest.raises(Conflict):
        await merge(plain_api, "u2", "u1", "m1")
    await merge(plain_api, "u1", "u2", "m2")
    await play(world, world.match("late", "u0", rewards=(POINTS,)))
    assert world.rows("SELECT user_id, merged_into FROM user_merge ORDER BY 1") == [("u0", "u2"), ("u1", "u2")]
    assert world.rows("SELECT user_id, active FROM wallet WHERE active > 0") == [("u2", 40)]


async def test_an_erasure_takes_all_ids_that_are_one(world: World, plain_api: AsyncEngine, database: str) -> None:
    world.add_limit("mine", 5, scope="user")
    make_quest(world)
    gone, into = "canary anon", "canary ada"
    await world.play(*(world.match(f"canary{n}", (gone, into)[n % 2], rewards=(POINTS,)) for n in range(4)))
    await world.play(
        world.match("canary-q", gone, quest=TWICE, rewards=(POINTS,)), world.reversal("canary-r", "canary0", gone)
    )
    await merge(plain_api, gone, into)
    await play(world, world.match("canary-late", gone, rewards=(POINTS,)))
    before = read_sums(world)
    sweep = open_engine(role_dsn(database, "fillip_sweep"))
    async with transaction(plain_api, ACME) as connection:
        await erasures.ask_erasure(connection, ACME, into)
    waited = []
    while held := await erasures.begin_step(sweep, plain_api):
        if held.step == "settling":
            await erasures.erase_ledger(plain_api, held)
        elif await erasures.has_parts(plain_api, held):
            waited.append(held.user_id)
            await erasures.end_step(plain_api, held)
        else:
            await erasures.erase_events(plain_api, held)
            await erasures.finish(plain_api, held)
    await sweep.dispose()
    assert "canary" not in dump(database)
    assert read_sums(world)[0] == before[0] and read_sums(world)[1] == before[1]
    assert world.rows("SELECT state, count(*) FROM erasure GROUP BY 1") == [("done", 2)]
    assert not find_breaches(world)


async def test_of_merges_beside_batches_nothing_is_lost_and_nothing_given_twice(
    world: World, plain_api: AsyncEngine
) -> None:
    world.add_limit("mine", 40, scope="user")
    users = [f"u{n}" for n in range(8)]

    async def send(partition: int) -> None:
        for n in range(40):
            matches = [
                world.match(f"{partition}-{n}-{k}", users[(n * 3 + k) % 8], rewards=(POINTS,), partition=partition)
                for k in range(3)
            ]
            while True:
                try:
                    await play(world, *matches)
                except Retry:  # merged meanwhile, or the other partition made the wallet first
                    continue
                break

    async def join() -> None:
        for n, (gone, into) in enumerate([(7, 6), (5, 4), (6, 4), (3, 2), (4, 0), (2, 0), (1, 0)]):
            await merge(plain_api, users[gone], users[into], f"m{n}")
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for part in (send(0), send(1), join()):
            tasks.create_task(part)
    granted = world.rows("SELECT count(*) FROM decision WHERE outcome = 'granted'")[0][0]
    assert world.rows("SELECT user_id, active FROM wallet WHERE active <> 0") == [("u0", granted * 10)]
    assert world.rows("SELECT sum(used) FROM limit_counter") == [(granted,)]
    assert world.rows("SELECT count(*) FROM decision") == [(240,)]
    assert world.rows("SELECT count(*) FROM (SELECT FROM inbox GROUP BY user_id HAVING max(seq) <> count(*)) x") == [
        (0,)
    ]
    over = "SELECT count(*) FROM decision, jsonb_array_elements(limits) u WHERE outcome = 'granted' AND (u ->> 'used_before')::int >= 40"
    assert world.rows(over) == [(0,)]
    assert not find_breaches(world)
