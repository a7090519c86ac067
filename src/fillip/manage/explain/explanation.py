"""An explanation put together: what was decided behind the rule, and the whole as it is answered."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from fillip.core.ledger.decision import DecisionReason
from fillip.core.limit import CounterUse
from fillip.core.repair import REPAIR, RepairRefusal
from fillip.manage.explain import wording
from fillip.manage.explain.answer import Check, EventAnswer, ExplanationAnswer, Outcome, WouldAnswer
from fillip.manage.explain.checks import EventContext, check_limits, check_shadow, describe_conflict
from fillip.manage.explain.rewards import check_worth


def check_decided(
    context: EventContext, reason: DecisionReason, outranked_by: str | None, uses: Sequence[CounterUse]
) -> list[Check]:
    """What a decision weighed after its rule; what was refused before limits says nothing of them."""
    if reason in ("paused", "holdout", "control", "late"):
        return []
    if is_refused_repair(context, reason):
        return [describe_refused(reason)]
    worth, _ = check_worth(context)
    if "expired" in (reason, worth.reason):  # the zone that the user had then is not kept: the decision tells
        told = "expired" if reason == "expired" else None
        worth = worth.model_copy(update={"reason": told, "passed": not told, "message": wording.REWARDS[told]})
    if not worth.passed:
        return [worth]
    if reason == "shadow":
        return [worth, *check_shadow(context.campaign_version)]
    if outranked_by:
        return [worth, describe_conflict(outranked_by)]
    checks = [worth, describe_conflict(None), check_limits(uses)]
    if reason in wording.STOCK:
        checks.append(Check(check="room", passed=False, reason=reason, message=wording.STOCK[reason]))
    return checks


def is_refused_repair(context: EventContext, reason: DecisionReason) -> bool:
    """Whether a decision is that a day of a streak is not repaired: the instance that it names is as it was."""
    return context.event.action == REPAIR and reason in wording.REPAIRS


def describe_refused(reason: RepairRefusal | DecisionReason) -> Check:
    """The check of a repair that was refused."""
    return Check(check="quest", passed=False, reason=reason, message=wording.REPAIRS[reason])


def is_obstacle(check: Check) -> bool:
    """Whether it failed for what the campaign's state is or when the event lies: neither is the event's fault or its user's."""
    return not check.passed and (check.check in ("state", "shadow") or check.reason == "in_future")


def build_explanation(
    context: EventContext,
    checks: list[Check],
    outcome: Outcome,
    reason: str,
    *,
    as_of: Literal["decision", "now", "backtest"],
    decision_id: UUID | None = None,
    would: WouldAnswer | None = None,
) -> ExplanationAnswer:
    """The whole; `would` is of a trial with obstacles."""
    event, campaign_version = context.event, context.campaign_version
    name, obstacles = campaign_version.campaign.name, [each for each in checks if is_obstacle(each)] if would else []
    summary = wording.summarise(event.user_id, name, checks, outcome)
    if would and would.outcome == "granted":
        summary = wording.tell_would(event.user_id, name, would.rewards, obstacles)
    return ExplanationAnswer(
        as_of=as_of,
        summary=summary,
        outcome=outcome,
        reason=reason,
        campaign_id=campaign_version.campaign_id,
        campaign_version=campaign_version.version,
        decision_id=decision_id,
        user_revision=context.user_revision,
        event=EventAnswer(
            event_id=event.event_id or None,
            event_source=event.source or None,
            user_id=event.user_id,
            action=event.action,
            occurred_at=event.occurred_at,
            received_at=event.received_at,
            attributes=dict(event.attributes),
        ),
        checks=checks,
        obstacles=obstacles,
        would=would,
    )
