"""Explanations: of a decision as it was made, and of any event before a campaign as it stands; nothing is changed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from msgspec import structs
from pydantic import Field

from fillip.core.erasure import is_erased
from fillip.core.limit import CounterUse, cut, weigh
from fillip.core.match.candidate import is_barred
from fillip.core.match.limit_charges import list_charges
from fillip.core.problem import Fault
from fillip.core.rule import RuleError
from fillip.core.schema.reader import find_faults
from fillip.http.errors import Invalid, NotFound
from fillip.http.fields import Instant, OwnId, Part, Source, UserId, give_examples
from fillip.manage.backfill.postgres import is_waiting
from fillip.manage.campaign.postgres import find_campaign
from fillip.manage.decision.postgres import decisions, find_first
from fillip.manage.explain import postgres, wording
from fillip.manage.explain.answer import Check, ExplanationAnswer, Outcome, WouldAnswer
from fillip.manage.explain.checks import (
    EventContext,
    check_eligibility,
    check_limits,
    check_shadow,
    check_stock,
    describe_instance,
)
from fillip.manage.explain.conflict import check_conflict_now
from fillip.manage.explain.explanation import build_explanation, check_decided, is_obstacle, is_refused_repair
from fillip.manage.explain.quest_trial import Trial, build_quest_event, try_quest
from fillip.manage.explain.returns import explain_returns
from fillip.manage.explain.returns_postgres import read_returns, recall_reader
from fillip.manage.explain.rewards import check_worth
from fillip.manage.explain.stock_postgres import read_stock
from fillip.manage.merge.postgres import share_user
from fillip.manage.request.route import Reading, Route, UnitOfWork

_UP_TO_RULE = ("schedule", "action", "cohort", "rule")
EventId = Annotated[str, Query(min_length=1, max_length=256, examples=["order-7"])]
EventSource = Annotated[str | None, Query(min_length=1, max_length=1024, examples=["/shop/till-7"])]
router = APIRouter(tags=["explain"], route_class=Route)


class ExplainPart(Part):
    """An event to try: either `event_id` of a recorded one, or `user_id`, `action`, `time` (when it comes) and `attributes`.

    `event_source` is needed where several sources have an event of this id. `at` (now) is when it comes; of a recorded one also when it
    happens.
    """

    model_config = give_examples(
        {"user_id": "ada", "action": "PURCHASE", "attributes": {"amount_cents": 1200}},
        {"event_id": "order-7"},
        {"event_id": "1", "event_source": "/shop/till-7"},
        {"user_id": "ada", "action": "PURCHASE", "attributes": {"amount_cents": 9000}, "at": "2026-12-24T12:00:00Z"},
    )

    event_id: OwnId | None = None
    event_source: Source | None = None
    user_id: UserId | None = None
    action: str | None = Field(None, min_length=1, max_length=100)
    time: Instant | None = None
    at: Instant | None = None
    attributes: dict[str, Any] = Field(default_factory=dict)


@router.get("/decisions/{decision_id}/explain")
async def explain_decision(work: Reading, decision_id: UUID) -> ExplanationAnswer:
    """Why this event was granted or denied, by what was in force and recorded then."""
    row = await decisions.find(work.connection, work.caller, decision_id)
    if is_erased(row.user_id):
        raise NotFound(
            "its user was erased, and with it what the decision went by: the decision itself has what is left"
        )
    context = await postgres.load_recorded(work.connection, work.caller, row)
    checks = await work.compute(check_eligibility, context, row.decided_at)
    now = await share_user(work.connection, work.caller, row.user_id)
    if not is_refused_repair(context, row.reason) and (
        instance := await postgres.find_completed(work.connection, work.caller, row, now)
    ):
        described = describe_instance(instance)
        for step, given in await postgres.list_given(work.connection, work.caller, row, now, instance):
            next(each for each in described.steps if each.name == step).given.append(given)
        message = wording.tell_completed(instance)
        checks.append(Check(check="quest", passed=True, message=message, instances=[described]))
    uses = msgspec.convert(row.limits, list[CounterUse])
    checks += await work.compute(check_decided, context, row.reason, row.outranked_by, uses)
    told = build_explanation(context, checks, row.outcome, row.reason, as_of="decision", decision_id=decision_id)
    rewards = context.campaign_version.campaign.rewards
    asks = row.outcome == "granted" and any(reward.on_partial == "reevaluate" for reward in rewards)
    if asks and (returns := await read_returns(work.connection, work.caller, row)):
        read = await recall_reader(work.connection, work.caller, row, context.event.action)
        told.returns = await work.compute(explain_returns, context, read, returns)
    if now != row.user_id:
        told.event.merged_into = now
        told.summary += f" '{row.user_id}' is '{now}' by now."
    return told


@router.get("/campaigns/{campaign_id}/explain")
async def explain_recorded_event(
    work: Reading, campaign_id: str, event_id: EventId, event_source: EventSource = None
) -> ExplanationAnswer:
    """What a recorded event earned from this campaign and why; without a decision, what it would earn now.

    Where several sources have an event of this id, the 422 names them: say which in `event_source`.
    Of several instances of a quest that one event completed, the first is explained: each decision has its own
    explanation. An event that met no campaign is not recorded: post its parts instead.
    """
    await find_campaign(work.connection, work.caller, campaign_id)
    event = await postgres.find_event(work.connection, work.caller, event_id, event_source, at="event_source")
    decision_id = await find_first(work.connection, work.caller, campaign_id, event.source, event_id)
    if decision_id is not None:
        return await explain_decision(work, decision_id)
    named = ExplainPart.model_validate({"event_id": event_id, "event_source": event.source})
    return await explain_event(work, campaign_id, named)


@router.post("/campaigns/{campaign_id}/explain")
async def explain_event(work: Reading, campaign_id: str, body: ExplainPart) -> ExplanationAnswer:
    """What an event would earn from this campaign as everything stands now, with the current use of its limits.

    A draft is tried as if it were running, but for its state: `would` tells what it would earn without such `obstacles`. With `at` it is tried
    as if it came at that instant, under what stands now. A recorded event is tried as if it came for the first time. Of a quest, `campaign_version` is the one that the user's instance goes on under.
    """
    row = await find_campaign(work.connection, work.caller, campaign_id)
    occurrence = await _find_occurrence(work, body)
    occurrence = structs.replace(occurrence, user_id=await share_user(work.connection, work.caller, occurrence.user_id))
    try:
        current = await postgres.read_current_context(work.connection, work.caller, occurrence)
    except NotFound as unknown:
        raise Invalid(str(unknown), at="/action") from None
    if not occurrence.event_id and (wrong := find_faults(current.schema, occurrence.attributes)):
        raise Invalid("the attributes do not meet the action's schema", faults=wrong)
    context = await postgres.load_current(work.connection, work.caller, row, occurrence, current)
    trial = None
    if context.campaign_version.campaign.quest:
        quest_event = await work.compute(build_quest_event, context)
        quest_id, user_id = context.campaign_version.quest_id, context.event.user_id
        known = await postgres.find_instances(work.connection, work.caller, quest_id, user_id, quest_event)
        trial = await work.compute(try_quest, context, quest_event, known)
        context = context if is_barred(context.event, context.campaign_version) else trial.context
    now = datetime.now(UTC)
    checks = await work.compute(check_eligibility, context, now) + ([trial.check] if trial else [])
    if body.at and body.at > now:
        ahead = Check(check="time", passed=False, reason="in_future", message=wording.tell_ahead(body.at))
        checks = [ahead if each.check == "time" and each.passed else each for each in checks]
    worth, appraisal = await work.compute(check_worth, context)
    checks += [worth, *check_shadow(context.campaign_version)]
    if not context.campaign_version.is_shadow:
        checks.append(await check_conflict_now(work, context))
    if appraisal.refused is None and not context.campaign_version.is_shadow:
        checks.append(await _check_current_limits(work, context, appraisal.values))
        checks += await _check_current_stock(work, context)
    outcome, reason = _conclude(context, checks, trial)
    would = _tell_would(context, checks, trial)
    if (
        occurrence.event_id
        and not body.at
        and await is_waiting(work.connection, work.caller, campaign_id, context.event.key)
    ):
        checks.append(Check(check="backfill", passed=True, message=wording.WAITING))
    return build_explanation(context, checks, outcome, reason, as_of="now", would=would)


def _tell_would(context: EventContext, checks: Sequence[Check], trial: Trial | None) -> WouldAnswer | None:
    """What a trial would come to without its obstacles; None where it has none."""
    others = [check for check in checks if not is_obstacle(check)]
    if len(others) == len(checks):
        return None
    outcome, reason = _conclude(context, others, trial)
    rewards = next((check.rewards for check in checks if check.check == "reward"), None) or []
    return WouldAnswer(outcome=outcome, reason=reason, rewards=rewards if outcome == "granted" else [])


def _conclude(context: EventContext, checks: Sequence[Check], trial: Trial | None) -> tuple[Outcome, str]:
    """(outcome, reason) of a trial: a pause, a holdout, a control and what comes after the rule leave a denial, but not a quest's `late`."""
    failed = next((check for check in checks if not check.passed), None)
    reason = failed.reason if failed else None
    if reason in ("paused", "holdout", "control"):
        met = trial.met if trial else all(check.passed for check in checks if check.check in _UP_TO_RULE)
        rejected = any(check.reason == "in_future" for check in checks)
        return "denied" if met and not rejected else "no_match", reason
    may_deny = (
        (failed and failed.check in ("reward", "conflict", "shadow", "room"))
        or reason == "limit"
        or (reason == "late" and not context.campaign_version.campaign.quest)
    )
    if reason and not may_deny:
        return "no_match", reason
    if trial and not trial.completes:
        return "progress", "quest"
    return ("denied", reason) if reason else ("granted", "granted")


async def _find_occurrence(work: UnitOfWork, body: ExplainPart) -> postgres.ExplainedEvent:
    if body.event_id is not None:
        if body.user_id or body.action or body.time or body.attributes:
            raise Invalid("give an event_id, or the parts of an event, not both", at="/event_id")
        found = await postgres.find_event(work.connection, work.caller, body.event_id, body.event_source)
        return structs.replace(found, occurred_at=body.at, received_at=body.at) if body.at else found
    if body.event_source is not None:
        raise Invalid("it goes with an event_id: of which source the recorded event is", at="/event_source")
    if body.user_id is None or body.action is None:
        missing = [name for name in ("user_id", "action") if getattr(body, name) is None]
        faults = [Fault(f"/{name}", "needed without an event_id") for name in missing]
        raise Invalid("an event needs its user_id and action", faults=faults)
    at = body.at or datetime.now(UTC)
    return postgres.ExplainedEvent("", "", body.user_id, body.action, body.time or at, at, body.attributes)


async def _check_current_limits(work: UnitOfWork, context: EventContext, values: Sequence[int]) -> Check:
    try:
        charges = await work.compute(
            list_charges, context.event, context.campaign_version, values, context.user, context.cohorts
        )
    except RuleError as error:
        return Check(check="limits", passed=False, reason="key_error", message=wording.tell_key_error(error))
    counters = await postgres.read_charged(work.connection, charges)
    uses, _ = weigh(cut(charges, values, counters)[0], counters)
    return check_limits(uses)


async def _check_current_stock(work: UnitOfWork, context: EventContext) -> list[Check]:
    """Whether there are codes for it, and the user does not hold its badges; nothing is said of campaigns that give neither."""
    event, version = context.event, context.campaign_version
    rewards = version.campaign.list_rewards(event.find_variant(version))
    wanted = event.tenant_id, event.user_id, rewards
    if not any(reward.pool or reward.badge for reward in rewards.values()):
        return []
    refusal = (await read_stock(work.connection, work.caller, wanted)).refuse(wanted)
    return [check_stock(refusal)]
