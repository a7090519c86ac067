"""The story of one event, whatever became of it: by the worker's own stages, the real ledger, analyse, and Valkey."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import httpx
import pytest
from httpx import AsyncClient
from redis.asyncio import Redis
from starlette.applications import Starlette

from fillip.analyse.own_doors import received_http
from fillip.core.identity import identify_event
from fillip.core.ports import RefusedEvents
from fillip.embedded.addresses import Addresses
from fillip.ingest.http import EventsDoor, Producer
from fillip.ingest.refused import DoorRefusals
from fillip.limit import refused_valkey
from fillip.limit.rates_valkey import ValkeyRates
from fillip.limit.refused_valkey import ValkeyRefusedEvents
from fillip.manage.analyse_http import open_client
from fillip.manage.event.analyse_http import AnalyseReceivedEvents
from tests.conftest import run_sql
from tests.manage.backfill_world import KEY, NOW, BackfillWorld, buy, open_backfill_world, take_back
from tests.manage.conftest import Plane
from tests.manage.shop import ANY, CASHBACK, LONG_AGO, PURCHASE, QUEST, cap, draft, launch, open_cohort, open_shop

pytestmark = pytest.mark.xdist_group("story")  # what is refused is remembered under the tenant's name, which all have

ALL = CASHBACK | {"rule": "event.amount_cents >= 5000"}


class NoProducer:
    """Here the door takes nothing in: what it refuses never comes so far."""

    async def send_many(self, messages: object) -> None:
        raise AssertionError


@dataclass
class StoryWorld:
    """A shop with its worker, analyse, and the events' door; `tell` is the story of an event of the till."""

    world: BackfillWorld
    door: AsyncClient
    valkey: Redis

    async def tell(self, event_id: str, *, status: int = 200, source: str = "/till", **given: object) -> Any:
        path = f"/v1/events/{quote(source, safe='')}/{quote(event_id, safe='')}"
        answer = await self.world.client.get(path, params=cast("dict[str, str]", given))
        assert answer.status_code == status, answer.text
        return answer.json()

    async def refuse(self, *events: dict[str, Any], status: int = 422) -> None:
        """Send to the door what it refuses, and wait until that is remembered."""
        body: Any = events[0] if len(events) == 1 else events
        answer = await self.door.post("/v1/events", json=body)
        assert answer.status_code == status, answer.text
        last = identify_event("acme", events[-1]["source"], events[-1]["id"])
        async with asyncio.timeout(10):
            while await self.world.plane.app.state.app_state.refused.find("acme", last) is None:
                await asyncio.sleep(0.01)


@pytest.fixture
async def story(plane: Plane, acme: AsyncClient, tmp_path: Path, servers: Addresses) -> AsyncIterator[StoryWorld]:
    """With nothing that other tests left in Valkey."""
    await open_shop(acme)
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(open_backfill_world(plane, acme, tmp_path))
        asking = await stack.enter_async_context(open_client(world.analyse_url, KEY))
        valkey = await stack.enter_async_context(Redis.from_url(servers.valkey_url))
        await valkey.delete("refused:{acme}", "refused:{acme}:order")
        refused = ValkeyRefusedEvents(valkey)

        async def read_ends() -> dict[tuple[str, int], int]:
            return {("event.received", 0): len(world.log.partitions[0])}

        state = plane.app.state.app_state
        received = AnalyseReceivedEvents(asking, read_ends)
        plane.app.state.app_state = replace(state, received=received, refused=refused)
        refusals = DoorRefusals(refused)
        running = asyncio.create_task(refusals.run())
        nobody_waits: Any = None
        producer = cast(Producer, NoProducer())
        rates, books = ValkeyRates(valkey), world.worker.books
        route = EventsDoor(state.keys, rates, books, producer, "t", waits=nobody_waits, refusals=refusals).route
        headers = {"Authorization": f"Bearer {plane.keys['acme']}"}
        transport = httpx.ASGITransport(Starlette(routes=[route]))
        door = AsyncClient(transport=transport, base_url="http://door", headers=headers)
        yield StoryWorld(world, await stack.enter_async_context(door), valkey)
        running.cancel()


def read(event: bytes, **changes: Any) -> dict[str, Any]:
    """An event as a sender writes it, whose tenant its key tells."""
    found = {name: value for name, value in json.loads(event).items() if name != "tenantid"}
    return found | changes


def by_campaign(told: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """(outcome, reason) of each campaign."""
    return {each["campaign_id"]: (each["outcome"], each["reason"]) for each in told["campaigns"]["items"]}


async def test_an_event_that_met_something_tells_what_each_campaign_decided_and_why_the_others_did_not(
    story: StoryWorld,
) -> None:
    client = story.world.client
    await open_cohort(client, "vip", "linus")
    await client.put("/v1/actions/VIEW", json={"schema": {"type": "object", "properties": {}}})
    await launch(client, "all", ALL)
    await launch(client, "capped", ALL)
    await cap(client, "none", scope="campaign", campaign_id="capped", measure="count", span="lifetime", cap=0)
    await launch(client, "few", ALL | {"cohorts": ["vip"]})
    await launch(client, "later", ALL | {"schedule": {"starts_at": (NOW + timedelta(days=1)).isoformat()}})
    await launch(client, "more", CASHBACK | {"rule": "event.amount_cents >= 10000"})
    await launch(client, "paused", ALL)
    await client.post("/v1/campaigns/paused/pause", headers=ANY)
    await launch(client, "visits", QUEST)
    await launch(client, "views", ALL | {"action": "VIEW", "rule": "true"})
    await draft(client, "unlaunched", ALL)
    await story.world.refresh()
    await story.world.happen(buy("a/1", "ada", 9000), load=False)  # the ledger alone knows
    told = await story.tell("a/1")
    assert (told["state"], told["as_of"]) == ("decided", "decision")
    assert told["summary"] == "ada's PURCHASE earned something from all."
    assert told["event"]["attributes"] == {"amount_cents": 9000}
    assert told["event"]["received_at"] < datetime.now(UTC).isoformat()
    assert by_campaign(told) == {
        "all": ("granted", "granted"),
        "capped": ("denied", "limit"),
        "few": ("no_match", "not_in_cohort"),
        "later": ("no_match", "not_started"),
        "more": ("no_match", "rule"),
        "paused": ("denied", "paused"),
        "unlaunched": ("no_match", "draft"),
        "visits": ("progress", "quest"),
    }
    found = {each["campaign_id"]: each for each in told["campaigns"]["items"]}
    assert found["more"]["failed"]["rules"][0]["leaves"][0]["reads"] == {"event.amount_cents": 9000}
    assert "limit none has 0 of 0 left" in found["capped"]["summary"]
    assert "gave 1 to step visit and began 1 instance" in found["visits"]["summary"]
    assert found["all"]["failed"] is None
    assert {each["campaign_id"] for each in told["decisions"]} == {"all", "capped", "paused"}
    assert found["all"]["decision_ids"] == [told["decisions"][0]["decision_id"]]


async def test_campaigns_come_in_pages_by_the_definitions_that_the_event_was_decided_under(story: StoryWorld) -> None:
    client = story.world.client
    for name in ("a", "b", "c"):
        await launch(client, name, ALL)
    await story.world.refresh()
    await story.world.happen(buy("e1", "ada", 100))
    for name in ("a", "b", "c", "d"):
        saved = CASHBACK | {"rule": "true"}
        await (
            launch(client, name, saved) if name == "d" else client.put(f"/v1/campaigns/{name}", json=saved, headers=ANY)
        )
    first = await story.tell("e1", limit=2)
    assert (first["state"], first["as_of"], first["campaigns"]["total"]) == ("met_nothing", "decision", 3)
    assert by_campaign(first) == dict.fromkeys(("a", "b"), ("no_match", "rule"))
    last = await story.tell("e1", limit=2, cursor=first["campaigns"]["next_cursor"])
    assert (by_campaign(last), last["campaigns"]["next_cursor"]) == ({"c": ("no_match", "rule")}, None)
    # the log was replaced: which offset is meant can't be told, so it is as of now, and says so
    run_sql(
        story.world.plane.dsn,
        "INSERT INTO consumer_position SELECT topic, partition, 1, 0, 5, '', now(), 'x' FROM consumer_position",
    )
    now = await story.tell("e1")
    assert (now["as_of"], now["book_version"] > first["book_version"]) == ("now", True)
    assert by_campaign(now) == dict.fromkeys(("a", "b", "c", "d"), ("no_match", "changed"))


async def test_of_a_quest_it_is_told_what_the_event_gave_also_under_a_version_that_is_kept(story: StoryWorld) -> None:
    client = story.world.client
    await launch(client, "visits", QUEST)
    await story.world.refresh()
    await story.world.happen(buy("first", "ada"), load=False)
    step = {"name": "visit", "action": "PURCHASE", "count": 2, "rule": "event.amount_cents >= 5000"}
    changed = QUEST | {"schedule": {"starts_at": LONG_AGO}, "quest": QUEST["quest"] | {"steps": [step]}}
    saved = await client.put("/v1/campaigns/visits?open_instances=keep", json=changed, headers=ANY)
    assert saved.status_code == 200, saved.text
    await story.world.refresh()
    await story.world.happen(buy("second", "ada"), buy("other", "linus"))
    kept, other = await story.tell("second"), await story.tell("other")
    assert by_campaign(kept) == {"visits": ("progress", "quest")}
    assert "gave 1 to step visit" in kept["campaigns"]["items"][0]["summary"]
    # what the kept version alone would take has met the quest, and found no instance
    assert (other["state"], by_campaign(other)) == ("decided", {"visits": ("no_match", "quest")})


async def test_an_event_that_met_nothing_is_told_once_it_is_loaded_and_never_denied_before(
    story: StoryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(received_http, "LOOKS", 1)
    await launch(story.world.client, "all", ALL)
    await story.world.refresh()
    await story.world.happen(buy("small", "ada"), load=False)
    assert "not loaded so far yet" in (await story.tell("small", status=503))["detail"]
    await story.world.load()
    told = await story.tell("small")
    assert (told["state"], told["decisions"], told["user_as_of"]) == ("met_nothing", [], "now")
    assert by_campaign(told) == {"all": ("no_match", "rule")}
    assert "event.amount_cents = 100" in told["campaigns"]["items"][0]["summary"]
    # in the log, and not looked at yet
    story.world.log.append(0, buy("next", "ada"), at_ms=int(datetime.now(UTC).timestamp() * 1000))
    await story.world.load()
    assert (await story.tell("next"))["state"] == "waiting"
    # of a day before, though analyse has it
    await story.world.happen(buy("old", "ada", hours_ago=25))
    assert "24 hours" in (await story.tell("old", status=404))["detail"]


async def test_what_a_user_is_now_is_said_to_be_of_now(story: StoryWorld) -> None:
    client = story.world.client
    await launch(client, "gold", CASHBACK | {"rule": 'user.tier == "gold"'})
    await launch(client, "tin", CASHBACK | {"rule": 'user.tier == "tin"'})
    await story.world.refresh()
    await story.world.happen(buy("g", "ada"), buy("n", "linus"))
    await client.put("/v1/users/ada", json={"attributes": {"tier": "tin"}}, headers=ANY)
    await client.put("/v1/users/linus", json={"attributes": {"tier": "gold"}}, headers=ANY)
    told = await story.tell("g")
    assert (told["user_as_of"], told["user_revision"]) == ("decision", 1)
    assert by_campaign(told) == {"gold": ("granted", "granted"), "tin": ("no_match", "rule")}
    told = await story.tell("n")
    assert (told["state"], told["user_as_of"]) == ("met_nothing", "now")
    assert by_campaign(told) == {"gold": ("no_match", "changed"), "tin": ("no_match", "rule")}


async def test_what_the_door_refused_is_told_though_it_is_nowhere(story: StoryWorld) -> None:
    wrong = read(buy("w", "ada"), data={"amount_cents": "9"})
    await story.refuse(wrong)
    told = await story.tell("w")
    assert (told["state"], told["event"], told["campaigns"]["total"]) == ("refused", None, 0)
    assert (told["refusal"]["status"], told["refusal"]["kind"]) == (422, "invalid-events")
    assert told["refusal"]["at"] == "/data/amount_cents"
    assert "schema_violation" in told["summary"]
    # a batch is refused whole: each of its events tells so
    await story.refuse(read(buy("good", "ada")), wrong, read(buy("good too", "ada")))
    assert (await story.tell("w"))["refusal"]["at"] == "/data/amount_cents"
    assert "none was" in (await story.tell("good"))["refusal"]["detail"]
    # once it is mended and sent again it came, and what was refused before is told beside
    await story.world.happen(buy("w", "ada"))
    told = await story.tell("w")
    assert (told["state"], told["refusal"]["status"]) == ("met_nothing", 422)
    await story.refuse(read(buy("x", "ada"), tenantid="rival"), status=403)
    assert (await story.tell("x"))["refusal"]["kind"] == "forbidden"


async def test_what_is_remembered_of_refusals_is_bounded_and_nobody_waits_for_it(
    story: StoryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused_valkey, "MOST_KEPT", 3)
    for number in range(5):
        await story.refuse(read(buy(f"e{number}", "ada"), type="NONE"))
    assert await story.valkey.hlen("refused:{acme}") == await story.valkey.zcard("refused:{acme}:order") == 3
    assert 0 < await story.valkey.ttl("refused:{acme}") <= 24 * 3600
    await story.tell("e1", status=404)
    assert (await story.tell("e4"))["state"] == "refused"
    # one of the two keys was thrown away for room: what is left alone would grow for ever
    await story.valkey.delete("refused:{acme}:order")
    await story.refuse(read(buy("last", "ada"), type="NONE"))
    assert await story.valkey.hlen("refused:{acme}") == 1
    # Valkey away: the door answers as ever, and the story says that it can't tell
    async with Redis.from_url("redis://127.0.0.1:1/0") as nobody:
        away: RefusedEvents = ValkeyRefusedEvents(nobody)
        plane = story.world.plane
        plane.app.state.app_state = replace(plane.app.state.app_state, refused=away)
        assert "can't be told now" in (await story.tell("never", status=503))["detail"]


async def test_what_was_rejected_behind_the_door_is_told_with_its_reason(story: StoryWorld) -> None:
    event = json.loads(buy("r", "ada")) | {"data": {"amount_cents": "9"}}
    await story.world.happen(json.dumps(event).encode())  # written to the topic by a producer
    told = await story.tell("r")
    assert (told["state"], told["event"]) == ("rejected", None)
    assert told["rejections"][0]["reason"] == "schema_violation"
    found = await story.world.client.get(f"/v1/rejections/{told['rejections'][0]['rejection_id']}")
    assert found.json()["event_id"] == "r"


async def test_a_reversal_and_its_original_tell_of_each_other(story: StoryWorld) -> None:
    await launch(story.world.client, "all", ALL)
    await story.world.refresh()
    await story.world.happen(buy("a", "ada", 9000), take_back("b", "a", "ada"))
    assert (await story.tell("a"))["reversals"] == ["b"]
    told = await story.tell("b")
    assert (told["state"], told["campaigns"]["total"]) == ("decided", 0)
    assert "/v1/reversals/b" in told["summary"]


async def test_nothing_is_told_of_who_was_erased(story: StoryWorld) -> None:
    world = story.world
    await launch(world.client, "all", ALL)
    await world.refresh()
    await world.happen(buy("met", "ada", 9000), buy("unmet", "ada"))
    await story.refuse(read(buy("no", "ada"), type="NONE"))
    await story.refuse(read(buy("other", "linus"), type="NONE"))
    assert (await world.client.post("/v1/users/ada/erasure")).status_code == 202
    await story.tell("no", status=404)
    assert (await story.tell("other"))["state"] == "refused"
    # the ledger is done, analyse is not yet
    world.owner.execute("UPDATE erasure SET cut_at = now()")
    await story.tell("unmet", status=404)
    pseudonym = world.rows("SELECT pseudonym FROM erasure")[0][0]
    world.owner.execute("UPDATE event_met SET user_id = %s", [pseudonym])
    assert "erased" in (await story.tell("met", status=404))["detail"]


async def test_who_may_ask_and_what_is_no_question(story: StoryWorld, rival: AsyncClient) -> None:
    world = story.world
    await launch(world.client, "all", ALL)
    await world.refresh()
    await world.happen(buy("met", "ada", 9000), buy("unmet", "ada"))
    await story.refuse(read(buy("no", "ada"), type="NONE"))
    await rival.put("/v1/actions/PURCHASE", json={"schema": PURCHASE})
    for event_id in ("met", "unmet", "no"):
        assert (await rival.get(f"/v1/events/%2Ftill/{event_id}")).status_code == 404
        await story.tell(event_id, source="/other", status=404)
    assert "%2F" in (await story.tell("never", status=404))["detail"]
    odd = "https://till.example/a b?n=1&m=%2F#50%"  # a source is any text
    await story.refuse(read(buy("é/;x", "ada"), source=odd, type="NONE"))
    assert (await story.tell("é/;x", source=odd))["event_source"] == odd
    writer = await world.plane.client(await world.plane.make_key("acme", "events:write"))
    assert (await writer.get("/v1/events/%2Ftill/met")).status_code == 403
    assert (await story.tell("met", status=422, colour="red"))["errors"][0]["at"] == "colour"
    assert (await story.tell("met", status=422, cursor="??"))["errors"][0]["at"] == "cursor"
    assert (await story.tell("é" * 129, status=422))["errors"][0]["at"] == "event_id"
