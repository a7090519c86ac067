"""A backfill of a quest over 100,000 past events: how fast it goes, and a second run."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette

from fillip.analyse import Queries
from fillip.analyse.duckdb.bay import DuckdbBay
from fillip.analyse.own_doors.history_http import history_route
from fillip.analyse.own_doors.received_http import received_route
from fillip.app.http import serve_http
from fillip.core.ports import Caller
from fillip.embedded.ports import choose_free_port
from fillip.figures import Figure, at_least, expect, note
from fillip.http.problems import HANDLERS
from fillip.manage.backfill.postgres import add_backfill, ask_again, find_backfill
from fillip.manage.backfill.run import BackfillTurns, name_command
from fillip.manage.store.postgres import open_engine, transaction
from fillip.migrations import role_dsn
from fillip.stream.topics import Topics
from tests.bench.backtest import DAYS, FIRST, KEY, QUEST, STORE
from tests.bench.site import Site
from tests.oracle.shop import Plane, Shop

EVENTS, USERS = 100_000, 5_000
LOADED = "INSERT INTO loaded SELECT $1, p, $2, '', 0, 0 FROM range(8) t(p)"
SETTLED = "INSERT INTO consumer_position (topic, partition, next_offset, owner) SELECT %s, p, %s, '' FROM generate_series(0, 7) p"


def bench(site: Site) -> list[Figure]:
    """In a folder of its own, without a broker."""
    with site.database() as dsn:
        return asyncio.run(measure(site, dsn))


async def measure(site: Site, dsn: str) -> list[Figure]:
    """The figures."""
    plane, finder, stop = Plane(dsn), open_engine(role_dsn(dsn, "fillip_sweep")), asyncio.Event()
    shop = await plane.open_shop("live", "Europe/Berlin")
    await _launch(shop, plane)
    async with DuckdbBay.open(site.folder / "filled.duckdb", Topics()) as bay, Queries.open(bay.day_files) as queries:
        await asyncio.to_thread(bay._connection.execute, STORE, [shop.tenant_id, EVENTS, USERS, DAYS])
        await asyncio.to_thread(bay._connection.execute, LOADED, [Topics().received, EVENTS])
        while await bay.day_files.write_out():
            pass
        site.tell(f"{EVENTS:,} events stored; granting")
        routes = [history_route(queries, KEY), received_route(bay.read_positions, Topics().received, KEY)]
        port = choose_free_port()
        app = Starlette(routes=routes, exception_handlers=HANDLERS)
        serving = asyncio.create_task(serve_http(app, "127.0.0.1", port, stop))
        environment = site.settings(dsn, Topics(), analyse_port=port, analyse_key=KEY).list_for("backfill")
        turns = BackfillTurns(finder, plane.engine, name_command(), environment)
        caller = Caller(None, shop.tenant_id, frozenset())
        began = time.perf_counter()
        first = await _run(turns, plane, caller)
        took_s = time.perf_counter() - began
        async with transaction(plane.engine, caller) as connection:
            await ask_again(connection, caller, "five")
        second = await _run(turns, plane, caller)
        stop.set()
        await serving
    await finder.dispose()
    await plane.close()
    return [
        expect("past events looked at", EVENTS, first.events_done, ""),
        expect("grants that a second run adds", 0, second.result["granted"], ""),
        at_least("past events a second, with its rests", 1_000, round(EVENTS / took_s), "events/s"),
        note("grants", first.result["granted"], ""),
        note("the whole of it", round(took_s, 1), "s"),
    ]


async def _launch(shop: Shop, plane: Plane) -> None:
    """As the API does with `backfill_from`; without an analyse to ask for."""
    dated = QUEST | {"schedule": {"starts_at": FIRST.isoformat()}}
    await shop.call("POST", "/v1/campaigns", {"campaign_id": "five", "definition": dated})
    await shop.call("POST", "/v1/campaigns/five/launch")
    caller = Caller(None, shop.tenant_id, frozenset())
    async with transaction(plane.engine, caller) as connection:
        await add_backfill(connection, caller, "five", FIRST, events_wait=True)
    async with transaction(plane.owner) as connection:
        await connection.exec_driver_sql(SETTLED.replace("%s", f"'{Topics().received}'", 1).replace("%s", str(EVENTS)))


async def _run(turns: BackfillTurns, plane: Plane, caller: Caller) -> Any:
    """Give it turns until it is done."""
    while True:
        async with transaction(plane.engine, caller) as connection:
            row = await find_backfill(connection, caller, "five")
        if row.state == "done":
            return row
        assert row.state == "waiting" and row.error is None, row.error
        assert await turns.take_due(), datetime.now(UTC)
