"""The publisher's clients of Valkey: patient enough to write, and closed whole."""

import asyncio
from contextlib import suppress

from redis.asyncio import Redis
from redis.asyncio.retry import Retry as Attempts
from redis.backoff import NoBackoff

ANSWER_WITHIN_S = 1.0


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
