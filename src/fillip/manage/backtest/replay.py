"""Lets a campaign meet the past, as the worker would, and adds up what it would have granted."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Protocol

from msgspec.structs import replace
from pyroaring import BitMap

from fillip.core.backtest.past import PastGrant
from fillip.core.backtest.result import CohortCoverage, NotConsidered, Result
from fillip.core.backtest.reversal import PastReversal, ReversalLedger, ReversalQueue, Turn, cut_at_turns
from fillip.core.backtest.simulation import Decided, Simulation
from fillip.core.backtest.tally import Tally
from fillip.core.book.book import Book
from fillip.core.book.version import CampaignVersion
from fillip.core.errors import Retry
from fillip.core.event import Event, Place, Rejection
from fillip.core.limit import Counter as LimitCounter
from fillip.core.limit import CounterKey, Frame
from fillip.core.match.candidate import Match
from fillip.core.ports import UserNumbers
from fillip.http.history_query import HistoryEvent, HistoryReversal

PORTION = 500
"""Events that are met and decided together: so few that the processor's cache holds all that is made of them."""
ASKED_AT_ONCE = 10_000
"""Users whose numbers are asked for together."""

Meet = Callable[[Sequence[Event | Rejection]], Awaitable[Sequence[Match | Rejection]]]
"""What the worker matches events by."""


class History(Protocol):
    """The past."""

    def read(self) -> AsyncIterator[Sequence[HistoryEvent]]:
        """All events in the order of their receipt. Raises Retry and Refused."""
        ...

    def read_reversals(self) -> AsyncIterator[Sequence[HistoryReversal]]:
        """All that was taken back of them by their own users, in the order of receipt. Raises Retry and Refused."""
        ...


class Counters(Protocol):
    """The ledger's counters."""

    async def read_counters(self, asked: Collection[CounterKey]) -> Mapping[CounterKey, LimitCounter]:
        """What is used of them now. Raises Retry."""
        ...

    async def read_parts(self, frames: Collection[Frame]) -> Mapping[CounterKey, Mapping[int, int]]:
        """What is used of counters by rolling windows in these frames now, by part. Raises Retry."""
        ...


class Books(Protocol):
    """The books that events were decided under."""

    async def find(self, partition: int, log_offset: int) -> Book | None:
        """That of an event, with no campaign but the one asked for, or none; None before any. Raises Retry."""
        ...


class Live(Protocol):
    """What was decided in fact."""

    def note(self, page: Sequence[HistoryEvent]) -> None:
        """These events were read."""
        ...

    async def compare(self, decided: Sequence[Decided]) -> None:
        """Compare with it all that the backtest decides on some events. Raises Retry."""
        ...


class Replay:
    """One backtest. `events` of them were read so far."""

    def __init__(
        self,
        book: Book,
        others: Mapping[str, CampaignVersion],
        meet: Meet,
        counters: Counters,
        at: datetime,
        recorded: Books | None = None,
        live: Live | None = None,
    ) -> None:
        """`book` is of build_past_book, `others` are the campaigns in force. Where there are `recorded` books, events are decided
        under those.
        """
        self._live = live
        self._book = book
        self._recorded = recorded
        self._others = others
        self._meet = meet
        self._counters = counters
        self._simulation = Simulation(book, others, at)
        self._queue = ReversalQueue(())
        self._read_to: datetime | None = None
        self._unreadable = self._undecidable = 0
        self.events = 0
        self.tally = Tally()

    async def play(self, history: History, tell: Callable[[int], None]) -> None:
        """Decide all of it; `tell` hears how many events are done. Raises Retry, Refused."""
        await self._queue_reversals(history)
        async for page in history.read():
            for start in range(0, len(page), PORTION):
                await self._take(page[start : start + PORTION])
                tell(self.events)
            if self._live:
                self._live.note(page)
            self._read_to = page[-1].received_at
        self._take_back([await self._give_turn(each) for each in self._queue.list_due(None)])

    async def _queue_reversals(self, history: History) -> None:
        tenant_id = self._book.tenant.tenant_id
        pages = [[each.read(tenant_id) for each in page] async for page in history.read_reversals()]
        self._queue = ReversalQueue(each for page in pages for each in page if each)
        self._simulation.reversals = ReversalLedger(self._queue.users)

    async def sum_up(self, numbers: UserNumbers, refused: Mapping[str, int], began_at_s: float) -> Result:
        """What came of it; `refused` is why events did not meet the campaign, as far as match tells."""
        return replace(
            self.tally.sum_up(),
            cohorts=await self._cover(numbers),
            events=self.events,
            unreadable=self._unreadable,
            undecidable=self._undecidable,
            not_met=dict(refused),
            seconds=round(monotonic() - began_at_s, 3),
            read_to=self._read_to,
            book_version=self._book.version,
        )

    async def _take(self, page: Sequence[HistoryEvent]) -> None:
        granted: dict[int, Sequence[PastGrant]] = {}
        events: list[Event] = []
        turns: list[Turn] = []
        book = self._book
        for each in page:
            if self._queue.users:
                turns += [await self._give_turn(due) for due in self._queue.list_due(each.mark)]
            self.events += 1
            if self._recorded:
                found = await self._recorded.find(each.partition, each.log_offset)
                if found is None or not found.campaign_versions:
                    continue
                if found is not book:
                    await self._decide_under(book, events, granted, turns)
                    book, events, turns = found, [], []
            event = each.read(book, Place("", each.partition, self.events))
            if event is None:
                self._unreadable += 1
                continue
            if each.granted:
                granted[event.place.offset] = each.granted
            events.append(event)
            if each.user_id in self._queue.users:
                is_reversed, waiting = self._queue.meet(event.key, each.mark)
                if is_reversed:
                    self._simulation.reversals.expect(event.key, event.action, event.occurred_at)
                turns += [Turn(self.events, reversal, book) for reversal in waiting]
        await self._decide_under(book, events, granted, turns)

    async def _give_turn(self, due: PastReversal) -> Turn:
        """Behind the events that were read before, under the book that was in force when it came."""
        found = await self._recorded.find(due.mark.partition, due.mark.log_offset) if self._recorded else None
        return Turn(self.events, due, found or self._book)

    async def _decide_under(
        self,
        book: Book,
        events: Sequence[Event],
        granted: Mapping[int, Sequence[PastGrant]],
        turns: Sequence[Turn],
    ) -> None:
        if events:
            self._simulation.use(book)
            await self._decide(events, granted, turns)
        else:
            self._take_back(turns)

    async def _decide(
        self, events: Sequence[Event], granted: Mapping[int, Sequence[PastGrant]], turns: Sequence[Turn]
    ) -> None:
        """An event that can't be decided is left out, and counted."""
        try:
            met = await self._meet(events)
            matches = [match for match in met if isinstance(match, Match) and match.candidates]
            if unknown := self._simulation.list_unknown(matches):
                self._simulation.know(await self._counters.read_counters(unknown))
            if frames := self._simulation.list_unknown_frames(matches):
                self._simulation.know_frames(frames, await self._counters.read_parts(frames))
        except (Retry, MemoryError):
            raise
        except Exception:  # noqa: BLE001 - foreseen or not: one event does not keep the others out
            if len(events) == 1:
                self._undecidable += 1
                self._take_back(turns)
                return
            behind = events[len(events) // 2]
            before = [turn for turn in turns if turn.behind < behind.place.offset]
            await self._decide(events[: len(events) // 2], granted, before)
            await self._decide(events[len(events) // 2 :], granted, turns[len(before) :])
            return
        self._simulation.begin(matches)
        decided = []
        for some, turn in cut_at_turns(matches, turns, self._simulation.reversals):
            decided += self._settle(some, granted)
            self._take_back([turn] if turn else ())
        if self._live:
            await self._live.compare(decided)

    def _settle(self, matches: Sequence[Match], granted: Mapping[int, Sequence[PastGrant]]) -> list[Decided]:
        if not matches:
            return []
        try:
            decided = self._simulation.decide(matches, granted)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - as above
            if len(matches) == 1:
                self._undecidable += 1
                return []
            half = len(matches) // 2
            return self._settle(matches[:half], granted) + self._settle(matches[half:], granted)
        self.tally.add_met([match.event.user_id for match in matches])
        for each in decided:
            self.tally.add(each)
        return decided

    def _take_back(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            try:
                taken = self._simulation.reverse(turn.reversal, turn.book)
            except MemoryError:
                raise
            except Exception:  # noqa: BLE001 - as above
                self._undecidable += 1
                continue
            for each in taken:
                self.tally.take_back(each)

    async def _cover(self, numbers: UserNumbers) -> list[CohortCoverage]:
        [campaign_version] = self._book.campaign_versions.values()
        wanted = [each for each in campaign_version.campaign.cohorts if each in self._book.cohorts]
        if not wanted:
            return []
        met, granted = [await self._number(numbers, sorted(users)) for users in (self.tally.met, self.tally.users)]
        cohorts = self._book.cohorts
        return [
            CohortCoverage(
                cohort_id=each,
                version=cohorts[each].version,
                members=len(cohorts[each].members),
                met=cohorts[each].members.intersection_cardinality(met),
                granted=cohorts[each].members.intersection_cardinality(granted),
            )
            for each in wanted
        ]

    async def _number(self, numbers: UserNumbers, users: Sequence[str]) -> BitMap:
        tenant_id, found = self._book.tenant.tenant_id, BitMap()
        for start in range(0, len(users), ASKED_AT_ONCE):
            some = users[start : start + ASKED_AT_ONCE]
            found.update((await numbers.find({tenant_id: some}, {tenant_id: self._book}))[tenant_id].values())
        return found

    def list_not_considered(self, result: Result) -> list[NotConsidered]:
        """What it passed over; the first always."""
        [campaign_version] = self._book.campaign_versions.values()
        rewards = campaign_version.campaign.rewards
        gone = any(each.campaign_id not in self._others for each in result.overlap)
        asked: list[tuple[NotConsidered, bool]] = [
            ("former_users" if self._recorded else "former_definitions", True),
            ("codes_left", any(reward.pool for reward in rewards)),
            ("badges_held", any(reward.badge for reward in rewards)),
            ("shortfalls", self.tally.may_fall_short),
            ("archived_campaigns", gone),
        ]
        return [name for name, holds in asked if holds]
