"""Rules that are new: what the log still holds is counted for them, and then their first list is made.

Each batch that is taken after a rule was saved counts for it. So what is to be counted besides is what the log held at some time
after that; and what is counted both ways counts once, since a tally keeps an event once. What is reversed of it the ledger tells.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol
from uuid import UUID

import structlog
from msgspec import Struct

from fillip.cohort.stage import SKIPPED, Count, Counted
from fillip.core.errors import Retry
from fillip.core.event import Event, Rejection
from fillip.stream.belt import Record, StreamError
from fillip.stream.topics import Partition

LOOK_EVERY_S, AGAIN_AFTER_S = 0.5, 60.0
SILENT_FOR_S = 10.0
FINISHED_AT_ONCE = 2
PORTION = 500
"""Terms that are added in one transaction: what is counted now waits for it where the users are the same."""
log = structlog.get_logger()


class Building(Struct, frozen=True):
    """A rule that is being built."""

    tenant_id: str
    cohort_id: str
    rule_id: UUID


class Tail(Protocol):
    """All records from the beginning of the log on."""

    @property
    def places(self) -> Mapping[Partition, int]:
        """The offset that comes next, of each partition."""

    async def __anext__(self) -> Sequence[Record]:
        """What has arrived, never empty."""


class Tallies(Protocol):
    """Where what is counted is kept."""

    async def find_building(self) -> Sequence[tuple[str, str, UUID]]:
        """(tenant, cohort, rule) of those that are being built. Raises Retry."""

    async def add(self, counted: Sequence[Counted]) -> None:
        """Add what events count. Raises Retry."""


class EventsRead(Struct, frozen=True):
    """How events are read from the log: `open_tail` from its beginning, `read_ends` where it ends now, `read` what
    records are, `peek_tenant` whose a record claims to be, at little cost.
    """

    open_tail: Callable[[], AbstractAsyncContextManager[Tail]]
    read_ends: Callable[[], Awaitable[Mapping[Partition, int]]]
    read: Callable[[Sequence[Record]], Awaitable[Sequence[Event | Rejection]]]
    peek_tenant: Callable[[bytes | None], str | None]


Finish = Callable[[Building, datetime | None], Awaitable[None]]
"""Makes the first list by a rule, which knows events in full since then (None: since the first)."""


async def keep_building(tallies: Tallies, count: Count, events: EventsRead, finish: Finish) -> None:
    """Build what is to be built, until cancelled. What fails is told in the log, and tried again after a minute."""
    again_at, finishing = dict[UUID, float](), dict[UUID, asyncio.Task[None]]()
    room = asyncio.Semaphore(FINISHED_AT_ONCE)

    async def make_list(rule: Building, known_since: datetime | None) -> None:
        try:
            async with room:
                await finish(rule, known_since)
        except Exception as error:  # noqa: BLE001 - one tenant's rule is not to stop the others'
            again_at[rule.rule_id] = monotonic() + AGAIN_AFTER_S
            log.warning("no list by a cohort's rule", tenant=rule.tenant_id, cohort=rule.cohort_id, error=str(error))
        finally:
            del finishing[rule.rule_id]

    try:
        while True:
            try:
                found = [Building(*each) for each in await tallies.find_building()]
                again_at = {rule: at for rule, at in again_at.items() if at > monotonic()}
                due = [r for r in found if r.rule_id not in again_at and r.rule_id not in finishing]
                if due:
                    known_since = await backfill(tallies, count, events, due)
                    for rule in due:
                        finishing[rule.rule_id] = asyncio.create_task(make_list(rule, known_since))
            except (Retry, StreamError) as error:
                log.warning("cohorts are not built for now", error=str(error))
            except Exception:
                log.exception("cohorts can't be built")
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        tasks = list(finishing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def backfill(tallies: Tallies, count: Count, events: EventsRead, rules: Collection[Building]) -> datetime | None:
    """Count for these rules what the log holds; since when it does in full, None: since its first event. Raises Retry, StreamError."""
    tenant_ids, rule_ids = {rule.tenant_id for rule in rules}, {rule.rule_id for rule in rules}
    ends = await events.read_ends()
    async with events.open_tail() as tail:
        starts, began = dict(tail.places), dict[Partition, datetime]()
        while any(tail.places.get(place, 0) < end for place, end in ends.items()):
            try:
                async with asyncio.timeout(SILENT_FOR_S):
                    records = await anext(tail)
            except TimeoutError:
                raise Retry("the log does not give what it held a moment ago") from None
            for record in records:
                began.setdefault((record.topic, record.partition), _tell_instant(record.appended_at_ms))
            mine = [record for record in records if events.peek_tenant(record.value) in tenant_ids]
            await _count(tallies, count, events, mine, rule_ids)
    now = datetime.now(UTC)
    return max((began.get(place, now) for place, start in starts.items() if start > 0), default=None)


async def _count(
    tallies: Tallies, count: Count, events: EventsRead, records: Sequence[Record], rule_ids: Collection[UUID]
) -> None:
    """Count some records; one that can't be counted is passed over. Raises Retry."""
    if not records:
        return
    try:
        seen = [each for each in await count(await events.read(records)) if isinstance(each, Counted)]
        counted = [each for each in seen if each.rule.rule_id in rule_ids]
        for start in range(0, len(counted), PORTION):
            await tallies.add(counted[start : start + PORTION])
    except Retry:
        raise
    except Exception as error:
        if len(records) == 1:
            SKIPPED.inc()
            log.error("an event can't be counted", place=f"{records[0].partition}/{records[0].offset}", exc_info=error)
            return
        middle = len(records) // 2
        for some in (records[:middle], records[middle:]):
            await _count(tallies, count, events, some, rule_ids)


def _tell_instant(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(min(max(unix_ms, 0), 253_000_000_000_000) / 1000, UTC)
