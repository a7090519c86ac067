"""Decides the past once more for one campaign, by the code that decides the present, on a ledger of its own in memory.

Quests and the campaign's own limits begin empty. Of a limit that it shares with other campaigns it can take what all that was
granted in the same window, before or after the event, has left: what others were granted stays granted.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta
from itertools import chain

from msgspec import Struct

from fillip.core.backtest.past import PastGrant
from fillip.core.backtest.reversal import PastReversal, ReversalLedger, TakenBack
from fillip.core.book.book import Book
from fillip.core.book.version import CampaignVersion
from fillip.core.ledger.conflict import EarlierGrant, Winners, stand_among
from fillip.core.ledger.settlement import GrantRequest, Settled, decide, list_requests
from fillip.core.ledger.stock import BadgeKey, Stock, count_codes, list_badges
from fillip.core.limit import Counter, CounterKey
from fillip.core.match.candidate import Match
from fillip.core.quest.batch import InstanceBatch, InstanceKey, QuestKey, list_instances_to_lock
from fillip.core.quest.instance import Instance

Name = tuple[str, int]
"""(key, occurrence)"""


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


class _Known:
    """All instances that a later event may ask for; it is what a batch finds. `first` is the first clock time of its events, less
    their lateness.
    """

    def __init__(self) -> None:
        self.first = datetime.max.replace(tzinfo=UTC)
        self._by_quest: dict[QuestKey, dict[Name, Instance]] = {}
        self._crowded: set[QuestKey] = set()

    def get(self, quest: QuestKey, default: Iterable[Instance]) -> Iterable[Instance]:
        """Those that matter to the events of a portion."""
        known = self._by_quest.get(quest)
        if known is None:
            return default
        if len(known) == 1:  # mostly; it is the newest
            return known.values()
        return [
            each
            for (key, occurrence), each in known.items()
            if each.state == "open" or each.is_waiting(self.first) or (key, occurrence + 1) not in known
        ]

    def count_waiting(self, quest: QuestKey, first: datetime) -> int:
        """How many wait for events from `first`."""
        return sum(each.is_waiting(first) for each in self._by_quest.get(quest, {}).values())

    def put(self, place: InstanceKey, instance: Instance) -> None:
        """Keep it, and forget what is finished and not the newest of its key: nothing asks for it any more."""
        quest, key, occurrence = place[:3], place[3], place[4]
        known = self._by_quest.setdefault(quest, {})
        known[key, occurrence] = instance
        if len(known) == 1:
            return
        self._crowded.add(quest)
        before = known.get((key, occurrence - 1))
        if before and not before.is_unfinished:
            del known[key, occurrence - 1]
        if not instance.is_unfinished and (key, occurrence + 1) in known:
            del known[key, occurrence]

    def list_crowded(self, quests: Set[QuestKey]) -> Set[QuestKey]:
        """Of these quests, those that more than one instance was known of since they were asked for, or still is: which matter
        changes.
        """
        crowded = quests & self._crowded
        self._crowded -= {quest for quest in crowded if len(self._by_quest[quest]) == 1}
        return crowded


class Simulation:
    """A ledger in memory; `decide` moves it on, or leaves it as it was where it raises."""

    def __init__(self, book: Book, others: Mapping[str, CampaignVersion], at: datetime) -> None:
        """`book` is of build_past_book, `others` are the campaigns in force, by which conflicts are settled."""
        self._others = others
        self._at = at
        self._book = book
        self._terms = _read_terms(book)
        self._counters: dict[CounterKey, Counter] = {}
        self._known = _Known()
        self._batch = InstanceBatch(self._known)
        self._held: set[BadgeKey] = set()
        self.reversals = ReversalLedger(set())

    def use(self, book: Book) -> None:
        """Decide what comes now by this book of the same campaign."""
        if book is not self._book:
            self._book = book
            self._terms = _read_terms(book)
            self._batch = InstanceBatch(self._known)

    def list_unknown(self, matches: Iterable[Match]) -> set[CounterKey]:
        """The counters of shared limits that these events may charge, and whose use is not known yet."""
        shared = self._terms.shared
        if not shared:
            return set()
        charged = {charge.counter for match in matches for charge in match.charges}
        return {key for key in charged if key.limit_id in shared and key not in self._counters}

    def know(self, used: Mapping[CounterKey, Counter]) -> None:
        """Take note of what was used of counters in fact."""
        self._counters |= used

    def begin(self, matches: Sequence[Match]) -> None:
        """A portion of events comes, to be decided in one or more runs: find anew which instances matter to them."""
        self._known.first = min((each.event.clock_at for each in matches), default=self._at) - self._terms.lateness
        [newest] = self._book.campaign_versions.values()
        self._batch.keep_on(
            self._known.list_crowded({(e.event.tenant_id, newest.quest_id, e.event.user_id) for e in matches})
        )

    def decide(self, matches: Sequence[Match], granted: Mapping[int, Sequence[PastGrant]]) -> list[Decided]:
        """What the campaign would have granted for these events of the portion, which come in the order of the log; `granted` is
        what others were, by the offset of the event.
        """
        instances = self._find_instances(matches)
        try:
            return self._decide_on(instances, matches, granted)
        except BaseException:
            self._batch = InstanceBatch(self._known)
            raise

    def reverse(self, reversal: PastReversal, book: Book) -> Sequence[TakenBack]:
        """Take back what a reversal takes under a book, and leave what was there before it to what comes now."""
        undone = self.reversals.reverse(reversal, book)
        if undone is None:
            return ()
        for each in undone.instances:
            self._known.put(each.place, each.instance)
        self._batch.keep_on({each.place[:3] for each in undone.instances})
        for credit in undone.credits:
            before = self._counters[credit.counter]
            self._counters[credit.counter] = Counter(before.used - credit.amount, before.version + 1)
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
        self._keep(settled, counters, instances)
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

    def _find_instances(self, matches: Sequence[Match]) -> InstanceBatch:
        """Those that matter to the events, as settle would find them; where all are found without a route, in less time."""
        if not self._terms.is_routed:
            return self._batch
        wanted = list_instances_to_lock(matches)
        self._batch = instances = InstanceBatch(self._known)
        if growing := instances.list_growing(wanted):
            instances.count({quest: self._known.count_waiting(quest, first) for quest, first in growing.items()})
        return instances

    def _keep(
        self, settled: Sequence[Settled], counters: Mapping[CounterKey, Counter], instances: InstanceBatch
    ) -> None:
        self._counters.update((key, counter) for key, counter in counters.items() if counter.version)
        for place, instance in instances.changed.items():
            self._known.put(place, instance)
        instances.keep_on(())
        for each in settled:
            if each.decision.outcome == "granted":
                self._held |= list_badges([each.request.wanted])


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
