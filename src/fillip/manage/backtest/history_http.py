"""The past from analyse, where it lies, some events at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Literal, TypeVar

import httpx
import msgspec

from fillip.core.backtest.past import Mark
from fillip.core.backtest.question import BacktestQuestion
from fillip.core.errors import Refused, Retry
from fillip.http.history_query import MAX_EVENTS, PATH, HistoryCount, HistoryEvent, HistoryQuery, HistoryReversal
from fillip.manage.analyse_http import ask

TRIES, PAUSE_S = 10, 3.0
"""Analyse may be busy with the tenant's other queries, or away for a moment."""
FEWEST = 100
"""So few events at a time there always is room for, whatever they hold."""
PIECE_BYTES = 128 * 1024
"""What is read at once of an answer: what that makes is decided while the processor's cache holds it still."""
_read_events = msgspec.json.Decoder(HistoryEvent).decode_lines
_read_reversals = msgspec.json.Decoder(HistoryReversal).decode_lines
_Row = TypeVar("_Row", HistoryEvent, HistoryReversal)


class AnalyseHistory:
    """A tenant's past. `client` has analyse's base URL and the key as bearer."""

    def __init__(self, client: httpx.AsyncClient, question: BacktestQuestion, actions: Sequence[str]) -> None:
        self._client = client
        asked = question
        self._query = HistoryQuery(asked.tenant_id, asked.campaign_id, actions, asked.first, asked.until, "count")

    async def count(self) -> int:
        """How many events there are. Raises Retry."""
        return msgspec.json.decode(await self._insist(self._query), type=HistoryCount).events

    async def read(self, behind: Mark | None = None) -> AsyncIterator[Sequence[HistoryEvent]]:
        """All events, or those behind a mark, in the order of their receipt, some hundreds at a time. Raises Retry."""
        async for page in self._read("events", _read_events, behind):
            yield page

    async def read_reversals(self) -> AsyncIterator[Sequence[HistoryReversal]]:
        """What was taken back of these events by their own users, in the order of receipt. Raises Retry."""
        async for page in self._read("reversals", _read_reversals, None):
            yield page

    async def _read(
        self, want: Literal["events", "reversals"], read_lines: Callable[[memoryview], list[_Row]], behind: Mark | None
    ) -> AsyncIterator[Sequence[_Row]]:
        most = MAX_EVENTS
        while True:
            query = msgspec.structs.replace(self._query, want=want, behind=behind, limit=most)
            try:
                lines = await self._insist(query)
            except Refused:
                if most <= FEWEST:
                    raise
                most //= 10  # they are large: fewer at a time
                continue
            count = 0
            for piece in cut_lines(lines):
                rows = read_lines(piece)
                count += len(rows)
                behind = rows[-1].mark
                yield rows
            if count < most:
                return

    async def _insist(self, query: HistoryQuery) -> bytes:
        for attempt in range(TRIES):
            try:
                return await ask(self._client, PATH, query)
            except Refused as refused:
                raise Refused(f"the past can't be read: {refused}") from None
            except Retry:
                if attempt == TRIES - 1:
                    raise
                await asyncio.sleep(PAUSE_S)
        raise AssertionError


def cut_lines(lines: bytes, piece_bytes: int = PIECE_BYTES) -> Iterator[memoryview]:
    """Lines, each of which ends with a newline, in pieces of whole ones, which are of `piece_bytes` or a line longer."""
    start, whole = 0, memoryview(lines)
    while start < len(lines):
        end = lines.find(b"\n", start + piece_bytes) + 1 or len(lines)
        yield whole[start:end]
        start = end
