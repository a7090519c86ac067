"""Walks the past of a launch in the order of its receipt: portions are met under the newest book, and settled beside live events."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Protocol

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
from fillip.settle.backfill.stage import Portion, SettlePast

FEWEST, MOST = 250, 1_000
"""Events that are met and settled together: see choose_portion."""
FEW_S, LONG_S = 0.1, 0.2
"""A portion that took less than the one lets the next be larger, one that took more than the other smaller: locks are held for so
long, or as long as the fewest take.
"""
LONGEST_REST_S = 0.1
"""Between two portions it rests for as long as one took, this long at most: whoever waits for its locks goes first."""
BUSY_TRIES, BUSY_PAUSE_S = 6, 0.2

Meet = Callable[[Sequence[Event | Rejection]], Awaitable[Sequence[Match | Rejection]]]
"""What the worker matches events by."""


log = structlog.get_logger()


class CampaignPaused(Retry):
    """Nothing is granted now; it goes on when the campaign does."""


class CampaignEnded(Refused):
    """The campaign was ended by hand, or archived."""


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
        """Go on behind `done` events, the last of them at the mark, for about `within_s`; whether all is done.

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
                self._portion = choose_portion(self._portion, took_s)
                await asyncio.sleep(min(took_s, LONGEST_REST_S))
        return True

    async def _decide(self, done: int, page: Sequence[HistoryEvent]) -> None:
        """One portion; again while the server is busy, then by halves. An event that can't be decided is counted."""
        error: Exception | None = None
        for attempt in range(BUSY_TRIES):
            try:
                await self._decide_once(done, page)
                return
            except Busy as busy:
                error = busy
                if len(page) > 1 and attempt:
                    break
                await asyncio.sleep(BUSY_PAUSE_S * 2**attempt)
            except (Retry, Refused, MemoryError):
                raise
            except Exception as failed:  # noqa: BLE001 - foreseen or not: one event does not keep the others out
                error = failed
                break
        if len(page) > 1:
            half = len(page) // 2
            await self._decide(done, page[:half])
            await self._decide(done + half, page[half:])
        else:  # a run that is asked for later takes it up again
            mark, told = page[-1].mark, f"{type(error).__name__}: {error}"
            log.error("a past event can't be decided", tenant=self._order.tenant_id, mark=mark, error=told)
            await self._settle(Portion(done, 1, page[-1].mark, (), {"undecidable": 1}, {}))

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
