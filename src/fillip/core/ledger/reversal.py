"""Reversals: an event taken back, in full or in part, and with it what it earned. Pure.

A part is a share of the original event: `amount` of `of`, or lines whose amounts are added. Shares of one original add
up exactly, as fractions. So do the pieces of one line: they may reach the whole of the line, where one of them has told
it (nobody has at the purchase), and in any case the whole of the original.

Of the rewards of SIMPLE campaigns a part takes by what each says `on_partial`: `prorate`, which amounts (points, cashback)
do where they say nothing, floor(value x share so far) less what was to be taken before, so that parts never take more than
the whole and the last one takes the rest; `keep`, as all else does, nothing before the whole; `reevaluate` what
core.ledger.reevaluation finds. A use that counts grants goes with the whole grant alone; the reward of a quest goes, in whole,
when its instance is no longer complete (core.quest.reversal).
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct, ValidationError, convert
from msgspec.structs import replace

from fillip.core.campaign.reward import OnPartial
from fillip.core.campaign.reward_kind import KINDS
from fillip.core.errors import Unreadable
from fillip.core.ledger.settlement import Settled
from fillip.core.limit import CounterKey, CounterUse, Limit, Measure
from fillip.core.naming import MAX_ID_BYTES, MAX_SOURCE_BYTES, fits

MOST_DENOMINATOR_BITS = 2048
"""Parts of one original that are given of ever other wholes have a sum that grows without end: beyond this they are
refused. Dozens of unrelated wholes fit; parts of one whole never come near."""

ReversalState = Literal["waiting", "applied", "nothing", "refused"]
ReversalReason = Literal[
    "applied",
    "unknown_event",
    "earned_nothing",
    "already_reversed",
    "exceeds_whole",
    "too_many_wholes",
    "line_already_reversed",
    "exceeds_line",
    "other_line_whole",
    "other_user",
    "is_a_reversal",
    "unreadable_after",
]
_Amount = Annotated[int, Meta(ge=1, le=2**53)]
_Name = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES)]
_Source = Annotated[str, Meta(min_length=1, max_length=MAX_SOURCE_BYTES)]


class Line(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A piece of a line of the original, by a name that is the sender's. `of`: the whole of the line, None: not told."""

    line: _Name
    amount: _Amount
    of: _Amount | None = None


class ReversalRequest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a reversal event says: of `event_id` take back all, or `amount` or `lines` of `of` (one unit for all).

    Without `event_source` the original is of the reversal's own source. `after` are the attributes of the original as they are
    when a part is gone.
    """

    event_id: _Name
    event_source: _Source | None = None
    amount: _Amount | None = None
    lines: Annotated[tuple[Line, ...], Meta(max_length=200)] = ()
    of: _Amount | None = None
    after: dict[str, object] | None = None
    reason: Annotated[str, Meta(max_length=500)] | None = None

    @property
    def share(self) -> Fraction | None:
        """Of the original; None for all that is left."""
        if self.of is None:
            return None
        return Fraction(self.amount or sum(line.amount for line in self.lines), self.of)

    @property
    def line_names(self) -> frozenset[str]:
        """The lines it takes back."""
        return frozenset(line.line for line in self.lines)


class TakenLine(Struct, frozen=True):
    """What reversals have taken of a line, and its whole where one of them has told it: both as shares of the original."""

    share: Fraction = Fraction(0)
    whole: Fraction | None = None


class Reevaluation(Struct, frozen=True):
    """What asking again for one incentive came to: whether the campaign's rule was `met` by what is left of the event, and what the
    reward would be `worth` for it, 0 where the rule is not met; None where the reversal did not tell what is left.

    `taken` is what all reversals so far were to take of it, `whole`: nothing is left of it, for good.
    """

    incentive_id: UUID
    met: bool | None
    worth: int | None
    taken: int
    whole: bool = False


class ReversedSoFar(Struct, frozen=True):
    """What reversals have taken of one original so far; of `lines` at least those that are asked for now, and of each
    incentive that parts ask for again what that came to.
    """

    share: Fraction = Fraction(0)
    lines: Mapping[str, TakenLine] = {}
    reevaluated: Mapping[UUID, Reevaluation] = {}


NOTHING_YET, WHOLE = ReversedSoFar(), ReversedSoFar(Fraction(1))


class GrantedIncentive(Struct, frozen=True):
    """An incentive as it stands; `on_partial` as its reward says it, None: as is usual for its kind."""

    incentive_id: UUID
    kind: str
    value: int
    currency: str | None
    reversed_value: int
    state: str
    reward_index: int
    on_partial: OnPartial | None = None


class Grant(Struct, frozen=True):
    """A granted decision with its uses and incentives. `instance` names that of a quest, '' for SIMPLE."""

    decision_id: UUID
    campaign_id: str
    user_id: str
    instance: str
    give_back: bool
    uses: Sequence[CounterUse]
    incentives: Sequence[GrantedIncentive]


class LimitTerms(Struct, frozen=True):
    """What a limit counts, and its cap in force."""

    measure: Measure
    reward_kind: str | None
    currency: str | None
    per_user: bool
    cap: int


class IncentiveReversal(Struct, frozen=True):
    """`value` taken of an incentive; `whole`: nothing is left of it. `was` is its state before.

    `short`: of points, what was to be taken too and could not be: it had expired, or the wallet may not be overdrawn so
    far. `value` is without it.
    """

    incentive_id: UUID
    value: int
    whole: bool
    was: str
    short: int = 0


class InboxUpdate(Struct, frozen=True):
    """What a user is told of an incentive: `seq` is its number in the inbox, `reversed_value` what is taken by now."""

    incentive_id: UUID
    user_id: str
    seq: int
    value: int
    reversed_value: int


class CounterCredit(Struct, frozen=True):
    """`amount` given back to a counter, in rolling windows to the `part` that it was taken of."""

    counter: CounterKey
    amount: int
    part: int | None = None


def read_reversal(data: Mapping[str, object]) -> ReversalRequest:
    """The data of a reversal event. Raises Unreadable."""
    try:
        request = convert(data, ReversalRequest)
    except ValidationError as error:
        raise Unreadable("schema_violation", f"not a reversal: {error}") from None
    if not all(map(fits, (request.event_id, *request.line_names))):
        raise Unreadable(
            "schema_violation", f"an id or line is longer than {MAX_ID_BYTES} bytes in UTF-8", at="/event_id"
        )
    if not fits(request.event_source or "", MAX_SOURCE_BYTES):
        raise Unreadable(
            "schema_violation", f"event_source is longer than {MAX_SOURCE_BYTES} bytes in UTF-8", at="/event_source"
        )
    parts = (request.amount is not None) + bool(request.lines)
    if parts > 1:
        raise Unreadable("schema_violation", "give amount or lines, not both", at="/lines")
    if parts != (request.of is not None):
        raise Unreadable(
            "schema_violation", "a part needs amount or lines, and of: the whole in the same unit", at="/of"
        )
    if request.after is not None and not parts:
        message = "goes with a part, of which it tells what is left: what takes the whole back leaves nothing"
        raise Unreadable("schema_violation", message, at="/after")
    if len(request.line_names) < len(request.lines):
        raise Unreadable("schema_violation", "line names must be unique", at="/lines")
    if (request.share or 0) > 1:
        raise Unreadable("schema_violation", "a part can't be more than the whole", at="/of")
    for at, line in enumerate(request.lines):
        if line.of is not None and not line.amount <= line.of <= (request.of or 0):
            message = "the whole of a line is at least its amount, and at most the whole of the event"
            raise Unreadable("schema_violation", message, at=f"/lines/{at}/of")
    return request


def weigh_reversal(
    request: ReversalRequest, so_far: ReversedSoFar
) -> ReversedSoFar | tuple[ReversalState, ReversalReason]:
    """What will have been taken after `request`, or why it takes nothing: (state, reason)."""
    if so_far.share == 1:
        return "nothing", "already_reversed"
    if request.share is None:
        return replace(so_far, share=Fraction(1))
    lines = dict(so_far.lines)
    for line in request.lines:
        piece = _weigh_line(line, request.of or 1, lines.get(line.line, TakenLine()))
        if not isinstance(piece, TakenLine):
            return "refused", piece
        lines[line.line] = piece
    share = so_far.share + request.share
    if share > 1:
        return "refused", "exceeds_whole"
    sums = [share, *(lines[line.line].share for line in request.lines)]
    if any(each.denominator.bit_length() > MOST_DENOMINATOR_BITS for each in sums):
        return "refused", "too_many_wholes"
    return replace(so_far, share=share, lines=lines)


def reach(incentive: GrantedIncentive, grant: Grant, so_far: ReversedSoFar) -> tuple[int, bool]:
    """What is to be taken of an incentive in all by then, and whether nothing is left of it."""
    if so_far.share == 1:
        return incentive.value, True
    if asked := so_far.reevaluated.get(incentive.incentive_id):
        return asked.taken, asked.whole
    divisible = bool(KINDS[incentive.kind].list_currencies) and not grant.instance and incentive.on_partial != "keep"
    return int(incentive.value * so_far.share) if divisible else 0, False


def take_back(grant: Grant, before: ReversedSoFar, after: ReversedSoFar) -> list[IncentiveReversal]:
    """What is taken of a grant's incentives when what is reversed goes from `before` to `after`; of an expired one
    nothing. What came short before is not asked for again.
    """
    taken = []
    for incentive in grant.incentives:
        (reached, whole), (reached_before, _) = (reach(incentive, grant, each) for each in (after, before))
        value = 0 if incentive.state == "expired" else reached - reached_before
        if incentive.state != "reversed" and (value > 0 or whole):
            taken.append(IncentiveReversal(incentive.incentive_id, value, whole, incentive.state))
    return taken


def give_back(
    tenant_id: str, grant: Grant, limit_terms: Mapping[str, LimitTerms], before: ReversedSoFar, after: ReversedSoFar
) -> list[CounterCredit]:
    """What the counters of a grant get back when what is reversed goes from `before` to `after`.

    A counter gets back what its own window gave, however long ago; a limit that is gone counts nothing.
    """
    if not grant.give_back:
        return []
    credited = []
    for use in grant.uses:
        if terms := limit_terms.get(use.limit_id):
            amount = _measure_credit(use, terms, grant, after) - _measure_credit(use, terms, grant, before)
            if amount:
                owner = grant.user_id if terms.per_user else ""
                counter = CounterKey(tenant_id, use.limit_id, owner, use.key, use.window_start)
                credited.append(CounterCredit(counter, amount, use.part))
    return credited


def read_terms(limits: Mapping[str, Limit]) -> dict[str, LimitTerms]:
    """Of limits as a book has them, by their ids."""
    return {
        limit_id: LimitTerms(each.measure, each.reward_kind, each.currency, each.per_user, each.cap)
        for limit_id, each in limits.items()
    }


def read_grant(settled: Settled) -> Grant:
    """A grant as it was decided a moment ago."""
    request, decision = settled.request, settled.decision
    rewards = request.campaign_version.campaign.rewards
    return Grant(
        decision_id=decision.decision_id,
        campaign_id=request.campaign_version.campaign_id,
        user_id=request.user[1],
        instance=request.instance,
        give_back=request.campaign_version.campaign.give_back,
        uses=decision.uses,
        incentives=[
            GrantedIncentive(
                incentive_id=made.incentive_id,
                kind=rewards[made.reward_index].kind,
                value=request.values[made.reward_index],
                currency=rewards[made.reward_index].currency,
                reversed_value=0,
                state="granted",
                reward_index=made.reward_index,
                on_partial=rewards[made.reward_index].on_partial,
            )
            for made in settled.incentives
        ],
    )


def take_event_back(
    tenant_id: str,
    grants: Sequence[Grant],
    lost: Sequence[Grant],
    limit_terms: Mapping[str, LimitTerms],
    before: ReversedSoFar,
    after: ReversedSoFar,
) -> tuple[list[tuple[Grant, IncentiveReversal]], list[CounterCredit]]:
    """What is taken of the SIMPLE `grants` of an event when what is reversed goes from `before` to `after`, and in whole of
    those that quests have `lost` by it; and what counters get back for that.
    """
    earned = [(grant, before, after) for grant in grants]
    earned += [(grant, NOTHING_YET, WHOLE) for grant in lost]
    taken = [(grant, each) for grant, *change in earned for each in take_back(grant, *change)]
    return taken, [each for grant, *change in earned for each in give_back(tenant_id, grant, limit_terms, *change)]


def _weigh_line(line: Line, of: int, before: TakenLine) -> TakenLine | ReversalReason:
    """What will have been taken of a line after this piece of an original of `of`, or why it is refused."""
    told = None if line.of is None else Fraction(line.of, of)
    if told and before.whole and told != before.whole:
        return "other_line_whole"
    whole, share = before.whole or told, before.share + Fraction(line.amount, of)
    if whole and share > whole:
        return "line_already_reversed" if before.share >= whole else "exceeds_line"
    return TakenLine(share, whole)


def _measure_credit(use: CounterUse, terms: LimitTerms, grant: Grant, so_far: ReversedSoFar) -> int:
    nothing_left = bool(grant.incentives) and all(reach(each, grant, so_far)[1] for each in grant.incentives)
    if so_far.share == 1 or nothing_left:
        return use.amount
    if terms.measure == "count":
        return 0
    counted = [h for h in grant.incentives if h.kind == terms.reward_kind and terms.currency in (None, h.currency)]
    return sum(reach(incentive, grant, so_far)[0] for incentive in counted)
