"""`fillip analyse`: the Analytics Bay and its reports."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

from starlette.routing import Route

from fillip.analyse import Queries, build_app, keep_filing, keep_loading
from fillip.analyse.clickhouse.writing import list_writers
from fillip.analyse.day_files.erasing_duckdb import erase
from fillip.analyse.duckdb.bay import DuckdbBay, sources
from fillip.analyse.own_doors.erasures_http import Store, erasures_route
from fillip.analyse.own_doors.event_http import event_route
from fillip.analyse.own_doors.history_http import history_route
from fillip.analyse.own_doors.received_http import received_route
from fillip.analyse.own_doors.seen_http import seen_route
from fillip.analyse.own_doors.users_http import users_route
from fillip.analyse.report import Bay
from fillip.app.health import Health
from fillip.app.http import list_health_routes, serve_http
from fillip.app.lag import Follower, watch_topics
from fillip.app.pages import page_routes
from fillip.app.requests import Counted
from fillip.app.settings import Settings
from fillip.app.valkey import connect_valkey
from fillip.limit.rates_valkey import ValkeyRates
from fillip.manage.key.postgres import PostgresKeyRing
from fillip.manage.store.postgres import open_engine, reach_engine
from fillip.stream.kafka import LogEnds, Tail
from fillip.stream.topics import Topics

FACTS_WAIT_MS, FACTS_BYTES = 200, 100_000
"""Facts may wait: a fetch for each slows the others down."""


async def run_analyse(settings: Settings, stop: asyncio.Event, health: Health) -> None:
    """Load announcements into the Analytics Bay and serve its reports until `stop`."""
    topics, bootstrap, security = Topics(settings.topic_prefix), settings.kafka_bootstrap, settings.kafka_security
    read = sources(topics)

    def open_tail(names: Sequence[str], offsets: Mapping[tuple[str, int], int]) -> Tail:
        extra = {"fetch.min.bytes": FACTS_BYTES, **security}
        return Tail(bootstrap, names, from_end=False, offsets=offsets, fetch_wait_ms=FACTS_WAIT_MS, extra=extra)

    engine, valkey = open_engine(settings.dsn("fillip_analyse"), connections=2), connect_valkey(settings.valkey_url)
    follower, second = Follower(partial(open_tail, read)), Follower(partial(open_tail, list(list_writers(topics))))
    health.watch("PostgreSQL", partial(reach_engine, engine))
    watch_topics(health, [follower, *([second] if settings.clickhouse_url else [])], LogEnds(bootstrap, read, security))
    async with (
        DuckdbBay.open(settings.state_dir / "analyse.duckdb", topics) as bay,
        _open_second(settings, topics, health) as (clickhouse, second_stores),
        Queries.open(bay.day_files) as queries,
        Queries.open(bay.day_files) as user_queries,  # of their own: no analyst waits behind a cohort
    ):
        stores = [Store(bay.read_positions, partial(erase, bay.day_files)), *second_stores]
        own = (
            list_own_routes(stores, queries, user_queries, topics, settings.analyse_key) if settings.analyse_key else []
        )
        routes = [*list_health_routes(health), *page_routes(), *own]
        app = build_app(clickhouse or bay, queries, PostgresKeyRing(engine), ValkeyRates(valkey), extra_routes=routes)
        counted = Counted(app, [route.path for route in app.routes if isinstance(route, Route)])
        serving = asyncio.create_task(serve_http(counted, settings.host, settings.analyse_port, stop))
        work = [keep_loading(bay, follower.open, topics.received), keep_filing(bay.day_files, settings.event_days)]
        if clickhouse:  # with positions of its own: neither store waits for the other
            work.append(keep_loading(clickhouse, second.open, topics.received))
        working = [asyncio.create_task(each) for each in work]
        try:
            done, _ = await asyncio.wait({serving, *working}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for each in working:
                each.cancel()
            await asyncio.gather(*working, return_exceptions=True)
            await engine.dispose()
            await valkey.aclose()


def list_own_routes(
    stores: Sequence[Store], queries: Queries, user_queries: Queries, topics: Topics, key: str
) -> list[Route]:
    """The doors that open to the installation's own processes; events lie in the first of the stores. Who asks for one event is a person
    who waits, as an analyst is.
    """
    received = received_route(stores[0].read_positions, topics.received, key)
    seen = seen_route(user_queries, stores[0].read_positions, topics.received, key)
    return [
        users_route(user_queries, key),
        history_route(user_queries, key),
        received,
        seen,
        event_route(queries, stores[0].read_positions, topics.received, key),
        erasures_route(stores, key),
    ]


@asynccontextmanager
async def _open_second(
    settings: Settings, topics: Topics, health: Health
) -> AsyncIterator[tuple[Bay | None, Sequence[Store]]]:
    """ClickHouse, where it is asked for, and what erasures need of it: it may be away."""
    if settings.clickhouse_url is None:
        yield None, []
        return
    from fillip.analyse.clickhouse.bay import ClickhouseBay, connect_clickhouse  # 25 MB that others do without

    connect = partial(connect_clickhouse, settings.clickhouse_url, settings.clickhouse_ca)
    async with ClickhouseBay.open(connect, topics) as bay:
        health.watch("ClickHouse", bay.check)
        yield bay, [Store(bay.read_positions, bay.erase, list_writers(topics))]
