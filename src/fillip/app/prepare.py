"""What must stand before the processes start: the schema, publish's slot, the topics."""

import asyncio

from fillip.app.failure import tell_cause
from fillip.app.settings import Settings
from fillip.core.errors import Crash
from fillip.embedded.addresses import describe
from fillip.migrations import ROLES, make_slot, migrate
from fillip.stream.kafka import ensure_topics
from fillip.stream.topics import Topics


def prepare(settings: Settings) -> None:
    """Safe to repeat. Raises Crash with one line when a server refuses."""
    import psycopg
    from sqlalchemy.exc import DBAPIError

    try:
        migrate(settings.owner_dsn, {role: settings.dsn(role) for role in ROLES})
        make_slot(settings.owner_dsn)
    except (psycopg.Error, DBAPIError) as error:
        where = describe("PostgreSQL", settings.owner_dsn)
        reason = tell_cause(error)
        raise Crash(f"{where} refused the schema: {reason}; is the DSN that of an owner with CREATEROLE?") from error
    topics = Topics(settings.topic_prefix)
    asyncio.run(ensure_topics(settings.kafka_bootstrap, topics, settings.partitions, settings.kafka_security))
