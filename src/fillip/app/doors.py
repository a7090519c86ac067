"""`fillip gateway` and `fillip analyse`: the two processes that customers' devices and reports come to."""

import asyncio
from collections.abc import Mapping
from functools import partial

from fillip.app.health import Health
from fillip.app.lag import Follower, Lag
from fillip.app.settings import Settings
from fillip.http.health import UNREAD
from fillip.stream.kafka import LogEnds, Tail
from fillip.stream.topics import Topics

LIVE_FETCH_WAIT_MS = 100
FACTS_WAIT_MS, FACTS_BYTES = 200, 100_000


async def run_gateway_process(settings: Settings, stop: asyncio.Event, health: Health) -> None:
    """Serve WebSocket streams until `stop`."""
    from fillip.deliver import run_gateway
    from fillip.deliver.postgres import PostgresInbox

    topics, security = Topics(settings.topic_prefix), settings.kafka_security
    pushed = [*topics.told, topics.progressed, topics.unannounced]
    follower = Follower(
        partial(Tail, settings.kafka_bootstrap, pushed, fetch_wait_ms=LIVE_FETCH_WAIT_MS, extra=security)
    )
    host, port, origins = settings.host, settings.gateway_port, settings.allowed_origins
    async with PostgresInbox.open(settings.dsn("fillip_gateway")) as inbox:
        health.watch("PostgreSQL", inbox.check)
        _watch_topics(health, follower, LogEnds(settings.kafka_bootstrap, pushed, security))
        await run_gateway(
            inbox,
            follower.open,
            topics.progressed,
            topics.unannounced,
            host,
            port,
            origins,
            stop,
            find_fault=health.find_fault,
        )


async def run_analyse_process(settings: Settings, stop: asyncio.Event, health: Health) -> None:
    """Load announcements into the Analytics Bay and serve its reports until `stop`."""
    from starlette.routing import Route

    from fillip.analyse import build_app, keep_loading
    from fillip.analyse.duckdb import DuckdbBay, sources
    from fillip.app.http import list_health_routes, serve_http
    from fillip.app.pages import page_routes
    from fillip.app.path import connect_valkey
    from fillip.app.requests import Counted
    from fillip.limit.rates_valkey import ValkeyRates
    from fillip.manage.key.postgres import PostgresKeyRing
    from fillip.manage.store.engine import open_engine, reach_engine

    topics, security = Topics(settings.topic_prefix), settings.kafka_security

    def open_tail(offsets: Mapping[tuple[str, int], int]) -> Tail:
        return Tail(
            settings.kafka_bootstrap,
            sources(topics),
            from_end=False,
            offsets=offsets,
            fetch_wait_ms=FACTS_WAIT_MS,
            extra={
                "fetch.min.bytes": FACTS_BYTES,
                **security,
            },  # facts may wait: a fetch for each slows the others down
        )

    engine, valkey = open_engine(settings.dsn("fillip_analyse"), connections=2), connect_valkey(settings.valkey_url)
    follower = Follower(open_tail)
    health.watch("PostgreSQL", partial(reach_engine, engine))
    _watch_topics(health, follower, LogEnds(settings.kafka_bootstrap, sources(topics), security))
    async with DuckdbBay.open(settings.state_dir / "analyse.duckdb", topics) as bay:
        routes = [*list_health_routes(health), *page_routes()]
        app = build_app(bay, PostgresKeyRing(engine), ValkeyRates(valkey), extra_routes=routes)
        serving = asyncio.create_task(
            serve_http(
                Counted(app, [route.path for route in app.routes if isinstance(route, Route)]),
                settings.host,
                settings.analyse_port,
                stop,
            )
        )
        loading = asyncio.create_task(keep_loading(bay, follower.open))
        try:
            done, _ = await asyncio.wait({serving, loading}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
            await engine.dispose()
            await valkey.aclose()


def _watch_topics(health: Health, follower: Follower, ends: LogEnds) -> None:
    health.watch("announcements", follower.check, UNREAD)
    health.watch("Kafka", Lag(ends, lambda: follower.places).measure)
