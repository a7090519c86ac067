"""An erased user's rows stay under a pseudonym: no table tells of the user, and all sums are what they were."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import psycopg
import pytest
from msgspec import json
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.campaign.quest import Quest, Step
from fillip.core.campaign.reward import Reward
from fillip.core.errors import RejectReason
from fillip.core.event import Place, Rejection
from fillip.core.ledger.hold import PointsHold, StoredHold
from fillip.core.ledger.points import identify_adjustment, identify_gift, identify_spend
from fillip.core.ports import Caller
from fillip.manage.erasure import postgres
from fillip.manage.store.postgres import open_engine, transaction
from fillip.migrations import role_dsn
from fillip.rows.wallet.hold_postgres import HoldRows
from fillip.settle.wallet.due_holds_postgres import PostgresDueHolds
from tests.builders import T0, build_campaign
from tests.oracle.compare import count_breaches
from tests.settle.conftest import TOPIC, World
from tests.settle.wallet_machine import BREACHES

USER = 'canary "å" 7'
ESCAPED = json.encode(USER).decode().strip('"').replace("å", "\\u00e5")
RULE = UUID(int=9)
ACME = Caller(None, "acme", frozenset())
POINTS, CASH, BADGE = Reward("points", 10), Reward("cashback", 50, "USD"), Reward("badge", badge="saver")
HOUR = timedelta(hours=1)
QUEST = Quest(steps=(Step("friend", "BUY", count=2, distinct="event.friend"),), instance="event")
SUMS = (
    "SELECT outcome, reason, campaign_id, local_day, count(*) FROM decision GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
    "SELECT array_agg(decision_id ORDER BY decision_id) FROM decision",
    "SELECT array_agg(incentive_id ORDER BY incentive_id) FROM incentive",
    "SELECT kind, currency, state, count(*), sum(value), sum(reversed_value) FROM incentive GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    "SELECT limit_id, window_start, count(*), sum(used), sum(version) FROM limit_counter GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT limit_id, count(*), sum(used), array_agg(part ORDER BY part) FROM limit_part GROUP BY 1 ORDER BY 1",
    "SELECT currency, count(*), sum(pending), sum(active), sum(held), sum(spent), sum(expired), sum(reversed) FROM wallet GROUP BY 1 ORDER BY 1",
    "SELECT kind, debit, credit, count(*), sum(amount) FROM wallet_transfer GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    "SELECT count(*), sum(remaining), sum(reversed) FROM wallet_lot",
    "SELECT state, count(*), sum(amount), sum(captured) FROM wallet_hold GROUP BY 1 ORDER BY 1",
    "SELECT count(*), sum(amount), sum(returned) FROM wallet_refund",
    "SELECT state, count(*) FROM quest_instance GROUP BY 1 ORDER BY 1",
    "SELECT count(*), sum(amount), sum(reversed) FROM quest_step_met",
    "SELECT state, reason, share, count(*) FROM reversal WHERE state NOT IN ('refused', 'waiting') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    "SELECT count(*), count(DISTINCT user_id), sum(last_seq) FROM inbox_head",
    "SELECT user_id <> 'other', count(*), max(seq) FROM inbox GROUP BY 1 ORDER BY 1",
    "SELECT change, count(*), sum(changed_value) FROM incentive_change GROUP BY 1 ORDER BY 1",
    "SELECT count(*) FROM badge_held",
    "SELECT reason, count(*) FROM rejection GROUP BY 1 ORDER BY 1",
    "SELECT count(*), array_agg(event_key ORDER BY event_key), array_agg(fingerprint ORDER BY event_key) FROM event_met",
    "SELECT array_agg(number ORDER BY number) FROM user_number",
    "SELECT is_member, terms, count(*) FROM cohort_tally GROUP BY 1, 2",
    "SELECT result - 'samples' #- '{differences,samples}' FROM backtest WHERE state = 'done' ORDER BY backtest_id",
)


@pytest.fixture
async def engines(database: str) -> AsyncIterator[tuple[AsyncEngine, AsyncEngine]]:
    """Of the sweep and of the API."""
    both = open_engine(role_dsn(database, "fillip_sweep")), open_engine(role_dsn(database, "fillip_api"))
    yield both
    for engine in both:
        await engine.dispose()


async def live(world: World) -> None:
    """A life of the user: grants, refusals, quests, reversals, points, and all that else may name one."""
    world.owner.execute(
        "UPDATE campaign_version SET definition = %s", [json.encode(build_campaign(quest=QUEST)).decode()]
    )
    world.add_limit("mine", 4, scope="user")
    world.add_limit("rolling", 100, scope="user", span="rolling", rolling_s=600)
    world.add_limit("all", 100)
    rewards = (POINTS, CASH, BADGE)
    told: dict[str, Any] = {"name": "canary Ann", "amount": 7}
    mine = [world.match(f"canary-{n}", USER, rewards=rewards, source="/canary", **told) for n in range(6)]
    await world.play(*mine, world.match("o1", "other", rewards=(POINTS, CASH)))
    invited = [world.match(f"canary-q{n}", USER, rewards=rewards, quest=QUEST, source="/canary") for n in range(3)]
    friends = [[replace(each.candidates[0], distinct={0: f"canary bo {n}"})] for n, each in enumerate(invited)]
    await world.play(*(replace(each, candidates=named) for each, named in zip(invited, friends, strict=True)))
    take: dict[str, Any] = {"source": "/canary", "reason": "canary"}
    line: dict[str, Any] = {"lines": [{"line": "canary-sku", "amount": 1, "of": 2}], "of": 4}
    await world.play(
        world.reversal("canary-r1", "canary-0", USER, **take),
        world.reversal("canary-r2", "canary-1", USER, **take, **line),
        world.reversal("canary-r3", "canary-nothing", USER, **take),
    )
    original = b'{"id": "canary-x", "subject": "%b", "data": {"n": "canary"}}' % ESCAPED.encode()
    refused: list[tuple[RejectReason, bytes]] = [("undecodable", f"{USER} {{".encode()), ("unknown_action", original)]
    for reason, told_bytes in refused:
        place = Place(TOPIC, 0, world.ends[0])
        world.ends[0] += 1
        await world.play(Rejection(place, reason, "canary", told_bytes, T0, "acme", "canary-x", "/canary"))
    await hold_points(world)
    execute = world.owner.execute
    execute("INSERT INTO end_user (tenant_id, user_id, attributes) VALUES ('acme', %s, '{\"n\": \"canary\"}')", [USER])
    execute("INSERT INTO tenant_usage (tenant_id, stored_bytes) VALUES ('acme', 15)")
    execute("INSERT INTO user_number VALUES ('acme', %s, 0), ('acme', 'other', 1)", [USER])
    ticket = "INSERT INTO gateway_ticket VALUES (%s, 'acme', %s, now() + interval '1 hour')"
    execute(ticket, [b"\x01" * 32, USER])
    execute("INSERT INTO cohort (tenant_id, cohort_id, name, kind) VALUES ('acme', 'buyers', 'B', 'realtime')")
    execute(
        "INSERT INTO cohort_rule (tenant_id, cohort_id, rule_id, action, definition, rule_checked, cost)"
        " VALUES ('acme', 'buyers', %s, 'BUY', '{}', '', 1)", [RULE]
    )  # fmt: skip
    execute("INSERT INTO cohort_tally (tenant_id, rule_id, user_id, terms, is_member) VALUES ('acme', %s, %s, '', true)", [RULE, USER])  # fmt: skip
    backtest = (
        "INSERT INTO backtest (tenant_id, campaign_id, version, first_at, until_at, state, result, run_id, held_until)"
        " VALUES ('acme', 'c', 1, now() - interval '1 day', now(), %s, %s, %s, %s)"
    )
    shown = {"granted": 1, "samples": [{"event": {"user_id": USER}}], "differences": None}
    other = {"granted": 2, "samples": [], "differences": {"only_live": 1, "samples": [{"user_id": USER}]}}
    for result in (shown, other):
        execute(backtest, ["done", json.encode(result).decode(), None, None])
    execute(backtest, ["running", None, RULE, T0])
    execute("UPDATE incentive SET reservation_id = 'canary-basket' WHERE user_id = %s AND kind = 'cashback'", [USER])


async def hold_points(world: World) -> None:
    """Points by hand, some of them given away, and two holds: one that was captured in part, one that is open."""
    [(currency,)] = world.rows(f"SELECT currency FROM wallet WHERE user_id = '{USER}'")
    key, now = ("acme", USER, currency), datetime.now(UTC)
    for name, captured in (("canary-a", 0), ("canary-g", 0), ("canary-h1", 3), ("canary-h2", 0)):
        async with world.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('app.tenants', 'acme', true)")
            rows = HoldRows(connection)
            wallet = (await rows.lock([key]))[key]
            if name == "canary-a":
                wallet.adjust(identify_adjustment(key, name), name, 20, "canary", now, None)
                await rows.store([wallet])
                continue
            await rows.open_pages({key: wallet}, {key: wallet.balance.expired_to})
            if name == "canary-g":
                gift, friend = (
                    identify_gift(key, name),
                    (await rows.lock([("acme", "other", currency)]))["acme", "other", currency],
                )
                friend.receive(gift, wallet.give(gift, name, 4, now), now)
                await rows.store([wallet, friend])
                continue
            transfer_id = identify_spend(key, name)
            assert wallet.hold(transfer_id, name, 5, now)
            made = wallet.transfers[-1]
            hold = PointsHold(transfer_id, made.seq, name, 5, held_until=now + HOUR, due_at=now + HOUR)
            await rows.make_hold(wallet, hold)
            if captured:
                again = (await rows.lock([key]))[key]
                await rows.end_hold(again, StoredHold(hold, made), hold.capture(captured, now), now)


def dump(dsn: str) -> str:
    """All rows of all tables."""
    with psycopg.connect(dsn) as owner:
        names = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        tables = [name for (name,) in owner.execute(names).fetchall()]
        rows = [owner.execute(f'SELECT t::text FROM "{name}" t').fetchall() for name in tables]
    return "\n".join(text for some in rows for (text,) in some)


async def ask(engine: AsyncEngine) -> None:
    async with transaction(engine, ACME) as connection:
        await postgres.ask_erasure(connection, ACME, USER)


async def test_nothing_tells_of_an_erased_user_and_all_sums_are_what_they_were(
    world: World, engines: tuple[AsyncEngine, AsyncEngine], database: str
) -> None:
    await live(world)
    finder, engine = engines
    before = [world.rows(each) for each in SUMS]
    assert all(before[:-1]), before
    assert dump(database).count("canary") > 100
    assert "canary bo" in dump(database)
    assert breaches(database) == set()

    await ask(engine)
    held = await postgres.begin_step(finder, engine)
    assert held and await postgres.begin_step(finder, engine) is None  # one process holds it
    await postgres.erase_ledger(engine, held)
    held = await postgres.begin_step(finder, engine)
    assert held and held.step == "events" and held.cut_at
    await postgres.erase_events(engine, held)
    await postgres.erase_originals(engine, held)
    assert len(await postgres.list_erased_rejections(engine, held, 10)) == 2
    await postgres.finish(engine, held)

    assert [line for line in dump(database).splitlines() if "canary" in line] == []
    assert [world.rows(each) for each in SUMS] == before
    assert breaches(database) == set()
    assert world.rows("SELECT count(*) FROM reversal WHERE state = 'waiting'") == [(0,)]
    marks = "SELECT count(*) FROM quest_instance WHERE steps::text LIKE '%values%'"
    assert world.rows(marks) == [(0,)], "hashes of friends' names, which could be told from whom they are"
    backtests = world.rows("SELECT state, result - 'granted' FROM backtest ORDER BY state, backtest_id")
    assert backtests == [
        ("done", {"samples": [], "differences": None}),
        ("done", {"samples": [], "differences": {"only_live": 1, "samples": []}}),
        ("waiting", None),  # which begins anew, without the user's events
    ]
    assert world.rows("SELECT stored_bytes FROM tenant_usage WHERE tenant_id = 'acme'") == [(0,)]
    [(pseudonym,)] = world.rows("SELECT DISTINCT user_id FROM decision WHERE user_id <> 'other'")
    assert pseudonym.startswith("erased-") and pseudonym not in str(world.rows("SELECT t FROM erasure t"))
    async with asyncpg.create_pool(role_dsn(database, "fillip_sweep"), min_size=1, max_size=1) as sweep:
        assert await PostgresDueHolds(sweep, world.pool).move_due(datetime.now(UTC) + HOUR) == 1
    assert world.rows("SELECT sum(held) FROM wallet") == [(0,)], "what it held has come back to the pseudonym"
    assert breaches(database) == set()


async def test_what_is_sent_again_grants_nothing_and_what_is_new_is_a_new_users(
    world: World, engines: tuple[AsyncEngine, AsyncEngine]
) -> None:
    world.add_limit("mine", 1, scope="user")
    first = world.match("e1", USER, rewards=(POINTS,))
    await world.play(first)
    await erase(engines)
    again = world.match("e1", USER, rewards=(POINTS,))
    await world.play(again, world.match("e2", USER, rewards=(POINTS,)), world.reversal("r1", "e1", USER))
    assert world.duplicates[-1] == 1
    assert world.rows("SELECT count(*) FROM rejection") == [(0,)]
    mine = "SELECT user_id LIKE 'erased-%', last_seq FROM inbox_head ORDER BY 1"
    assert world.rows(mine) == [(False, 1), (True, 1)]
    assert world.rows("SELECT active FROM wallet") == [(10,), (10,)]
    assert world.rows("SELECT state, reason FROM reversal") == [("refused", "other_user")]


async def test_an_erasure_that_was_cut_off_goes_on(
    world: World, engines: tuple[AsyncEngine, AsyncEngine], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(world)
    before = [world.rows(each) for each in SUMS]
    finder, engine = engines
    await ask(engine)
    monkeypatch.setattr(postgres, "HISTORY_PORTION", 1)
    held = await postgres.begin_step(finder, engine)
    assert held
    with psycopg.connect(database) as other:  # a batch that decides: nothing is cut before it has ended
        other.execute("SELECT share_limits(ARRAY['acme'])")
        with pytest.raises(Exception, match="lock timeout"):
            await postgres.erase_ledger(engine, held)
    assert world.rows("SELECT count(*) FROM end_user") == [(1,)]
    later = "UPDATE erasure SET held_until = now() - interval '1 s'"
    world.owner.execute(later)
    await erase(engines)
    assert [world.rows(each) for each in SUMS] == before
    assert "canary" not in dump(database)


async def erase(engines: tuple[AsyncEngine, AsyncEngine]) -> None:
    """All that is done in the ledger, each step twice."""
    await ask(engines[1])
    held = await postgres.begin_step(*engines)
    assert held
    await postgres.erase_ledger(engines[1], held)
    for _ in range(2):
        held = await postgres.begin_step(*engines)
        assert held
        await postgres.erase_events(engines[1], held)
        await postgres.erase_originals(engines[1], held)
        await postgres.end_step(engines[1], held)
    await postgres.finish(engines[1], held)


def breaches(dsn: str) -> set[str]:
    """The invariants of the ledger that acme's breaks."""
    with psycopg.connect(dsn) as owner:
        found = count_breaches(owner, "acme")
        for query in BREACHES:
            cursor = owner.execute(query, {"tenant": "acme", "user": None})
            row = cursor.fetchone()
            assert row and cursor.description
            found |= {column.name: count for column, count in zip(cursor.description, row, strict=True)}
    return {name for name, count in found.items() if count}
