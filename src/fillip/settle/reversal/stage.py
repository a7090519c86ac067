"""What a reversal does in the ledger's transaction, in the one lock order of all writers.

Order: originals (events), quests, incentives, limits (shared only: nobody who changes one waits for a quest), user counters, wallets, inbox, shared counters; sorted within each.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Protocol
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.event import Event
from fillip.core.limit import Counter, CounterKey
from fillip.core.questing import InstanceKey
from fillip.core.reversal import (
    REVERSAL,
    Grant,
    Past,
    Returned,
    ReversalState,
    Reverse,
    Rule,
    Taken,
    give_back,
    read_reversal,
    take_back,
    weigh_reversal,
)
from fillip.core.undoing import Going, Undone, list_involved, undo
from fillip.core.wallet import POINTS, Taking

EventKey = tuple[str, str]
"""(tenant, event id)"""


class Asked(Struct, frozen=True):
    """A reversal that was asked for. `user_id` is whom it says that the original belongs to."""

    tenant_id: str
    reversal_id: str
    user_id: str
    order: Reverse
    occurred_at: datetime
    received_at: datetime
    partition: int = 0
    offset: int = 0

    @property
    def original(self) -> EventKey:
        """The event that it takes back."""
        return self.tenant_id, self.order.event_id


def ask(event: Event) -> Asked:
    """What a reversal event asks for; ingest has read it before."""
    place, order = event.place, read_reversal(event.attributes)
    when = (event.occurred_at, event.received_at)
    return Asked(event.tenant_id, event.event_id, event.user_id, order, *when, place.partition, place.offset)


class Original(Struct, frozen=True):
    """A recorded event."""

    user_id: str
    action: str


class Given(Struct, frozen=True):
    """What a counter got back: the proof, in the form of a decision's use."""

    limit_id: str
    user_id: str
    key: str
    window_start: date
    version: int
    used_before: int
    amount: int


class Reversed(Struct, frozen=True):
    """A reversal with what came of it."""

    asked: Asked
    state: ReversalState
    reason: str
    taken: Sequence[tuple[Grant, Taken]] = ()
    given: Sequence[Given] = ()
    undone: Sequence[Undone] = ()


class Reversals(Protocol):
    """The reversals' part of one open transaction of the ledger; its methods are called in the order they stand."""

    async def meet_originals(self, asked: Sequence[Asked]) -> Mapping[EventKey, Original]:
        """Lock the originals, sorted; where one is not known yet, leave a row that it will find."""

    async def find_waiting(self, originals: Collection[EventKey]) -> Sequence[Asked]:
        """The reversals that wait for these, in their order."""

    async def read_past(self, originals: Collection[EventKey]) -> Mapping[EventKey, Past]:
        """What applied reversals have taken."""

    async def lock_goings(self, originals: Sequence[tuple[str, str, str]]) -> dict[InstanceKey, Going]:
        """The quest instances that these (tenant, event, user) took part in, locked."""

    async def find_grants(self, originals: Collection[EventKey]) -> Mapping[EventKey, Sequence[Grant]]:
        """What was granted for these, the incentives locked."""

    async def share_rules(self, limits: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], Rule]:
        """(tenant, limit) → what it counts, kept from changing until the end."""

    async def take_points(self, takings: Sequence[Taking], at: datetime) -> Mapping[UUID, int]:
        """Take points out of wallets; by incentive what is short, because the wallet may not be overdrawn further."""

    async def write(self, reversed_: Sequence[Reversed], counters: Mapping[CounterKey, tuple[Counter, int]]) -> None:
        """Store what was done, the counters moved with their limits' caps, and tell the users."""


class Locks(Protocol):
    """The locks that reversals share with grants."""

    async def lock_counters(self, counters: Sequence[CounterKey]) -> dict[CounterKey, Counter]:
        """Counters by themselves until the end; a missing one is at 0."""

    async def lock_heads(self, users: Sequence[tuple[str, str]]) -> object:
        """Inboxes of users until the end."""


async def reverse(
    ledger: Reversals, locks: Locks, asked: Sequence[Asked], known: Mapping[EventKey, Original]
) -> list[Reversed]:
    """Do what can be done of `asked`, in order; `known` are the originals that are recorded, locked."""
    return [done for some in _split(asked) for done in await _reverse(ledger, locks, some, known)]


def _split(asked: Sequence[Asked]) -> Iterator[list[Asked]]:
    """Rounds in their order in which no original stands twice: each change of an incentive is told by itself."""
    taken: dict[EventKey, Asked] = {}
    for each in asked:
        if each.original in taken:
            yield list(taken.values())
            taken = {}
        taken[each.original] = each
    if taken:
        yield list(taken.values())


async def _reverse(
    ledger: Reversals, locks: Locks, asked: Sequence[Asked], known: Mapping[EventKey, Original]
) -> list[Reversed]:
    originals = sorted({each.original for each in asked})
    past = await ledger.read_past(originals)
    goings = await ledger.lock_goings(sorted({(*each.original, each.user_id) for each in asked}))
    completing = {
        (place.tenant_id, going.contributions[-1].event_id) for place, going in goings.items() if going.contributions
    }
    grants = await ledger.find_grants(sorted({*originals, *completing}))
    limits = sorted({(key[0], use.limit_id) for key, some in grants.items() for grant in some for use in grant.uses})
    rules = await ledger.share_rules(limits) if limits else {}
    facts = _Facts(known, past, grants, rules, goings)
    plans = [_plan(each, facts) for each in asked]
    counters, short = await _lock(ledger, locks, plans)
    moved: dict[CounterKey, tuple[Counter, int]] = {}
    done = [_apply(plan, counters, short, rules, moved) for plan in plans]
    await ledger.write(done, moved)
    return done


class _Facts(Struct, frozen=True):
    """What was read under the locks; `goings` move on."""

    known: Mapping[EventKey, Original]
    past: Mapping[EventKey, Past]
    grants: Mapping[EventKey, Sequence[Grant]]
    rules: Mapping[tuple[str, str], Rule]
    goings: dict[InstanceKey, Going]


class _Plan(Struct, frozen=True):
    result: Reversed
    returned: Sequence[Returned] = ()


def _plan(asked: Asked, facts: _Facts) -> _Plan:
    original, direct = facts.known.get(asked.original), facts.grants.get(asked.original, ())
    owner = original.user_id if original else next((grant.user_id for grant in direct), None)
    if owner is None:
        return _Plan(Reversed(asked, "waiting", "unknown_event"))
    if owner != asked.user_id:
        return _Plan(Reversed(asked, "refused", "other_user"))
    if original and original.action == REVERSAL:
        return _Plan(Reversed(asked, "refused", "is_a_reversal"))
    before = facts.past.get(asked.original, Past())
    after = weigh_reversal(asked.order, before)
    if isinstance(after, tuple):
        return _Plan(Reversed(asked, *after))
    involved = list_involved(facts.goings, *asked.original)
    undone = undo(facts.goings, *asked.original, after.share)
    earned = [(grant, before.share, after.share) for grant in direct if not grant.instance]
    earned += [(grant, Fraction(0), Fraction(1)) for grant in _list_lost(asked, undone, facts)]
    if not earned and not involved:
        return _Plan(Reversed(asked, "nothing", "earned_nothing"))
    mine = {limit_id: rule for (tenant_id, limit_id), rule in facts.rules.items() if tenant_id == asked.tenant_id}
    taken = [(grant, each) for grant, _, share in earned for each in take_back(grant, share)]
    returned = [each for grant, *shares in earned for each in give_back(asked.tenant_id, grant, mine, *shares)]
    return _Plan(Reversed(asked, "applied", "applied", taken, undone=undone), returned)


def _list_lost(asked: Asked, undone: Sequence[Undone], facts: _Facts) -> list[Grant]:
    """The grants of quests that are no longer complete."""
    return [
        grant
        for each in undone
        for grant in facts.grants.get((asked.tenant_id, each.completed_by or ""), ())
        if (grant.campaign_id, grant.instance) == (each.place.campaign_id, each.instance.name)
    ]


async def _lock(
    ledger: Reversals, locks: Locks, plans: Sequence[_Plan]
) -> tuple[dict[CounterKey, Counter], Mapping[UUID, int]]:
    """The counters to give back to, and what is short in the wallets, from which the points are taken in between."""
    touched = sorted({each.counter for plan in plans for each in plan.returned})
    own = [counter for counter in touched if counter.user_id]
    shared = [counter for counter in touched if not counter.user_id]
    counters = await locks.lock_counters(own) if own else {}
    takings = [taking for plan in plans for taking in _list_takings(plan.result)]
    short = await ledger.take_points(takings, datetime.now(UTC)) if takings else {}
    told = {(plan.result.asked.tenant_id, grant.user_id) for plan in plans for grant, _ in plan.result.taken}
    if told:
        await locks.lock_heads(sorted(told))
    if shared:
        counters |= await locks.lock_counters(shared)
    return counters, short


def _list_takings(result: Reversed) -> Iterator[Taking]:
    asked = result.asked
    for grant, taken in result.taken:
        held = next(held for held in grant.incentives if held.incentive_id == taken.incentive_id)
        if held.kind == "points" and taken.value:
            wallet = (asked.tenant_id, grant.user_id, held.currency or POINTS)
            yield Taking(wallet, asked.reversal_id, taken.incentive_id, taken.value)


def _apply(
    plan: _Plan,
    counters: dict[CounterKey, Counter],
    short: Mapping[UUID, int],
    rules: Mapping[tuple[str, str], Rule],
    moved: dict[CounterKey, tuple[Counter, int]],
) -> Reversed:
    given = []
    for each in plan.returned:
        key, before = each.counter, counters[each.counter]
        name = (key.limit_id, key.user_id, key.key, key.window_start)
        given.append(Given(*name, before.version, before.used, each.amount))
        counters[key] = Counter(before.used - each.amount, before.version + 1)
        moved[key] = counters[key], rules[key.tenant_id, key.limit_id].cap
    taken = [(grant, replace(each, short=short.get(each.incentive_id, 0))) for grant, each in plan.result.taken]
    return replace(plan.result, taken=taken, given=given)
