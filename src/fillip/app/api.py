"""`fillip api`: the events door and the control plane behind one HTTP server."""

import asyncio
import sys
from contextlib import AsyncExitStack
from functools import partial

import asyncpg
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from fillip.analyse.openapi import describe_reports_at
from fillip.app.follow import follow
from fillip.app.health import Health
from fillip.app.http import list_health_routes, serve_http
from fillip.app.pages import page_routes
from fillip.app.requests import Counted
from fillip.app.settings import Settings
from fillip.app.valkey import connect_valkey
from fillip.http.health import HEALTH_PATHS
from fillip.ingest.answer.postgres import PostgresAnswers
from fillip.ingest.answer.wait import Waits
from fillip.ingest.http import EVENTS_OPENAPI, EventEntry, EventsDoor
from fillip.ingest.refused import DoorRefusals
from fillip.limit.hot_campaigns_valkey import ValkeyHotCampaigns
from fillip.limit.rates_valkey import ValkeyRates
from fillip.limit.refused_valkey import ValkeyRefusedEvents
from fillip.manage.analyse_http import open_client
from fillip.manage.app import build_app, list_paths
from fillip.manage.campaign.analyse_http import AnalyseSeenCounts
from fillip.manage.cohort.analyse_http import AnalyseUserQueries
from fillip.manage.event.analyse_http import AnalyseReceivedEvents
from fillip.manage.key.postgres import PostgresKeyRing
from fillip.manage.store.postgres import open_engine, reach_engine
from fillip.match import meet_alone
from fillip.match.keeper_postgres import BookKeeper
from fillip.match.postgres import PostgresBooks
from fillip.publish.live_valkey import ValkeyLiveCounts
from fillip.publish.ranks_valkey import ValkeyRanks
from fillip.stream.kafka import KafkaProducer, LogEnds
from fillip.stream.topics import Topics

SWITCH_S = 0.0005
"""What checks and explains definitions beside the event loop gives way to it so soon; 5 ms by default."""

LINGER_MS = 4
"""Single requests that come together share a request to the broker, one for each partition: with less, its cost takes more time than this does."""


async def run_api(settings: Settings, stop: asyncio.Event, health: Health) -> None:
    """Serve until `stop`."""
    topics = Topics(settings.topic_prefix)
    sys.setswitchinterval(SWITCH_S)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            asyncpg.create_pool(settings.dsn("fillip_worker"), min_size=0, max_size=5, command_timeout=5)
        )
        engine = open_engine(settings.dsn("fillip_api"))
        owner_engine = open_engine(settings.owner_dsn) if settings.operator_key else engine  # else nobody may ask it
        stack.push_async_callback(engine.dispose)
        stack.push_async_callback(owner_engine.dispose)
        producer = KafkaProducer(settings.kafka_bootstrap, linger_ms=LINGER_MS, extra=settings.kafka_security)
        stack.push_async_callback(producer.close)
        keys = PostgresKeyRing(engine)
        books = BookKeeper(PostgresBooks(pool, with_members=False), pool, decides=False)
        valkey = connect_valkey(settings.valkey_url)
        stack.push_async_callback(valkey.aclose)
        rates = ValkeyRates(valkey)
        refused = ValkeyRefusedEvents(valkey)
        ends = LogEnds(settings.kafka_bootstrap, [topics.received], settings.kafka_security)
        user_queries, seen_counts, received = None, None, None
        if settings.analyse_key:
            asking = await stack.enter_async_context(open_client(settings.analyse_base, settings.analyse_key))
            user_queries, seen_counts = AnalyseUserQueries(asking), AnalyseSeenCounts(engine, asking)
            received = AnalyseReceivedEvents(asking, ends.read)
        refusals, waits = DoorRefusals(refused), Waits(PostgresAnswers(pool, topics.received))
        door = EventsDoor(keys, rates, books, producer, topics.received, waits=waits, refusals=refusals).route
        paths, schemas = describe_reports_at(settings.analyse_base)
        app = build_app(
            engine,
            owner_engine,
            settings.operator_key or "",
            keys,
            extra_routes=[door, *list_health_routes(health), *page_routes()],
            extra_paths={"/v1/events": EVENTS_OPENAPI, **paths},
            extra_schemas=schemas,
            event_log=EventEntry(books, producer, topics.received, waits),
            rates=rates,
            live_counts=ValkeyLiveCounts(valkey),
            board_ranks=ValkeyRanks(valkey),
            user_queries=user_queries,
            seen_counts=seen_counts,
            received_events=received,
            refused_events=refused,
            books=books,
            meet=meet_alone,
            hot_campaigns=ValkeyHotCampaigns(valkey, settings.hot_terms),
            gateway_url=settings.gateway_url or f"ws://{settings.host}:{settings.gateway_port}/v1/stream",
        )
        health.watch("PostgreSQL", partial(reach_engine, engine))
        health.watch("Kafka", ends.read)
        async with follow(books), follow(waits), follow(refusals):
            counted = Counted(ExpressLane(door, app), list_paths([door.path, *HEALTH_PATHS]))
            await serve_http(counted, settings.host, settings.api_port, stop)


class ExpressLane:
    """Hands POST /v1/events straight to its door: the control plane's middleware would halve its rate."""

    def __init__(self, door: Route, app: ASGIApp) -> None:
        self._path, self._door, self._app = door.path.encode(), door.app, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        express = scope["type"] == "http" and scope["raw_path"] == self._path and scope["method"] == "POST"
        await (self._door if express else self._app)(scope, receive, send)
