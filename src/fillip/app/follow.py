"""What runs beside a server: books that follow their changes, answers that are awaited, refusals that are remembered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol


class Runner(Protocol):
    """What runs until it is cancelled."""

    async def run(self) -> None:
        """Never ends by itself."""


@asynccontextmanager
async def follow(runner: Runner) -> AsyncIterator[None]:
    """Let it run meanwhile."""
    following = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)  # it takes leave
