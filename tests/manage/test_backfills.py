"""Backfills from the launch to the wallet: on real PostgreSQL and DuckDB, with the worker's own stages beside them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient

from fillip.settle.backfill.walk import choose_portion
from tests.manage.backfill_world import NOW, BackfillWorld, buy, noon, open_backfill_world, sketch, take_back
from tests.manage.conftest import Plane
from tests.manage.shop import ANY, CASHBACK, QUEST, cap, draft, launch, open_cohort, open_shop

SIMPLE: dict[str, Any] = CASHBACK | {"rule": "true"}


@pytest.fixture
async def backfill_world(plane: Plane, acme: AsyncClient, tmp_path: Path) -> AsyncIterator[BackfillWorld]:
    """A shop with its worker."""
    await open_shop(acme)
    async with open_backfill_world(plane, acme, tmp_path) as opened:
        yield opened


async def test_it_grants_what_the_backtest_said_once_and_on_the_days_of_the_events(
    backfill_world: BackfillWorld,
) -> None:
    await open_cohort(backfill_world.client, "vip", "ada", "grace")
    await draft(backfill_world.client, "asked", SIMPLE | {"cohorts": ["vip"]})
    await cap(
        backfill_world.client,
        "daily",
        scope="user_in_campaign",
        campaign_id="asked",
        measure="count",
        span="day",
        cap=2,
    )
    await backfill_world.happen(
        *[buy(f"a{n}", "ada", hours_ago=noon(days_ago=20) - n / 10) for n in range(4)],
        *[buy(f"g{n}", "grace", hours_ago=noon(days_ago=9 - n)) for n in range(3)],
        buy("l", "linus"),
        buy("odd", "ada", store=7),
    )
    said = await backfill_world.backtest("asked")
    await backfill_world.launch("asked")
    assert backfill_world.list_granted("asked") == []
    found = await backfill_world.backfill("asked")
    assert (found["state"], found["error"], found["run"], found["events"]) == ("done", None, 1, 9)
    result = found["result"]
    assert (result["granted"], result["denied"]) == (said["granted"], said["denied"]) == (5, {"limit": 2})
    assert [each | {"reversed": 0} for each in result["spend"]] == said["spend"]
    assert result["days"] == [{name: day[name] for name in ("day", "granted", "denied")} for day in said["days"]]
    granted = backfill_world.list_granted("asked")
    assert [row[:2] for row in granted] == [("a0", "ada"), ("a1", "ada"), *[(f"g{n}", "grace") for n in range(3)]]
    assert len({day for *_, day in granted[2:]}) == 3
    days = backfill_world.rows(
        "SELECT window_start::text FROM limit_counter WHERE limit_id = 'daily' AND user_id = 'grace'"
    )
    assert len(days) == 3
    assert backfill_world.rows("SELECT count(*), max(seq) FROM inbox WHERE user_id = 'grace'") == [(3, 3)]
    await backfill_world.ask_again("asked")
    again = await backfill_world.backfill("asked")
    assert (again["state"], again["run"], again["events_done"]) == ("done", 2, 9)
    assert (again["result"]["granted"], again["result"]["passed_over"]) == (0, {"decided_before": 7, "unreadable": 1})
    assert backfill_world.list_granted("asked") == granted


async def test_live_events_are_live_s_and_each_event_is_decided_once(backfill_world: BackfillWorld) -> None:
    """What came before the launch is the backfill's, unless it comes again before its turn; what comes behind is the worker's."""
    old = [buy(f"e{n}", "ada", hours_ago=72 - n) for n in range(6)]
    await launch(backfill_world.client, "beside", SIMPLE | {"rule": "event.amount_cents == 7"})
    await backfill_world.refresh()
    seen = buy("seen", "ada", 7, hours_ago=50)
    await backfill_world.happen(*old, seen)
    await sketch(backfill_world.client, "asked", SIMPLE)
    await backfill_world.launch("asked")
    await backfill_world.happen(old[0], seen, buy("new", "ada"), buy("tardy", "ada", hours_ago=60))
    assert [event for event, *_ in backfill_world.list_granted("asked")] == ["e0", "new", "tardy"]
    found = await backfill_world.backfill("asked")
    assert (found["result"]["granted"], found["result"]["passed_over"]) == (6, {"decided_before": 3})
    await backfill_world.happen(*old, seen)
    events = sorted(event for event, *_ in backfill_world.list_granted("asked"))
    assert events == sorted([*(f"e{n}" for n in range(6)), "new", "seen", "tardy"])
    assert len(backfill_world.list_granted("beside")) == 1


async def test_a_quest_takes_its_past(backfill_world: BackfillWorld) -> None:
    """In the order of receipt, in windows by the events' time; an instance that the past began goes on live."""
    await draft(backfill_world.client, "visits", QUEST)
    await backfill_world.happen(
        *[buy(f"a{n}", "ada", hours_ago=24 * 20 - n) for n in range(3)],
        *[buy(f"g{n}", "grace", hours_ago=24 * 9 * (2 - n)) for n in range(2)],
        *[buy(f"l{n}", "linus", hours_ago=5 - n) for n in range(2)],
    )
    said = await backfill_world.backtest("visits")
    await backfill_world.launch("visits")
    found = await backfill_world.backfill("visits")
    assert found["result"]["granted"] == said["granted"] == 1
    assert [row[:2] for row in backfill_world.list_granted("visits")] == [("a2", "ada")]
    await backfill_world.happen(buy("live", "linus", hours_ago=0))
    assert [row[:2] for row in backfill_world.list_granted("visits")] == [("a2", "ada"), ("live", "linus")]


async def test_what_comes_meanwhile_waits_and_goes_on_where_the_past_ends(backfill_world: BackfillWorld) -> None:
    """Ada was there twice, and comes a third time before the backfill's turn; what of Linus's waits is taken back; Grace goes."""
    client = backfill_world.client
    await draft(client, "visits", QUEST)
    await launch(client, "beside", SIMPLE)
    await backfill_world.happen(
        *[buy(f"a{n}", "ada", hours_ago=40 - n) for n in range(2)],
        *[buy(f"l{n}", "linus", hours_ago=20 - n) for n in range(2)],
        *[buy(f"g{n}", "grace", hours_ago=20 - n) for n in range(2)],
        load=False,
    )
    await backfill_world.launch("visits")
    assert await backfill_world.turns.take_due()  # it has found up to where the past goes, and waits for analyse
    third = [buy("a2", "ada"), buy("l2", "linus"), buy("g2", "grace")]
    await backfill_world.happen(*third, third[0], take_back("r", "l2", "linus"), third[0])
    assert (await client.post("/v1/users/grace/erasure", headers=ANY)).is_success
    assert backfill_world.list_granted("visits") == []
    assert {row[0] for row in backfill_world.list_granted("beside")} >= {"a2", "l2", "g2"}
    found = (await client.get("/v1/campaigns/visits/backfill")).json()
    assert (found["waiting"], found["handed_over_at"]) == (3, None)
    told = (await client.get("/v1/campaigns/visits/explain?event_id=a2")).json()
    assert "waits until the campaign's backfill" in told["summary"] and told["checks"][-1]["check"] == "backfill"
    backfill_world.owner.execute("UPDATE backfill SET due_at = now(), error = NULL")
    found = await backfill_world.backfill("visits")
    assert (found["waiting"], found["handed_over_at"] is None) == (0, False)
    assert found["result"]["granted"] == 1
    assert found["result"]["passed_over"] == {"reversed": 1, "erased": 3, "received_after": 3}
    assert [row[:2] for row in backfill_world.list_granted("visits")] == [("a2", "ada")]
    told = (await client.get("/v1/campaigns/visits/explain?event_id=a2")).json()
    assert (told["as_of"], told["outcome"]) == ("decision", "granted")
    await backfill_world.happen(*third, buy("l3", "linus"), buy("a3", "ada"))
    assert [row[:2] for row in backfill_world.list_granted("visits")] == [("a2", "ada"), ("l3", "linus")]
    await backfill_world.ask_again("visits")
    assert (await backfill_world.backfill("visits"))["result"]["events_met"] == 0


async def test_what_waits_stays_through_a_pause_and_is_not_granted_after_the_end(backfill_world: BackfillWorld) -> None:
    """What comes in the pause is denied at once; what comes behind the end and is dated before it waits in vain, too."""
    client = backfill_world.client
    for campaign_id in ("visits", "calls"):
        await draft(client, campaign_id, QUEST)
    await backfill_world.happen(*[buy(f"a{n}", "ada", hours_ago=40 - n) for n in range(2)])
    for campaign_id in ("visits", "calls"):
        await backfill_world.launch(campaign_id)
    await backfill_world.happen(buy("a2", "ada"))
    await client.post("/v1/campaigns/visits/pause", headers=ANY)
    await client.post("/v1/campaigns/calls/end", headers=ANY)
    await backfill_world.refresh()
    await backfill_world.happen(buy("a3", "ada"))
    denied = "SELECT campaign_id, event_id, reason FROM decision"
    assert backfill_world.rows(denied) == [("visits", "a3", "paused")]
    assert [await backfill_world.turns.take_due() for _ in range(2)] == [True, True]
    visits, calls = [(await client.get(f"/v1/campaigns/{name}/backfill")).json() for name in ("visits", "calls")]
    assert (visits["state"], visits["waiting"], "paused" in visits["error"]) == ("waiting", 1, True)
    assert (calls["state"], calls["waiting"], "was ended" in calls["error"]) == ("failed", 2, True)
    await client.post("/v1/campaigns/visits/resume", headers=ANY)
    backfill_world.owner.execute("UPDATE backfill SET due_at = now(), error = NULL WHERE campaign_id = 'visits'")
    assert (await backfill_world.backfill("visits"))["state"] == "done"
    assert [row[:2] for row in backfill_world.list_granted("visits")] == [("a2", "ada")]
    assert backfill_world.list_granted("calls") == []


async def test_who_was_granted_before_keeps_it(backfill_world: BackfillWorld) -> None:
    group = {"exclusive": {"group": "one", "pick": "priority"}}
    await launch(backfill_world.client, "first", SIMPLE | group | {"priority": 9, "rule": "event.amount_cents == 1"})
    await launch(backfill_world.client, "last", SIMPLE | group | {"priority": 1, "rule": "event.amount_cents == 2"})
    await backfill_world.refresh()
    await backfill_world.happen(*[buy(f"e{n}", f"u{n}", n, hours_ago=9 - n) for n in range(4)])
    await sketch(backfill_world.client, "asked", SIMPLE | group | {"priority": 5})
    await backfill_world.launch("asked")
    result = (await backfill_world.backfill("asked"))["result"]
    assert (result["granted"], result["denied"]) == (3, {"outranked": 1})
    assert backfill_world.rows("SELECT outranked_by FROM decision WHERE campaign_id = 'asked' AND event_id = 'e1'") == [
        ("first",)
    ]
    assert len(backfill_world.list_granted("last")) == 1


async def test_what_was_taken_back_or_rejected_is_passed_over(backfill_world: BackfillWorld) -> None:
    """And who is being erased. What a backfill granted is taken back as anything else."""
    await launch(backfill_world.client, "beside", SIMPLE | {"rule": "event.amount_cents == 7"})
    await backfill_world.refresh()
    await backfill_world.happen(
        buy("known", "ada", 7, hours_ago=9),
        buy("unknown", "ada", hours_ago=8),
        take_back("r1", "known", "ada"),
        take_back("r2", "unknown", "ada"),
        buy("kept", "ada", hours_ago=7),
        buy("rejected", "ada", hours_ago=6),
        buy("erased", "grace", hours_ago=5),
    )
    backfill_world.owner.execute(
        "INSERT INTO rejection (rejection_id, tenant_id, topic, partition, log_offset, reason, detail, original, received_at)"
        " SELECT uuidv7(), 'acme', 'event.received', 0, 5, 'undecidable', '', '', now()"
    )
    assert (await backfill_world.client.post("/v1/users/grace/erasure", headers=ANY)).is_success
    await sketch(backfill_world.client, "asked", SIMPLE)
    await backfill_world.launch("asked")
    found = await backfill_world.backfill("asked")
    assert found["result"]["passed_over"] == {"reversed": 2, "rejected": 1, "erased": 1}
    assert [event for event, *_ in backfill_world.list_granted("asked")] == ["kept"]
    await backfill_world.happen(take_back("r3", "kept", "ada"))
    taken = backfill_world.rows("SELECT state FROM incentive WHERE campaign_id = 'asked' AND event_id = 'kept'")
    assert taken == [("reversed",)]


async def test_what_a_shadow_told_is_granted(backfill_world: BackfillWorld) -> None:
    """Its decisions stay beside those of the backfill, of the same events."""
    await sketch(
        backfill_world.client, "asked", QUEST | {"schedule": {"starts_at": (NOW - timedelta(days=30)).isoformat()}}
    )
    assert (await backfill_world.client.post("/v1/campaigns/asked/shadow", headers=ANY)).is_success
    await backfill_world.happen(*[buy(f"e{n}", "ada", hours_ago=9 - n) for n in range(3)])
    await backfill_world.launch("asked", since=NOW - timedelta(days=30))
    assert (await backfill_world.backfill("asked"))["result"]["granted"] == 1
    told = backfill_world.rows("SELECT event_id, shadow, reason FROM decision ORDER BY shadow")
    assert told == [("e2", False, "granted"), ("e2", True, "shadow")]


async def test_it_goes_on_where_it_was_killed(backfill_world: BackfillWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    await sketch(backfill_world.client, "asked", SIMPLE)
    await backfill_world.happen(*[buy(f"e{n}", f"u{n % 50}", hours_ago=240 - n / 60) for n in range(1_200)])
    await backfill_world.launch("asked")
    killed = 0
    while (state := (await backfill_world.client.get("/v1/campaigns/asked/backfill")).json())["state"] in (
        "waiting",
        "running",
    ):
        turn = asyncio.create_task(backfill_world.turns.take_due())
        done = state["events_done"]
        while killed < 2 and not turn.done():
            [(now,)] = backfill_world.rows("SELECT events_done FROM backfill")
            if now > done:
                for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                    if b"fillip.app.backfill" in Path(f"/proc/{child}/cmdline").read_bytes():
                        os.kill(int(child), signal.SIGKILL)
                        killed += 1
                break
            await asyncio.sleep(0.005)
        await turn
        backfill_world.owner.execute("UPDATE backfill SET due_at = now()")
    assert killed == 2
    assert (state["state"], state["run"], state["events_done"], state["result"]["granted"]) == ("done", 1, 1_200, 1_200)
    assert len(backfill_world.list_granted("asked")) == 1_200
    gaps = "SELECT count(*) FROM (SELECT user_id FROM inbox GROUP BY user_id HAVING max(seq) <> count(*)) g"
    assert backfill_world.rows(gaps) == [(0,)]


async def test_it_waits_for_analyse_and_for_the_end_of_a_pause_and_ends_with_the_campaign(
    backfill_world: BackfillWorld,
) -> None:
    await sketch(backfill_world.client, "asked", SIMPLE)
    await backfill_world.happen(buy("e1", "ada", hours_ago=9), load=False)
    await backfill_world.launch("asked")
    assert await backfill_world.turns.take_due()
    found = (await backfill_world.client.get("/v1/campaigns/asked/backfill")).json()
    assert (found["state"], found["error"]) == (
        "waiting",
        "analyse has not loaded all that was received before the launch",
    )
    await backfill_world.load()
    await backfill_world.client.post("/v1/campaigns/asked/pause", headers=ANY)
    backfill_world.owner.execute("UPDATE backfill SET due_at = now()")
    assert await backfill_world.turns.take_due()
    found = (await backfill_world.client.get("/v1/campaigns/asked/backfill")).json()
    assert found["state"] == "waiting" and "paused" in found["error"]
    assert backfill_world.rows("SELECT count(*) FROM decision") == [(0,)]
    refused = await backfill_world.client.post("/v1/campaigns/asked/backfill")
    assert refused.status_code == 409
    await backfill_world.client.post("/v1/campaigns/asked/end", headers=ANY)
    backfill_world.owner.execute("UPDATE backfill SET due_at = now(), error = NULL")
    found = await backfill_world.backfill("asked")
    assert found["state"] == "failed" and "was ended" in found["error"]


async def test_what_is_refused(backfill_world: BackfillWorld) -> None:
    await sketch(backfill_world.client, "asked", SIMPLE)
    await sketch(backfill_world.client, "dated", SIMPLE | {"schedule": {"starts_at": "2026-01-01T00:00:00Z"}})
    since = (NOW - timedelta(days=3)).isoformat()
    for campaign_id, order, body, at in (
        ("asked", "launch", {"backfill_from": (NOW + timedelta(days=1)).isoformat()}, "/backfill_from"),
        ("asked", "launch", {"backfill_from": "2020-01-01T00:00:00Z"}, "/backfill_from"),
        ("asked", "launch", {"backfill_from": since, "more": 1}, "/more"),
        ("asked", "launch", {}, "/backfill_from"),
        ("asked", "shadow", {"backfill_from": since}, "/backfill_from"),
        ("dated", "launch", {"backfill_from": since}, "/backfill_from"),
    ):
        refused = await backfill_world.client.post(f"/v1/campaigns/{campaign_id}/{order}", json=body, headers=ANY)
        assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, at), (body, refused.text)
    await backfill_world.launch("asked", since=NOW - timedelta(days=3))
    again = await backfill_world.client.post("/v1/campaigns/asked/launch", json={"backfill_from": since}, headers=ANY)
    assert again.status_code == 409
    assert (await backfill_world.client.get("/v1/campaigns/dated/backfill")).status_code == 404
    started = (await backfill_world.client.get("/v1/campaigns/asked")).json()["definition"]["schedule"]["starts_at"]
    assert started.startswith((NOW - timedelta(days=3)).isoformat()[:19])


def test_portions_grow_while_they_are_quick_and_shrink_when_locks_are_held_for_long() -> None:
    assert [choose_portion(250, took_s) for took_s in (0.05, 0.15, 0.5)] == [500, 250, 250]
    assert [choose_portion(1_000, took_s) for took_s in (0.05, 0.15, 0.5)] == [1_000, 1_000, 500]
