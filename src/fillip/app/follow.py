"""Books that follow their changes while a process runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fillip.match.keeper_postgres import BookKeeper


@asynccontextmanager
async def follow(books: BookKeeper) -> AsyncIterator[None]:
    """Keep the books up to date meanwhile."""
    following = asyncio.create_task(books.run())
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)  # it takes leave
