"""`fillip api`: the events door and the control plane behind one HTTP server."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from fillip.app.http import serve_http
from fillip.app.path import connect_valkey
from fillip.app.settings import Settings
from fillip.ingest.http import EVENTS_OPENAPI, EventEntry, events_route
from fillip.ingest.schema import build_reader
from fillip.limit.rates_valkey import ValkeyRates
from fillip.manage.app import build_app
from fillip.manage.postgres import PostgresKeyRing, open_engine
from fillip.match.keeper_postgres import BookKeeper
from fillip.match.postgres import PostgresBooks
from fillip.stream.kafka import KafkaProducer
from fillip.stream.topics import Topics

SWITCH_S = 0.0005
"""What checks and explains definitions beside the event loop gives way to it so soon; 5 ms by default."""

LINGER_MS = 1
"""Single requests in flight together share a round trip to the broker."""


async def run_api(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop`."""
    topics = Topics(settings.topic_prefix)
    sys.setswitchinterval(SWITCH_S)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            asyncpg.create_pool(settings.dsn("fillip_worker"), min_size=0, max_size=4, command_timeout=5)
        )
        engine, owner_engine = open_engine(settings.dsn("fillip_api")), open_engine(settings.postgres_dsn)
        stack.push_async_callback(engine.dispose)
        stack.push_async_callback(owner_engine.dispose)
        producer = KafkaProducer(settings.kafka_bootstrap, linger_ms=LINGER_MS)
        stack.push_async_callback(producer.close)
        keys, books = (
            PostgresKeyRing(engine),
            BookKeeper(PostgresBooks(pool, build_reader, with_members=False), pool, decides=False),
        )
        valkey = connect_valkey(settings.valkey_url)
        stack.push_async_callback(valkey.aclose)
        rates = ValkeyRates(valkey)
        door = events_route(keys, rates, books, producer, topics.received)
        app = build_app(
            engine,
            owner_engine,
            settings.operator_key or "",
            keys,
            extra_routes=[door, Route("/healthz", answer_health)],
            extra_paths={"/v1/events": EVENTS_OPENAPI},
            event_log=EventEntry(books, producer, topics.received),
            rates=rates,
            gateway_url=settings.gateway_url or f"ws://{settings.host}:{settings.gateway_port}/v1/stream",
        )
        async with follow(books):
            await serve_http(ExpressLane(door, app), settings.host, settings.api_port, stop)


@asynccontextmanager
async def follow(books: BookKeeper) -> AsyncIterator[None]:
    """Keep the books up to date meanwhile."""
    following = asyncio.create_task(books.run())
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)  # it takes leave


class ExpressLane:
    """Hands POST /v1/events straight to its door: the control plane's middleware would halve its rate."""

    def __init__(self, door: Route, app: ASGIApp) -> None:
        self._path, self._door, self._app = door.path, door.app, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        express = scope["type"] == "http" and scope["path"] == self._path and scope["method"] == "POST"
        await (self._door if express else self._app)(scope, receive, send)


async def answer_health(request: Request) -> Response:
    """200 while the process serves; says nothing of the servers behind it."""
    return PlainTextResponse("ok\n")
