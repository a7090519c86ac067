"""What settle decides on the rows it has locked: quests first, then every claim in log order against all its limits."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.book.version import Entry
from fillip.core.ledger.conflict import Winners, rank
from fillip.core.ledger.decision import Decision, DecisionReason, Outcome, identify_decision, identify_incentive
from fillip.core.ledger.stock import Room, Wanted
from fillip.core.limit import Counter, CounterKey, Touch, Use, take, weigh
from fillip.core.match.candidate import Candidate, Match
from fillip.core.match.reward_values import NoWorth
from fillip.core.quest.batch import InstanceKey, Quests

MAX_GRANTS = 1_000
"""Most grants of one event; what it would earn beyond, as it is ranked, is denied `too_many_grants`."""

UserKey = tuple[str, str]
"""(tenant, user)"""


class Claim(Struct, frozen=True):
    """A campaign that would grant `values`, one for each reward, for this event, unless `refused` for them.

    `instance` names the quest instance that it completes, '' for SIMPLE; `place` is where that stands in the ledger,
    `since` the place in the log of the event that it began with.
    """

    match: Match
    entry: Entry
    touches: Sequence[Touch]
    values: Sequence[int]
    refused: NoWorth | Literal["too_many_open"] | None = None
    instance: str = ""
    place: InstanceKey | None = None
    since: int = 0

    @property
    def wanted(self) -> Wanted:
        """What it would give, and to whom."""
        return *self.user, self.entry.campaign.rewards

    @property
    def user(self) -> UserKey:
        """Whose inbox a grant goes to."""
        return self.match.event.tenant_id, self.match.event.user_id


class Settled(Struct, frozen=True):
    """A claim with its decision; `incentives` are (id, reward index, inbox number), empty when denied.

    `codes` are the coupon codes that were taken, by reward index.
    """

    claim: Claim
    decision: Decision
    incentives: Sequence[tuple[UUID, int, int]] = ()
    codes: Mapping[int, str] = {}


def list_claims(matches: Sequence[Match], quests: Quests) -> Iterator[Sequence[Claim]]:
    """The claims of these matches in log order, those of one event as they are ranked; moves `quests` on.

    They come some at a time, and none while those of an event are still found. They are given to the ranking by
    priority, then by the start of what they complete (SIMPLE: the event itself), then by campaign.
    """
    for match in matches:
        claims: list[Claim] = []
        for candidate in match.candidates:
            claims += _claims_for(match, candidate, quests)
            yield ()
        if any(claim.place for claim in claims):
            claims.sort(key=lambda claim: (-claim.entry.campaign.priority, claim.since))
        yield rank(claims)


def list_all_claims(matches: Sequence[Match]) -> list[Claim]:
    """Every claim that may come of these matches, under whatever version, however their quests stand."""
    return [
        _claim(match, version) for match in matches for candidate in match.candidates for version in candidate.versions
    ]


def refuse_early(claim: Claim, caps: Mapping[tuple[str, str], int], seen: Mapping[CounterKey, Counter]) -> Use | None:
    """The first counter, of those `seen` by a plain read because a hint called them full, that has no room indeed."""
    return weigh([touch for touch in _cap(claim, caps) if touch.counter in seen], seen)[1]


def decide(
    claims: Sequence[tuple[Claim, Use | None]],
    counters: MutableMapping[CounterKey, Counter],
    caps: Mapping[tuple[str, str], int],
    heads: MutableMapping[UserKey, int],
    room: Room,
    quests: Quests,
    at: datetime,
) -> Iterator[Settled]:
    """Decide each claim in order on what the ones before it left over; moves `counters`, `heads` and `room` on.

    A claim is outranked by one of the same event that was granted and stands against it; one that was refused yields.
    An event that was granted MAX_GRANTS is granted no more, whatever the limits say.
    A claim comes with the use that refused it early, if one did. `caps` are the caps in force by (tenant, limit),
    read in this transaction: a limit that is gone caps nothing. `at` is only recorded.
    """
    match: Match | None = None
    winners = Winners()
    for claim, refused_by in claims:
        if claim.match is not match:
            match, winners = claim.match, Winners()
        winner = winners.find(claim.entry)
        touches = _cap(claim, caps)
        passed_over: DecisionReason | None = (
            "outranked" if winner else "too_many_grants" if winners.count >= MAX_GRANTS else None
        )
        uses = [refused_by] if refused_by and not passed_over else []
        if not refused_by and not passed_over:
            uses, refused_by = weigh(touches, counters)
        if reason := _find_reason(claim, passed_over, refused_by) or room.refuse(claim.wanted):
            if claim.place:
                quests.deny(claim.place)
            yield Settled(claim, _record(claim, "denied", reason, uses, at, winner))
            continue
        winners.add(claim.entry)
        take(touches, counters)
        decision = _record(claim, "granted", "granted", uses, at)
        yield Settled(claim, decision, _number(claim, decision, heads), room.take(claim.wanted))


def _find_reason(claim: Claim, passed_over: DecisionReason | None, refused_by: Use | None) -> DecisionReason | None:
    if claim.entry.is_paused:
        return "paused"
    if claim.match.late:
        return "late"
    return claim.refused or passed_over or ("limit" if refused_by else None)


def _cap(claim: Claim, caps: Mapping[tuple[str, str], int]) -> list[Touch]:
    return [
        touch if touch.cap == cap else replace(touch, cap=cap)
        for touch in claim.touches
        if (cap := caps.get((touch.counter.tenant_id, touch.counter.limit_id))) is not None
    ]


def _claims_for(match: Match, candidate: Candidate, quests: Quests) -> Iterator[Claim]:
    event, entry = match.event, candidate.entry
    if entry.campaign.quest is None or entry.is_paused:
        yield _claim(match, candidate)
    elif not match.late:
        completed, crowded = quests.advance(event, candidate)
        for one, version in completed:
            place = InstanceKey(event.tenant_id, entry.campaign_id, event.user_id, one.key, one.occurrence)
            yield replace(_claim(match, version), instance=one.name, place=place, since=one.start_offset)
        if crowded:
            yield replace(_claim(match, candidate), instance=crowded.name, touches=(), refused="too_many_open")


def _claim(match: Match, candidate: Candidate) -> Claim:
    what = (candidate.entry, candidate.touches, candidate.values, candidate.refused)
    return Claim(match, *what, since=match.event.place.offset)


def _record(
    claim: Claim,
    outcome: Outcome,
    reason: DecisionReason,
    uses: Sequence[Use],
    at: datetime,
    winner: str | None = None,
) -> Decision:
    event = claim.match.event
    return Decision(
        decision_id=identify_decision(
            event.tenant_id, claim.entry.campaign_id, claim.instance, event.source, event.event_id
        ),
        outcome=outcome,
        reason=reason,
        uses=uses,
        local_day=event.book.tenant.local_day(event.occurred_at),
        decided_at=at,
        outranked_by=winner if reason == "outranked" else None,
    )


def _number(claim: Claim, decision: Decision, heads: MutableMapping[UserKey, int]) -> list[tuple[UUID, int, int]]:
    numbered = []
    for index in range(len(claim.entry.campaign.rewards)):
        heads[claim.user] = heads.get(claim.user, 0) + 1
        numbered.append((identify_incentive(decision.decision_id, index), index, heads[claim.user]))
    return numbered
