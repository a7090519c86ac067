"""A client of Valkey for tests of what is kept there.

Fillip's own gives up after 50 ms and goes on without, which on a busy machine would lose what a test counts on.
"""

from redis.asyncio import Redis

WITHIN_S = 30


def connect_patiently(url: str) -> Redis:
    """A client that waits for answers."""
    return Redis.from_url(url, socket_timeout=WITHIN_S, socket_connect_timeout=WITHIN_S)
