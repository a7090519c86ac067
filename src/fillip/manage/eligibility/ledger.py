"""What the ledger has to say for a trial, and the trial itself: settled on paper, by the code that settles. Pure."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from fillip.core.event import Event
from fillip.core.ledger.settlement import Settled, decide, list_all_requests, list_requests
from fillip.core.ledger.stock import BadgeKey, PoolKey, Stock, count_codes, list_badges
from fillip.core.limit import Counter, CounterKey, LimitCharge, cut, weigh
from fillip.core.match.candidate import Match
from fillip.core.quest.batch import InstanceBatch, QuestKey, list_instances_to_lock
from fillip.core.quest.instance import MAX_TOGETHER, Instance
from fillip.manage.eligibility.narrow import Narrowing
from fillip.manage.eligibility.near import NearMiss


class Needed(Struct, frozen=True):
    """What has to be known to settle some matches: counters by what they are charged, free codes, badges, instances by quest.

    `first` is the least end of an instance that may still count.
    """

    charges: Sequence[LimitCharge] = ()
    codes: Mapping[PoolKey, int] = {}
    badges: Collection[BadgeKey] = ()
    quests: Collection[QuestKey] = ()
    first: datetime | None = None

    def beyond(self, known: "Needed") -> "Needed":
        """The part of this that is not known yet."""
        counters = {charge.counter for charge in known.charges}
        earlier = self.first and known.first and self.first < known.first
        return Needed(
            charges=[charge for charge in self.charges if charge.counter not in counters],
            codes={pool: count for pool, count in self.codes.items() if count > known.codes.get(pool, 0)},
            badges={*self.badges} - {*known.badges},
            quests=[quest for quest in self.quests if earlier or quest not in known.quests],
            first=self.first,
        )

    @property
    def asks(self) -> bool:
        """Whether there is anything to read."""
        return bool(self.charges or self.codes or self.badges or self.quests)


class LedgerState(Struct, frozen=True):
    """What the ledger has of that."""

    counters: Mapping[CounterKey, Counter] = {}
    codes: Mapping[PoolKey, int] = {}
    badges: Collection[BadgeKey] = ()
    instances: Mapping[QuestKey, Sequence[Instance]] = {}

    def join(self, other: "LedgerState") -> "LedgerState":
        """Both together."""
        return LedgerState(
            counters={**self.counters, **other.counters},
            codes={**self.codes, **other.codes},
            badges={*self.badges, *other.badges},
            instances={**self.instances, **other.instances},
        )


class Paper(Struct, frozen=True):
    """What settling a match would leave: its decisions, and the instances that it would have moved."""

    settled: Sequence[Settled] = ()
    moved: Mapping[QuestKey, Sequence[Instance]] = {}


def list_needed(matches: Sequence[Match]) -> Needed:
    """What settling each of these, by itself, may ask for."""
    requests = list_all_requests(matches)
    wanted = [request.wanted for request in requests]
    instances = list_instances_to_lock(matches)
    return Needed(
        charges=[charge for request in requests for charge in request.charges],
        codes={
            pool: count * MAX_TOGETHER for pool, count in count_codes(wanted).items()
        },  # of a quest, for each instance
        badges=list_badges(wanted),
        quests=list(instances.quests),
        first=min((span.first for span in instances.quests.values()), default=None),
    )


def settle_on_paper(match: Match, ledger: LedgerState, at: datetime) -> Paper:
    """Decide an event as settle would with what is there; `ledger` stay as they are."""
    instances = InstanceBatch(ledger.instances)
    requests = [(request, None) for some in list_requests([match], instances) for request in some]
    caps = {(charge.counter.tenant_id, charge.counter.limit_id): charge.cap for charge in match.charges}
    counters = dict(ledger.counters)
    stock = Stock({pool: ["-"] * count for pool, count in ledger.codes.items()}, ledger.badges)
    settled = list(decide(requests, counters, caps, {}, stock, instances, at))
    for counter in ledger.counters.values():
        if counter.parts:
            counter.parts.roll_back()
    moved: dict[QuestKey, list[Instance]] = {}
    for place, instance in instances.changed.items():
        moved.setdefault(place[:3], []).append(instance)
    return Paper(settled, moved)


def stands_alone(miss: NearMiss, event: Event, narrowing: Narrowing) -> bool:
    """Whether of campaigns that all stack nothing that others are granted for the same event can keep this one, which `fits_alone`, from its grant.

    A limit of its own is charged by nobody else; what others share must have room for all that an event may be granted.
    """
    campaign = miss.campaign_version.campaign
    if campaign.exclusive is not None:
        return False
    given = campaign.list_rewards(event.find_variant(miss.campaign_version)).values()
    if any(reward.pool or reward.badge for reward in given):
        return False
    return not any(narrowing.is_shared(charge) or charge.over == "partial" for charge in miss.charges)


def fits_alone(miss: NearMiss, ledger: LedgerState) -> bool:
    """Whether its limits have room for some of it at least, if nobody else takes any."""
    charges, _ = cut(miss.charges, miss.values, ledger.counters)
    return weigh(charges, ledger.counters)[1] is None
