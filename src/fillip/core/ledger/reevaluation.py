"""Rewards asked for again when a part of their event was taken back: the rule and the formula, for what is left. Pure.

The reversal tells what is left: the event's attributes `after` it. They are decided by what the grant was decided by, so by
the campaign version, the lists and the user's attributes of then; conflicts and limits are not asked again. What this gives less than
was granted is taken, and never given again: of several returns the least counts.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.book.book import Book
from fillip.core.book.version import CampaignVersion
from fillip.core.campaign.expression import name_path
from fillip.core.campaign.formula import MAX_VALUE, evaluate
from fillip.core.campaign.reward_kind import KINDS
from fillip.core.errors import Unreadable
from fillip.core.ledger.reversal import Grant, GrantedIncentive, Reevaluation, ReversalRequest, ReversedSoFar, reach
from fillip.core.ledger.settlement import Settled
from fillip.core.match.candidate import Match
from fillip.core.rule import RuleError
from fillip.core.schema.reader import ReadEvent


class DecidedBy(Struct, frozen=True):
    """What a SIMPLE grant was decided by: the campaign version with its lists, the user's typed attributes, when it happened, and how
    events of the action were read.
    """

    campaign_version: CampaignVersion
    user: Mapping[str, object]
    occurred_at: datetime
    read: ReadEvent


def is_reevaluated(grant: Grant) -> bool:
    """Whether a return of a part asks for any of its incentives again."""
    return not grant.instance and any(each.on_partial == "reevaluate" for each in grant.incentives)


def tell_decided_by(settled: Settled) -> DecidedBy:
    """Of a grant that was decided a moment ago."""
    match = settled.request.match
    event = match.event
    read = event.book.actions[event.action].read
    return DecidedBy(settled.request.campaign_version, _read_user(match), event.occurred_at, read)


def is_readable(request: ReversalRequest, action: str, occurred_at: datetime, book: Book) -> bool:
    """Whether what the reversal tells of what is left, if it does, is an event of the original's action, under the book of now."""
    if request.after is None:
        return True
    try:
        book.actions[action].read(request.after, occurred_at)
    except (Unreadable, KeyError):
        return False
    return True


def reevaluate(
    request: ReversalRequest,
    grants: Sequence[Grant],
    decided_by: Mapping[UUID, DecidedBy],
    before: ReversedSoFar,
    after: ReversedSoFar,
) -> ReversedSoFar:
    """`after` with what asking again for the grants of an event comes to, of those that want it.

    `decided_by` has these by their decisions. Where the reversal does not tell what is left of the event, or tells it in other types
    than the rule was written for, as much is taken as is usual for the kind; never is it less than before.
    """
    if after.share == 1:
        return after
    found = dict(after.reevaluated)
    for grant in grants:
        if is_reevaluated(grant):
            asked = _ask(request, grant, decided_by[grant.decision_id], before, after)
            found |= {each.incentive_id: each for each in asked}
    return replace(after, reevaluated=found)


def hold_rule(decided_by: DecidedBy, left: Mapping[str, object]) -> bool:
    """Whether the campaign's rule holds for what is `left` of an event; an error is no."""
    rule = decided_by.campaign_version.rules[name_path("rule")]
    try:
        return bool(rule(left, decided_by.user, frozenset()))
    except RuleError:
        return False


def read_left(request: ReversalRequest, decided_by: DecidedBy) -> Mapping[str, object] | None:
    """What the rule reads of what is left of the event, None where it can't."""
    if request.after is None:
        return None
    try:
        return decided_by.read(request.after, decided_by.occurred_at)
    except Unreadable:
        return None


def _ask(
    request: ReversalRequest, grant: Grant, decided_by: DecidedBy, before: ReversedSoFar, after: ReversedSoFar
) -> list[Reevaluation]:
    left = read_left(request, decided_by)
    met = None if left is None else hold_rule(decided_by, left)
    asked = []
    for incentive in grant.incentives:
        if incentive.on_partial == "reevaluate":
            taken, whole = reach(incentive, grant, before)
            worth = None if left is None else _value(incentive, decided_by, left) if met else 0
            due, gone = _find_due(incentive, grant, worth, met, after)
            asked.append(Reevaluation(incentive.incentive_id, met, worth, max(taken, due), whole or gone))
    return asked


def _find_due(
    incentive: GrantedIncentive, grant: Grant, worth: int | None, met: bool | None, after: ReversedSoFar
) -> tuple[int, bool]:
    """How much of an incentive is no longer earned, and whether nothing of it is; what can't be divided goes with all of it."""
    if worth is None:
        return reach(incentive, grant, ReversedSoFar(after.share))
    is_amount = KINDS[incentive.kind].list_currencies is not None
    if not met or worth <= 0 < incentive.value:
        return incentive.value, True
    return max(0, incentive.value - worth) if is_amount else 0, False


def _value(incentive: GrantedIncentive, decided_by: DecidedBy, left: Mapping[str, object]) -> int:
    """What the reward is worth for what is left: without a formula what was granted, nothing where that fails."""
    found = decided_by.campaign_version.formulas.get(incentive.reward_index)
    if found is None:
        return incentive.value
    try:
        _, value = evaluate(*found, left, decided_by.user, frozenset())
    except RuleError:
        return 0
    return min(max(value, 0), MAX_VALUE)


def _read_user(match: Match) -> Mapping[str, object]:
    try:
        return match.event.book.read_user(match.user or {})
    except Unreadable:  # no rule has read it then
        return {}
