"""What workers count of hot campaigns, told to Valkey a few times a second, beside the path."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from struct import pack
from typing import Any, TypeVar

import structlog
from msgspec import Struct
from redis.asyncio import Redis

from fillip.core.event import Rejection
from fillip.core.hot import HotTerms
from fillip.core.ledger.settlement import Settled
from fillip.core.match.candidate import Match
from fillip.core.projection import name_hot, name_sample, name_sketch, name_users
from fillip.core.sketch import add_up, estimate, is_sampled
from fillip.limit.hot import MOST_KEPT, UNTOLD, Tally, WindowView, split_users

TELL_EVERY_S = 0.25
"""Batches of so long are told together: many have the same campaigns."""

MOST_HOT = 1_000
"""Campaigns of a tenant that are hot at once."""
MOST_SAMPLED, SAMPLED_ONE_IN = 64, 4
"""Campaigns of a tenant that are counted exactly too, and how many may be: these few bytes tell how good the sketch is."""

PORTION = 2_000
"""Campaigns or users that are worked on at once, here and in Valkey: some milliseconds."""
TRIP_CALLS = 50
_Item = TypeVar("_Item")
log = structlog.get_logger()


class _Call(Struct):
    """A script with its keys and arguments, and how many counts are lost where it fails."""

    script: str
    keys: Sequence[str]
    arguments: Sequence[str | int | bytes]
    counted: int


class _Met(Struct):
    """What campaigns of a tenant have met since the last telling; what their cells got, and hold since; which of them have
    reached the threshold by that, and which may be of the sample.
    """

    tenant_id: str
    counts: Mapping[str, int]
    cells: dict[int, int]
    over: Sequence[str] = ()
    sampled: Sequence[str] = ()


class HotCounts:
    """Counts for the sketch and for the users of hot campaigns; nothing on the path waits for Valkey.

    Where Valkey is away, what was counted meanwhile is lost and counted as that; deciding knows nothing of it.
    """

    def __init__(self, client: Redis, terms: HotTerms, read_clock: Callable[[], float] = time.time) -> None:
        """`client` has a short time-out; `read_clock` gives Unix seconds."""
        self._client, self._terms, self._read_clock = client, terms, read_clock
        self._tally, self._view = Tally(), WindowView()
        self._away = self._failed = False
        self._add_cells, self._mark_hot = _load_script("add_cells.lua"), _load_script("mark_hot.lua")
        self._count_users = _load_script("count_users.lua")

    def count_met(self, items: Iterable[Match | Rejection]) -> None:
        """Take the events of a batch with the campaigns that they meet."""
        self._tally.count_met(items)

    def count_settled(self, settled: Iterable[Settled]) -> None:
        """Take the decisions of a batch that was committed."""
        if self._view.hot:
            self._tally.count_settled(settled, self._view.hot)

    async def run(self) -> None:
        """Tell Valkey what was counted, until cancelled."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            await self.tell()

    async def tell(self) -> None:
        """Tell what was counted since the last time, up to 50 tenants a round trip. Never raises."""
        tally, self._tally = self._tally, Tally()
        now_s = self._read_clock()
        self._view.enter(self._terms.number_window(now_s), now_s)
        self._failed = False
        for tenants in _split(list(tally.met.items()), TRIP_CALLS):
            met = [_Met(tenant_id, counts, await self._add_up(counts)) for tenant_id, counts in tenants]
            await self._tell_met(met, now_s)
        for calls in _list_trips(self._list_users(tally, now_s)):
            await self._send(calls)
        self._away = self._failed
        self._view.show(self._terms.threshold)

    async def _add_up(self, counts: Mapping[str, int]) -> dict[int, int]:
        cells: dict[int, int] = {}
        for portion in _split(list(counts.items()), PORTION):
            add_up(portion, self._terms.shape, cells)
            await asyncio.sleep(0)
        return cells

    async def _tell_met(self, met: Sequence[_Met], now_s: float) -> None:
        """Add to the sketches of some tenants, then to what is hot by them."""
        told = await self._send([self._write_cells(each, now_s) for each in met])
        known: list[_Met] = []
        for each, held in zip(met, told, strict=True):
            self._view.note_met(each.tenant_id, each.counts)
            if held is not None:
                each.cells = dict(zip(each.cells, held, strict=True))
                known.append(each)
        for each in known:
            await self._judge(each)
        for each, answer in zip(known, await self._send([self._mark(each, now_s) for each in known]), strict=True):
            if answer is not None:
                self._take(each, answer)

    def _write_cells(self, met: _Met, now_s: float) -> _Call:
        terms = self._terms
        key = name_sketch(met.tenant_id, terms, terms.number_window(now_s))
        packed = pack(f"<{2 * len(met.cells)}I", *(part for cell in met.cells.items() for part in cell))
        return _Call(self._add_cells, [key], [terms.shape.cells, 2 * terms.window_s, packed], len(met.counts))

    async def _judge(self, met: _Met) -> None:
        shape, threshold, over = self._terms.shape, self._terms.threshold, list[str]()
        for portion in _split(list(met.counts), PORTION):
            over += [name for name in portion if estimate(name, shape, met.cells) >= threshold]
            await asyncio.sleep(0)
        met.over, met.sampled = over, [name for name in met.counts if is_sampled(name, SAMPLED_ONE_IN)]

    def _mark(self, met: _Met, now_s: float) -> _Call:
        terms = self._terms
        keys = [name_hot(met.tenant_id), name_sample(met.tenant_id, terms, terms.number_window(now_s))]
        head = [int(now_s), terms.cool_at(now_s), MOST_HOT, MOST_SAMPLED, 2 * terms.window_s, len(met.over)]
        counts = [part for name in met.sampled for part in (name, met.counts[name])]
        return _Call(self._mark_hot, keys, [*head, *met.over, *counts], len(met.over))

    def _take(self, met: _Met, answer: tuple[int, Sequence[int], Sequence[bytes]]) -> None:
        refused, truths, hot = answer
        UNTOLD.labels("tenant_has_many").inc(refused)
        for name, truth in zip(met.sampled, truths, strict=True):
            if truth >= 0:
                known = estimate(name, self._terms.shape, met.cells)
                self._view.note_sample((met.tenant_id, name), known, truth)
        for campaign_id, stands in _split(hot, 2):
            self._view.hot[met.tenant_id, campaign_id.decode()] = int(stands.split()[1])

    def _list_users(self, tally: Tally, now_s: float) -> Iterator[_Call]:
        """Calls of count_users.lua."""
        terms = self._terms
        for tenant_id, counts in tally.users.items():
            for campaign_id, users in split_users(counts).items():
                key = name_users(tenant_id, campaign_id, terms, terms.number_window(now_s))
                arguments = [2 * terms.window_s, MOST_KEPT, *(part for user in users for part in user)]
                yield _Call(self._count_users, [key], arguments, len(users))

    async def _send(self, calls: Sequence[_Call]) -> list[Any]:
        """The answers in one round trip; None for a call that failed."""
        answers: list[Any] = []
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for call in calls:
                    pipeline.eval(call.script, len(call.keys), *call.keys, *call.arguments)
                answers = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # noqa: BLE001 - whatever it is, deciding goes on, and so does counting
            answers = [error] * len(calls)
        for call, answer in zip(calls, answers, strict=True):
            if isinstance(answer, Exception):  # of all, or of one tenant alone, such as a key of another kind
                self._note_untold(call.counted, answer)
        return [None if isinstance(answer, Exception) else answer for answer in answers]

    def _note_untold(self, count: int, error: Exception) -> None:
        UNTOLD.labels("valkey_away").inc(count)
        if not self._away:
            told = f"{type(error).__name__}: {error}"
            log.warning("counts of hot campaigns are lost, Valkey can't be told; deciding goes on", error=told)
        self._away = self._failed = True


def _split(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _list_trips(calls: Iterable[_Call]) -> Iterator[Sequence[_Call]]:
    """Some calls a round trip, of about PORTION counts together."""
    trip: list[_Call] = []
    for call in calls:
        trip.append(call)
        if sum(each.counted for each in trip) >= PORTION or len(trip) == TRIP_CALLS:
            yield trip
            trip = []
    if trip:
        yield trip


def _load_script(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
