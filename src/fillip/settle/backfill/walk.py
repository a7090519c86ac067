"""Walks the past of a launch in the order of its receipt: portions are met under the newest book, and settled beside live events."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Protocol, TypeVar

import structlog

from fillip.core.backfill import BackfillOrder, Bounds, PassedOver, narrow_book
from fillip.core.backtest.past import Mark
from fillip.core.book.book import Book, Unbuilt
from fillip.core.book.version import CampaignVersion
from fillip.core.erasure import is_erased
from fillip.core.errors import Busy, Refused, Retry
from fillip.core.event import Event, Place, Rejection
from fillip.core.match.candidate import Match
from fillip.http.history_query import HistoryEvent
from fillip.settle.backfill.stage import MetWaiting, Portion, Served, SettlePast

FEWEST, MOST = 250, 1_000
"""Events that are met and settled together: see choose_portion."""
FEW_S, LONG_S = 0.1, 0.2
"""A portion that took less than the one lets the next be larger, one that took more than the other smaller: locks are held for so
long, or as long as the fewest take.
"""
LONGEST_REST_S = 0.1
"""Between two portions it rests for as long as one took, this long at most: whoever waits for its locks goes first."""
BUSY_TRIES, BUSY_PAUSE_S = 6, 0.2

Answer = TypeVar("Answer")
Meet = Callable[[Sequence[Event | Rejection]], Awaitable[Sequence[Match | Rejection]]]
"""What the worker matches events by."""


log = structlog.get_logger()


class CampaignPaused(Retry):
    """Nothing is granted now; it goes on when the campaign does."""


class CampaignEnded(Refused):
    """The campaign was ended by hand, or archived."""


class _Failed(Exception):
    """What can't be decided as it is, because of its cause."""


class History(Protocol):
    """The past."""

    def read(self, behind: Mark | None = None) -> AsyncIterator[Sequence[HistoryEvent]]:
        """All events behind the mark in the order of their receipt. Raises Retry and Refused."""
        ...


class Books(Protocol):
    """The books, kept up to date, whose changes wait for who decides by them."""

    async def pin(self, tenant_ids: Collection[str]) -> Mapping[str, Book | Unbuilt]:
        """See core.ports.CampaignBook."""

    async def renew(self) -> None:
        """Raise Retry unless changes wait for this process, or do from now on."""


class BackfillWalk:
    """One process's turn at a backfill."""

    def __init__(self, order: BackfillOrder, bounds: Bounds, meet: Meet, settle: SettlePast) -> None:
        self._order = order
        self._bounds = bounds
        self._meet = meet
        self._settle = settle
        self._turn = asyncio.Lock()
        self._is_spoiled = False
        self._portion = FEWEST
        self._narrowed: tuple[Book, Book] | None = None
        self.books: Books

    async def drain(self) -> None:
        """Return once what is under way is settled: a changed book waits for it."""
        async with self._turn:
            pass

    def spoil(self) -> None:
        """Have what is under way done anew: a change may not have waited for it."""
        self._is_spoiled = True

    async def play(self, history: History, done: int, mark: Mark | None, within_s: float) -> bool:
        """Go on behind `done` events, the last of them at the mark, for about `within_s`; whether all is done, and handed over.

        Raises Fenced where it is another's by now, CampaignPaused, CampaignEnded, Retry, and Refused where the past can't be read.
        """
        until = monotonic() + within_s
        async for page in history.read(mark):
            start = 0
            while start < len(page):
                if monotonic() > until:
                    return False
                began_at = monotonic()
                some = page[start : start + self._portion]
                await self._decide(done, some)
                start, done = start + len(some), done + len(some)
                took_s = monotonic() - began_at
                await self._rest(took_s)
        return await self._hand_over(done, until)

    async def _rest(self, took_s: float) -> None:
        """After a portion that took so long, which tells how large the next one is."""
        self._portion = choose_portion(self._portion, took_s)
        await asyncio.sleep(min(took_s, LONGEST_REST_S))

    async def _hand_over(self, done: int, until: float) -> bool:
        """Behind the past, decide what waits until nothing does: then workers decide. Whether they do by then.

        The last of it is settled while no batch of the tenant is, and is no more than the fewest.
        """
        campaign = (await self._pin()).campaign_versions[self._order.campaign_id].campaign
        if campaign.quest is None:  # nothing waits: workers have decided since the launch
            return True
        alone = False
        while monotonic() <= until:
            began_at = monotonic()
            most = FEWEST if alone else self._portion
            taken = await self._take_waiting(done, most, alone=alone)
            if taken.is_handed_over:
                return True
            alone = taken.events < most
            await self._rest(monotonic() - began_at)
        return False

    async def _decide(self, done: int, page: Sequence[HistoryEvent]) -> None:
        """One portion; again while the server is busy, then by halves. An event that can't be decided is counted."""
        try:
            await self._insist(partial(self._decide_once, done, page), several=len(page) > 1)
        except _Failed as failed:
            if len(page) > 1:
                half = len(page) // 2
                await self._decide(done, page[:half])
                await self._decide(done + half, page[half:])
                return  # else a run that is asked for later takes it up again
            self._tell_undecidable(failed, page[-1].mark)
            await self._settle(Portion(done, 1, page[-1].mark, (), {"undecidable": 1}, {}))

    async def _take_waiting(self, done: int, most: int, *, alone: bool) -> Served:
        """Decide the first that wait, at most so many: as with the past, fewer where they can't be, and one that can't is left."""
        try:
            return await self._insist(partial(self._take_waiting_once, done, most, alone), several=most > 1)
        except _Failed as failed:
            if most > 1:
                return await self._take_waiting(done, most // 2, alone=False)
            self._tell_undecidable(failed, None)
            await self._settle.leave_first(done)
            return Served(1, False)

    async def _insist(self, step: Callable[[], Awaitable[Answer]], *, several: bool) -> Answer:
        """What the step comes to, tried again while the server is busy: twice where there are several events to try by halves.

        Raises _Failed where it can't be done, and what passes by itself or concerns all.
        """
        error: Exception | None = None
        for attempt in range(BUSY_TRIES):
            try:
                return await step()
            except Busy as busy:
                error = busy
                if several and attempt:
                    break
                await asyncio.sleep(BUSY_PAUSE_S * 2**attempt)
            except (Retry, Refused, MemoryError):
                raise
            except Exception as failed:  # noqa: BLE001 - foreseen or not: one event does not keep the others out
                error = failed
                break
        raise _Failed from error

    def _tell_undecidable(self, failed: _Failed, mark: Mark | None) -> None:
        told = f"{type(failed.__cause__).__name__}: {failed.__cause__}"
        log.error("an event can't be decided", tenant=self._order.tenant_id, mark=mark, error=told)

    async def _decide_once(self, done: int, page: Sequence[HistoryEvent]) -> None:
        async with self._turn:
            while True:
                self._is_spoiled = False
                whole = await self._pin()
                book = self._narrow(whole)
                passed_over = Counter[PassedOver]()
                events = [event for each in page if (event := self._read_event(each, book, passed_over))]
                matches = [each for each in await self._meet(events) if isinstance(each, Match) and each.candidates]
                await self.books.renew()
                if not self._is_spoiled:
                    break
            others = whole.campaign_versions
            await self._settle(Portion(done, len(page), page[-1].mark, matches, passed_over, others))

    async def _take_waiting_once(self, done: int, most: int, alone: bool) -> Served:
        async with self._turn:
            self._is_spoiled = False
            whole = await self._pin()
            book = self._narrow(whole)

            async def meet(waiting: Sequence[HistoryEvent]) -> MetWaiting:
                events = [each.read(book, Place("", each.partition, each.log_offset)) for each in waiting]
                met = await self._meet([event for event in events if event])
                await self.books.renew()
                if self._is_spoiled:
                    raise Busy("a change may not have waited for this process")
                matches = [each for each in met if isinstance(each, Match) and each.candidates]
                return MetWaiting(events, matches, whole.campaign_versions)

            return await self._settle.take_waiting(done, most, meet, alone=alone)

    async def _pin(self) -> Book:
        tenant_id, campaign_id = self._order.tenant_id, self._order.campaign_id
        book = (await self.books.pin([tenant_id])).get(tenant_id)
        if not isinstance(book, Book):
            why = book.why if isinstance(book, Unbuilt) else "there is no such tenant"
            raise Retry(f"the tenant's definitions can't be read: {why}")
        version: CampaignVersion | None = book.campaign_versions.get(campaign_id)
        if version is None or version.state == "ended":
            raise CampaignEnded("the campaign was ended: what was not decided by then is not granted any more")
        if version.is_paused:
            raise CampaignPaused("the campaign is paused: it goes on when that is over")
        return book

    def _narrow(self, book: Book) -> Book:
        if self._narrowed is None or self._narrowed[0] is not book:
            self._narrowed = book, narrow_book(book, self._order.campaign_id)
        return self._narrowed[1]

    def _read_event(self, past: HistoryEvent, book: Book, passed_over: Counter[PassedOver]) -> Event | None:
        """None where it is passed over."""
        if past.log_offset >= self._bounds.ends.get(past.partition, 0):
            passed_over["received_after"] += 1
            return None
        if is_erased(past.user_id):
            passed_over["erased"] += 1
            return None
        event = past.read(book, Place("", past.partition, past.log_offset))
        if event is None:
            passed_over["unreadable"] += 1
        return event


def choose_portion(events: int, took_s: float) -> int:
    """How many events to settle together after so many took so long: twice or half as many, or the same again."""
    if took_s < FEW_S:
        return min(events * 2, MOST)
    return max(events // 2, FEWEST) if took_s > LONG_S else events
