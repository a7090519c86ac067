"""A user is erased from ClickHouse: nothing tells of the user, reports say what they said, and none goes before all is loaded."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from msgspec.structs import replace
from starlette.applications import Starlette

from fillip.analyse.clickhouse import erasing
from fillip.analyse.clickhouse.bay import ClickhouseBay
from fillip.analyse.clickhouse.writing import list_writers
from fillip.analyse.day_files.erasing_duckdb import erase
from fillip.analyse.funnel import FunnelQuestion
from fillip.analyse.own_doors.erasures_http import Store, erasures_route
from fillip.analyse.report import Bay
from fillip.analyse.uplift import UpliftQuestion
from fillip.core.instant import MAX_TIME, MIN_TIME
from fillip.http.erasure_order import PATH, ErasureOrder
from tests.analyse.bay_world import EVERYTHING, decision, emptied, instance, rejection, reversal
from tests.analyse.stores import ABSENT, TOPICS, load, new_clickhouse, open_clickhouse, open_duckdb
from tests.analyse.test_erasing import NOW, ORDER, PSEUDONYM, USER, mine

pytestmark = [pytest.mark.clickhouse, pytest.mark.skipif(bool(ABSENT), reason=ABSENT)]

LATE = (NOW + timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
QUESTION = UpliftQuestion("acme", "welcome", "PURCHASE", None, date.min, date.max, 7)
KEPT = "SELECT tenant_id, user_id, count() FROM fact WHERE position(user_id, 'canary') > 0 GROUP BY ALL ORDER BY ALL"
DUMPS = (
    "SELECT toString(tuple(*)) FROM fact WHERE tenant_id <> 'rival' AND campaign_id <> 'later'",
    "SELECT toString(tuple(*)) FROM set_aside WHERE position(value, 'rival') = 0",
    "SELECT command FROM system.mutations WHERE database = currentDatabase()",
)


async def test_nothing_tells_of_an_erased_user_and_reports_say_what_they_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MOST_AT_ONCE", "ASIDES_AT_ONCE"):
        monkeypatch.setattr(erasing, name, 7)
    with new_clickhouse() as connect:
        async with open_clickhouse(connect) as bay:
            await live(bay)
            before = await tell(bay, tmp_path)
            while pending := await bay.erase(ORDER):
                assert pending == erasing.MORE
            after = await tell(bay, tmp_path)
            client = connect()
            mutations = client.query(DUMPS[2]).result_rows
            assert await bay.erase(ORDER) == ""  # again changes nothing
            assert client.query(DUMPS[2]).result_rows == mutations
            assert client.query(KEPT).result_rows == [("acme", USER, 1), ("rival", USER, 1)]
            assert read_dumps(client) == []
    assert after == [*before[:-1], {PSEUDONYM if user == USER else user for user in before[-1]}]


async def live(bay: ClickhouseBay) -> None:
    """Facts of the user and of others, also such as a snapshot has replaced; two of a new user, and of another tenant."""
    numbers = range(1, 31)
    log = await load(bay, *(mine(decision, n) for n in numbers), *map(decision, range(31, 36)), reversal(36, 1, 9))
    again = [mine(decision, n, op="r", epoch="e2") for n in numbers]
    await load(bay, emptied("decision", 0, "e2"), *again, *(decision(n, epoch="e2") for n in range(31, 36)), log=log)
    later = mine(decision, 40, epoch="e2", decided_at=LATE, campaign_id="later")
    rival = mine(decision, 41, epoch="e2", tenant_id="rival")
    broken = [mine(decision, n, epoch="e2", local_day="canary") for n in range(42, 52)]
    await load(bay, later, rival, *broken, rejection(60, detail="canary"), log=log)


async def tell(bay: Bay, folder: Path) -> list[Any]:
    """What reports say; last, who met a campaign."""
    met = (await bay.write_met(QUESTION, folder))["met"]
    users = {user for (user,) in duckdb.read_parquet(met).project("user_id").fetchall()}
    days = await bay.report_campaign_days(EVERYTHING)
    return [days, await bay.report_rejection_days(EVERYTHING), await bay.report_spend(QUESTION), users]


def read_dumps(client: Client) -> list[str]:
    """What tells of the user still."""
    return [row for dump in DUMPS for (row,) in client.query(dump).result_rows if "canary" in row]


async def test_of_quests_that_stand_under_the_pseudonym_nothing_stays_under_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(erasing, "MOST_AT_ONCE", 7)
    with new_clickhouse() as connect:
        async with open_clickhouse(connect) as bay:
            forgotten = instance(30, 1, (0, None), user_id=USER)
            told = [instance(n, 1 + n, (2, 10), epoch="e2", user_id=USER) for n in range(1, 10)]
            log = await load(bay, forgotten, emptied("quest_instance", 0, "e2"), *told)
            before = await bay.report_quest_funnel(ask_funnel())
            moved = [instance(n, 100 + n, (2, 10), epoch="e2", user_id=PSEUDONYM) for n in range(1, 10)]
            begun = instance(
                20, 200, (0, None), epoch="e2", user_id=USER, campaign_id="later"
            )  # by a new user of the id
            await load(
                bay, *moved, begun, instance(2, 201, (0, None), epoch="e2", user_id=USER, tenant_id="rival"), log=log
            )
            while pending := await bay.erase(ORDER):
                assert pending == erasing.MORE
            assert await bay.report_quest_funnel(ask_funnel()) == before
            assert [line.started for line in await bay.report_quest_funnel(ask_funnel("later"))] == [1]
            client = connect()
            assert client.query(KEPT).result_rows == [("acme", USER, 1), ("rival", USER, 1)]
            assert read_dumps(client) == []


def ask_funnel(campaign_id: str = "tour") -> FunnelQuestion:
    """Of all that ever began."""
    return FunnelQuestion("acme", campaign_id, MIN_TIME, MAX_TIME, NOW, 10, 0)


async def test_it_waits_until_each_store_has_loaded_what_it_loads(tmp_path: Path) -> None:
    with new_clickhouse() as connect:
        async with open_duckdb(tmp_path) as beside, ClickhouseBay.open(connect, TOPICS) as bay:
            log = await load(beside, mine(decision, 1), reversal(2, 1, 9))
            stores = [
                Store(beside.read_positions, lambda order: erase(beside.day_files, order)),
                Store(bay.read_positions, bay.erase, list_writers(TOPICS)),
            ]
            door = Starlette(routes=[erasures_route(stores, "key")])
            order = replace(ORDER, ends={TOPICS.decided: {0: 1}, TOPICS.reversed: {0: 1}})
            unread = f"{TOPICS.received} is still to be loaded"  # by the first store
            assert await ask(door, replace(order, ends={TOPICS.received: {0: 1}})) == [False, unread]
            for told in (TOPICS.decided, TOPICS.reversed):
                assert await ask(door, order) == [False, f"{told} is still to be loaded"]
                await log.load_into(bay, 1)
            assert await ask(door, order) == [True, ""]
            assert connect().query(KEPT).result_rows == []
            assert [day.unique_users for day in await beside.report_campaign_days(EVERYTHING)] == [1]


async def ask(door: Starlette, order: ErasureOrder) -> list[Any]:
    """Whether it is done, and what it waits for else."""
    headers = {"Authorization": "Bearer key", "Content-Type": "application/json"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://analyse") as client:
        answer = await client.post(PATH, content=msgspec.json.encode(order), headers=headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json().values())
