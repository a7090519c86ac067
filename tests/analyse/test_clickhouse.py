"""ClickHouse as the store of the facts: exactly once though it has no transactions, and equal to DuckDB to the last digit."""

import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import pytest
import structlog.testing
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from fillip.analyse import Queries, build_app
from fillip.analyse.burn import LimitHoursQuestion, ask_burn
from fillip.analyse.clickhouse.bay import ClickhouseBay, connect_clickhouse
from fillip.analyse.funnel import FunnelQuestion
from fillip.analyse.liability import ask_expiries
from fillip.analyse.report import Bay, Question
from fillip.analyse.uplift import UpliftQuestion
from fillip.app.valkey import connect_valkey
from fillip.core.errors import Retry
from fillip.core.instant import MAX_TIME, MIN_TIME
from fillip.limit.rates_valkey import ValkeyRates
from fillip.manage.api.keys import NewKey
from fillip.manage.api.tenants import NewTenant
from fillip.manage.key.postgres import PostgresKeyRing
from fillip.manage.operator import create_tenant
from fillip.manage.store.postgres import open_engine
from fillip.migrations import role_dsn
from tests.analyse.bay_world import EVERYTHING, BayWorld, decision, emptied
from tests.analyse.drawn_ledger import BEGIN, CAMPAIGNS, LIMITS, Ledger, faults, loads
from tests.analyse.dying_clickhouse import MOMENTS, TOTAL
from tests.analyse.stores import ABSENT, TOPICS, AnnouncementLog, load, new_clickhouse, open_clickhouse, open_duckdb
from tests.analyse.test_liability import ask
from tests.analyse.test_reports_http import Desk

ROOT = Path(__file__).parents[2]
PARTS = "SELECT count() FROM system.parts WHERE active AND table = 'fact' AND database = currentDatabase()"
ASIDES = "SELECT topic, record_offset, error, value FROM set_aside FINAL"


def on_clickhouse(test: Callable[..., Any]) -> Callable[..., Any]:
    """Skip it where there is none."""
    return pytest.mark.clickhouse(pytest.mark.skipif(bool(ABSENT), reason=ABSENT)(test))


class FaultyClient:
    """A client of the real engine, whose connection is lost at some statement: before it, after it, or so that it comes late."""

    def __init__(self, client: Client, faults: dict[int, str]) -> None:
        self._client, self._faults = client, faults
        self._statements = 0
        self._late: list[Callable[[], object]] = []

    def query(self, *arguments: Any, **options: Any) -> Any:
        """A SELECT."""
        return self._call(self._client.query, *arguments, **options)

    def insert(self, *arguments: Any, **options: Any) -> Any:
        """An INSERT."""
        return self._call(self._client.insert, *arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def deliver_late(self) -> None:
        """Let the server have what was under way."""
        late, self._late = self._late, []
        for statement in late:
            statement()

    def _call(self, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        fault = self._faults.get(self._statements)
        self._statements += 1
        if fault == "late":
            self._late.append(lambda: work(*arguments, **options))
        answer = None if fault in ("before", "late") else work(*arguments, **options)
        if fault is not None:
            raise ConnectionResetError(fault)
        return answer


@on_clickhouse
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(loads, faults)
def test_whatever_fails_in_between_its_reports_equal_duckdbs(
    loads: list[tuple[list[dict[str, Any]], int]], faults: dict[int, str]
) -> None:
    """Each load of both is another portion of the same log; of ClickHouse, any statement may be lost or come late."""
    asyncio.run(compare(loads, faults))


async def compare(loads: list[tuple[list[dict[str, Any]], int]], faults: dict[int, str]) -> None:
    log = AnnouncementLog()
    ledger = Ledger(log)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        connect = stack.enter_context(new_clickhouse())
        clients: list[FaultyClient] = []

        def connect_badly() -> Any:
            clients.append(FaultyClient(connect(), faults))
            return clients[-1]

        one = await stack.enter_async_context(open_duckdb(folder))
        other = await stack.enter_async_context(ClickhouseBay.open(connect_badly, TOPICS))
        for drawn, most in loads:
            for each in drawn:
                ledger.announce(each)
            while await log.load_into(one):
                pass
            while await load_portion(log, other, most):
                for client in clients:
                    client.deliver_late()
        faults.clear()
        while await load_portion(log, other, 3):
            pass
        assert await tell_all(one, folder / "bay") == await tell_all(other, folder)


async def load_portion(log: AnnouncementLog, bay: ClickhouseBay, most: int) -> bool:
    """Whether there was something to load."""
    try:
        return await log.load_into(bay, most) > 0
    except Retry:
        return True


async def tell_all(bay: Bay, folder: Path) -> list[object]:
    """What every report says."""
    told: list[object] = []
    for tenant_id in ("acme", "rival"):
        everything = replace(EVERYTHING, tenant_id=tenant_id)
        told.append([each async for each in turn_pages(bay, everything)])
        told.append(await bay.report_rejection_days(everything))
        told.append(await bay.report_level_days(everything, "Europe/Berlin"))
        told.append(await bay.read_mark(tenant_id))
        for year in (2026, 9998):
            span = ask(begin=datetime(1970, 3, 2, tzinfo=UTC), end=datetime(year, 3, 2, tzinfo=UTC))
            told.append(await bay.report_liability(replace(span, tenant_id=tenant_id)))
            told.append(await bay.report_liability_movements(replace(span, tenant_id=tenant_id)))
            expiries = ask_expiries(tenant_id, "Europe/Berlin", span.end, 999, ("", ""))
            told.append(await bay.report_liability_expiries(expiries))
        told += await tell_standing(bay, tenant_id)
        for campaign_id in CAMPAIGNS:
            told.append(await bay.report_campaign_variants(replace(everything, campaign_id=campaign_id)))
            question = UpliftQuestion(tenant_id, campaign_id, "PURCHASE", None, date.min, date(2026, 3, 1), 7)
            told += [await bay.is_of_quest(question), await bay.report_spend(question)]
        files = await bay.write_met(question, folder)
        told.append(sorted(duckdb.read_parquet(files["met"]).fetchall()))
    return told


async def tell_standing(bay: Bay, tenant_id: str) -> list[object]:
    """What the reports of what changes say, two lines at a time where there are pages."""
    told: list[object] = [await bay.read_time_zone(tenant_id)]
    days = replace(EVERYTHING, tenant_id=tenant_id, count=2)
    while ways := await bay.report_campaign_times(days):
        told += ways
        days = replace(days, after=(ways[-1].day, ways[-1].campaign_id))
    noon = BEGIN + timedelta(hours=6)
    budgets = ask_burn(tenant_id, "UTC", noon, 2, ("", ""))
    while lines := await bay.report_limit_burn(budgets):
        told += lines
        budgets = replace(budgets, after_limit=lines[-1].limit_id, after_key=lines[-1].key)
    for limit_id, key in product(LIMITS, (None, "")):
        hours = LimitHoursQuestion(tenant_id, limit_id, key, MIN_TIME, MAX_TIME, 1000, MIN_TIME)
        told.append(await bay.report_limit_hours(hours))
    for now in (BEGIN, noon):
        told.append(await bay.report_quest_funnel(FunnelQuestion(tenant_id, "tour", MIN_TIME, MAX_TIME, now, 10, 0)))
    return told


async def turn_pages(bay: Bay, question: Question) -> AsyncIterator[object]:
    """All lines by campaign and day, two at a time."""
    lines: Sequence[Any] = [None]
    while lines:
        lines = await bay.report_campaign_days(replace(question, count=2))
        for line in lines:
            yield line
            question = replace(question, after=(line.day, line.campaign_id))


@on_clickhouse
async def test_killed_at_any_moment_counts_once(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "tests.analyse.dying_clickhouse", str(tmp_path)]
    for moment in MOMENTS:
        loader = await asyncio.create_subprocess_exec(*arguments, moment, cwd=ROOT)
        assert await asyncio.wait_for(loader.wait(), 60) == -signal.SIGKILL
    last = await asyncio.create_subprocess_exec(*arguments, "", cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    told, _ = await asyncio.wait_for(last.communicate(), 60)
    assert int(told) == TOTAL


@on_clickhouse
async def test_a_load_that_comes_after_its_repetition_counts_once() -> None:
    log = AnnouncementLog()
    with new_clickhouse() as connect:
        client = FaultyClient(connect(), {4: "late"})  # state twice, load 1 and its state; then this
        async with open_clickhouse(lambda: client) as bay:  # type: ignore[arg-type,return-value]
            await load(bay, decision(1), log=log)
            with pytest.raises(Retry):
                await load(bay, decision(2), decision(4), log=log)
            log.append(decision(5))
            while await log.load_into(bay):
                client.deliver_late()
            (line,) = await bay.report_campaign_days(EVERYTHING)
    assert line.granted == 4


@on_clickhouse
async def test_two_processes_that_load_the_same_count_it_once() -> None:
    log = AnnouncementLog()
    with new_clickhouse() as connect:
        async with open_clickhouse(connect) as one, open_clickhouse(connect) as other:
            for number in range(1, 101):
                log.append(decision(number))
            while any(await asyncio.gather(*(load_portion(log, bay, 7) for bay in (one, other)))):
                pass
            for bay in (one, other):
                (line,) = await bay.report_campaign_days(EVERYTHING)
                assert line.granted + line.denied["limit"] == 100


@on_clickhouse
async def test_a_large_load_is_one_part_and_what_a_snapshot_replaced_goes_at_the_next_start() -> None:
    with new_clickhouse() as connect:
        async with open_clickhouse(connect) as bay:
            log = await load(bay, *(decision(number, user_id=f"{number}" * 100) for number in range(1, 12_001)))
            assert connect().query(PARTS).result_rows == [(1,)]
            await load(bay, emptied("decision", 0, "e2"), decision(1, op="r", epoch="e2"), log=log)
        async with open_clickhouse(connect) as bay:
            assert (await bay.report_campaign_days(EVERYTHING))[0].granted == 1
            assert connect().query("SELECT count() FROM fact WHERE kind = 'decision'").result_rows == [(1,)]


@on_clickhouse
async def test_what_is_set_aside_is_kept_once_with_its_reason() -> None:
    with new_clickhouse() as connect:
        async with open_clickhouse(connect) as bay:
            await load(bay, decision(1), decision(2, local_day="no day"))
        [(topic, offset, error, value)] = connect().query(ASIDES).result_rows
    assert (topic, offset, "no day" in value) == (TOPICS.decided, 1, True)
    assert "ValidationError" in error


async def test_a_server_that_is_away_is_a_retry_that_tells_no_secret() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    url = f"http://fillip:s3cret%2Fword@127.0.0.1:{port}/facts"
    async with open_clickhouse(partial(connect_clickhouse, url, None)) as bay:
        with structlog.testing.capture_logs() as logs:
            for call in (bay.check(), bay.read_positions(), bay.report_campaign_days(EVERYTHING)):
                with pytest.raises(Retry, match="can't be reached now") as raised:
                    await call
                assert "127.0.0.1" not in str(raised.value)
    assert len(logs) == 3
    assert "s3cret" not in str(logs)


async def test_without_it_a_report_is_answered_503(bay_world: BayWorld, database: str) -> None:
    tenant = NewTenant(tenant_id="acme", name="acme", time_zone="UTC", currency="EUR", clock="live")
    key = (await create_tenant(database, tenant, NewKey(name="k", scopes=["reports:read"])))[1].key
    engine = open_engine(role_dsn(database, "fillip_api"))
    rates = ValkeyRates(connect_valkey("redis://127.0.0.1:1/0"))
    away = partial(connect_clickhouse, "http://fillip:s3cret@127.0.0.1:1/facts", None)
    async with (
        bay_world.bay() as beside,
        Queries.open(beside.day_files) as queries,
        ClickhouseBay.open(away, bay_world.topics) as bay,
    ):
        desk = Desk(build_app(bay, queries, PostgresKeyRing(engine), rates), str(key), "", "", "")
        answer = await desk.ask("campaign-days")
    await engine.dispose()
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (503, "unavailable")
    assert "127.0.0.1" not in answer.text
