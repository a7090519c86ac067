"""What must stand before the processes start: the schema, publish's slot, the topics."""

import asyncio

from fillip.app.settings import Settings
from fillip.core.errors import Crash
from fillip.migrations import make_slot, migrate
from fillip.stream.kafka import ensure_topics
from fillip.stream.topics import Topics


def prepare(settings: Settings) -> None:
    """Safe to repeat. Raises Crash with one line when a server refuses."""
    import psycopg

    try:
        migrate(settings.postgres_dsn, settings.role_password)
        make_slot(settings.postgres_dsn)
    except psycopg.Error as error:
        raise Crash(f"PostgreSQL refused the schema: {error}; is the DSN that of an owner with CREATEROLE?") from error
    asyncio.run(ensure_topics(settings.kafka_bootstrap, Topics(settings.topic_prefix), settings.partitions))
