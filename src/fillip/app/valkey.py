"""The client of Valkey that the worker, the API and analyse share."""

from redis.asyncio import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

WITHIN_S = 0.05
"""A hint that takes longer costs more than it saves."""


def connect_valkey(url: str) -> Redis:
    """A client that gives up at once: everything kept in Valkey can be done without."""
    return Redis.from_url(url, socket_timeout=WITHIN_S, socket_connect_timeout=WITHIN_S, retry=Retry(NoBackoff(), 0))
