"""A quest's backtest over a million past events: from the request to the result, with all processes that it takes."""

import asyncio
import resource
import time
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette

from fillip.analyse import Queries
from fillip.analyse.duckdb.bay import DuckdbBay
from fillip.analyse.own_doors.history_http import history_route
from fillip.app.http import serve_http
from fillip.core.ports import Caller
from fillip.embedded.ports import choose_free_port
from fillip.figures import Figure, at_most, expect, note
from fillip.http.problems import HANDLERS
from fillip.manage.backtest.postgres import ask_backtest, find_backtest
from fillip.manage.backtest.run import BacktestRuns, name_command
from fillip.manage.store.postgres import open_engine, transaction
from fillip.migrations import role_dsn
from fillip.stream.topics import Topics
from tests.bench.site import Site
from tests.oracle.shop import Plane

EVENTS, USERS, DAYS, KEY = 1_000_000, 50_000, 100, "key-of-this-installation"
FIRST, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
STORE = """INSERT INTO event_row
SELECT hash(r) % 8, $1, date '2026-01-01' + (r * $4 // $2)::integer, now() - INTERVAL 1 HOUR, r, md5(r::varchar)::uuid, '/till', 'e' || r,
       'user-' || (hash(r + 1) % $3), 'BUY', moment, moment + to_seconds(1),
       '{"amount": ' || (hash(r + 2) % 300) || ', "rate": 1.5, "shop": "s' || (r % 300) || '"}'
FROM (SELECT r, timestamptz '2026-01-01 00:00:00+00' + to_milliseconds(r * $4 * 86400000 // $2) AS moment FROM range($2::bigint) t(r))"""
"""Loaded an hour ago, as the past is: so they are written out, and a query need not copy them first."""
QUEST: dict[str, Any] = {
    "kind": "QUEST",
    "name": "Five larger purchases in 30 days",
    "quest": {
        "steps": [{"name": "buy", "action": "BUY", "rule": "event.amount >= 100", "count": 5}],
        "window_s": 30 * 86_400,
        "repeatable": True,
    },
    "rewards": [{"kind": "points", "value": 50}],
}
"""Two of three events meet it."""


def bench(site: Site) -> list[Figure]:
    """In a folder of its own, without a broker."""
    with site.database() as dsn:
        return asyncio.run(measure(site, dsn))


async def measure(site: Site, dsn: str) -> list[Figure]:
    """The figures."""
    plane, finder, stop = Plane(dsn), open_engine(role_dsn(dsn, "fillip_sweep")), asyncio.Event()
    shop = await plane.open_shop("live", "Europe/Berlin")
    await shop.call("POST", "/v1/campaigns", {"campaign_id": "five", "definition": QUEST})
    daily = {"scope": "campaign", "campaign_id": "five", "measure": "count", "span": "day", "cap": 1_000}
    await shop.call("POST", "/v1/limits", {"limit_id": "daily", **daily})
    async with DuckdbBay.open(site.folder / "past.duckdb", Topics()) as bay, Queries.open(bay.day_files) as queries:
        await asyncio.to_thread(bay._connection.execute, STORE, [shop.tenant_id, EVENTS, USERS, DAYS])
        while await bay.day_files.write_out():
            pass
        site.tell(f"{EVENTS:,} events stored; asking")
        app = Starlette(routes=[history_route(queries, KEY)], exception_handlers=HANDLERS)
        port = choose_free_port()
        serving = asyncio.create_task(serve_http(app, "127.0.0.1", port, stop))
        environment = site.settings(dsn, Topics(), analyse_port=port, analyse_key=KEY).list_for("backtest")
        runs = BacktestRuns(finder, plane.engine, name_command(), environment)
        caller = Caller(None, shop.tenant_id, frozenset())
        async with transaction(plane.engine, caller) as connection:
            asked = await ask_backtest(connection, caller, "five", 1, FIRST, UNTIL)
        began, before_s = time.perf_counter(), _read_cpu_s()
        assert await runs.run_due()
        took_s = time.perf_counter() - began
        async with transaction(plane.engine, caller) as connection:
            row = await find_backtest(connection, caller, asked.backtest_id)
        assert row.state == "done", row.error
        stop.set()
        await serving
    cpu_s = _read_cpu_s() - before_s  # only now the processes of analyse's queries have ended, and count
    await finder.dispose()
    await plane.close()
    return [
        expect(
            "events decided once more, of which none broke down",
            EVENTS,
            row.result["events"] - row.result["undecidable"],
            "",
        ),
        at_most("backtest of a quest over 1 million events, all its processes on one core", 30, round(cpu_s, 1), "s"),
        note("the same, from the request to the result", round(took_s, 1), "s"),
        note("events that met it", row.result["events_met"], ""),
        note("grants", row.result["granted"], ""),
        note(
            "most memory of a process of it", round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024), "MB"
        ),
    ]


def _read_cpu_s() -> float:
    """Of this process, which serves analyse's door, and of all that it started and that has ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
