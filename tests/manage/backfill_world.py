"""A shop whose events the worker's own stages decide, an Analytics Bay that has loaded them, and what runs backfills."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
from httpx import AsyncClient
from starlette.applications import Starlette

from fillip.analyse import Queries
from fillip.analyse.duckdb.bay import DuckdbBay
from fillip.analyse.event import add_events
from fillip.analyse.facts import Load
from fillip.analyse.own_doors.event_http import event_route
from fillip.analyse.own_doors.history_http import history_route
from fillip.analyse.own_doors.received_http import received_route
from fillip.analyse.own_doors.seen_http import seen_route
from fillip.app.http import serve_http
from fillip.app.settings import Settings
from fillip.embedded.ports import choose_free_port
from fillip.http.problems import HANDLERS
from fillip.manage.analyse_http import open_client
from fillip.manage.backfill.run import BackfillTurns, name_command
from fillip.manage.backtest.run import BacktestRuns
from fillip.manage.backtest.run import name_command as name_backtest
from fillip.manage.cohort.analyse_http import AnalyseUserQueries
from fillip.manage.store.postgres import open_engine
from fillip.migrations import role_dsn
from fillip.stream.memory import MemoryLog
from fillip.stream.topics import Topics
from tests.manage.conftest import Plane
from tests.manage.shop import ANY, draft
from tests.oracle.workers import Rumours, Worker

KEY = "key-of-this-installation"
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass
class BackfillWorld:
    """`happen` is what a producer sends: the worker decides it as it comes, and analyse loads it."""

    plane: Plane
    client: AsyncClient
    bay: DuckdbBay
    turns: BackfillTurns
    backtests: BacktestRuns
    worker: Worker
    log: MemoryLog
    owner: psycopg.Connection
    analyse_url: str
    settled: int = 0
    loaded: int = 0

    async def happen(self, *events: bytes, load: bool = True) -> None:
        """Send events, which come a minute after they happened, or now."""
        for event in events:
            at = min(datetime.fromisoformat(json.loads(event)["time"]) + timedelta(minutes=1), datetime.now(UTC))
            self.log.append(0, event, at_ms=int(at.timestamp() * 1000))
        records = self.log.partitions[0]
        while self.settled < len(records):
            batch = await anext(self.worker.source)
            assert await self.worker.commit(await self.worker.prepare(batch, "acme")) == "settled"
            self.settled += len(batch.records)
        if load:
            await self.load()

    async def load(self) -> None:
        """Let analyse load all that was sent."""
        load = Load()
        await add_events(load, self.log.partitions[0][self.loaded :], await self.bay.read_positions())
        await self.bay.load(load)
        self.loaded = len(self.log.partitions[0])

    async def refresh(self) -> None:
        """Let the worker hear of what changed in the book."""
        [version] = self.rows("SELECT book_version FROM tenant WHERE tenant_id = 'acme'")[0]
        await self.worker.books.refresh("acme", version)

    async def launch(self, campaign_id: str, *, since: datetime | None = None) -> None:
        """Launch a draft with a backfill; the worker hears of it at once."""
        body = {"backfill_from": (since or NOW - timedelta(days=30)).isoformat()}
        moved = await self.client.post(f"/v1/campaigns/{campaign_id}/launch", json=body, headers=ANY)
        assert moved.status_code == 200, moved.text
        await self.refresh()

    async def backfill(self, campaign_id: str) -> dict[str, Any]:
        """Give it turns until it has ended; the answer then."""
        while (found := (await self.client.get(f"/v1/campaigns/{campaign_id}/backfill")).json())["state"] == "waiting":
            assert found["error"] is None, found["error"]
            assert await self.turns.take_due()
        return found

    async def ask_again(self, campaign_id: str) -> None:
        """Have it run once more."""
        asked = await self.client.post(f"/v1/campaigns/{campaign_id}/backfill")
        assert asked.status_code == 202, asked.text

    async def backtest(self, campaign_id: str) -> dict[str, Any]:
        """What a backtest says of a draft."""
        since = (NOW - timedelta(days=30)).isoformat()
        asked = await self.client.post("/v1/backtests", json={"campaign_id": campaign_id, "from": since})
        assert await self.backtests.run_due()
        found: dict[str, Any] = (await self.client.get(asked.headers["Location"])).json()
        assert found["state"] == "done", found
        result: dict[str, Any] = found["result"]
        return result

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the ledger says."""
        return self.owner.execute(query).fetchall()

    def list_granted(self, campaign_id: str) -> list[tuple[Any, ...]]:
        """(event, user, instance, value, day) of each grant."""
        return self.rows(
            "SELECT d.event_id, d.user_id, d.instance, i.value, d.local_day FROM decision d JOIN incentive i"
            f" USING (tenant_id, decision_id) WHERE d.campaign_id = '{campaign_id}' ORDER BY 1, 3"
        )


def buy(event_id: str, user: str, amount: int = 100, *, hours_ago: float = 1, **data: Any) -> bytes:
    """A purchase."""
    at = (NOW - timedelta(hours=hours_ago)).isoformat()
    head = {"specversion": "1.0", "id": event_id, "source": "/till", "type": "PURCHASE", "subject": user, "time": at}
    return json.dumps(head | {"tenantid": "acme", "data": {"amount_cents": amount, **data}}).encode()


def noon(*, days_ago: int) -> float:
    """How many hours ago it was noon of that day: for tests of what belongs to one day, at whatever hour they run."""
    return (NOW - NOW.replace(hour=12, minute=0, second=0)) / timedelta(hours=1) + 24 * days_ago


def take_back(reversal_id: str, event_id: str, user: str) -> bytes:
    """A reversal of a whole purchase."""
    head = {"specversion": "1.0", "id": reversal_id, "source": "/till", "type": "fillip.reversal", "subject": user}
    return json.dumps(head | {"time": NOW.isoformat(), "tenantid": "acme", "data": {"event_id": event_id}}).encode()


@asynccontextmanager
async def open_backfill_world(plane: Plane, acme: AsyncClient, folder: Path) -> AsyncIterator[BackfillWorld]:
    """All of it on real PostgreSQL and DuckDB, over HTTP; the log alone is in memory."""
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        bay = await stack.enter_async_context(DuckdbBay.open(folder / "analyse.duckdb", Topics()))
        queries = await stack.enter_async_context(Queries.open(bay.day_files))
        received = Topics().received
        routes = [history_route(queries, KEY), received_route(bay.read_positions, received, KEY)]
        routes += [each(queries, bay.read_positions, received, KEY) for each in (seen_route, event_route)]
        port = choose_free_port()
        serving = asyncio.create_task(
            serve_http(Starlette(routes=routes, exception_handlers=HANDLERS), "127.0.0.1", port, stop)
        )
        settings = Settings(postgres_dsn=plane.dsn, analyse_port=port, analyse_key=KEY)
        finder = open_engine(role_dsn(plane.dsn, "fillip_sweep"))
        stack.push_async_callback(finder.dispose)
        asking = AnalyseUserQueries(await stack.enter_async_context(open_client(settings.analyse_base, KEY)))
        plane.app.state.app_state = replace(plane.app.state.app_state, user_queries=asking)
        pool = await stack.enter_async_context(asyncpg.create_pool(role_dsn(plane.dsn, "fillip_worker"), min_size=1))
        log = MemoryLog(Topics().received, 1)
        worker = Worker(pool, log, Rumours(), 100, lambda *told: None)
        await worker.source.rewind()
        owner = stack.enter_context(psycopg.connect(plane.dsn, autocommit=True))
        yield BackfillWorld(
            plane,
            acme,
            bay,
            BackfillTurns(finder, plane.engine, name_command(), settings.list_for("backfill")),
            BacktestRuns(finder, plane.engine, name_backtest(), settings.list_for("backtest")),
            worker,
            log,
            owner,
            settings.analyse_base,
        )
        await worker.source.close()
        stop.set()
        await serving


async def sketch(client: AsyncClient, campaign_id: str, definition: dict[str, Any]) -> None:
    """Make a draft that takes every purchase, unless it says otherwise."""
    await draft(client, campaign_id, {"rule": "true"} | definition if definition["kind"] == "SIMPLE" else definition)
