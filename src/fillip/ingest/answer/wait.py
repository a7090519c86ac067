"""Requests that wait for what their events come to, and one reader of the ledger for all of them.

An event is decided once the stored position of its partition is past it: the transaction that decides events moves it. So
one look at the positions tells for all who wait, and one set of queries reads what came of all events that are through.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from time import monotonic
from typing import Protocol

import structlog
from msgspec import Struct
from prometheus_client import Counter

from fillip.core.errors import Retry
from fillip.ingest.answer.answer import EventAnswer
from fillip.ingest.answer.receipt import Receipt

LOOK_EVERY_S, REST_S = 0.002, 0.004
"""While somebody waits; and after a look that found a batch committed, since the next one begins no sooner than PACE_S after it did."""
IDLE_LOOK_S = 0.5
KNOWN_FOR_S = 2.0
"""Positions that were looked at longer ago don't tell whether the log is still theirs: nobody waits by them."""
AGAIN_AFTER_S = 0.2
MOST_REQUESTS, MOST_REQUESTS_OF_TENANT = 256, 128
"""That wait at a time in this process, each on a connection of the 512 that the server takes; what is more is answered at once."""
MOST_EVENTS, MOST_EVENTS_OF_TENANT = 5_000, 2_000
"""Of these requests."""
MOST_DECISIONS = 2_000
"""Told to one request; of its further events it is told where to look."""
MOST_AT_ONCE = 200
"""Events of which is read in one set of queries."""

FAILED = Counter("fillip_ingest_answers_failed_total", "Times that answers could not be read: alarm on any")
log = structlog.get_logger()


class End(Struct, frozen=True, gc=False):
    """Up to where a partition is decided: the first offset that is not, in the log of this generation."""

    generation: int
    next_offset: int


Ends = Mapping[int, End]


class View(Protocol):
    """The ledger, over one connection."""

    async def read_ends(self) -> Ends:
        """Up to where each partition is decided now."""

    async def read_answers(self, receipts: Sequence[Receipt], ends: Ends) -> Sequence[EventAnswer]:
        """What came of decided events, of all or of the first ones: one at least. `pending` where a part is still to come."""


class Ledger(Protocol):
    """Where answers are read."""

    def open(self) -> AbstractAsyncContextManager[View]:
        """A connection. It, and the view, raise Retry where the server is away."""


class Wait:
    """One request that waits: what it is told so far, by event."""

    def __init__(self, tenant_id: str, count: int, before: Ends) -> None:
        """`before` is where the partitions ended before its events were sent."""
        self.tenant_id, self.count, self.before = tenant_id, count, before
        self.answers: dict[int, EventAnswer] = {}
        self.told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left, self._room = count, MOST_DECISIONS

    def tell(self, index: int, answer: EventAnswer | None) -> None:
        """Note what came of an event; None: that will not be known."""
        if answer is not None:
            self._room -= len(answer.decisions or ())
            if self._room >= 0:
                self.answers[index] = answer
        self._left -= 1
        if not self._left:
            self.give_up()

    def give_up(self) -> None:
        """What is not told by now will not be."""
        if not self.told.done():
            self.told.set_result(None)


class Load:
    """Requests that wait, and their events."""

    def __init__(self) -> None:
        self.requests = self.events = 0

    def fits(self, events: int, most_requests: int, most_events: int) -> bool:
        """Whether there is room for a request of so many events."""
        return self.requests < most_requests and self.events + events <= most_events

    def add(self, requests: int, events: int) -> None:
        """Count some more; fewer where they are negative."""
        self.requests += requests
        self.events += events


class Waits:
    """All requests of this process that wait, while `run` runs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ends: Ends = {}
        self._known_at = float("-inf")
        self._all, self._of_tenant = Load(), dict[str, Load]()
        self._behind: dict[int, dict[Receipt, Wait]] = {}  # by partition
        self._through: dict[str, dict[Receipt, Wait]] = {}  # by tenant
        self._some = asyncio.Event()

    @contextmanager
    def begin(self, tenant_id: str, count: int) -> Iterator[Wait | None]:
        """A wait for `count` events that are about to be sent; None where there is no room, or no sight of the ledger."""
        own = self._of_tenant.setdefault(tenant_id, Load())
        room = self._all.fits(count, MOST_REQUESTS, MOST_EVENTS) and own.fits(
            count, MOST_REQUESTS_OF_TENANT, MOST_EVENTS_OF_TENANT
        )
        if room and monotonic() - self._known_at < KNOWN_FOR_S:
            for load in (self._all, own):
                load.add(1, count)
            self._some.set()
            try:
                yield Wait(tenant_id, count, self._ends)
            finally:
                for load in (self._all, own):
                    load.add(-1, -count)
        else:
            yield None
        if not own.requests:
            self._of_tenant.pop(tenant_id, None)

    async def finish(self, wait: Wait, receipts: Sequence[Receipt], within_s: float) -> Mapping[int, EventAnswer]:
        """What came of the events of a wait, once all is known or the time is over, by their index.

        What stands before where its partition ended before it was sent is in another log than the position is of.
        """
        for receipt in receipts:
            before = wait.before.get(receipt.place.partition)
            if before is not None and receipt.place.offset < before.next_offset:
                wait.tell(receipt.index, None)
            elif not self._pass(receipt, wait, self._ends.get(receipt.place.partition)):
                self._behind.setdefault(receipt.place.partition, {})[receipt] = wait
        over = asyncio.get_running_loop().call_later(within_s, wait.give_up)
        try:
            await wait.told
        finally:
            over.cancel()
            for receipt in receipts:
                self._behind.get(receipt.place.partition, {}).pop(receipt, None)
                self._through.get(wait.tenant_id, {}).pop(receipt, None)
        return wait.answers

    async def run(self) -> None:
        """Look and tell until cancelled."""
        while True:
            try:
                async with self._ledger.open() as view:
                    await self._follow(view)
            except Retry as error:
                log.warning("nobody is told what events came to, PostgreSQL is away", error=str(error))
            except Exception:  # no row may end the process
                FAILED.inc()
                log.exception("answers can't be read")
            await asyncio.sleep(AGAIN_AFTER_S)

    async def _follow(self, view: View) -> None:
        """Look often while somebody waits, else now and then."""
        while True:
            ends = await view.read_ends()
            moved = [partition for partition, end in ends.items() if end != self._ends.get(partition)]
            self._ends, self._known_at = ends, monotonic()
            for partition in moved:
                behind = self._behind.get(partition, {})
                for receipt in [each for each, wait in behind.items() if self._pass(each, wait, ends[partition])]:
                    del behind[receipt]
            while passed := self._take():
                await self._tell(view, passed)
            if self._all.requests:
                await asyncio.sleep(REST_S if moved else LOOK_EVERY_S)
                continue
            self._some.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_LOOK_S):
                    await self._some.wait()

    def _pass(self, receipt: Receipt, wait: Wait, end: End | None) -> bool:
        """Whether the end of its partition has passed a receipt, by the generation that was known before it was sent."""
        if end is None:
            return False
        if wait.before.get(receipt.place.partition, end).generation != end.generation:
            wait.tell(receipt.index, None)
            return True
        if receipt.place.offset < end.next_offset:
            self._through.setdefault(receipt.tenant_id, {})[receipt] = wait
            return True
        return False

    def _take(self) -> dict[Receipt, Wait]:
        """Some that are through, of each tenant in turn: a tenant's many don't hold up another's one."""
        taken: dict[Receipt, Wait] = {}
        while self._through and len(taken) < MOST_AT_ONCE:
            for tenant_id, receipts in list(self._through.items()):
                if receipts:
                    receipt = next(iter(receipts))
                    taken[receipt] = receipts.pop(receipt)
                else:
                    del self._through[tenant_id]
        return taken

    async def _tell(self, view: View, passed: Mapping[Receipt, Wait]) -> None:
        """Tell what came of these. What can't be read is not tried again, or it would hold up all others."""
        receipts = list(passed)
        try:
            answers = await view.read_answers(receipts, self._ends)
        except Exception:
            for receipt, wait in passed.items():
                wait.tell(receipt.index, None)
            raise
        for receipt, answer in zip(receipts, answers, strict=False):
            passed[receipt].tell(receipt.index, answer)
        for receipt in receipts[len(answers) :]:
            self._through.setdefault(receipt.tenant_id, {})[receipt] = passed[receipt]
