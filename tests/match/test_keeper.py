"""What a reader of books tells those who change them, and what it does when it was not heard of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fillip.core.book.book import Book
from fillip.match.keeper_postgres import BookKeeper
from tests.match.conftest import Shop


class Way:
    """What a worker has under way: `drain` returns when it is let, `spoiled` counts what must not be settled."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.spoiled = 0

    async def drain(self) -> None:
        await self.free.wait()

    def spoil(self) -> None:
        self.spoiled += 1


@pytest.fixture
def way() -> Way:
    """A worker with nothing under way."""
    made = Way()
    made.free.set()
    return made


@asynccontextmanager
async def retained(book_shop: Shop, way: Way) -> AsyncIterator[BookKeeper]:
    """A keeper of the shop's books, running."""
    keeper = BookKeeper(book_shop.books, book_shop.pool, decides=True, drain=way.drain, spoil=way.spoil)
    running = asyncio.create_task(keeper.run())
    try:
        yield keeper
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def change(book_shop: Shop) -> int:
    """A change of the book as the control plane writes one; its version."""
    book_shop.version += 1
    with book_shop.owner.transaction():
        book_shop.owner.execute("UPDATE tenant SET book_version = %s", [book_shop.version])
        book_shop.owner.execute(
            "INSERT INTO book_change (tenant_id, book_version, kind, object_id, document)"
            " VALUES ('acme', %s, 'campaign', 'c', '{}')",
            [book_shop.version],
        )
    return book_shop.version


def told(book_shop: Shop) -> list[int]:
    """The versions that living readers tell of."""
    query = "SELECT book_version FROM book_held JOIN book_reader r USING (reader_id) WHERE lives(r.beat_at)"
    return [row[0] for row in book_shop.owner.execute(query)]


async def pinned(keeper: BookKeeper) -> int:
    """The version that a batch is decided under now."""
    book = (await keeper.pin(["acme"]))["acme"]
    assert isinstance(book, Book), book
    return book.version


async def until(book_shop: Shop, *versions: int) -> None:
    """Return when just these versions are told."""
    async with asyncio.timeout(10):
        while told(book_shop) != list(versions):
            await asyncio.sleep(0.005)


async def test_a_reader_tells_what_it_decides_under_and_takes_leave(book_shop: Shop, way: Way):
    async with retained(book_shop, way) as keeper:
        assert await pinned(keeper) == 0
        assert told(book_shop) == [0]
        await until(book_shop, change(book_shop))
        assert await pinned(keeper) == 1
    assert told(book_shop) == []


async def test_a_version_is_told_once_nothing_is_decided_under_an_older_one(book_shop: Shop, way: Way):
    async with retained(book_shop, way) as keeper:
        await pinned(keeper)
        way.free.clear()
        version = change(book_shop)
        async with asyncio.timeout(10):
            while await pinned(keeper) < version:
                await asyncio.sleep(0.005)
        assert told(book_shop) == [0]
        way.free.set()
        await until(book_shop, version)


async def test_who_was_not_heard_of_drops_what_it_has_and_reads_the_newest(book_shop: Shop, way: Way):
    """Given a reader that was frozen: nobody waited for it, so nothing of the former book may go on."""
    keeper = BookKeeper(book_shop.books, book_shop.pool, decides=True, drain=way.drain, spoil=way.spoil)
    assert (await pinned(keeper), way.spoiled) == (0, 0)
    book_shop.owner.execute("UPDATE book_reader SET beat_at = beat_at - interval '6 s'")
    version = change(book_shop)
    assert told(book_shop) == []
    await keeper.beat()
    assert way.spoiled == 1
    assert told(book_shop) == [0]
    assert await pinned(keeper) == version


async def test_who_was_forgotten_altogether_begins_anew(book_shop: Shop, way: Way):
    keeper = BookKeeper(book_shop.books, book_shop.pool, decides=True, drain=way.drain, spoil=way.spoil)
    await pinned(keeper)
    book_shop.owner.execute("DELETE FROM book_reader")
    version = change(book_shop)
    await keeper.beat()
    assert (way.spoiled, told(book_shop), await pinned(keeper)) == (1, [0], version)


async def test_a_beat_in_time_drops_nothing(book_shop: Shop, way: Way):
    keeper = BookKeeper(book_shop.books, book_shop.pool, decides=True, drain=way.drain, spoil=way.spoil)
    await pinned(keeper)
    assert await keeper.beat() == {"acme": 0}
    assert way.spoiled == 0


async def test_a_change_that_was_not_heard_is_found_by_the_next_beat(book_shop: Shop, way: Way):
    async with retained(book_shop, way) as keeper:
        await pinned(keeper)
        book_shop.version += 1
        book_shop.owner.execute("UPDATE tenant SET book_version = %s", [book_shop.version])  # nobody says so
        await until(book_shop, book_shop.version)


async def test_changes_in_a_row_end_with_the_last(book_shop: Shop, way: Way):
    async with retained(book_shop, way) as keeper:
        await pinned(keeper)
        for _ in range(20):
            last = change(book_shop)
        await until(book_shop, last)
        assert await pinned(keeper) == last


async def test_tenants_that_are_not_there_leave_nothing(book_shop: Shop, way: Way):
    async with retained(book_shop, way) as keeper:
        assert await keeper.pin(["nobody", "'", ""]) == {}
        assert told(book_shop) == []


async def test_the_listener_comes_back(book_shop: Shop, way: Way):
    """Given that PostgreSQL ended the session that listens, then changes are heard again."""
    async with retained(book_shop, way) as keeper:
        await pinned(keeper)
        query = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fillip_worker'"
            " AND datname = current_database()"
        )
        book_shop.owner.execute(query)
        await until(book_shop, change(book_shop))
