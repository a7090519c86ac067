"""The publisher's clients of Valkey: patient enough to write, closed whole, and what they do when something fails."""

import asyncio
from contextlib import suppress

import structlog
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.asyncio.retry import Retry as Attempts
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from fillip.core.errors import Retry
from fillip.stream.pause import Pause

ANSWER_WITHIN_S = 1.0
log = structlog.get_logger()


def connect(url: str) -> Redis:
    """A client that waits a second for an answer, and does not try again by itself."""
    return Redis.from_url(
        url,
        socket_timeout=ANSWER_WITHIN_S,
        socket_connect_timeout=ANSWER_WITHIN_S,
        retry=Attempts(NoBackoff(), 0),
        decode_responses=True,
    )


async def close(client: Redis) -> None:
    """Close a client, though its task is cancelled again and again meanwhile: no connection is left half closed."""
    closing = asyncio.create_task(client.aclose())
    while not closing.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(closing)


async def wait_after(error: Exception, pause: Pause, *, failures: Counter, waits: str) -> None:
    """Count and tell what failed, `waits` in the log's words, and pause: whatever it is, announcing goes on, and so does this.

    A server that is away is told in a line, all else with where it happened.
    """
    failures.inc()
    told = None if isinstance(error, RedisError | OSError | Retry) else error
    log.warning("%s, again in %.0f s: %s", waits, pause.next_s, error, exc_info=told)
    await pause.take()
