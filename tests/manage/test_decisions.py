"""Queries of the ledger: decisions, incentives, inbox, quest progress, rejections."""

import csv
import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from httpx import AsyncClient
from sqlalchemy import text

from fillip.manage.store.postgres import transaction
from tests.manage.conftest import Plane
from tests.manage.ledger_rows import SOURCE, put_decision, put_event, put_incentive, put_instance, put_reversal
from tests.manage.shop import CASHBACK, QUEST, launch, open_shop

FULL = {"limit_id": "l", "key": "", "window_start": "1970-01-01", "version": 1, "used_before": 1, "amount": 1, "cap": 1}
TOLD: dict[str, Any] = {"window_start": None, "wanted": None, "resets_at": None, "time_zone": None}


async def list_ids(client: AsyncClient, path: str, name: str) -> list[str]:
    """One member of every item of a list."""
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return [item[name] for item in answer.json()["items"]]


async def test_decisions_are_found_by_user_campaign_event_and_outcome(acme: AsyncClient, database: str) -> None:
    put_decision(database, "e1")
    denied = put_decision(database, "e2", outcome="denied", reason="limit", limits=[FULL], reward_values=[])
    put_decision(database, "e3", campaign_id="other", user_id="bob")

    assert await list_ids(acme, "/v1/decisions", "event_id") == ["e3", "e2", "e1"], "the newest first"
    assert await list_ids(acme, "/v1/decisions?user_id=ada", "event_id") == ["e2", "e1"]
    assert await list_ids(acme, "/v1/decisions?campaign_id=other", "event_id") == ["e3"]
    assert await list_ids(acme, "/v1/decisions?event_id=e1", "event_id") == ["e1"]
    assert await list_ids(acme, "/v1/decisions?outcome=denied", "event_id") == ["e2"]
    assert await list_ids(acme, "/v1/decisions?reason=limit", "event_id") == ["e2"]
    assert (await acme.get("/v1/decisions?reason=limits")).status_code == 422
    one = (await acme.get(f"/v1/decisions/{denied}")).json()
    assert (one["reason"], one["limits"], one["rewards"]) == ("limit", [FULL | TOLD], [])
    assert (await acme.get(f"/v1/decisions/{uuid4()}")).status_code == 404
    assert (await acme.get("/v1/decisions/17")).status_code == 422


async def test_only_windows_that_begin_on_a_day_tell_it(acme: AsyncClient, database: str) -> None:
    ends = {"resets_at": "2026-03-02T00:00:00Z"}
    uses = [FULL, FULL | ends | {"part": 7}, FULL | ends, FULL | ends | {"window_start": "2026-03-01"}]
    decision_id = put_decision(database, "e1", outcome="denied", reason="limit", limits=uses, reward_values=[])
    told = (await acme.get(f"/v1/decisions/{decision_id}")).json()["limits"]
    assert [use["window_start"] for use in told] == [None, None, "1970-01-01", "2026-03-01"]
    table = (await acme.get("/v1/decisions", headers={"accept": "text/csv"})).text
    assert table.count("1970-01-01") == 1


async def test_lists_by_time_are_narrowed_to_a_period(acme: AsyncClient, database: str) -> None:
    for event_id in ("e1", "e2", "e3"):
        put_decision(database, event_id)
    decided = [item["decided_at"] for item in (await acme.get("/v1/decisions")).json()["items"]][::-1]

    async def list_between(**period: str) -> list[str]:
        found = await acme.get("/v1/decisions", params=period | {"user_id": "ada"})
        return [item["event_id"] for item in found.json()["items"]]

    assert await list_between(**{"from": decided[1]}) == ["e3", "e2"], "from then on"
    assert await list_between(to=decided[1]) == ["e1"], "and before"
    assert await list_between(**{"from": decided[0], "to": decided[2]}) == ["e2", "e1"]
    for wrong in ({"from": "yesterday"}, {"since": decided[0]}, {"from": decided[1], "to": decided[0]}):
        assert (await acme.get("/v1/decisions", params=wrong)).status_code == 422


async def test_decisions_and_incentives_come_as_csv_to_who_asks(acme: AsyncClient, database: str) -> None:
    decision = put_decision(database, "=cmd|e1", user_id="a,b")
    put_incentive(database, decision, "=cmd|e1", 1)
    put_decision(database, "e2", outcome="denied", reason="limit", limits=[FULL], reward_values=[])

    first = await acme.get("/v1/decisions?limit=1&outcome=denied", headers={"Accept": "text/csv"})
    assert first.headers["content-type"] == "text/csv; charset=utf-8"
    [line] = csv.DictReader(first.text.splitlines())
    assert (line["event_id"], line["outcome"], line["shadow"], json.loads(line["limits"])) == (
        "e2",
        "denied",
        "false",
        [FULL | TOLD],
    )

    first = await acme.get("/v1/decisions?limit=1", headers={"Accept": "text/csv, */*"})
    following = first.headers["link"].removeprefix("<").removesuffix('>; rel="next"')
    rest = await acme.get(following, headers={"Accept": "text/csv"})
    [line] = csv.DictReader(rest.text.splitlines())
    assert (line["event_id"], line["user_id"], "link" in rest.headers) == ("'=cmd|e1", "a,b", False)
    [line] = csv.DictReader((await acme.get("/v1/incentives", headers={"Accept": "text/csv"})).text.splitlines())
    assert (line["event_id"], line["state"], line["coupon_code"]) == ("'=cmd|e1", "granted", "")
    assert (await acme.get("/v1/incentives", headers={"Accept": "*/*, text/csv"})).json()["next_cursor"] is None


async def test_decisions_of_one_id_from_two_sources_are_told_apart(acme: AsyncClient, database: str) -> None:
    put_decision(database, "1")
    put_decision(database, "1", source="/other")
    put_reversal(database, "r1", "1")
    assert await list_ids(acme, "/v1/decisions?event_id=1", "event_source") == ["/other", SOURCE]
    for source, reversals in ((SOURCE, ["r1"]), ("/other", [])):
        found = await acme.get("/v1/decisions", params={"event_id": "1", "event_source": source})
        assert [(item["event_source"], item["reversals"]) for item in found.json()["items"]] == [(source, reversals)]
    assert await list_ids(acme, "/v1/decisions?event_source=/other", "event_id") == ["1"]


async def test_pages_of_decisions_neither_skip_nor_repeat(acme: AsyncClient, database: str) -> None:
    for number in range(5):
        put_decision(database, f"e{number}")
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await acme.get(f"/v1/decisions?limit=2{cursor}")).json()
        seen += [item["event_id"] for item in page["items"]]
        cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None
    assert seen == ["e4", "e3", "e2", "e1", "e0"]


async def test_incentives_and_the_inbox_that_tells_of_them(acme: AsyncClient, database: str) -> None:
    for seq, event_id in enumerate(("e1", "e2"), 1):
        newest = put_incentive(database, put_decision(database, event_id), event_id, seq)
    bobs = put_incentive(database, put_decision(database, "e3"), "e3", 1, user_id="bob")

    assert await list_ids(acme, "/v1/incentives", "event_id") == ["e3", "e2", "e1"]
    assert await list_ids(acme, "/v1/incentives?user_id=bob", "incentive_id") == [str(bobs)]
    assert await list_ids(acme, "/v1/incentives?state=claimed", "event_id") == []
    assert await list_ids(acme, "/v1/incentives?kind=cashback", "event_id") == ["e3", "e2", "e1"]
    assert await list_ids(acme, "/v1/incentives?kind=coupon&user_id=bob", "event_id") == []
    assert (await acme.get(f"/v1/incentives/{newest}")).json()["value"] == 100
    inbox = (await acme.get("/v1/users/ada/inbox")).json()["items"]
    assert [(item["seq"], item["incentive"]["event_id"], item["acked_at"]) for item in inbox] == [
        (1, "e1", None),
        (2, "e2", None),
    ]


async def test_quest_progress_names_its_steps(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "q", QUEST)
    put_instance(database, "q", "open", 2, started_at=datetime.now(UTC))
    (item,) = (await acme.get("/v1/quests/progress?user_id=ada&campaign_id=q")).json()["items"]
    assert (await acme.get("/v1/users/ada/quests")).json()["items"] == [item]
    assert item["name"] == QUEST["name"]
    assert (item["state"], item["occurrence"], item["steps"]) == (
        "open",
        1,
        [{"name": "visit", "done": 2, "needed": 3}],
    )
    assert (await acme.get("/v1/quests/progress?user_id=bob")).json()["items"] == []


async def test_an_open_instance_is_shown_as_lapsed_once_its_window_and_lateness_are_over(
    acme: AsyncClient, database: str
) -> None:
    await open_shop(acme)
    await launch(acme, "q", QUEST | {"quest": QUEST["quest"] | {"lateness_s": 3600}})
    week = timedelta(seconds=QUEST["quest"]["window_s"])
    put_instance(database, "q", "open", 2, started_at=datetime.now(UTC) - week - timedelta(minutes=30))
    assert [i["state"] for i in (await acme.get("/v1/users/ada/quests")).json()["items"]] == ["open"]
    assert await list_ids(acme, "/v1/users/ada/quests?state=open", "state") == ["open"]
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE quest_instance SET ends_at = ends_at - interval '1 hour'")
    assert [i["state"] for i in (await acme.get("/v1/users/ada/quests")).json()["items"]] == ["lapsed"]
    assert await list_ids(acme, "/v1/quests/progress?campaign_id=q&state=lapsed", "state") == ["lapsed"]
    assert await list_ids(acme, "/v1/users/ada/quests?state=open", "state") == []


async def test_a_tenant_sees_its_own_rejections_with_the_original_bytes(
    acme: AsyncClient, rival: AsyncClient, database: str
) -> None:
    with psycopg.connect(database) as owner:
        for offset, tenant_id in enumerate(("acme", "rival", None)):
            owner.execute(
                "INSERT INTO rejection VALUES (uuidv7(), %s, 't', 0, %s, 'schema_violation', 'no', 'e1', '/till', %s, now())",
                [tenant_id, offset, b"\x00\xff"],
            )
    (item,) = (await acme.get("/v1/rejections?reason=schema_violation")).json()["items"]
    assert (item["log_offset"], item["event_id"], "original" in item) == (0, "e1", False)
    for source, found in (("/till", 1), ("/other", 0)):
        assert len((await acme.get(f"/v1/rejections?event_id=e1&event_source={source}")).json()["items"]) == found
    whole = await acme.get(f"/v1/rejections/{item['rejection_id']}")
    assert b64decode(whole.json()["original"]) == b"\x00\xff"
    assert (await rival.get(f"/v1/rejections/{item['rejection_id']}")).status_code == 404


async def test_another_tenant_sees_nothing_of_the_ledger(acme: AsyncClient, rival: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    decision_id = put_decision(database, "e1")
    incentive_id = put_incentive(database, decision_id, "e1", 1)
    for path in (f"decisions/{decision_id}", f"decisions/{decision_id}/explain", f"incentives/{incentive_id}"):
        assert (await rival.get(f"/v1/{path}")).status_code == 404, path
    for path in ("decisions", "incentives", "users/ada/inbox", "quests/progress", "rejections"):
        assert await list_ids(rival, f"/v1/{path}", "event_id") == [], path


EXTREMES = ["-infinity", "infinity", "4713-01-01 BC", "0001-01-01 00:00+00", "9999-12-31 23:59:59+00", "294276-12-31"]


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Pacific/Kiritimati"])
async def test_rows_with_instants_that_have_no_words_are_listed_shown_and_explained(
    acme: AsyncClient, database: str, zone: str
) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    ids = [put_decision(database, f"e{number}") for number in range(len(EXTREMES))]
    incentives = [put_incentive(database, each, f"e{seq - 1}", seq) for seq, each in enumerate(ids, 1)]
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE tenant SET time_zone = %s", [zone])
        for number, instant in enumerate(EXTREMES):
            put_event(database, f"e{number}", {"amount": 1})
            found = [instant, f"e{number}"]
            day = "infinity" if "infinity" in instant else instant.split(" 0")[0].split(" 2")[0]
            owner.execute("UPDATE event_met SET occurred_at = %s WHERE event_id = %s", found)
            owner.execute("UPDATE decision SET local_day = %s, occurred_at = %s WHERE event_id = %s", [day, *found])
            owner.execute(
                "UPDATE incentive SET expires_at = %s, occurred_at = %s WHERE event_id = %s", [instant, *found]
            )
    answers = [await acme.get("/v1/decisions"), await acme.get("/v1/incentives"), await acme.get("/v1/users/ada/inbox")]
    answers += [await acme.get(f"/v1/decisions/{each}") for each in ids]
    answers += [await acme.get(f"/v1/incentives/{each}") for each in incentives]
    answers += [await acme.get(f"/v1/decisions/{each}/explain") for each in ids]
    for number in range(len(EXTREMES)):
        answers.append(await acme.get(f"/v1/campaigns/c/explain?event_id=e{number}"))
    assert [answer.text for answer in answers if answer.status_code >= 500] == []
    items = answers[0].json()["items"]
    assert {item["occurred_at"][-1] for item in items} == {"Z"}
    assert {item["occurred_at"][:4] for item in items} == {"0001", "9999"}


async def test_an_instant_is_read_as_it_was_written(plane: Plane) -> None:
    instants = [datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=UTC)]
    instants.append(datetime(2026, 1, 31, 9, 30, tzinfo=timezone(timedelta(hours=5, minutes=45))))
    async with transaction(plane.engine) as connection:
        for each in instants:
            query = text("SELECT CAST(:at AS timestamptz), CAST(:day AS date), to_jsonb(CAST(:at AS timestamptz))")
            [(at, day, said)] = await connection.execute(query, {"at": each, "day": each.date()})
            assert (at, day, datetime.fromisoformat(said)) == (each, each.date(), each)
