"""Backtests from the request to the answer: the API, the process that runs one, and the past as analyse holds it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import text
from starlette.applications import Starlette

from fillip.analyse import Queries
from fillip.analyse.duckdb.bay import DuckdbBay
from fillip.analyse.own_doors.history_http import history_route
from fillip.app.http import serve_http
from fillip.app.settings import Settings
from fillip.core.identity import identify_event
from fillip.embedded.ports import choose_free_port
from fillip.http.problems import HANDLERS
from fillip.manage.analyse_http import open_client
from fillip.manage.backtest.postgres import MOST_TRIES, begin_run, find_due, finish_run, hold_run
from fillip.manage.backtest.run import BacktestRuns, name_command
from fillip.manage.backtest.told import Failed, Progress
from fillip.manage.cohort.analyse_http import AnalyseUserQueries
from fillip.manage.store.postgres import open_engine, transaction
from fillip.migrations import role_dsn
from fillip.stream.topics import Topics
from tests.analyse.bay_world import decision
from tests.analyse.test_day_files import NOW_MS, load, load_events
from tests.manage.conftest import Plane
from tests.manage.shop import ANY, CASHBACK, LONG_AGO, QUEST, cap, draft, launch, open_cohort, open_shop

KEY = "key-of-this-installation"
TODAY = datetime.fromtimestamp(NOW_MS / 1000, UTC)
FROM = (TODAY - timedelta(days=6)).isoformat()

GRANTED = """
    INSERT INTO decision (tenant_id, decision_id, campaign_id, campaign_version, event_key, event_id, event_source, user_id, outcome, reason,
                          occurred_at, local_day, reward_values, limits, book_version, partition, log_offset, decided_at)
    VALUES ('acme', :id, 'big', 1, :key, :event_id, '/till', 'ada', 'granted', 'granted',
            :at, CURRENT_DATE, CAST(:worth AS jsonb), '[]', 1, 0, :log_offset, now())"""


@dataclass
class World:
    """The control plane, an Analytics Bay that serves its past, and what runs backtests."""

    plane: Plane
    bay: DuckdbBay
    runs: BacktestRuns

    async def happen(self, *events: bytes) -> None:
        """Load events as received just now."""
        await load_events(self.bay, 0, *events)

    async def ask(self, client: AsyncClient, campaign_id: str, **more: Any) -> Response:
        """Ask for a backtest of the last days."""
        return await client.post("/v1/backtests", json={"campaign_id": campaign_id, "from": FROM, **more})

    async def answer(self, client: AsyncClient, campaign_id: str, **more: Any) -> dict[str, Any]:
        """Ask for one, let it run, and read it."""
        asked = await self.ask(client, campaign_id, **more)
        assert asked.status_code == 202, asked.text
        assert await self.runs.run_due()
        found: dict[str, Any] = (await client.get(asked.headers["Location"])).json()
        return found


def buy(event_id: str, user: str, amount: int, *, hours_ago: float = 1, **data: Any) -> bytes:
    """A purchase."""
    at = (TODAY - timedelta(hours=hours_ago)).isoformat()
    head = {"specversion": "1.0", "id": event_id, "source": "/till", "type": "PURCHASE", "subject": user, "time": at}
    return json.dumps(head | {"tenantid": "acme", "data": {"amount_cents": amount, **data}}).encode()


def take_back(
    reversal_id: str, user: str, event_id: str, source: str = "/till", event_source: str | None = None, **part: int
) -> bytes:
    """A reversal of a purchase."""
    data = {"event_id": event_id, **({"event_source": event_source} if event_source else {}), **part}
    head = {"specversion": "1.0", "id": reversal_id, "source": source, "type": "fillip.reversal", "subject": user}
    return json.dumps(head | {"tenantid": "acme", "time": TODAY.isoformat(), "data": data}).encode()


@pytest.fixture
async def backtest_world(plane: Plane, tmp_path: Path) -> AsyncIterator[World]:
    """All of it on real PostgreSQL and DuckDB, over HTTP."""
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        bay = await stack.enter_async_context(DuckdbBay.open(tmp_path / "analyse.duckdb", Topics()))
        queries = await stack.enter_async_context(Queries.open(bay.day_files))
        port = choose_free_port()
        app = Starlette(routes=[history_route(queries, KEY)], exception_handlers=HANDLERS)
        serving = asyncio.create_task(serve_http(app, "127.0.0.1", port, stop))
        settings = Settings(postgres_dsn=plane.dsn, analyse_port=port, analyse_key=KEY)
        finder = open_engine(role_dsn(plane.dsn, "fillip_sweep"))
        stack.push_async_callback(finder.dispose)
        asking = AnalyseUserQueries(await stack.enter_async_context(open_client(settings.analyse_base, KEY)))
        plane.app.state.app_state = replace(plane.app.state.app_state, user_queries=asking)
        runs = BacktestRuns(finder, plane.engine, name_command(), settings.list_for("backtest"))
        yield World(plane, bay, runs)
        stop.set()
        await serving


async def test_of_cohorts_both_ids_of_a_merged_user_are_where_one_is_by_now(
    backtest_world: World, acme: AsyncClient
) -> None:
    await open_shop(acme)
    await open_cohort(acme, "vip", "anon")
    await draft(acme, "visits", CASHBACK | {"rule": "true", "cohorts": ["vip"]})
    await backtest_world.happen(buy("a1", "anon", 100), buy("a2", "ada", 100), buy("g1", "grace", 100))
    assert (await acme.post("/v1/users/ada/merges", json={"merge_id": "m1", "from": "anon"})).status_code == 201
    result = (await backtest_world.answer(acme, "visits"))["result"]
    assert (result["granted"], result["not_met"]) == (2, {"not_in_cohort": 1})
    assert result["cohorts"] == [{"cohort_id": "vip", "version": 2, "members": 1, "met": 1, "granted": 1}]


async def test_a_draft_is_tried_on_the_past(backtest_world: World, acme: AsyncClient) -> None:
    await open_shop(acme)
    await open_cohort(acme, "vip", "ada", "grace", "edsger")
    await draft(acme, "visits", QUEST | {"cohorts": ["vip"]})
    await cap(acme, "once", scope="campaign", campaign_id="visits", measure="count", span="lifetime", cap=1)
    await backtest_world.happen(
        *[buy(f"a{n}", "ada", 100, hours_ago=50 - n) for n in range(4)],
        *[buy(f"g{n}", "grace", 100, hours_ago=40 - n) for n in range(3)],
        *[buy(f"l{n}", "linus", 100) for n in range(3)],
        buy("old", "ada", 1, hours_ago=24 * 10),
        buy("odd", "ada", 1, store=7),
    )
    found = await backtest_world.answer(acme, "visits")
    assert (found["state"], found["error"], found["version"], found["events_done"]) == ("done", None, 1, 11)
    result = found["result"]
    assert (result["events"], result["unreadable"], result["undecidable"], result["events_met"]) == (11, 1, 0, 7)
    assert (result["granted"], result["granted_users"], result["denied"]) == (1, 1, {"limit": 1})
    assert result["not_met"] == {"not_in_cohort": 3}
    assert result["spend"] == [{"kind": "points", "currency": "POINTS", "rewards": 1, "value": 50, "reversed": 0}]
    assert [day["spend"] for day in result["days"] if day["granted"]] == [result["spend"]]
    [limit] = result["limits"]
    assert (limit["limit_id"], limit["denied"], limit["users"], limit["first_event_id"]) == ("once", 1, 1, "g2")
    assert result["cohorts"] == [{"cohort_id": "vip", "version": 1, "members": 3, "met": 2, "granted": 1}]
    assert result["not_considered"] == ["former_definitions"]
    assert result["differences"] is None
    granted, denied = result["samples"]
    assert (granted["as_of"], granted["outcome"], granted["event"]["event_id"]) == ("backtest", "granted", "a2")
    assert "earns the reward of 'Three visits'" in granted["summary"]
    assert [check["check"] for check in granted["checks"]][-4:] == ["quest", "reward", "conflict", "limits"]
    assert "limit once has 0 of 1 left" in denied["summary"]
    assert (await acme.get("/v1/decisions")).json()["items"] == []


async def test_what_others_were_granted_stays_granted(backtest_world: World, acme: AsyncClient) -> None:
    """Campaigns that rank before it win their events, those behind it would have lost theirs; a shared budget has what is left."""
    await open_shop(acme)
    group = {"exclusive": {"group": "one", "pick": "priority"}, "rule": "true"}
    for campaign_id, priority in (("first", 9), ("last", 1)):
        await launch(acme, campaign_id, CASHBACK | group | {"priority": priority})
    await launch(acme, "beside", CASHBACK | {"rule": "true"})
    await draft(acme, "asked", CASHBACK | group | {"priority": 5})
    await cap(acme, "budget", scope="tenant", measure="value", span="lifetime", reward_kind="cashback", cap=1000)
    async with transaction(backtest_world.plane.owner) as connection:
        used = "INSERT INTO limit_counter (tenant_id, limit_id, user_id, key, window_start, used, cap, version)"
        await connection.execute(text(used + " VALUES ('acme', 'budget', '', '', '1970-01-01', 700, 1000, 7)"))
    await backtest_world.happen(*[buy(f"e{n}", f"u{n}", 1, hours_ago=20 - n) for n in range(8)])
    granted = [("first", 0), ("last", 1), ("beside", 2), ("beside", 0), ("gone", 3)]
    events = [
        decision(3 * place + 1, campaign_id=name, event_id=f"e{n}", event_source="/till")
        for place, (name, n) in enumerate(granted)
    ]
    await load(backtest_world.bay, "decision.made", *events)
    result = (await backtest_world.answer(acme, "asked"))["result"]
    assert (result["granted"], result["denied"], result["granted_alone"]) == (3, {"outranked": 1, "limit": 4}, 0)
    overlap = {each.pop("campaign_id"): each for each in result["overlap"]}
    assert overlap == {
        "first": {"events": 0, "outranked": 1, "displaced": 0},
        "last": {"events": 1, "outranked": 0, "displaced": 1},
        "beside": {"events": 1, "outranked": 0, "displaced": 0},
        "gone": {"events": 1, "outranked": 0, "displaced": 0},
    }
    assert "archived_campaigns" in result["not_considered"]
    [limit] = result["limits"]
    assert (limit["limit_id"], limit["denied"], limit["first_event_id"]) == ("budget", 4, "e4")


async def test_each_event_is_decided_under_the_definitions_recorded_for_it(
    backtest_world: World, acme: AsyncClient
) -> None:
    await open_shop(acme)
    await launch(acme, "big", CASHBACK | {"rule": "event.amount_cents > 10"})
    before = (await acme.get("/v1/tenant")).json()["book_version"]
    changed = {"rule": "event.amount_cents > 1000", "schedule": {"starts_at": LONG_AGO}}
    assert (await acme.put("/v1/campaigns/big", json=CASHBACK | changed, headers=ANY)).is_success
    after = (await acme.get("/v1/tenant")).json()["book_version"]
    pin = "INSERT INTO book_pin (tenant_id, topic, partition, from_offset, book_version) VALUES ('acme', 'events', 0, :at, :book)"
    async with transaction(backtest_world.plane.owner) as connection:
        for at, book in ((1, before), (3, after)):
            await connection.execute(text(pin), {"at": at, "book": book})
    await backtest_world.happen(*[buy(f"e{n}", "ada", 100) for n in range(5)], buy("last", "ada", 2000))
    result = (await backtest_world.answer(acme, "big", definitions="recorded"))["result"]
    assert (result["events"], result["events_met"], result["granted"]) == (6, 3, 3)
    assert result["not_considered"] == ["former_users"]
    assert (await backtest_world.answer(acme, "big"))["result"]["granted"] == 1
    other_log = {"at": 0, "book": after}
    async with transaction(backtest_world.plane.owner) as connection:
        await connection.execute(text(pin.replace("'events'", "'others'")), other_log)
    failed = await backtest_world.answer(acme, "big", definitions="recorded")
    assert (failed["state"], "the log was replaced" in failed["error"]) == ("failed", True)


async def test_what_was_taken_back_is_told(backtest_world: World, acme: AsyncClient) -> None:
    """In full and in part, before its event and behind it, once where it came twice; and for nobody else, nor for what it does not say."""
    await open_shop(acme)
    await draft(acme, "any", CASHBACK | {"rule": "true"})
    await cap(acme, "two", scope="user_in_campaign", campaign_id="any", measure="count", span="lifetime", cap=2)
    half = take_back("half", "ada", "e1", source="/desk", event_source="/till", amount=1, of=2)
    await backtest_world.happen(
        take_back("early", "ada", "e2"),
        buy("e0", "ada", 100),
        buy("e1", "ada", 100),
        buy("full", "ada", 100),
        take_back("r0", "ada", "e0"),
        buy("e2", "ada", 100),
        buy("e3", "ada", 100),
        half,
        take_back("vain", "bob", "e3"),
        take_back("unsaid", "ada", "e3", amount=1),
        buy("still-full", "ada", 100),
        half,
        buy("old", "ada", 100, hours_ago=24 * 10),
        take_back("older", "ada", "old"),
    )
    result = (await backtest_world.answer(acme, "any"))["result"]
    assert (result["events"], result["granted"], result["denied"], result["reversed"]) == (6, 4, {"limit": 2}, 3)
    [spend] = result["spend"]
    assert (spend["rewards"], spend["value"], spend["reversed"]) == (4, 400, 100 + 100 + 50)
    assert (sum(day["reversed"] for day in result["days"]), result["not_considered"]) == (3, ["former_definitions"])
    assert sum(each["reversed"] for day in result["days"] for each in day["spend"]) == 250


async def test_what_is_not_known_of_points_that_were_taken_back_is_said(
    backtest_world: World, acme: AsyncClient
) -> None:
    await open_shop(acme)
    await draft(acme, "visits", QUEST)
    await backtest_world.happen(
        *[buy(f"a{n}", "ada", 100, hours_ago=50 - n) for n in range(3)], take_back("r1", "ada", "a1")
    )
    result = (await backtest_world.answer(acme, "visits"))["result"]
    assert (result["granted"], result["reversed"]) == (1, 1)
    assert [(each["value"], each["reversed"]) for each in result["spend"]] == [(50, 50)]
    assert result["not_considered"] == ["former_definitions", "shortfalls"]


async def test_what_was_granted_otherwise_is_told(backtest_world: World, acme: AsyncClient) -> None:
    """Live granted for one event what the campaign of now would not, and not for two; an event that is not loaded is no difference."""
    await open_shop(acme)
    await launch(acme, "big", CASHBACK | {"rule": "event.amount_cents > 10"})
    await backtest_world.happen(buy("small", "ada", 1), buy("e1", "ada", 100), buy("e2", "bob", 100))
    granted = {"at": TODAY - timedelta(hours=1), "worth": '[{"kind": "cashback", "value": 5, "currency": "USD"}]'}
    async with transaction(backtest_world.plane.owner) as connection:
        for event_id, log_offset in (("small", 0), ("later", 3)):
            key = {"id": uuid4(), "key": identify_event("acme", "/till", event_id), "event_id": event_id}
            await connection.execute(text(GRANTED), granted | key | {"log_offset": log_offset})
    differences = (await backtest_world.answer(acme, "big"))["result"]["differences"]
    samples = differences.pop("samples")
    assert differences == {"only_live": 1, "only_backtest": 2, "other_value": 0}
    assert [(each["event_id"], each["user_id"], each["backtest"] and each["backtest"]["outcome"]) for each in samples] == [
        ("e1", "ada", "granted"), ("e2", "bob", "granted"), ("small", "ada", None)
    ]  # fmt: skip
    reward = {"kind": "cashback", "currency": "USD", "value": 5}
    said = {"outcome": "granted", "reason": "granted", "instance": "", "rewards": [reward], "limit_id": None}
    assert [each["live"] for each in samples] == [None, None, said]


async def test_what_is_refused(backtest_world: World, acme: AsyncClient) -> None:
    await open_shop(acme)
    await draft(acme, "big", CASHBACK)
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for wrong, status, at in (
        ({"campaign_id": "none"}, 404, None),
        ({"version": 2}, 404, None),
        ({"version": 1, "definitions": "recorded"}, 422, "/version"),
        ({"definitions": "former"}, 422, "/definitions"),
        ({"to": soon}, 422, "/to"),
        ({"from": soon}, 422, "/from"),
        ({"from": "2020-01-01T00:00:00Z"}, 422, "/from"),
        ({"more": 1}, 422, "/more"),
    ):
        refused = await backtest_world.ask(acme, **({"campaign_id": "big"} | wrong))
        assert refused.status_code == status, (wrong, refused.text)
        assert at is None or refused.json()["errors"][0]["at"] == at, refused.text
    plain = await backtest_world.plane.client(
        await backtest_world.plane.make_key("acme", "manage:write", "manage:read")
    )
    assert (await backtest_world.ask(plain, "big")).status_code == 403
    assert (await plain.get("/v1/backtests")).status_code == 403
    for _ in range(10):
        assert (await backtest_world.ask(acme, "big")).status_code == 202
    assert (await backtest_world.ask(acme, "big")).status_code == 409


async def test_a_run_is_one_process_s_and_is_given_up_in_the_end(backtest_world: World, acme: AsyncClient) -> None:
    engine = backtest_world.plane.engine
    await open_shop(acme)
    await draft(acme, "big", CASHBACK)
    first = (await backtest_world.ask(acme, "big")).json()["backtest_id"]
    await backtest_world.ask(acme, "big")
    due = await find_due(backtest_world.runs._finder)
    assert due and str(due[1]) == first
    lost = await begin_run(engine, *due)
    assert lost
    assert await find_due(backtest_world.runs._finder) is None
    assert await begin_run(engine, *due) is None
    assert await hold_run(engine, lost, Progress(5, 9))
    read = (await acme.get(f"/v1/backtests/{first}")).json()
    assert (read["state"], read["events_done"], read["events"], read["result"]) == ("running", 5, 9, None)
    taken = lost
    for _ in range(MOST_TRIES - 1):
        async with transaction(backtest_world.plane.owner) as connection:
            await connection.execute(
                text("UPDATE backtest SET held_until = now() - interval '1 s' WHERE run_id IS NOT NULL")
            )
        again = await begin_run(engine, *due)
        assert again
        taken = again
    assert not await hold_run(engine, lost, Progress(6, 9))
    await finish_run(engine, lost, Failed("too late", is_final=True))
    await finish_run(engine, taken, Failed("analyse does not answer", is_final=False))
    read = (await acme.get(f"/v1/backtests/{first}")).json()
    assert (read["state"], read["error"]) == ("failed", "analyse does not answer")
    [newest, oldest] = (await acme.get("/v1/backtests")).json()["items"]
    assert (oldest["backtest_id"], newest["state"]) == (first, "waiting")
    assert (await acme.delete(f"/v1/backtests/{newest['backtest_id']}")).status_code == 204
    assert await find_due(backtest_world.runs._finder) is None


async def test_one_that_is_deleted_while_it_runs_is_stopped(
    backtest_world: World, acme: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_shop(acme)
    await draft(acme, "big", CASHBACK)
    monkeypatch.setattr("fillip.manage.backtest.run.HOLD_EVERY_S", 0.05)
    endless = ["/bin/sleep", "600"]
    runs = BacktestRuns(backtest_world.runs._finder, backtest_world.plane.engine, endless, {})
    asked = (await backtest_world.ask(acme, "big")).json()["backtest_id"]
    running = asyncio.create_task(runs.run_due())
    async with asyncio.timeout(30):
        while (await acme.get(f"/v1/backtests/{asked}")).json()["state"] != "running":
            await asyncio.sleep(0.01)
        assert (await acme.delete(f"/v1/backtests/{asked}")).status_code == 204
        assert await running
    assert (await acme.get(f"/v1/backtests/{asked}")).status_code == 404
