"""Keeps the books of a process up to date: each change is announced on book.changed."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from msgspec import DecodeError, json

from fillip.core.errors import Retry
from fillip.match.postgres import PostgresBooks
from fillip.stream.kafka import Away, Tail
from fillip.stream.topics import Topics

AGAIN_AFTER_S = 0.2

log = structlog.get_logger()


async def follow_books(bootstrap: str, topics: Topics, books: PostgresBooks) -> None:
    """Load a tenant's book anew whenever a change of it is announced; never ends by itself. Raises StreamLost."""
    while True:
        try:
            async with Tail(bootstrap, [topics.changed], fetch_wait_ms=500) as tail:
                await _insist(books.refresh_all)  # what changed before the tail began
                async for records in tail:
                    newest: dict[str, int] = {}
                    for record in records:
                        tenant_id, version = _read_change(record.value or b"")
                        newest[tenant_id] = max(version, newest.get(tenant_id, 0))
                    for tenant_id, version in newest.items():
                        await _insist(partial(books.refresh, tenant_id, version))
        except Away as error:
            log.warning("changes of the books can't be followed, Kafka is away", error=str(error))
            await asyncio.sleep(AGAIN_AFTER_S)


async def _insist(load: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await load()
        except Retry as error:
            log.warning("the books stay as they were for now", error=str(error))
            await asyncio.sleep(AGAIN_AFTER_S)  # nothing is decided meanwhile either: PostgreSQL is away


def _read_change(value: bytes) -> tuple[str, int]:
    """(tenant, book version) of an announcement; ('', 0), which is no tenant, for what is none."""
    try:
        after = json.decode(value)["after"]
        return str(after["tenant_id"]), int(after["book_version"])
    except (DecodeError, KeyError, TypeError, ValueError):
        return "", 0
