"""Decides the past once more for one campaign, by the code that decides the present, on a ledger of its own in memory.

Quests and the campaign's own limits begin empty. Of a limit that it shares with other campaigns it can take what all that was
granted in the same window, before or after the event, has left: what others were granted stays granted.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import chain

from msgspec import Struct

from fillip.core.backtest.past import PastGrant
from fillip.core.backtest.reversal import PastReversal, ReversalLedger, TakenBack
from fillip.core.book.book import Book
from fillip.core.book.version import CampaignVersion
from fillip.core.ledger.conflict import EarlierGrant, Winners, stand_among
from fillip.core.ledger.settlement import GrantRequest, Settled, decide, list_requests
from fillip.core.ledger.stock import BadgeKey, Stock, count_codes, list_badges
from fillip.core.limit import Counter, CounterKey, Frame, put_back
from fillip.core.match.candidate import Match
from fillip.core.quest.batch import InstanceBatch, InstanceKey, QuestKey, list_instances_to_lock
from fillip.core.quest.instance import Instance
from fillip.core.rolling import Parts

_END = datetime.max.replace(tzinfo=UTC)


class Decided(Settled, frozen=True):
    """A decision, with the instance of a quest that it is for, and which campaigns were granted for the event; of these
    `displaced` are those that it would have left nothing.
    """

    instance: Instance | None = None
    granted: Sequence[str] = ()
    displaced: Sequence[str] = ()


class _Standing(Struct, frozen=True):
    """Who wins an event before a request, which later ones that leaves nothing, and who was granted at all."""

    winners: Winners
    behind: Sequence[str] = ()
    granted: Sequence[str] = ()


class _Terms(Struct, frozen=True):
    """What a book says of the campaign: whether its quest's instances are found by routes, how late events may come to any of its
    versions in force, the caps by (tenant, limit), and the limits that it shares.
    """

    is_routed: bool
    lateness: timedelta
    caps: Mapping[tuple[str, str], int]
    shared: Set[str]


class _Instances:
    """All quest instances of the campaign, which one batch after the other moves on. Of a user's, events look through those alone that
    they may ask for: what is finished and not the newest of its key is forgotten; what is over is put aside, until events come for which
    it is not.
    """

    def __init__(self) -> None:
        self.batch = InstanceBatch({})
        self._first = _END
        self._aside: dict[InstanceKey, Instance] = {}
        self._ending: list[tuple[timedelta, InstanceKey]] = []
        """A heap: the last to end comes first."""

    def begin(self, first: datetime) -> None:
        """Events come of which none counts for what ends before `first`."""
        self._first = first
        while self._ending and _END - self._ending[0][0] >= first:
            place = heappop(self._ending)[1]
            if instance := self._aside.pop(place, None):
                self.batch.restore(place, instance)

    def keep(self) -> None:
        """What the batch has changed stays."""
        for quest in {place[:3] for place in self.batch.changed}:
            self._put_aside(quest)
        self.batch.keep_on()

    def put(self, place: InstanceKey, instance: Instance) -> None:
        """What became of an instance otherwise than by an event."""
        self._aside.pop(place, None)
        self.batch.restore(place, instance)
        self._put_aside(place[:3])

    def _put_aside(self, quest: QuestKey) -> None:
        for name in self.batch.list_idle(quest, self._first):
            instance = self.batch.forget(quest, name)
            if instance.is_unfinished and instance.ends_at:
                place = InstanceKey(*quest, *name)
                self._aside[place] = instance
                heappush(self._ending, (_END - instance.ends_at, place))


class Simulation:
    """A ledger in memory; `decide` moves it on, or leaves it as it was where it raises."""

    def __init__(self, book: Book, others: Mapping[str, CampaignVersion], at: datetime) -> None:
        """`book` is of build_past_book, `others` are the campaigns in force, by which conflicts are settled."""
        self._others = others
        self._at = at
        self._book = book
        self._terms = _read_terms(book)
        self._counters: dict[CounterKey, Counter] = {}
        self._frames: set[Frame] = set()
        self._instances = _Instances()
        self._held: set[BadgeKey] = set()
        self.reversals = ReversalLedger(set())

    def use(self, book: Book) -> None:
        """Decide what comes now by this book of the same campaign."""
        if book is not self._book:
            self._book = book
            self._terms = _read_terms(book)

    def list_unknown(self, matches: Iterable[Match]) -> set[CounterKey]:
        """The counters of shared limits that these events may charge, and whose use is not known yet."""
        shared = self._terms.shared
        if not shared:
            return set()
        charged = {charge.counter for match in matches for charge in match.charges}
        return {key for key in charged if key.limit_id in shared and key not in self._counters}

    def list_unknown_frames(self, matches: Iterable[Match]) -> set[Frame]:
        """Of these counters those by rolling windows, with the parts of which it is not known yet what was used in them."""
        shared = self._terms.shared
        if not shared:
            return set()
        charges = (charge for match in matches for charge in match.charges if charge.part)
        return {frame for each in charges if each.counter.limit_id in shared for frame in each.frames} - self._frames

    def know(self, used: Mapping[CounterKey, Counter]) -> None:
        """Take note of what was used of counters in fact."""
        self._counters |= used

    def know_frames(self, frames: Collection[Frame], used: Mapping[CounterKey, Mapping[int, int]]) -> None:
        """Take note of what was used in these frames in fact, by counter, which are known, and part."""
        self._frames.update(frames)
        for key, parts in used.items():
            counter = self._counters[key]
            counter.parts = counter.parts or Parts()
            counter.parts.learn(parts)

    def begin(self, matches: Sequence[Match]) -> None:
        """A portion of events comes, to be decided in one or more runs."""
        first = min([each.event.clock_at for each in matches], default=self._at)
        self._instances.begin(first - self._terms.lateness)

    def decide(self, matches: Sequence[Match], granted: Mapping[int, Sequence[PastGrant]]) -> list[Decided]:
        """What the campaign would have granted for these events of the portion, which come in the order of the log; `granted` is
        what others were, by the offset of the event.
        """
        instances = self._instances.batch
        try:
            self._count_waiting(instances, matches)
            return self._decide_on(instances, matches, granted)
        except BaseException:
            instances.roll_back()
            for counter in self._counters.values():
                if counter.parts:
                    counter.parts.roll_back()
            raise

    def reverse(self, reversal: PastReversal, book: Book) -> Sequence[TakenBack]:
        """Take back what a reversal takes under a book, and leave what was there before it to what comes now."""
        undone = self.reversals.reverse(reversal, book)
        if undone is None:
            return ()
        for each in undone.instances:
            self._instances.put(each.place, each.instance)
        for credit in undone.credits:
            put_back(credit.counter, credit.amount, credit.part, self._counters)
            self._keep_parts([credit.counter])
        self._held -= undone.badges
        return undone.taken

    def _decide_on(
        self, instances: InstanceBatch, matches: Sequence[Match], granted: Mapping[int, Sequence[PastGrant]]
    ) -> list[Decided]:
        requests = list(chain.from_iterable(list_requests(matches, instances)))
        standing = [self._rank(request, granted.get(request.match.event.place.offset, ())) for request in requests]
        charged = {charge.counter for request in requests for charge in request.charges}
        counters = {key: self._counters.get(key) or Counter(0, 0) for key in charged}
        settled = list(self._decide(requests, counters, instances, standing))
        decided = [self._tell(each, place, instances) for each, place in zip(settled, standing, strict=True)]
        self.reversals.keep(matches, settled, instances)
        self._keep(settled, counters)
        return decided

    def _decide(
        self,
        requests: Sequence[GrantRequest],
        counters: dict[CounterKey, Counter],
        instances: InstanceBatch,
        standing: Sequence[_Standing],
    ) -> Iterator[Settled]:
        wanted = [request.wanted for request in requests]
        codes = {pool: [""] * count for pool, count in count_codes(wanted).items()}
        stock = Stock(codes, list_badges(wanted) & self._held)
        places = {id(request): place for request, place in zip(requests, standing, strict=True)}
        asked = [(request, None) for request in requests]
        return decide(
            asked,
            counters,
            self._terms.caps,
            {},
            stock,
            instances,
            self._at,
            lambda request: places[id(request)].winners,
        )

    def _rank(self, request: GrantRequest, granted: Sequence[PastGrant]) -> _Standing:
        if not granted:
            return _Standing(Winners())
        known = [each for each in granted if each.campaign_id in self._others]
        earlier = [EarlierGrant(self._others[each.campaign_id], (each.value,)) for each in known]
        winners, behind = stand_among(request, earlier)
        return _Standing(winners, behind, [each.campaign_id for each in granted])

    def _tell(self, settled: Settled, standing: _Standing, instances: InstanceBatch) -> Decided:
        place = settled.request.place
        return Decided(
            settled.request,
            settled.decision,
            instance=instances.find(place) if place else None,
            granted=standing.granted,
            displaced=standing.behind if settled.decision.outcome == "granted" else (),
        )

    def _count_waiting(self, instances: InstanceBatch, matches: Sequence[Match]) -> None:
        """How many instances the users of these events have open, where they can be too many: of quests with routes."""
        if self._terms.is_routed and (growing := instances.list_growing(list_instances_to_lock(matches))):
            instances.count({quest: instances.count_waiting(quest, first) for quest, first in growing.items()})

    def _keep(self, settled: Sequence[Settled], counters: Mapping[CounterKey, Counter]) -> None:
        self._counters.update((key, counter) for key, counter in counters.items() if counter.version)
        self._keep_parts(counters)
        self._instances.keep()
        for each in settled:
            if each.decision.outcome == "granted":
                self._held |= list_badges([each.request.wanted])

    def _keep_parts(self, counters: Iterable[CounterKey]) -> None:
        for key in counters:
            if (counter := self._counters.get(key)) and counter.parts:
                counter.parts.keep()


def _read_terms(book: Book) -> _Terms:
    [newest] = book.campaign_versions.values()
    versions = (newest, *newest.retained)
    return _Terms(
        is_routed=newest.route is not None,
        lateness=timedelta(
            seconds=max(each.campaign.quest.lateness_s if each.campaign.quest else 0 for each in versions)
        ),
        caps={(book.tenant.tenant_id, limit_id): limit.cap for limit_id, limit in book.limits.items()},
        shared={limit_id for limit_id, limit in book.limits.items() if limit.campaign_id is None},
    )
