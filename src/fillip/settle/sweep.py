"""The sweep: what is due by the clock is moved in portions. Nothing that is decided waits for it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol, TypeVar

import structlog

from fillip.core.errors import Retry

EVERY_S = 1.0
AWAY_FOR_S = 5.0
ASIDE_FOR_S = 300.0
Key = tuple[object, ...]
"""What tells a row that is due from the others; the tenant comes first."""
Columns = list[list[object]]

log = structlog.get_logger()


class _Row(Protocol):
    def __getitem__(self, column: int, /) -> object: ...


Row = TypeVar("Row", bound=_Row)


class Due(Protocol):
    """Something that becomes due with time."""

    async def move_due(self, at: datetime) -> int:
        """Move one portion of what is due by `at`, tenants in turn, in short transactions; how many rows. Raises Retry."""


class Turns:
    """Whose turn it is: each portion goes on behind the last tenant of the one before, so that none waits for another's
    long row of dues. What can't be moved is set aside for a while, so that nothing waits for it.
    """

    def __init__(self) -> None:
        self._after = ""
        self._aside: dict[Key, float] = {}

    def _list_aside(self, width: int) -> Columns:
        """The columns of the keys that are set aside now."""
        now = monotonic()
        self._aside = {key: until for key, until in self._aside.items() if until > now}
        return [[key[column] for key in self._aside] for column in range(width)]

    async def find(
        self, width: int, most: int, ask: Callable[[str, Columns], Awaitable[Sequence[Row]]]
    ) -> Sequence[Row]:
        """At most `most` rows that are due, of the tenants whose turn it is; none where there are none of any tenant.

        `ask` gives those of the tenants behind the one named, by tenant, without those of the keys of `width` columns; a row begins
        with its tenant. Fewer than `most`: the round is over. Where nobody was left in it, the first tenant is asked again.
        """
        while True:
            began = self._after
            rows = await ask(began, self._list_aside(width))
            self._after = str(rows[-1][0]) if len(rows) >= most else ""
            if rows or not began:
                return rows

    async def move(self, keys: Sequence[Key], move: Callable[[Sequence[Key]], Awaitable[int]]) -> int:
        """Move these rows in one transaction; how many. One by which it fails is found by halving and set aside.

        Raises Retry, also where every one failed: then it is none of them that is to blame.
        """
        moved, failed = await self._halve(keys, move)
        if len(failed) == len(keys):
            raise Retry(f"nothing of {len(keys)} could be moved: {failed[0]}")
        return moved

    async def _halve(
        self, keys: Sequence[Key], move: Callable[[Sequence[Key]], Awaitable[int]]
    ) -> tuple[int, list[str]]:
        try:
            return await move(keys), []
        except Retry:
            raise
        except Exception as error:
            if len(keys) == 1:
                self._aside[keys[0]] = monotonic() + ASIDE_FOR_S
                log.exception("set aside for %.0f s, the sweep can't move it: %s", ASIDE_FOR_S, keys[0])
                return 0, [f"{type(error).__name__}: {error}"]
        halves = [await self._halve(half, move) for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :])]
        return sum(moved for moved, _ in halves), [each for _, failed in halves for each in failed]


async def sweep(dues: Sequence[Due], stop: asyncio.Event) -> None:
    """Move what is due, again each second, until `stop`; none of `dues` waits for another. Several sweeps share the work."""
    async with asyncio.TaskGroup() as group:
        for due in dues:
            group.create_task(_sweep(due, stop))


async def _sweep(due: Due, stop: asyncio.Event) -> None:
    while not stop.is_set():
        began = monotonic()
        try:
            moved = await due.move_due(datetime.now(UTC))
            pause_s = monotonic() - began if moved else EVERY_S  # half of the time is left to those who announce it all
        except Retry as error:
            log.warning("the sweep waits, again in %.0f s: %s", AWAY_FOR_S, error)
            pause_s = AWAY_FOR_S
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause_s)
