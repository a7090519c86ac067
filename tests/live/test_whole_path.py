"""From an event to the frame on a phone, and what may not go wrong in between."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result
from websockets.asyncio.client import ClientConnection, connect

from fillip.app.cli import app
from fillip.app.up import Stack
from fillip.client.book import ANY, launch_campaigns
from fillip.client.events import decide_events
from fillip.client.phone import Incentive, Phone, Trace, connected
from fillip.client.tail import tail_events
from fillip.core.errors import Crash
from tests.live.conftest import CASHBACK, Shop
from tests.live.running import fetch, open_ledger, send, wait_for, wait_until_settled

pytestmark = pytest.mark.xdist_group("live")

RULES_WITHIN_S = 1.0
VISITS: dict[str, Any] = {
    "kind": "QUEST",
    "name": "Three visits",
    "quest": {"window_s": 3600, "steps": [{"name": "visit", "action": "BUY", "count": 3}]},
    "rewards": [{"kind": "points", "value": 50}],
}


async def test_an_event_by_http_becomes_a_frame_on_the_phone(stack: Stack, shop: Shop) -> None:
    frames: list[tuple[Incentive, Trace | None]] = []
    phone = Phone(stack.doors.api, shop.key, "ann", lambda got, trace, _: frames.append((got, trace)), trace=True)
    async with connected([phone]), httpx.AsyncClient(base_url=stack.doors.api) as http:
        events = [shop.buy("e1"), shop.buy("e2", amount=99), shop.buy("e3")]
        answer = await http.post("/v1/events", json=events, headers={"Authorization": f"Bearer {shop.key}"})
        assert (answer.status_code, answer.json()) == (202, {"accepted": 3})
        await wait_for("two frames", lambda: _count(frames, 2))
        await phone.acknowledge()

    stored = await fetch(stack, "SELECT inbox_seq, incentive_id::text FROM incentive WHERE tenant_id = $1", shop.tenant)
    assert sorted(phone.received) == sorted(stored)
    assert [seq for seq, _ in phone.received] == [1, 2]
    assert [got.event_id for got, _ in frames] == ["e1", "e3"]
    for _, trace in frames:
        assert trace
        steps = (trace.taken_at_us, trace.granted_at_us, trace.committed_at_us, trace.published_at_us)
        assert sorted(steps) == list(steps)
        assert trace.published_at_us <= trace.pushed_at_us


async def test_a_shop_is_run_from_a_command_line_elsewhere(stack: Stack, shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "orders.ndjson"
    orders = [shop.buy("o1"), shop.buy("o2", amount=99), shop.buy("o3", amount="many")]
    file.write_text("".join(json.dumps(order) + "\n" for order in orders))

    def run(*words: str, key: str = shop.key) -> Result:
        found = CliRunner().invoke(app, words, env={"FILLIP_URL": stack.doors.api, "FILLIP_KEY": key})
        assert found.exception is None or isinstance(found.exception, SystemExit | Crash), found.exception
        return found

    said = await asyncio.to_thread(run, "status")
    assert said.exit_code == 0 and f"{stack.doors.api}: ready\ntenant {shop.tenant}" in said.stdout
    made = await asyncio.to_thread(run, "keys", "create", "--name", "till", "--scope", "events:write", "--json")
    till = json.loads(made.stdout)

    sent = await asyncio.to_thread(run, "events", "send", str(file), key=till["key"])
    assert (sent.exit_code, sent.stdout) == (1, "2 events are in the log, 1 was refused\n")
    assert "line 3: /data/amount:" in sent.stderr
    await wait_until_settled(stack)

    told = (await asyncio.to_thread(run, "explain", "o1")).stdout
    assert told.startswith("cashback: ") and "  yes  rule" in told
    assert "--source" in str((await asyncio.to_thread(run, "explain", "o2")).exception), "no campaign has decided"
    told = (await asyncio.to_thread(run, "explain", "o2", "--source", "till")).stdout
    assert "met no campaign" in told and "\ncashback: ann gets nothing" in told and "event.amount = 99" in told
    shown = json.loads((await asyncio.to_thread(run, "campaigns", "show", "cashback", "--json")).stdout)
    assert (shown["state"], shown["definition"]["rule"]) == ("running", CASHBACK["rule"])

    assert "paused" in (await asyncio.to_thread(run, "campaigns", "pause", "cashback")).stdout
    listed = (await asyncio.to_thread(run, "campaigns", "list", "--state", "paused", "--json")).stdout.splitlines()
    assert [json.loads(each)["campaign_id"] for each in listed] == ["cashback"]

    tills = [json.loads(each) for each in (await asyncio.to_thread(run, "keys", "list", "--json")).stdout.splitlines()]
    assert [each["key_id"] for each in tills if each["name"] == "till"] == [till["key_id"]]
    assert (await asyncio.to_thread(run, "keys", "revoke", till["key_id"])).exit_code == 0
    lacking = await asyncio.to_thread(run, "campaigns", "list", key="fk_live_none")
    assert "401" in str(lacking.exception) and "FILLIP_KEY" in str(lacking.exception)
    operator = stack.settings.operator_key or ""
    assert shop.tenant in (await asyncio.to_thread(run, "tenants", "list", key=operator)).stdout
    made = await asyncio.to_thread(run, "tenants", "create", f"{shop.tenant}-2", "--json", key=operator)
    first = json.loads(made.stdout)["first_key"]["key"]
    assert f"tenant {shop.tenant}-2" in (await asyncio.to_thread(run, "status", key=first)).stdout


async def test_what_becomes_of_events_is_told_once_each(stack: Stack, shop: Shop) -> None:
    left_out: list[str] = []
    tail = tail_events(shop.client, datetime.now(UTC), 0.2, left_out.append)
    first = shop.buy("e1")
    await send(stack, [first, shop.buy("e2", amount="many"), shop.buy("e3", amount=1)])
    found = [await asyncio.to_thread(next, tail) for _ in range(2)]
    assert {each["event_id"]: each.get("outcome") for each in found} == {"e1": "granted", "e2": None}
    await send(stack, [first, shop.buy("e4")])
    assert (await asyncio.to_thread(next, tail))["event_id"] == "e4", "neither what was told nor what met nothing"
    assert left_out == []


async def test_a_reversal_by_http_becomes_a_frame_on_the_phone(stack: Stack, shop: Shop) -> None:
    phone = Phone(stack.doors.api, shop.key, "ann", lambda *_: None)
    async with connected([phone]):
        early = {"reversal_id": "r0", "event_id": "e2", "event_source": "till", "user_id": "ann"}
        assert shop.client.post("/v1/reversals", early)["user_id"] == "ann"
        await send(stack, [shop.buy("e1"), shop.buy("e2")])
        await wait_for("two grants, one of them taken back", lambda: _count(phone.received, 3))
        shop.client.post("/v1/reversals", {"reversal_id": "r1", "event_id": "e1", "amount": 10, "of": 100})
        await wait_for("the frame of the part", lambda: _count(phone.received, 4))
        await phone.acknowledge()

    async def read_told() -> list[tuple[str, str, str]]:
        items = shop.client.get("/v1/users/ann/inbox")["items"]
        assert sorted(item["seq"] for item in items) == [1, 2, 3, 4] == [seq for seq, _ in phone.received]
        told = [(item["kind"], item["incentive"]["event_id"], item["incentive"]["state"]) for item in items]
        return sorted(told) if ("granted", "e1", "delivered") in told else []

    assert await wait_for("the acknowledgement", read_told) == [
        ("granted", "e1", "delivered"),
        ("granted", "e2", "reversed"),
        ("reversed", "e1", "delivered"),
        ("reversed", "e2", "reversed"),
    ]
    part = shop.client.get("/v1/reversals/r1")
    assert (part["state"], [taken["value"] for taken in part["incentives"]]) == ("applied", [5])


async def test_events_move_a_bar_on_the_phone_and_a_reversal_moves_it_back(stack: Stack, shop: Shop) -> None:
    launch_campaigns(shop.client, {"visits": VISITS}, [])
    frames: list[dict[str, Any]] = []

    async def show(*wanted: tuple[str, int]) -> bool:
        bars = [(frame["state"], frame["steps"][0]["done"]) for frame in frames if frame["type"] == "progress"]
        return bars[-1:] == [*wanted]

    async with listening(shop, "ann", frames), httpx.AsyncClient(base_url=stack.doors.api) as http:
        for events, wanted in ((("e1",), ("open", 1)), (("e2", "e3"), ("completed", 3))):
            body = [shop.buy(event_id, amount=1) for event_id in events]
            answer = await http.post("/v1/events", json=body, headers={"Authorization": f"Bearer {shop.key}"})
            assert answer.status_code == 202
            await wait_for(f"a bar that is {wanted}", partial(show, wanted))
        shop.client.post("/v1/reversals", {"reversal_id": "r1", "event_id": "e2"})
        await wait_for("a bar that went back", partial(show, ("open", 2)))
        await wait_for("the reward and its end", lambda: _count([f for f in frames if "seq" in f], 2))

        late: list[dict[str, Any]] = []
        async with listening(shop, "ann", late):
            await wait_for("the bar on another phone", lambda: _count(late, 3))

    [stored] = shop.client.get("/v1/users/ann/quests")["items"]
    shared = ("campaign_id", "state", "steps", "started_at", "ends_at", "revision")
    bars = [frame for frame in frames if frame["type"] == "progress"]
    assert bars[-1] == {"type": "progress", "instance": "1"} | {name: stored[name] for name in shared}
    assert [frame["revision"] for frame in bars] == sorted({frame["revision"] for frame in bars})
    assert [frame for frame in late if frame["type"] == "progress"] == bars[-1:]
    assert [frame["type"] for frame in frames if "seq" in frame] == ["incentive", "reversed"]


@asynccontextmanager
async def listening(shop: Shop, user: str, frames: list[dict[str, Any]]) -> AsyncIterator[None]:
    """Meanwhile a phone is open, and all it is sent after the welcome goes to `frames`."""
    ticket = shop.client.post("/v1/tickets", {"user_id": user})

    async def listen(socket: ClientConnection) -> None:
        async for message in socket:
            frames.append(json.loads(message))

    async with connect(ticket["url"], compression=None) as socket, asyncio.TaskGroup() as group:
        await socket.send(json.dumps({"type": "hello", "ticket": ticket["ticket"]}))
        assert json.loads(await socket.recv())["type"] == "welcome"
        listener = group.create_task(listen(socket))
        yield
        listener.cancel()


async def test_an_event_that_waits_is_told_what_it_brought_in_the_same_call(stack: Stack, shop: Shop) -> None:
    shop.client.post("/v1/coupon-pools", {"pool_id": "spring", "name": "Spring"})
    shop.client.post("/v1/coupon-pools/spring/codes", b"SPRING-1\n")
    gift = CASHBACK | {"rule": "event.amount >= 500", "rewards": [{"kind": "coupon", "pool": "spring"}]}
    launch_campaigns(shop.client, {"visits": VISITS, "gift": gift}, [])
    sent = [
        shop.buy("e1", amount=1),
        shop.buy("e2", amount=100),
        shop.buy("e3", amount=500),
        shop.buy("e4", amount=500),
    ]

    async def decide() -> list[dict[str, Any]] | None:
        told = decide_events(shop.client, sent, wait_ms=2000)
        return told if all(each["state"] == "decided" for each in told) else None

    told = await wait_for("all decisions", decide)
    assert [each["event_id"] for each in told] == ["e1", "e2", "e3", "e4"]
    assert [{made["campaign_id"]: made["reason"] for made in each["decisions"]} for each in told] == [
        {},
        {"cashback": "granted"},
        {"cashback": "granted", "gift": "granted", "visits": "granted"},
        {"cashback": "granted", "gift": "pool_empty"},
    ]
    [code] = [made["coupon_code"] for d in told[2]["decisions"] for made in d["incentives"] if made["coupon_code"]]
    assert code == "SPRING-1"
    assert [each["balances"] for each in told] == [[], [], [{"currency": "POINTS", "pending": 0, "active": 50}], []]
    [stored] = [each for each in shop.client.get("/v1/users/ann/quests")["items"] if each["occurrence"] == 1]
    assert told[2]["quests"][0] == {"instance": "1"} | {
        name: stored[name] for name in told[2]["quests"][0] if name != "instance"
    }
    for told_of in [made for each in told for made in each["decisions"]]:
        decision = shop.client.get(f"/v1/decisions/{told_of['decision_id']}")
        assert told_of == {name: decision.get(name, told_of[name]) for name in told_of}
        for incentive in told_of["incentives"]:
            stored = shop.client.get(f"/v1/incentives/{incentive['incentive_id']}")
            assert incentive == {name: stored[name] for name in incentive}
    assert decide_events(shop.client, sent, wait_ms=2000) == told
    wallet = shop.client.get("/v1/users/ann/wallets/POINTS")
    assert (wallet["active"], len(await fetch(stack, "SELECT FROM incentive WHERE tenant_id = $1", shop.tenant))) == (
        50,
        5,
    )
    back = shop.buy("r1") | {"type": "fillip.reversal", "data": {"event_id": "e1"}}
    [undone] = await wait_for("the reversal", lambda: _decide(shop, back))
    assert undone["reversal"]["state"] == "applied"


async def test_who_waits_for_an_event_of_a_merged_user_is_told_what_it_earned(stack: Stack, shop: Shop) -> None:
    points = CASHBACK | {"rewards": [{"kind": "points", "value": 5}]}
    launch_campaigns(shop.client, {"visits": VISITS, "points": points}, [])
    old = shop.buy("e1", user="anon")
    [before] = await wait_for("the first answer", lambda: _decide(shop, old))
    for merge_id, user_id, other in (("m1", "ann", "anon"), ("m2", "bob", "ann")):
        shop.client.post(f"/v1/users/{user_id}/merges", {"merge_id": merge_id, "from": other})

    [again] = await wait_for("the same answer", lambda: _decide(shop, old))
    assert len(before["decisions"]) == 2, "what was decided under the id that was merged"
    assert again == before | {"quests": again["quests"]}
    assert [quest["steps"][0]["done"] for quest in again["quests"]] == [1]
    for number, event in enumerate((shop.buy("e2", user="anon"), shop.buy("e3", user="ann")), 2):
        [told] = await wait_for("the answer", partial(_decide, shop, event))
        earned = {made["campaign_id"]: len(made["incentives"]) for made in told["decisions"]}
        assert earned == {"cashback": 1, "points": 1} | ({"visits": 1} if number == 3 else {})
        active = 5 * number + (50 if number == 3 else 0)
        assert told["balances"] == [{"currency": "POINTS", "pending": 0, "active": active}]
        assert [quest["steps"][0]["done"] for quest in told["quests"]] == [number]


async def test_a_change_of_a_campaign_rules_within_a_second(stack: Stack, shop: Shop) -> None:
    assert await _measure_until(stack, shop, granted=True) < 30  # the worker holds the tenant's book from here on

    shop.client.post("/v1/campaigns/cashback/pause", headers=ANY)
    assert await _measure_until(stack, shop, granted=False) <= RULES_WITHIN_S

    shop.client.post("/v1/campaigns/cashback/resume", headers=ANY)
    assert await _measure_until(stack, shop, granted=True) <= RULES_WITHIN_S

    launch_campaigns(shop.client, {"bonus": CASHBACK | {"rewards": [{"kind": "points", "value": 1}]}}, [])
    assert await _measure_until(stack, shop, granted=True, campaign="bonus") <= RULES_WITHIN_S


async def test_what_came_before_a_launch_or_in_a_pause_earns_nothing_when_it_is_sent_again(
    stack: Stack, shop: Shop
) -> None:
    early = shop.buy("early") | {"time": (datetime.now(UTC) - timedelta(minutes=1)).isoformat()}
    await send(stack, [early])
    shop.client.post("/v1/campaigns/cashback/pause", headers=ANY)
    missed = shop.buy("missed")
    await send(stack, [missed])
    await wait_until_settled(stack)

    launch_campaigns(shop.client, {"bonus": CASHBACK | {"rewards": [{"kind": "points", "value": 1}]}}, [])
    shop.client.post("/v1/campaigns/cashback/resume", headers=ANY)
    await send(stack, [early, missed, shop.buy("next")])
    await wait_until_settled(stack)

    query = "SELECT event_id, campaign_id, reason FROM decision WHERE tenant_id = $1 ORDER BY 1, 2"
    assert [tuple(row) for row in await fetch(stack, query, shop.tenant)] == [
        ("missed", "cashback", "paused"),
        ("next", "bonus", "granted"),
        ("next", "cashback", "granted"),
    ]


async def test_kill_minus_nine_in_the_middle_of_a_batch(stack: Stack, shop: Shop) -> None:
    budget = {"limit_id": "budget", "scope": "campaign", "measure": "value", "span": "lifetime", "cap": 2_500}
    once = {"limit_id": "once", "scope": "user_in_campaign", "measure": "count", "span": "lifetime", "cap": 1}
    for limit in (budget | {"reward_kind": "cashback"}, once):
        shop.client.post("/v1/limits", limit | {"campaign_id": "cashback"})

    async with open_ledger(stack) as ledger, ledger.transaction():
        await ledger.execute("LOCK TABLE limit_counter IN SHARE MODE")  # nobody can write a counter
        await send(stack, [shop.buy(f"e{n}", user=f"u{n % 80}") for n in range(400)])
        await wait_for("a batch that waits in its transaction", lambda: _find_waiting_worker(stack))
        stack.kill("worker")
    assert await fetch(stack, "SELECT FROM event_met WHERE tenant_id = $1", shop.tenant) == []
    stack.spawn("worker")
    await wait_until_settled(stack)

    decisions = await fetch(stack, "SELECT event_id, outcome, limits FROM decision WHERE tenant_id = $1", shop.tenant)
    assert Counter(event_id for event_id, *_ in decisions) == Counter(f"e{n}" for n in range(400))
    assert Counter(outcome for _, outcome, _ in decisions) == {"granted": 50, "denied": 350}
    assert all(_is_full(limits) for _, outcome, limits in decisions if outcome == "denied")
    used = await fetch(
        stack, "SELECT limit_id, sum(used) FROM limit_counter WHERE tenant_id = $1 GROUP BY 1", shop.tenant
    )
    assert dict(used) == {"budget": 2_500, "once": 50}
    inbox = await fetch(stack, "SELECT user_id, seq FROM inbox WHERE tenant_id = $1", shop.tenant)
    assert (len(inbox), {seq for _, seq in inbox}) == (50, {1})


async def _decide(shop: Shop, event: dict[str, Any]) -> list[dict[str, Any]] | None:
    told = decide_events(shop.client, [event], wait_ms=2000)
    return told if told[0]["state"] == "decided" else None


async def _count(frames: list[Any], wanted: int) -> bool:
    return len(frames) >= wanted


async def _measure_until(stack: Stack, shop: Shop, *, granted: bool, campaign: str = "cashback") -> float:
    """Seconds from now until the sending of the first event that the campaign grants, or no longer grants."""
    saved_at, sent_at = time.monotonic(), dict[str, float]()

    async def look() -> str | None:
        event = shop.buy(f"{campaign}-{time.time_ns()}")
        sent_at[event["id"]] = time.monotonic()
        await send(stack, [event])
        await wait_until_settled(stack)
        query = (
            "SELECT FROM decision WHERE tenant_id = $1 AND event_id = $2 AND campaign_id = $3 AND outcome = 'granted'"
        )
        found = await fetch(stack, query, shop.tenant, event["id"], campaign)
        return event["id"] if bool(found) == granted else None

    return sent_at[await wait_for(f"{campaign} grants: {granted}", look)] - saved_at


async def _find_waiting_worker(stack: Stack) -> bool:
    query = "SELECT FROM pg_stat_activity WHERE usename = 'fillip_worker' AND wait_event_type = 'Lock'"
    return bool(await fetch(stack, query))


def _is_full(limits: list[dict[str, Any]]) -> bool:
    """Whether one of the limits really had no room."""
    return any(use["used_before"] + use["amount"] > use["cap"] for use in limits)
