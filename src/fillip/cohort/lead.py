"""What one process does for all: users leave as their windows end, and lists follow the tallies."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol

import structlog
from prometheus_client import Counter

from fillip.core.errors import Retry
from fillip.stream.belt import StreamError
from fillip.stream.topics import Partition

MOVE_EVERY_S, LIST_EVERY_S, NOTE_EVERY_S = 0.2, 0.1, 1.0
IDLE_S = 1.0
"""While no tenant has a rule, whether one has is asked so often."""
LIST_AGAIN_S, REST = 0.3, 1
"""From one list of a cohort to its next: so long, or so many times what the one before took."""
LISTED_AT_ONCE = 3
AWAY_FOR_S, REFUSED_FOR_S = 1.0, 5.0
FAILED = Counter(
    "fillip_cohort_listing_failed_total", "Lists of cohorts by events that could not be brought up to date"
)
log = structlog.get_logger()

BringUp = Callable[[str, str], Awaitable[None]]
"""Brings the list of a (tenant, cohort) up to its tallies. Raises Retry."""
Place = tuple[str, str]


class Lead(Protocol):
    """The lead that a process has."""

    async def keep(self) -> None:
        """Ends by Retry when it is lost."""


class Tallies(Protocol):
    """The tallies of all tenants. All raise Retry."""

    def lead(self) -> AbstractAsyncContextManager[Lead]:
        """Waits until no other process leads, and leads within the context."""

    async def list_tenants(self) -> Sequence[str]:
        """The tenants that have rules."""

    async def move_due(self, tenant_ids: Sequence[str]) -> int:
        """Let users leave whose window has ended; how many."""

    async def reverse(self) -> int:
        """Take what is reversed out of the tallies; how many reversals."""

    async def forget_left(self) -> int:
        """Remove some of what is left of rules of before; how many."""

    async def find_unlisted(self, tenant_ids: Sequence[str]) -> Sequence[Place]:
        """(tenant, cohort) of those whose list is behind."""

    async def note_ends(self, ends: Mapping[Partition, int], at: datetime) -> None:
        """Note which partitions are counted to the ends that the log had at an instant."""


async def keep_leading(tallies: Tallies, jobs: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Do these jobs, none of which ends, while this process leads; again and again, until cancelled."""
    while True:
        try:
            async with tallies.lead() as lead, asyncio.TaskGroup() as group:
                log.info("leads the cohorts")
                for job in (lead.keep, *jobs):
                    group.create_task(_run(job))
        except* Retry as lost:
            log.warning("leads no more", error=str(lost.exceptions[0]))
        await asyncio.sleep(AWAY_FOR_S)


async def keep_moving(tallies: Tallies) -> None:
    """Let users leave in time."""
    while True:
        moved, tenant_ids = 0, list[str]()
        try:
            tenant_ids = list(await tallies.list_tenants())
            moved = (await tallies.move_due(tenant_ids) if tenant_ids else 0) + await tallies.forget_left()
        except Exception as error:  # noqa: BLE001 - no row is to end the process
            await _tell("users don't leave cohorts for now", error)
        await asyncio.sleep(0 if moved else MOVE_EVERY_S if tenant_ids else IDLE_S)


async def keep_reversing(tallies: Tallies) -> None:
    """Let reversals reach the tallies."""
    while True:
        reversals = 0
        try:
            reversals = await tallies.reverse()
        except Exception as error:  # noqa: BLE001 - no row is to end the process
            await _tell("reversals don't reach cohorts for now", error)
        await asyncio.sleep(0 if reversals else MOVE_EVERY_S)


async def keep_noting(tallies: Tallies, read_ends: Callable[[], Awaitable[Mapping[Partition, int]]]) -> None:
    """Note each second how far events are counted."""
    while True:
        try:
            at = datetime.now(UTC)
            await tallies.note_ends(await read_ends(), at)
        except Exception as error:  # noqa: BLE001 - no row is to end the process
            await _tell("how far cohorts are can't be noted", error)
        await asyncio.sleep(NOTE_EVERY_S)


class Listing:
    """Lists that follow their tallies, some at once; each rests for as long as it took."""

    def __init__(self, tallies: Tallies, bring_up: BringUp) -> None:
        self._tallies, self._bring_up = tallies, bring_up
        self._again_at: dict[Place, float] = {}
        self._busy: dict[Place, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                is_asked = True
                try:
                    is_asked = await self._look()
                except Exception as error:  # noqa: BLE001 - no row is to end the process
                    await _tell("lists of cohorts are not brought up to date for now", error)
                await asyncio.sleep(LIST_EVERY_S if is_asked else IDLE_S)
        finally:
            tasks = list(self._busy.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> bool:
        """Begin to bring up what is due; whether any tenant has rules."""
        tenant_ids = await self._tallies.list_tenants()
        found = await self._tallies.find_unlisted(tenant_ids) if tenant_ids else ()
        now = monotonic()
        due = [place for place in found if place not in self._busy and self._again_at.get(place, 0.0) <= now]
        due.sort(key=lambda place: self._again_at.get(place, 0.0))
        self._again_at = {place: at for place, at in self._again_at.items() if at > now or place in found}
        for place in due[: LISTED_AT_ONCE - len(self._busy)]:
            self._busy[place] = asyncio.create_task(self._bring(place))
        return bool(tenant_ids)

    async def _bring(self, place: Place) -> None:
        began, pause_s = monotonic(), LIST_AGAIN_S
        try:
            await self._bring_up(*place)
        except Retry as error:
            FAILED.inc()
            pause_s = AWAY_FOR_S
            log.warning("the list of a cohort stays for now", tenant=place[0], cohort=place[1], error=str(error))
        except Exception as error:  # noqa: BLE001 - one tenant's list is not to stop the others'
            FAILED.inc()
            pause_s = REFUSED_FOR_S
            log.error("the list of a cohort stays as it is", tenant=place[0], cohort=place[1], error=str(error))
        finally:
            now = monotonic()
            self._again_at[place] = max(began + pause_s, now + REST * (now - began))
            del self._busy[place]


async def _run(job: Callable[[], Awaitable[None]]) -> None:
    await job()


async def _tell(what: str, error: Exception) -> None:
    log.warning(what, error=str(error), exc_info=None if isinstance(error, Retry | StreamError) else error)
    await asyncio.sleep(AWAY_FOR_S)
