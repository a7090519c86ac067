"""What settle decides on the rows it has locked: quests first, then every grant request in log order against its limits."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.book.version import CampaignVersion
from fillip.core.campaign.reward import Reward
from fillip.core.ledger.conflict import Winners, rank
from fillip.core.ledger.decision import Decision, DecisionReason, Outcome, identify_decision, identify_incentive
from fillip.core.ledger.stock import Stock, WantedRewards
from fillip.core.limit import Counter, CounterKey, CounterUse, LimitCharge, cut, take, weigh
from fillip.core.match.candidate import Candidate, Match, is_barred
from fillip.core.match.reward_values import ValueRefusal
from fillip.core.quest.batch import InstanceBatch, InstanceKey
from fillip.core.repair import REPAIR, RepairRefusal

MAX_GRANTS = 1_000
"""Most grants of one event; what it would earn beyond, as it is ranked, is denied `too_many_grants`."""

UserKey = tuple[str, str]
"""(tenant, user)"""


class GrantRequest(Struct, frozen=True):
    """A campaign that would grant `values`, one for each of all its rewards, for this event, unless `refused` for them.

    `rewards` are those that the user's `variant` gets, by their index; all where the campaign has no variants.
    `wanted_values` are what `values` were before limits gave what was left.
    `instance` names the quest instance that it completes, '' for SIMPLE; `place` is where that stands in the ledger,
    `since` the place in the log of the event that it began with.
    """

    match: Match
    campaign_version: CampaignVersion
    charges: Sequence[LimitCharge]
    values: Sequence[int]
    rewards: Mapping[int, Reward]
    variant: str | None = None
    refused: ValueRefusal | Literal["too_many_open"] | RepairRefusal | None = None
    instance: str = ""
    place: InstanceKey | None = None
    since: int = 0
    wanted_values: Sequence[int] | None = None

    @property
    def wanted(self) -> WantedRewards:
        """What it would give, and to whom."""
        return *self.user, self.rewards

    @property
    def takes_nothing(self) -> bool:
        """Whether it is denied whatever else stands."""
        return self.campaign_version.is_shadow or is_barred(self.match.event, self.campaign_version)

    @property
    def user(self) -> UserKey:
        """Whose inbox a grant goes to."""
        return self.match.event.tenant_id, self.match.event.user_id


class NewIncentive(Struct, frozen=True):
    """What was granted of the reward at `reward_index`; `inbox_seq` is its number in the user's inbox."""

    incentive_id: UUID
    reward_index: int
    inbox_seq: int


class Settled(Struct, frozen=True):
    """A grant request with its decision; `incentives` is empty when denied.

    `codes` are the coupon codes that were taken, by reward index.
    """

    request: GrantRequest
    decision: Decision
    incentives: Sequence[NewIncentive] = ()
    codes: Mapping[int, str] = {}


def list_requests(matches: Sequence[Match], instances: InstanceBatch) -> Iterator[Sequence[GrantRequest]]:
    """The requests of these matches in log order, those of one event as they are ranked; moves `instances` on.

    They come some at a time, and none while those of an event are still found. They are given to the ranking by
    priority, then by the start of what they complete (SIMPLE: the event itself), then by campaign. Those in shadow come
    behind, so that nobody else has another place.
    """
    for match in matches:
        requests: list[GrantRequest] = []
        for candidate in match.candidates:
            requests += _list_requests_of(match, candidate, instances)
            yield ()
        if not requests:  # mostly, of quests
            continue
        if any(request.place for request in requests):
            requests.sort(key=lambda request: (-request.campaign_version.campaign.priority, request.since))
        shadows = [request for request in requests if request.campaign_version.is_shadow]
        others = [request for request in requests if not request.campaign_version.is_shadow]
        yield [*rank(others), *shadows] if shadows else rank(requests)


def list_all_requests(matches: Sequence[Match]) -> list[GrantRequest]:
    """Every request that may come of these matches, under whatever version, however their quests stand."""
    return [
        _build_request(match, version)
        for match in matches
        for candidate in match.candidates
        for version in candidate.versions
    ]


def refuse_early(
    request: GrantRequest, caps: Mapping[tuple[str, str], int], seen: Mapping[CounterKey, Counter]
) -> CounterUse | None:
    """The first counter, of those `seen` by a plain read because a hint called them full, that has no room indeed.

    Where limits may give what is left, those by value are not asked early: how much they will be asked for depends on all of them.
    """
    charges = _cap(request, caps)
    if any(charge.over == "partial" for charge in charges):
        charges = [charge for charge in charges if charge.counted is None]
    return weigh([charge for charge in charges if charge.counter in seen], seen)[1]


def decide(
    requests: Sequence[tuple[GrantRequest, CounterUse | None]],
    counters: MutableMapping[CounterKey, Counter],
    caps: Mapping[tuple[str, str], int],
    inbox_heads: MutableMapping[UserKey, int],
    stock: Stock,
    instances: InstanceBatch,
    at: datetime,
    open_winners: Callable[[GrantRequest], Winners] = lambda _: Winners(),
) -> Iterator[Settled]:
    """Decide requests in order; each sees what earlier grants consumed. Mutates `counters`, `inbox_heads` and `stock`.

    A request is outranked by one of the same event that was granted and stands against it; one that was refused yields.
    An event that was granted MAX_GRANTS is granted no more, whatever the limits say.
    A request comes with the use that refused it early, if one did. `caps` are the caps in force by (tenant, limit),
    read in this transaction: a limit that is gone caps nothing. `at` is only recorded. `open_winners` says, by the first
    request of an event, who has won it before: nobody, but where the past is decided once more.
    """
    match: Match | None = None
    winners = Winners()
    for request, refused_by in requests:
        if request.match is not match:
            match, winners = request.match, open_winners(request)
        charges = _cap(request, caps)
        turn = _take_turn(request.campaign_version, charges, request.values, winners, counters, refused_by)
        if reason := _find_reason(request, turn.passed_over, turn.refused_by) or stock.refuse(request.wanted):
            if request.place and reason != "shadow":  # which stays complete, as it would be
                instances.deny(request.place)
            yield Settled(request, _record(request, "denied", reason, turn.uses, at, turn.winner))
            continue
        winners.add(request.campaign_version)
        take(turn.charges, counters)
        if turn.values is not request.values:
            request = replace(request, values=turn.values, wanted_values=request.values)
        decision = _record(request, "granted", "granted", turn.uses, at)
        yield Settled(request, decision, _number(request, decision, inbox_heads), stock.take(request.wanted))


def find_winner(
    asked: CampaignVersion, candidates: Sequence[Candidate], counters: MutableMapping[CounterKey, Counter]
) -> str | None:
    """The campaign that wins an event before `asked` and leaves it nothing, as `decide` would find it; None where none does.

    `candidates` are all that would grant for the event, `asked` too, by priority and campaign id; `counters` are those of
    their charges, and are moved on.
    """
    winners = Winners()
    for candidate in rank(candidates):
        turn = _take_turn(candidate.campaign_version, candidate.charges, candidate.values, winners, counters)
        if candidate.campaign_version is asked:
            return turn.winner
        if not turn.passed_over and not turn.refused_by:
            winners.add(candidate.campaign_version)
            take(turn.charges, counters)
    return None


class _Turn(Struct, frozen=True):
    """What one campaign's turn at an event comes to: the `winner` that outranks it or why else it is passed over, else
    its limits and the first without room, with what it takes and gives.
    """

    winner: str | None
    passed_over: Literal["outranked", "too_many_grants"] | None
    uses: Sequence[CounterUse]
    refused_by: CounterUse | None
    charges: Sequence[LimitCharge] = ()
    values: Sequence[int] = ()


def _take_turn(
    campaign_version: CampaignVersion,
    charges: Sequence[LimitCharge],
    values: Sequence[int],
    winners: Winners,
    counters: Mapping[CounterKey, Counter],
    refused_by: CounterUse | None = None,
) -> _Turn:
    """Look at the winners before it, then at its limits unless one refused it early; takes nothing yet."""
    if winner := winners.find(campaign_version):
        return _Turn(winner, "outranked", (), refused_by)
    if winners.count >= MAX_GRANTS:
        return _Turn(None, "too_many_grants", (), refused_by)
    uses = [refused_by] if refused_by else []
    if not refused_by:
        charges, values = cut(charges, values, counters)
        uses, refused_by = weigh(charges, counters)
    return _Turn(None, None, uses, refused_by, charges, values)


def _find_reason(
    request: GrantRequest, passed_over: DecisionReason | None, refused_by: CounterUse | None
) -> DecisionReason | None:
    if request.campaign_version.is_paused:
        return "paused"
    if request.match.event.held_out:
        return "holdout"
    if request.variant is not None and not request.rewards:
        return "control"
    if request.match.late:
        return "late"
    if request.refused:
        return request.refused
    if request.campaign_version.is_shadow:
        return "shadow"
    return passed_over or ("limit" if refused_by else None)


def _cap(request: GrantRequest, caps: Mapping[tuple[str, str], int]) -> list[LimitCharge]:
    return [
        charge if charge.cap == cap else replace(charge, cap=cap)
        for charge in request.charges
        if (cap := caps.get((charge.counter.tenant_id, charge.counter.limit_id))) is not None
    ]


def _list_requests_of(match: Match, candidate: Candidate, instances: InstanceBatch) -> Iterator[GrantRequest]:
    event, campaign_version = match.event, candidate.campaign_version
    if campaign_version.campaign.quest is None or is_barred(event, campaign_version):
        yield _build_request(match, candidate)
    elif event.action == REPAIR:
        yield from _list_repaired(match, candidate, instances)
    elif not match.late:
        completed, crowded = instances.advance(event, candidate)
        for one, version in completed:
            place = InstanceKey(event.tenant_id, campaign_version.quest_id, event.user_id, one.key, one.occurrence)
            yield replace(_build_request(match, version), instance=one.name, place=place, since=one.start_offset)
        if crowded:
            yield replace(_build_request(match, candidate), instance=crowded.name, charges=(), refused="too_many_open")


def _list_repaired(match: Match, candidate: Candidate, instances: InstanceBatch) -> Iterator[GrantRequest]:
    """The request of a repair that completes its instance, or is refused; none of one that the streak only goes on by."""
    repaired = instances.repair(match.event, candidate)
    one, request = repaired.instance, _build_request(match, repaired.candidate)
    if repaired.refused:
        name = one.name if one else ""
        yield replace(request, instance=name, charges=(), refused=repaired.refused)
    elif one and one.state == "completed":
        quest = (match.event.tenant_id, candidate.campaign_version.quest_id, match.event.user_id)
        place = InstanceKey(*quest, one.key, one.occurrence)
        yield replace(request, instance=one.name, place=place, since=one.start_offset)


def _build_request(match: Match, candidate: Candidate) -> GrantRequest:
    campaign_version = candidate.campaign_version
    variant = match.event.find_variant(campaign_version)
    return GrantRequest(
        match=match,
        campaign_version=campaign_version,
        charges=candidate.charges,
        values=candidate.values,
        rewards=campaign_version.campaign.list_rewards(variant),
        variant=variant,
        refused=candidate.refused,
        since=match.event.place.offset,
    )


def _record(
    request: GrantRequest,
    outcome: Outcome,
    reason: DecisionReason,
    uses: Sequence[CounterUse],
    at: datetime,
    winner: str | None = None,
) -> Decision:
    event = request.match.event
    return Decision(
        decision_id=identify_decision(
            event.tenant_id, request.campaign_version.quest_id, request.instance, event.source, event.event_id
        ),
        outcome=outcome,
        reason=reason,
        uses=uses,
        local_day=event.day,
        decided_at=at,
        outranked_by=winner if reason == "outranked" else None,
    )


def _number(request: GrantRequest, decision: Decision, inbox_heads: MutableMapping[UserKey, int]) -> list[NewIncentive]:
    numbered = []
    for index in request.rewards:
        inbox_heads[request.user] = inbox_heads.get(request.user, 0) + 1
        incentive_id = identify_incentive(decision.decision_id, index)
        numbered.append(NewIncentive(incentive_id, index, inbox_heads[request.user]))
    return numbered
