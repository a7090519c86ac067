"""Queries over HTTP: who may ask, in which forms the rows come, and what is refused where."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from fillip.analyse import Queries, build_app
from fillip.analyse.duckdb.bay import DuckdbBay
from fillip.analyse.query.queries import QueryRefused, QueryStopped
from fillip.analyse.query.task import ANALYSTS, Bounds
from fillip.app.valkey import connect_valkey
from fillip.limit.rates_valkey import ValkeyRates
from fillip.manage.api.keys import NewKey
from fillip.manage.api.tenants import NewTenant
from fillip.manage.key.postgres import PostgresKeyRing
from fillip.manage.operator import create_key, create_tenant
from fillip.manage.store.postgres import open_engine
from fillip.migrations import role_dsn
from fillip.stream.topics import Topics
from tests.analyse.bay_world import decision, event
from tests.analyse.test_day_files import load, load_events


class Analyst:
    """Asks as acme unless told otherwise."""

    def __init__(self, app: Any, queries: Queries, acme: str, rival: str, scopeless: str) -> None:
        self.queries, self.acme, self.rival, self.scopeless = queries, acme, rival, scopeless
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bay", timeout=60)

    async def ask(self, sql: Any, key: str | None = None, accept: str = "*/*", path: str = "query", **more: Any) -> Any:
        """The response to one query."""
        headers = {"Authorization": f"Bearer {key or self.acme}", "Accept": accept}
        return await self._client.post(f"/v1/reports/{path}", json={"sql": sql, **more}, headers=headers)


@pytest.fixture
async def analyst(tmp_path: Path, database: str) -> AsyncIterator[Analyst]:
    """Two events of acme, one of rival."""
    keys = []
    for tenant_id in ("acme", "rival"):
        tenant = NewTenant(tenant_id=tenant_id, name=tenant_id, time_zone="UTC", currency="EUR", clock="live")
        keys.append((await create_tenant(database, tenant, NewKey(name="k", scopes=["facts:read"])))[1].key)
    keys.append((await create_key(database, "acme", NewKey(name="k", scopes=["reports:read"]))).key)
    engine = open_engine(role_dsn(database, "fillip_api"))
    rates = ValkeyRates(connect_valkey("redis://127.0.0.1:1/0"))
    topics = Topics()
    async with DuckdbBay.open(tmp_path / "analyse.duckdb", topics) as bay, Queries.open(bay.day_files) as queries:
        await load_events(bay, 0, event("e1"), event("e2", user="=1+1"), event("r1", tenant_id="rival", user="canary"))
        await load(bay, topics.decided, decision(5))
        app = build_app(bay, queries, PostgresKeyRing(engine), rates)
        yield Analyst(app, queries, *map(str, keys))
    await engine.dispose()


async def test_rows_come_with_their_columns_and_how_fresh_they_are(analyst: Analyst) -> None:
    answer = await analyst.ask("SELECT user_id, count(*) AS n FROM events GROUP BY ALL ORDER BY user_id DESC")
    assert (answer.status_code, answer.headers["fillip-rows"]) == (200, "2")
    told = answer.json()
    assert told["columns"] == [{"name": "user_id", "type": "VARCHAR"}, {"name": "n", "type": "BIGINT"}]
    assert told["rows"] == [{"user_id": "u1", "n": 1}, {"user_id": "=1+1", "n": 1}]
    assert told["watermark"]["committed_at"] == "1970-01-01T00:00:05Z" == answer.headers["fillip-committed-at"]
    assert told["watermark"]["received_at"] == answer.headers["fillip-received-at"]
    nothing = (await analyst.ask("SELECT id FROM events WHERE false", analyst.rival)).json()
    assert (nothing["rows"], nothing["watermark"]["committed_at"]) == ([], None)


async def test_rows_come_as_csv_and_parquet(analyst: Analyst, tmp_path: Path) -> None:
    asked = "SELECT user_id, -1 AS n FROM events ORDER BY id"
    answer = await analyst.ask(asked, accept="text/csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text == "user_id,n\nu1,-1\n'=1+1,-1\n"  # a spreadsheet must not run it
    answer = await analyst.ask(asked, accept="application/vnd.apache.parquet, */*;q=0.1")
    (tmp_path / "told.parquet").write_bytes(answer.content)
    told = duckdb.read_parquet(str(tmp_path / "told.parquet")).fetchall()
    assert told == [("u1", -1), ("=1+1", -1)]
    assert (await analyst.ask(asked, accept="image/png")).status_code == 406


async def test_a_tenant_asks_its_own_rows(analyst: Analyst) -> None:
    assert "canary" not in (await analyst.ask("SELECT * FROM events")).text
    assert [row["id"] for row in (await analyst.ask("SELECT * FROM events", analyst.rival)).json()["rows"]] == ["r1"]


async def test_who_may_not_ask(analyst: Analyst) -> None:
    refused = await analyst.ask("SELECT 1 AS n", analyst.scopeless)
    assert (refused.status_code, "facts:read" in refused.json()["detail"]) == (403, True)
    assert (await analyst.ask("SELECT 1 AS n", "fk_live_forged")).status_code == 401


async def test_what_is_refused_where(analyst: Analyst) -> None:
    for sql, at in (
        ("SELECT id,\n  nothing FROM events", "2:3"),
        ("SELECT id FROM event", "1:16"),
        ("SELECT id FROM events WHERE", None),
        ("SELECT read_text('x')\nFROM events", "1:8"),
        ("DELETE FROM events", None),
        ("", "/sql"),
        ("x" * 20_001, "/sql"),
        (7, "/sql"),
    ):
        answer = await analyst.ask(sql)
        assert answer.status_code == 422, sql
        if at is not None:
            assert answer.json()["errors"][0]["at"] == at, answer.text
    assert (await analyst.ask("SELECT 1 AS n", tenant_id="rival")).status_code == 422
    assert (await analyst.ask("SELECT 1 AS n", path="query?tenant_id=rival")).status_code == 422


async def test_what_takes_too_much_is_stopped_with_the_reason(analyst: Analyst) -> None:
    answer = await analyst.ask("SELECT range AS n FROM range(10001)")
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (422, "query-stopped")
    assert "10000 rows" in answer.json()["detail"]


async def test_a_tenant_with_many_queries_waits_for_itself(analyst: Analyst) -> None:
    slow = "SELECT count(*) AS n FROM range(2000000000)"
    answers = [asyncio.create_task(analyst.ask(slow)) for _ in range(6)]
    await asyncio.sleep(0)
    other = await analyst.ask("SELECT id FROM events", analyst.rival)
    statuses = sorted(answer.status_code for answer in await asyncio.gather(*answers))
    assert (other.status_code, statuses) == (200, [200, 200, 200, 200, 429, 429])
    refused = [answer for answer in await asyncio.gather(*answers) if answer.status_code == 429]
    assert int(refused[0].headers["retry-after"]) >= 1


async def test_a_cohort_can_be_selected_and_previewed(analyst: Analyst) -> None:
    asked = "SELECT user_id FROM events UNION ALL SELECT user_id FROM events UNION ALL SELECT NULL"
    async with analyst.queries.select_users("acme", asked) as answer:
        assert sorted(answer.file.read_text().split()) == ["=1+1", "u1", "user_id"]
    preview = await analyst.queries.preview_users("acme", asked)
    assert (preview.count, sorted(preview.sample)) == (2, ["=1+1", "u1"])
    for wrong in ("SELECT id, user_id FROM events", "SELECT 1 AS n"):
        with pytest.raises(QueryRefused, match="one column of users"):
            await analyst.queries.preview_users("acme", wrong)


async def test_a_query_that_is_stopped_or_left_takes_no_other_with_it(analyst: Analyst) -> None:
    short = Bounds(rows=10, bytes=1_000, within_s=1, memory_mb=256)

    async def ask(tenant: str, sql: str, bounds: Bounds) -> str:
        async with analyst.queries.answer(tenant, sql, "json", bounds) as answer:
            return answer.file.read_text()

    await ask("rival", "SELECT 1 AS n", short)
    endless = "SELECT count(*) AS n FROM range(1000000000000)"
    beside = asyncio.create_task(ask("rival", "SELECT count(*) AS n FROM range(2000000000)", ANALYSTS))
    with pytest.raises(QueryStopped, match="longer than 1 s"):
        await ask("acme", endless, short)
    left = asyncio.create_task(ask("acme", endless, ANALYSTS))
    await asyncio.wait({left}, timeout=0.5)
    left.cancel()
    await asyncio.wait({left})
    assert left.cancelled()
    assert json.loads(await beside) == [{"n": 2_000_000_000}]
    assert len(list_family(os.getpid())) == 1  # what forks; nothing of what was left


async def test_queries_go_on_when_what_forks_them_is_killed(analyst: Analyst) -> None:
    assert (await analyst.ask("SELECT 1 AS n")).status_code == 200
    [source] = list_family(os.getpid())
    running = asyncio.create_task(analyst.ask("SELECT count(*) AS n FROM range(2000000000)"))
    while len(family := list_family(os.getpid())) < 2:
        await asyncio.sleep(0.01)
    for pid in family:
        os.kill(pid, signal.SIGKILL)
    assert (await running).status_code == 503
    answers = [(await analyst.ask("SELECT 1 AS n")).status_code for _ in range(2)]
    assert answers[-1] == 200 and source not in list_family(os.getpid())


def list_family(pid: int) -> list[int]:
    """The processes that this one has begun to run queries, and theirs."""
    children = [int(each) for told in Path(f"/proc/{pid}/task").glob("*/children") for each in told.read_text().split()]
    mine = [
        each for each in children if b"fillip.analyse.query.forks_duckdb" in Path(f"/proc/{each}/cmdline").read_bytes()
    ]
    return [*mine, *(each for child in mine for each in list_family(child))]


async def test_numbers_that_json_has_not(analyst: Analyst) -> None:
    assert (await analyst.ask("SELECT 'nan'::double AS n")).json()["rows"] == [{"n": None}]
    refused = await analyst.ask("SELECT ['nan'::double] AS n")
    assert "ask for Parquet" in refused.json()["detail"]
    assert json.loads((await analyst.ask("SELECT 1e400::varchar AS n")).text)["rows"] is not None
