"""Work of a connection beside its reading."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class SingleTask:
    """Work that is done by one task at a time."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, unless it is being done."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    def cancel(self) -> None:
        """Stop, if it is being done."""
        if self._task is not None:
            self._task.cancel()
