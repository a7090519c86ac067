"""One user becomes another: what the ledger decides after that, and that nothing is lost or given twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from msgspec import json
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.campaign.quest import Quest, Step
from fillip.core.campaign.reward import Reward
from fillip.core.errors import Fenced, Retry
from fillip.core.event import Event
from fillip.core.ledger.points import identify_spend
from fillip.core.match.candidate import Match
from fillip.core.match.limit_charges import list_charges
from fillip.core.ports import Caller
from fillip.http.errors import Conflict
from fillip.manage.erasure import postgres as erasures
from fillip.manage.merge import postgres as merges
from fillip.manage.merge.portions_postgres import DueMerge, move_portion
from fillip.manage.merge.postgres import MergeRequest, merge_users
from fillip.manage.merge.wallets_postgres import move_wallets
from fillip.manage.store.postgres import open_engine, transaction
from fillip.manage.wallet.postgres import lock_wallet, open_page, store_wallets
from fillip.match.merged_postgres import PostgresMerged
from fillip.match.resolve import Resolve
from fillip.migrations import role_dsn
from fillip.settle.wallet import PostgresWallets
from tests.builders import T0, build_campaign
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
SUM_OF = ("pending", "active", "held", "spent", "expired", "reversed")
BALANCES = "SELECT user_id, active, reversed FROM wallet ORDER BY 1"

ANOTHER_OPEN = """
INSERT INTO quest_instance SELECT (jsonb_populate_record(q, '{"occurrence": 2, "state": "open"}')).* FROM quest_instance q WHERE user_id = 'anon'
"""


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


def read_total(world: World) -> Any:
    """Pending, active, held, spent, expired and reversed points of all users."""
    return world.rows("SELECT " + ", ".join(f"sum({each})::int" for each in SUM_OF) + " FROM wallet")[0]


def read_state(world: World) -> str:
    return "merged" if world.rows("SELECT next_at FROM user_merge") == [(None,)] else "merging"


async def move_due(world: World, at: datetime) -> None:
    """Bring the wallets of anon up to an instant, as the sweep does."""
    async with world.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('app.tenants', 'acme', true)")
        await PostgresWallets(connection).move_due([("acme", "anon", "POINTS")], at)


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
    assert await merge(plain_api) == {
        "points": {"POINTS": 30},
        "counters": 2,
        "instances": 0,
        "badges": 1,
        "cohorts": 0,
    }
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


async def spend(plain_api: AsyncEngine, user: str, amount: int) -> None:
    """Spend points as the API does."""
    async with transaction(plain_api, ACME) as connection:
        key, now = ("acme", user, "POINTS"), datetime.now(UTC)
        wallet = await lock_wallet(connection, key, now)
        await open_page(connection, wallet)
        assert wallet.spend(identify_spend(key, f"{user}-{amount}"), f"{user}-{amount}", amount, now)
        await store_wallets(connection, wallet)


async def move_rest(plain_api: AsyncEngine, user: str = "anon", most_lots: int = 2) -> int:
    """Bring the rest over; how many portions that took."""
    portions = 0
    while await move_portion(plain_api, DueMerge("acme", user), most_lots):
        portions += 1
    return portions


@pytest.fixture
def by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge takes two lots a transaction."""
    monkeypatch.setattr(merges, "move_wallets", partial(move_wallets, most_lots=2))


@pytest.mark.usefixtures("by_two")
async def test_points_come_over_in_portions_and_whatever_happens_meanwhile_every_sum_stays(
    world: World, plain_api: AsyncEngine
) -> None:
    coming = Reward("points", 10, pending_for_s=9 * 86_400)
    rewards = [*[Reward("points", 10, expires_after_s=86_400 * n) for n in (1, 2, 9)], POINTS, POINTS, coming, coming]
    three_days_ago = datetime.now(UTC) - timedelta(days=3)
    for n, reward in enumerate(rewards):
        await world.play(world.match(f"e{n}", "anon", rewards=(reward,), clock="live", after=three_days_ago - T0))
    await world.play(world.match("a0", "ada", rewards=(POINTS,)))
    await move_due(world, datetime.now(UTC))  # the first two expire
    await spend(plain_api, "anon", 13)  # of the two that come then
    total = read_total(world)
    assert (await merge(plain_api))["points"] == {"POINTS": 0}  # what has expired is first in order
    assert read_state(world) == "merging"
    assert not find_breaches(world) and read_total(world) == total

    await play(world, world.reversal("r4", "e4", "anon"), world.reversal("r2", "e2", "anon"))
    # e4's lot came over for it; e2's is spent, and nothing else is there: a debt, paid by what comes
    assert world.rows("SELECT active FROM wallet WHERE user_id = 'ada'") == [(0,)]
    assert read_total(world)[:2] == (total[0], total[1] - 20)
    assert not find_breaches(world)
    await play(world, world.match("late", "anon", rewards=(POINTS,)))
    assert await move_rest(plain_api) == 2
    assert read_state(world) == "merged"
    assert world.rows("SELECT DISTINCT user_id FROM wallet_lot WHERE remaining > 0") == [("ada",)]
    assert world.rows("SELECT pending, active, spent, expired, reversed FROM wallet WHERE user_id = 'anon'") == [
        (0, 0, 0, 0, 0)
    ]
    assert read_total(world)[:2] == (total[0], total[1] - 10)
    assert not find_breaches(world)


async def test_debts_add_up_and_are_paid_by_what_comes(world: World, plain_api: AsyncEngine) -> None:
    for user in ("anon", "ada"):
        await world.play(world.match(user, user, rewards=(POINTS,)), world.match(f"{user}2", user, rewards=(POINTS,)))
        await spend(plain_api, user, 15)
        await world.play(world.reversal(f"r-{user}", user, user))
    with pytest.raises(Retry, match="a large spend"):
        await merge(plain_api)
    await move_due(world, datetime.now(UTC))  # the other lot stands in for the one that was taken back
    assert [active for _, active, _ in world.rows(BALANCES)] == [-5, -5]
    total = read_total(world)
    assert (await merge(plain_api))["points"] == {"POINTS": -5}
    assert [active for _, active, _ in world.rows(BALANCES)] == [-10, 0]
    assert read_total(world) == total and not find_breaches(world)
    await play(world, *(world.match(f"f{n}", "anon", rewards=(POINTS,)) for n in range(2)))
    assert [active for _, active, _ in world.rows(BALANCES)] == [10, 0]
    assert not find_breaches(world)


async def test_a_debt_is_paid_by_what_the_other_has(world: World, plain_api: AsyncEngine) -> None:
    await world.play(world.match("e0", "anon", rewards=(POINTS,)), world.match("a0", "ada", rewards=(POINTS,)))
    await spend(plain_api, "anon", 10)
    await world.play(world.reversal("r0", "e0", "anon"))
    total = read_total(world)
    await merge(plain_api)
    assert [active for _, active, _ in world.rows(BALANCES)] == [0, 0]
    assert read_total(world) == total and not find_breaches(world)


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


async def test_a_quest_that_is_open_goes_before_one_whose_window_is_over(world: World, plain_api: AsyncEngine) -> None:
    make_quest(world)
    await world.play(*(world.match(f"{user}1", user, quest=TWICE, rewards=(POINTS,)) for user in ("ada", "anon")))
    world.owner.execute("UPDATE quest_instance SET state = 'lapsed'")
    world.owner.execute(ANOTHER_OPEN)
    assert (await merge(plain_api))["instances"] == 1
    assert read_instances(world) == [("ada", 1, "lapsed"), ("ada", 2, "open"), ("anon", 1, "closed")]


async def test_a_reward_of_a_quest_is_found_after_two_merges(world: World, plain_api: AsyncEngine) -> None:
    make_quest(world)
    for who in ("u0", "u1", "u2"):
        await world.play(*(world.match(f"{who}-{n}", who, quest=TWICE, rewards=(POINTS,)) for n in range(2)))
    await merge(plain_api, "u0", "u1", "m1")
    await merge(plain_api, "u1", "u2", "m2")
    assert read_instances(world) == [("u2", number, "completed") for number in (1, 2, 3)]
    await play(world, *(world.reversal(f"r-{who}", f"{who}-1", who) for who in ("u0", "u1", "u2")))
    assert world.rows("SELECT active, reversed FROM wallet WHERE user_id = 'u2'") == [(0, 30)]


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
