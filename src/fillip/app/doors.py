"""`fillip gateway` and `fillip analyse`: the two processes that customers' devices and reports come to."""

import asyncio
from collections.abc import Mapping
from functools import partial

from fillip.app.settings import Settings
from fillip.stream.kafka import Tail
from fillip.stream.topics import Topics

LIVE_FETCH_WAIT_MS = 100
FACTS_WAIT_MS, FACTS_BYTES = 200, 100_000


async def run_gateway_process(settings: Settings, stop: asyncio.Event) -> None:
    """Serve WebSocket streams until `stop`."""
    from fillip.deliver import run_gateway
    from fillip.deliver.postgres import PostgresInbox

    topics = Topics(settings.topic_prefix)
    pushed = [*topics.told, topics.progressed, topics.unannounced]
    open_tail = partial(Tail, settings.kafka_bootstrap, pushed, fetch_wait_ms=LIVE_FETCH_WAIT_MS)
    host, port, origins = settings.host, settings.gateway_port, settings.allowed_origins
    async with PostgresInbox.open(settings.dsn("fillip_gateway")) as inbox:
        await run_gateway(inbox, open_tail, topics.progressed, topics.unannounced, host, port, origins, stop)


async def run_analyse_process(settings: Settings, stop: asyncio.Event) -> None:
    """Load announcements into the Analytics Bay and serve its reports until `stop`."""
    from fillip.analyse import build_app, keep_loading
    from fillip.analyse.duckdb import DuckdbBay, sources
    from fillip.app.http import serve_http
    from fillip.app.path import connect_valkey
    from fillip.limit.rates_valkey import ValkeyRates
    from fillip.manage.postgres import PostgresKeyRing, open_engine

    topics = Topics(settings.topic_prefix)

    def open_tail(offsets: Mapping[tuple[str, int], int]) -> Tail:
        extra = {"fetch.min.bytes": FACTS_BYTES}  # facts may wait: a fetch for each would slow the others down
        return Tail(
            settings.kafka_bootstrap,
            sources(topics),
            from_end=False,
            offsets=offsets,
            fetch_wait_ms=FACTS_WAIT_MS,
            extra=extra,
        )

    engine, valkey = open_engine(settings.dsn("fillip_api"), connections=2), connect_valkey(settings.valkey_url)
    async with DuckdbBay.open(settings.state_dir / "analyse.duckdb", topics) as bay:
        app = build_app(bay, PostgresKeyRing(engine), ValkeyRates(valkey))
        serving = asyncio.create_task(serve_http(app, settings.host, settings.analyse_port, stop))
        loading = asyncio.create_task(keep_loading(bay, open_tail))
        try:
            done, _ = await asyncio.wait({serving, loading}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
            await engine.dispose()
            await valkey.aclose()
